"""Results of the cells, entrant by entrant, over the test periods; and differences on the same rows."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nightloop.tasks.bakeoff.entrants import Entrant
from nightloop.tasks.bakeoff.run_result import RunResult, mean_user_rows
from nightloop.tasks.bakeoff.run_result import unpack_scored_period as scored_rows
from nightloop.tasks.evaluation.paired_difference import Difference, difference, holm
from nightloop.tasks.evaluation.summary import direction, summarize_metrics, weighted_means
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.plan import Plan

Values = dict[str, float]  # by metric, slices as `metric/slice`


@dataclass(frozen=True)
class FinishedRun:
    """A cell that ended well: under which seed, what it took, and its rows."""

    seed: int
    outcome: RunResult
    rows: Weights
    means: Mapping[str, Mapping[int, Values]]  # by kind and period


@dataclass(frozen=True)
class ResultRow:
    """One entrant under one kind of candidates, over the test periods: means over seeds."""

    name: str
    values: Values
    spread: Values  # standard deviation over seeds; empty with one seed
    personal: Values  # the metric minus what it is when every user is the mean user; empty for clicks
    curve: Mapping[int, float]  # the leading metric, by period


@dataclass(frozen=True)
class Results:
    """Every entrant that finished at least one seed, in the order of the plan; and those that failed, with the reasons."""

    plan: Plan
    metric: str
    test: tuple[int, ...]
    entrants: Mapping[str, Entrant]
    ran: Mapping[str, Sequence[FinishedRun]]  # by entrant, one a seed
    failed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    _lines: dict[str, list[ResultRow]] = field(default_factory=dict, repr=False, compare=False)  # computed once
    _gaps: dict[tuple[str, ...], Difference | None] = field(default_factory=dict, repr=False, compare=False)

    def line(self, name: str, kind: str) -> ResultRow:
        """The entrant's means."""
        seeds = list(self._by_seed(name, kind).values())
        keys = [key for key in seeds[0] if all(key in means for means in seeds)]
        several = len(seeds) > 1
        spread = {key: statistics.stdev(means[key] for means in seeds) for key in keys} if several else {}
        values = {key: statistics.fmean(means[key] for means in seeds) for key in keys}
        return ResultRow(name, values, spread, self._personal(name, kind, values), self._curve(name, kind))

    def lines(self, kind: str) -> list[ResultRow]:
        """Every entrant's line, the best first."""
        if kind not in self._lines:
            rows, sign = [self.line(name, kind) for name in self.ran], direction(self.metric)
            self._lines[kind] = sorted(rows, key=lambda line: (-sign * line.values[self.metric], line.name))
        return self._lines[kind]

    def versus(self, a: str, b: str, kind: str, metric: str) -> Difference | None:
        """`a` minus `b`, signed so that plus is better, on the same rows of the seeds that both finished.

        The interval is corrected for all entrants that are compared with `b` (Holm).
        """
        if (a, b, kind, metric) not in self._gaps:
            names = [name for name in self.ran if name != b]
            gaps = holm([self._gap(name, b, kind, metric) for name in names])
            self._gaps.update({(name, b, kind, metric): gap for name, gap in zip(names, gaps, strict=True)})
        return self._gaps.get((a, b, kind, metric))

    def lead(self, leader: str, other: str, kind: str, metric: str) -> Difference | None:
        """`leader` minus `other`, corrected for all entrants that are compared with the leader."""
        behind = self.versus(other, leader, kind, metric)
        return behind.flipped if behind else None

    def _gap(self, a: str, b: str, kind: str, metric: str) -> Difference | None:
        rows = {ran.seed: ran.rows for ran in self.ran[b]}
        pairs = [(ran.rows, rows[ran.seed]) for ran in self.ran[a] if ran.seed in rows]
        return paired_gap(pairs, self.test, kind, metric)

    def agree(self, a: str, b: str, kind: str) -> bool:
        """Whether `a` is better than `b` in the leading metric under every seed that both finished."""
        means_a, means_b = (self._by_seed(name, kind) for name in (a, b))
        sign, metric = direction(self.metric), self.metric
        return all(sign * (means_a[s][metric] - means_b[s][metric]) > 0 for s in means_a.keys() & means_b.keys())

    def of_use(self, use: str) -> list[str]:
        """Entrants whose strategy is this plug-in."""
        return [name for name in self.ran if self.entrants[name].strategy.use == use]

    def seconds(self, name: str) -> float:
        """Of learning one period, the mean over periods and seeds."""
        values = [second for ran in self.ran[name] for second in ran.outcome.seconds.values()]
        return statistics.fmean(values) if values else 0.0

    def working(self, name: str) -> int:
        """Most bytes of memory that any seed took."""
        return max(ran.outcome.working for ran in self.ran[name])

    def state(self, name: str) -> int:
        """Bytes of the last checkpoint, weights and memory."""
        return max(ran.outcome.state for ran in self.ran[name])

    def _by_seed(self, name: str, kind: str) -> dict[int, Values]:
        return {
            ran.seed: weighted_means([ran.means[kind][p] for p in self.test if p in ran.means[kind]])
            for ran in self.ran[name]
        }

    def _personal(self, name: str, kind: str, values: Values) -> Values:
        same = [weighted_means(self._impersonal(ran, kind)) for ran in self.ran[name]]
        if not all(same):
            return {}
        return {key: values[key] - statistics.fmean(means[key] for means in same) for key in values if key in same[0]}

    def _impersonal(self, ran: FinishedRun, kind: str) -> list[Values]:
        rows_by_period = [mean_user_rows(scored_rows(ran.rows, p, kind)) for p in self.test]
        return [summarize_metrics(rows, self.plan.family, self.plan.ranking.k) for rows in rows_by_period if rows]

    def _curve(self, name: str, kind: str) -> dict[int, float]:
        values_by_period: dict[int, list[float]] = {}
        for ran in self.ran[name]:
            for period, values in ran.means[kind].items():
                if self.metric in values:
                    values_by_period.setdefault(period, []).append(values[self.metric])
        return {period: statistics.fmean(values) for period, values in sorted(values_by_period.items())}


def paired_gap(
    pairs: Sequence[tuple[Weights, Weights]], periods: Sequence[int], kind: str, metric: str
) -> Difference | None:
    """The first run of each pair minus the second on the same rows of the periods, plus is better; None: too few users."""
    both = [(scored_rows(a, p, kind), scored_rows(b, p, kind), p) for a, b in pairs for p in periods]
    scored = [(a, b, p) for a, b, p in both if a and b]
    return difference([pair[:2] for pair in scored], metric, [p for _, _, p in scored])


def read_finished_run(plan: Plan, seed: int, outcome: RunResult, rows: Weights, kinds: Sequence[str]) -> FinishedRun:
    """A cell's rows and the means of every period."""
    periods = sorted({int(name.split("/")[1]) for name in rows})
    k = plan.ranking.k
    means = {
        kind: {p: summarize_metrics(scored_rows(rows, p, kind), plan.family, k) for p in periods} for kind in kinds
    }
    return FinishedRun(seed, outcome, rows, means)
