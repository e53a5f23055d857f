"""A cell: one strategy with one model and one seed through the whole history, every period scored before it is learned."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from torch import Tensor

from nightloop.tasks.bakeoff.early_stop import StopRule, running_means
from nightloop.tasks.bakeoff.run_result import CLICKS, RunResult, rows_folder
from nightloop.tasks.bakeoff.shared_inputs import file_of, logs_at_close, read_candidates
from nightloop.tasks.bakeoff.spec import Kind
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.rank import mean_user_ranker, rank
from nightloop.tasks.evaluation.score_period import scored_period
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, to_bytes
from nightloop.tasks.modules.model import Factored, Model
from nightloop.tasks.plan.redact import redact
from nightloop.tasks.retraining.advance import fold, start_chain
from nightloop.tasks.retraining.strategy import Strategy, lookback_of

log = logging.getLogger(__name__)
Found = dict[str, Tensor]


@dataclass(frozen=True)
class ReplayInputs:
    """What is run: the history, its root, the periods that follow, and the kinds of candidates."""

    whole: Logs
    root: int
    periods: Sequence[int]  # after the root, those that passed
    kinds: Sequence[Kind]  # none for clicks
    place: Path  # of the files of candidates
    stop: StopRule | None = None  # of a search
    k: Sequence[int] = ()  # cut-offs of the metrics, for the rule


def replay_cell(model: Model, strategy: Strategy, weights: Weights, inputs: ReplayInputs) -> tuple[RunResult, Found]:
    """Run the cell. Whatever the strategy raises fails this cell alone: the outcome says what, and at which period."""
    notes: dict[str, object] = {"seconds": {}, "candidates": {}, "idle": _begin_to_measure()}
    rows: Found = {}
    at = [inputs.root]
    try:
        _run(model, strategy, weights, inputs, notes, rows, at)
    except Exception as error:  # a plug-in may raise anything; the others go on
        log.warning("a cell failed at period %d", at[0], exc_info=error)
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        notes |= {"failed": redact(f"{kind}{error}")[:600], "failed_at": at[0]}
    return RunResult.model_validate({**notes, "peak": _of_memory("VmHWM")}), rows


def _run(
    model: Model, strategy: Strategy, weights: Weights, inputs: ReplayInputs, notes: dict[str, object], rows: Found,
    at: list[int],
) -> None:  # fmt: skip
    """Test, then train, period by period; what is learned about the run goes into `notes`, `rows` and `at`."""
    logs = logs_at_close(inputs.whole, inputs.root, lookback_of(strategy, model))
    checkpoint, notes["start_seconds"] = _measure_seconds(lambda: start_chain(model, strategy, weights, logs))
    seconds = cast(dict[int, float], notes["seconds"])
    for period in inputs.periods:
        at[0] = period
        rows |= _score_period(model, checkpoint.weights, inputs, period, cast(dict[str, str], notes["candidates"]))
        if period == inputs.periods[-1]:
            break  # no later period would test it
        if _is_hopeless(model, inputs, period, rows):
            notes["stopped_at"] = period
            break
        logs = logs_at_close(inputs.whole, period, lookback_of(strategy, model))
        before, part = checkpoint, logs
        checkpoint, seconds[period] = _measure_seconds(lambda b=before, p=part: fold(model, strategy, b, p))  # type: ignore[misc]
    notes["weights_bytes"], notes["memory_bytes"] = (len(to_bytes(t)) for t in (checkpoint.weights, checkpoint.memory))


def _is_hopeless(model: Model, inputs: ReplayInputs, period: int, rows: Found) -> bool:
    if inputs.stop is None or period not in inputs.stop.limits:
        return False
    running = running_means(rows, inputs.stop.kind, inputs.stop.metric, model.family, inputs.k)
    return inputs.stop.is_hopeless(period, running)


def _measure_seconds(work: Callable[[], Checkpoint]) -> tuple[Checkpoint, float]:
    began = time.perf_counter()
    checkpoint = work()
    return checkpoint, round(time.perf_counter() - began, 4)


def _score_period(model: Model, weights: Weights, inputs: ReplayInputs, period: int, hashes: dict[str, str]) -> Found:
    """The rows of one period, under every kind of candidates, also as the mean user's."""
    logs = logs_at_close(inputs.whole, period, 1)
    if not inputs.kinds:
        return pack(rows_folder(period, CLICKS), scored_period(model, weights, logs))
    tensors: Found = {}
    mean = mean_user_ranker(cast(Factored, model).factors, weights)
    for kind in inputs.kinds:
        file = file_of(inputs.place, period, inputs.whole.seed, kind)
        candidates, hashes[f"{kind}/{period}"] = read_candidates(file, logs)
        scored, same = scored_period(model, weights, logs, candidates), rank(mean, replace(candidates, catalogue=None))
        scored |= {"mean_above": same["above"], "mean_equal": same["equal"]}
        tensors |= pack(rows_folder(period, kind), scored)
    return tensors


def _begin_to_measure() -> int:
    """Bytes this process holds now; from here on `VmHWM` is the most it held."""
    with suppress(OSError):  # without this permission the peak includes the imports
        Path("/proc/self/clear_refs").write_text("5")
    return _of_memory("VmRSS")


def _of_memory(name: str) -> int:
    """A figure of Linux about this process; on other systems the most it ever held."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
