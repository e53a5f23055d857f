"""Footing: what all entrants share, as files: the history, the weights they start from, and the candidates.

Files are mapped into memory, so that many processes hold one copy, and an entrant touches the rows it looks back on only.
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
from nightloop.tasks.evaluation.candidates import CandidateBlock, Candidates, sample_candidates, sample_popular
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.plan import Plan, Ranking

LOGS = "logs.safetensors"
DEAL: dict[Kind, Callable[[Logs, Tensor, Ranking], Candidates]] = {
    "uniform": sample_candidates,
    "popular": sample_popular,
}
SMALL = ("pool", "cut", "row", "place")  # kept as int32: half the bytes


def write_logs(place: Path, logs: Logs) -> None:
    """Write the whole history, ordered by (period, time, user, item)."""
    parts = {name: getattr(logs, name) for name in COLUMNS}
    born = {f"born/{field}": born for field, born in zip(logs.fields, logs.born, strict=True)}
    save_file({name: tensor.contiguous() for name, tensor in {**parts, **born}.items()}, place / LOGS)


def whole_logs(place: Path, plan: Plan) -> Logs:
    """The whole history again, under the plan's seed."""
    found = load_file(place / LOGS)
    fields = ("user", "item", *plan.columns.categorical)
    born = tuple(found[f"born/{field}"] for field in fields)
    return Logs(
        period=int(found["periods"][-1]), periods=found["periods"], fields=fields, rows=found["rows"],
        numeric=found["numeric"], label=found["label"], time=found["time"], sizes=tuple(len(b) for b in born),
        born=born, seed=plan.seed, served=found["served"], history=found["history"], values=found["values"],
        several=plan.columns.multi_value_fields,
        others=plan.columns.others,
    )  # fmt: skip


def logs_at_close(whole: Logs, period: int, lookback: int) -> Logs:
    """The newest `lookback` periods at the close of `period`: nothing in it speaks of a later one. No row is copied."""
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


def write_candidates(place: Path, whole: Logs, periods: Sequence[int], ranking: Ranking, kind: Kind) -> None:
    """Deal the candidates of every period once: uniformly as a night deals them, or in proportion to popularity."""
    for period in periods:
        before = int(torch.searchsorted(whole.periods, torch.tensor(period, dtype=whole.periods.dtype)))
        dealt = DEAL[kind](logs_at_close(whole, period, 1), whole.rows[:before, :2], ranking)
        save_file(_flat(dealt), file_of(place, period, whole.seed, kind))


def file_of(place: Path, period: int, seed: int, kind: Kind) -> Path:
    """Where the candidates of a period are."""
    return place / f"candidates-{kind}-{seed}-{period:06d}.safetensors"


def read_candidates(file: Path, logs: Logs) -> tuple[Candidates, str]:
    """The candidates in a file, which were dealt for `logs`, and the beginning of its SHA-256."""
    found = load_file(file)
    sampled = _hands(found, "sampled")
    catalogue = _hands(found, "catalogue") if "catalogue/sizes" in found else None
    return Candidates(logs, int(found["block"]), sampled, catalogue), hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _flat(dealt: Candidates) -> dict[str, Tensor]:
    """Every hand's tensors, end to end."""
    flat = {"block": torch.tensor(dealt.block)}
    for name, hands in (("sampled", dealt.sampled), ("catalogue", dealt.catalogue)):
        for part in SMALL if hands is not None else ():
            pieces = [getattr(hand, part).int() for hand in hands or ()]
            flat[f"{name}/{part}"] = torch.cat([torch.zeros(0, dtype=torch.int32), *pieces])
        if hands is not None:
            sizes = [[h.rows.start, h.rows.stop, len(h.pool), len(h.cut), len(h.row), len(h.place)] for h in hands]
            flat[f"{name}/sizes"] = torch.tensor(sizes, dtype=torch.int64).reshape(-1, 6)
    return flat


def _hands(found: dict[str, Tensor], name: str) -> list[CandidateBlock]:
    sizes = found[f"{name}/sizes"]
    parts = [torch.split(found[f"{name}/{part}"].long(), sizes[:, 2 + j].tolist()) for j, part in enumerate(SMALL)]
    rows = [slice(first, last) for first, last in sizes[:, :2].tolist()]
    return [CandidateBlock(*one) for one in zip(rows, *parts, strict=True)]
