"""How good a checkpoint was on rows that it was not trained on.

The ranking protocol, in the order in which a night calls it (`tasks/score.py`):

1. `exclusions`: a row is not ranked against items that nobody took before it, its own item, and items that its user took up
   to and including the row. With the plan's `ranking.repeats` only its own item and items not seen yet are left out.
2. `candidates.sample_candidates`: `ranking.negatives` distinct items for each row, uniformly from the others; all of them, if
   there are fewer. They are drawn once a night and are the same for every strategy. With `ranking.catalogue` all rows, or a
   sample of them, are also ranked against every item that is not excluded.
3. `rank.rank`: how many candidates score above the row's item, and how many equal to it. A user whom the weights do not know
   is the mean user, or the weights' own row of an unknown user if they have one; an item that they do not know scores 0.
4. `ranking_metrics`: Recall@K and NDCG@K of these two counts, in expectation over the order of equal scores.
5. `summary.summarize_metrics`: means over rows, also over those of new and of known users and items.

How the candidates are drawn, in pools that several rows share, is in `candidates`; how ties and excluded items are counted, in
`rank`.
"""
