"""How good a checkpoint was on rows that it was not trained on.

The ranking protocol, in the order in which a night calls it (`tasks/score.py`):

1. `exclusions.excluded_pairs`: items that a user took before a row are no negatives of that row.
2. `candidates.sample_candidates`: negatives for each positive, uniformly, the same for every strategy of a night; and
   for rows of some blocks, or all, every item that is no excluded one.
3. `rank.rank`: how many candidates score above the positive, and how many equal to it.
4. `ranking_metrics`: Recall@K and NDCG@K of these two counts.
5. `summary.summarize_metrics`: means over rows, also of new and old users and items.
"""
