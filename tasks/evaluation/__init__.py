"""How good a checkpoint was on rows that it was not trained on.

The ranking protocol, in the order in which a night calls it (`tasks/score.py`), is in three files:

1. `candidates.sample_candidates`: what each row is ranked against. Not against items that nobody took before it, its own item, and
   items that its user took up to and including the row; with the plan's `ranking.repeats` only its own item and items not seen
   yet are left out. Of the others `ranking.negatives` distinct items are drawn uniformly; all of them, if there are fewer. They
   are drawn once a night and are the same for every strategy. With `ranking.catalogue` all rows, or a sample of them, are also
   ranked against every item that is not excluded.
2. `rank.rank`: how many candidates score above the row's item, and how many equal to it. A user whom the weights do not know
   is the mean user, or the weights' own row of an unknown user if they have one; an item that they do not know scores 0.
3. `ranking_metrics`: Recall@K and NDCG@K of these two counts, in expectation over the order of equal scores, and their means.

`summary` gives the means of each slice of the rows as well. `popular_candidates` draws popular items, for bake-offs.
"""
