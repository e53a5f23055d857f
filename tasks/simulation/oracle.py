"""The oracle's score: how well a simulated period can be ranked with the true factors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.data.vocabulary import Vocabulary, encode
from nightloop.tasks.evaluation.candidates import sample_candidates
from nightloop.tasks.evaluation.rank import from_factors, rank
from nightloop.tasks.plan.plan import Ranking
from nightloop.tasks.simulation.latent_world import Oracle


def oracle_scores(
    oracle: Oracle, vocabulary: Vocabulary, logs: Logs, taken: Tensor, ranking: Ranking
) -> dict[str, Tensor]:
    """The scored period of the oracle, as `rank` gives it: no model that only sees logs can be expected to be above."""
    users = _table(vocabulary, "user", oracle.users, oracle.user_factors)
    items = _table(vocabulary, "item", oracle.items, oracle.item_factors)
    return rank(from_factors(users, items), sample_candidates(logs, taken, ranking))


def _table(
    vocabulary: Vocabulary, field: str, ids: tuple[str, ...], factors: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> Tensor:
    """Factors by vocabulary row; ids that are not alive that day have zeros."""
    rows = encode(vocabulary, field, pa.array(ids, pa.string()))
    table = torch.zeros(len(vocabulary.ids[field]), factors.shape[1], dtype=torch.float64)
    in_vocabulary = torch.from_numpy(rows) >= 0
    table[torch.from_numpy(rows)[in_vocabulary]] = torch.from_numpy(np.asarray(factors))[in_vocabulary]
    return table
