"""Shared inputs: what all entrants share, as files: the history, the weights they start from, and the candidates.

Files are mapped into memory, so that many processes hold one copy, and an entrant reads only the rows of its lookback.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nightloop.tasks.bakeoff.spec import Kind
from nightloop.tasks.data.histories import latest_histories
from nightloop.tasks.data.logs import COLUMNS, Logs
from nightloop.tasks.evaluation.candidates import CandidateBlock, Candidates, sample_candidates
from nightloop.tasks.evaluation.popular_candidates import sample_popular
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.plan import Plan, Ranking

LOGS = "logs.safetensors"
DEAL: dict[Kind, Callable[[Logs, Tensor, Ranking], Candidates]] = {
    "uniform": sample_candidates,
    "popular": sample_popular,
}
SMALL = ("pool", "cut", "row", "place")  # kept as int32: half the bytes


def write_logs(folder: Path, logs: Logs) -> None:
    """Write the whole history, ordered by (period, time, user, item)."""
    parts = {name: getattr(logs, name) for name in COLUMNS}
    born = {f"born/{field}": born for field, born in zip(logs.fields, logs.born, strict=True)}
    save_file({name: tensor.contiguous() for name, tensor in {**parts, **born}.items()}, folder / LOGS)


def read_all_logs(folder: Path, plan: Plan) -> Logs:
    """The whole history again, under the plan's seed."""
    tensors = load_file(folder / LOGS)
    fields = ("user", "item", *plan.columns.categorical)
    born = tuple(tensors[f"born/{field}"] for field in fields)
    return Logs(
        period=int(tensors["periods"][-1]), periods=tensors["periods"], fields=fields, rows=tensors["rows"],
        numeric=tensors["numeric"], label=tensors["label"], time=tensors["time"], sizes=tuple(len(b) for b in born),
        born=born, seed=plan.seed, served=tensors["served"], history=tensors["history"], values=tensors["values"],
        several=plan.columns.multi_value_fields,
        others=plan.columns.others, ranking=plan.ranking, metric=plan.leading_metric,
    )  # fmt: skip


def logs_at_close(whole: Logs, period: int, lookback: int) -> Logs:
    """The newest `lookback` periods at the close of `period`: it holds nothing of a later one. No row is copied."""
    ends = torch.tensor([max(period - lookback + 1, 0), period + 1], dtype=whole.periods.dtype)
    first, last = torch.searchsorted(whole.periods, ends).tolist()
    part = _part(whole, first, last)
    sizes = [int(torch.searchsorted(born, torch.tensor(period, dtype=born.dtype), right=True)) for born in whole.born]
    born = tuple(b[:size] for b, size in zip(whole.born, sizes, strict=True))
    newest = latest_histories(_part(whole, 0, last), sizes[0])
    return replace(part, period=period, sizes=tuple(sizes), born=born, latest=newest).share_rare_rows(sizes)


def _part(whole: Logs, first: int, last: int) -> Logs:
    return replace(whole, **{name: getattr(whole, name)[first:last] for name in COLUMNS})


def write_weights(file: Path, weights: Weights) -> None:
    """Write the weights that every strategy starts from."""
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, file)


def write_candidates(folder: Path, whole: Logs, periods: Sequence[int], ranking: Ranking, kind: Kind) -> None:
    """Sample the candidates of every period once: uniformly as a night does, or in proportion to popularity."""
    for period in periods:
        before = int(torch.searchsorted(whole.periods, torch.tensor(period, dtype=whole.periods.dtype)))
        candidates = DEAL[kind](logs_at_close(whole, period, 1), whole.rows[:before, :2], ranking)
        save_file(_pack_blocks(candidates), file_of(folder, period, whole.seed, kind))


def file_of(folder: Path, period: int, seed: int, kind: Kind) -> Path:
    """Where the candidates of a period are."""
    return folder / f"candidates-{kind}-{seed}-{period:06d}.safetensors"


def read_candidates(file: Path, logs: Logs) -> tuple[Candidates, str]:
    """The candidates in a file, which were sampled for `logs`, and the beginning of its SHA-256."""
    tensors = load_file(file)
    sampled = _unpack_blocks(tensors, "sampled")
    catalogue = _unpack_blocks(tensors, "catalogue") if "catalogue/sizes" in tensors else None
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return Candidates(logs, int(tensors["block"]), sampled, catalogue), digest


def _pack_blocks(candidates: Candidates) -> dict[str, Tensor]:
    """The tensors of every block, concatenated."""
    flat = {"block": torch.tensor(candidates.block)}
    for name, blocks in (("sampled", candidates.sampled), ("catalogue", candidates.catalogue)):
        for part in SMALL if blocks is not None else ():
            pieces = [getattr(block, part).int() for block in blocks or ()]
            flat[f"{name}/{part}"] = torch.cat([torch.zeros(0, dtype=torch.int32), *pieces])
        if blocks is not None:
            sizes = [[h.rows.start, h.rows.stop, len(h.pool), len(h.cut), len(h.row), len(h.place)] for h in blocks]
            flat[f"{name}/sizes"] = torch.tensor(sizes, dtype=torch.int64).reshape(-1, 6)
    return flat


def _unpack_blocks(tensors: dict[str, Tensor], name: str) -> list[CandidateBlock]:
    sizes = tensors[f"{name}/sizes"]
    parts = [torch.split(tensors[f"{name}/{part}"].long(), sizes[:, 2 + j].tolist()) for j, part in enumerate(SMALL)]
    rows = [slice(first, last) for first, last in sizes[:, :2].tolist()]
    return [CandidateBlock(*block) for block in zip(rows, *parts, strict=True)]
