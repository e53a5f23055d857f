"""Predict: logits of rows, batch by batch, for any ids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.linalg import vecdot

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import PREFIX, dense_names, offsets, table_sizes, with_zero_rows
from nightloop.tasks.modules.lookup import OwnRows, close_before, lookup
from nightloop.tasks.modules.model import Factored, Lookup, Model, StatefulModel
from nightloop.tasks.modules.pair_scores import has_pairs, pair_scores_of
from nightloop.tasks.modules.stacked_weights import is_stacked, stacked_members
from nightloop.tasks.modules.threads import ThreadPool, one_thread, thread_pool
from nightloop.tasks.plan.errors import DataError


@torch.no_grad()
def predict(model: Model, weights: Weights, logs: Logs, batch: int = 4096) -> Tensor:
    """Logits of rows.

    An id without a row in its table (unseen) counts as a row of zeros. If a field's rare values share a row, it counts
    as that row, as it did when it was served.

    Parameters
    ----------
    model : Model
        What scores.
    weights : mapping of str to Tensor
        Its weights.
    logs : Logs
        The rows.
    batch : int, default 4096
        Rows that one thread computes at once. A larger batch needs more memory. The number of threads changes no byte.

    Returns
    -------
    Tensor
        [n] float32.

    Raises
    ------
    DataError
        The weights or the logs do not fit the model, or a logit is not a finite number.

    Examples
    --------
    The bias is 0.5, and only the first item has a weight, 2; all other ids are unseen.

    >>> import torch
    >>> from nightloop.tasks.models.lr import LR
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.training.predict import predict
    >>> logs, item = simulated_periods("ctr")[0], torch.tensor([[2.0]])
    >>> weights = {"bias": torch.tensor([0.5]), "table.user": torch.zeros(0, 1), "table.item": item}
    >>> predict(LR(("user", "item")), weights, logs)[:3].tolist(), logs.rows[:3, 1].tolist()
    ([2.5, 0.5, 0.5], [0, 1, 2])
    """
    if is_stacked(weights):
        members, line = stacked_members(weights)
        return line[0] + torch.stack([predict(model, one, logs, batch) for one in members], 1) @ line[1:]
    sizes = table_sizes(model, weights)
    if isinstance(model, Factored) and (isinstance(model, StatefulModel) or has_pairs(weights)):
        return _dot_products(model, weights, logs)
    missing = set(model.fields) - set(logs.fields)
    if missing:
        raise DataError(
            f"the model has tables for {', '.join(sorted(missing))}; the logs have {', '.join(logs.fields)}"
        )
    columns = [logs.fields.index(field) for field in model.fields]
    tables = [weights[PREFIX + field] for field in model.fields]
    rows_of = dict(zip(model.fields, sizes, strict=True))
    logs = logs.share_rare_rows([rows_of.get(field, size) for field, size in zip(logs.fields, logs.sizes, strict=True)])
    dense = dense_names(weights)
    look = lookup(model, sizes, logs, close_before(logs))
    limits = torch.tensor(sizes)
    multi_value = torch.tensor([column in logs.several for column in columns])  # their means leave out unseen values

    @torch.no_grad()  # each thread has its own switch
    def score(first: int) -> Tensor:
        part = slice(first, first + batch)
        ids = logs.rows[part][:, columns]
        unseen = (ids < 0) | (ids >= limits)
        ids = ids.masked_fill(unseen, 0)
        embedded = _take_own_rows(tables, ids) if isinstance(look, OwnRows) else _look_up(look, tables, ids, first)
        if bool(unseen.any()):
            embedded[:, : len(tables)][unseen & ~multi_value] = 0
        return model.logits(embedded, logs.numeric[part], dense)

    parts = range(0, len(logs), batch)
    with one_thread() if len(parts) == 1 else thread_pool() as pool:  # torch's own split gives other last digits
        logits = (pool or ThreadPool()).map(score, parts)
    return _check_finite(torch.cat(logits) if logits else torch.empty(0))


def _take_own_rows(tables: Sequence[Tensor], ids: Tensor) -> Tensor:
    """Rows [n, F, width] of ids [n, F]; zeros of a table without rows."""
    rows = [
        t.index_select(0, i) if len(t) else t.new_zeros(len(i), t.shape[1])
        for t, i in zip(tables, ids.unbind(1), strict=True)
    ]
    return torch.stack(rows, 1)


def _look_up(look: Lookup, tables: Sequence[Tensor], ids: Tensor, first: int) -> Tensor:
    """What the look-up makes of rows `first`, `first + 1`, ... of the logs, whose ids are `ids` [n, F]."""
    sizes = [len(table) for table in tables]
    positions = torch.arange(first, first + len(ids))
    fused = look.rows(positions, ids)
    values = torch.empty(len(fused), tables[0].shape[1])
    for start, size, table in zip(offsets(sizes).tolist(), sizes, tables, strict=True):
        inside = (fused >= start) & (fused < start + size)
        values[inside] = table[fused[inside] - start]
    return look.embedded(values, positions, ids)


def _dot_products(model: Factored, weights: Weights, logs: Logs) -> Tensor:
    """Logits [n] of a model whose factors are made of more than a row's own weights, or of weights with pair scores."""
    ids = [logs.rows[:, logs.fields.index(field)] for field in ("user", "item")]
    factors = model.factors(with_zero_rows(weights))
    rows = [
        torch.where(i < 0, len(table) - 1, i.clamp(max=len(table) - 1)) for i, table in zip(ids, factors, strict=True)
    ]
    logits: Tensor = vecdot(*(table.index_select(0, i) for i, table in zip(rows, factors, strict=True)))
    pairs = pair_scores_of(weights)
    return _check_finite(logits if pairs is None else logits + pairs.of_pairs(*ids))


def _check_finite(logits: Tensor) -> Tensor:
    if not bool(torch.isfinite(logits).all()):
        raise DataError(f"{int((~torch.isfinite(logits)).sum())} of {len(logits)} predictions are not finite numbers")
    return logits
