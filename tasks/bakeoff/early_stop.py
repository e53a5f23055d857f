"""Early stop: end a trial of a search whose running mean is worse than that of most earlier trials."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from nightloop.tasks.bakeoff.run_result import unpack_scored_period
from nightloop.tasks.evaluation.summary import direction, summarize_metrics
from nightloop.tasks.modules.checkpoint import Weights

FEWEST = 5  # trials that must have come as far before one is compared with them


class StopRule(BaseModel):
    """By period the running mean that a trial must reach, or it ends there."""

    model_config = ConfigDict(frozen=True)

    metric: str
    kind: str  # of the scored rows
    limits: dict[int, float] = {}

    def is_hopeless(self, period: int, running: Mapping[int, float]) -> bool:
        """Whether a trial with these running means ends at this period."""
        limit, sign = self.limits.get(period), direction(self.metric)
        return limit is not None and sign * running[period] < sign * limit


def stop_limits(trials: Sequence[Mapping[int, float]], periods: Sequence[int]) -> dict[int, float]:
    """The median of the earlier trials' running means at each period but the last; none where fewer than `FEWEST` came."""
    limits = {}
    for period in periods[:-1]:
        means = [running[period] for running in trials if period in running]
        if len(means) >= FEWEST:
            limits[period] = statistics.median(means)
    return limits


def running_means(rows: Weights, kind: str, metric: str, family: str, k: Sequence[int]) -> dict[int, float]:
    """By scored period the mean of the metric over all rows up to and including it."""
    running, total, count = dict[int, float](), 0.0, 0.0
    for period in sorted({int(name.split("/")[1]) for name in rows if name.startswith(f"{kind}/")}):
        means = summarize_metrics(unpack_scored_period(rows, period, kind), family, k)
        total, count = total + means["rows"] * means.get(metric, 0.0), count + means["rows"]
        running[period] = total / count if count else 0.0
    return running
