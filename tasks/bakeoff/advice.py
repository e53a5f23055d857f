"""Advice: the result of a bake-off in sentences: the leader, its lead, whether the lead is significant, costs, the cheap choice."""

from __future__ import annotations

from collections.abc import Sequence

from nightloop.tasks.bakeoff.results import ResultRow, Results
from nightloop.tasks.bakeoff.run_result import CLICKS
from nightloop.tasks.evaluation.paired_difference import Difference
from nightloop.tasks.reports.format import join_words, number, plural, seconds, size

CLOSE = 0.01  # a relative loss of the leading metric that is called a match
NEAR = 0.05  # a relative loss that some would accept for a much cheaper night
CHEAPER = 2.0  # times; below this, a cheaper entrant is not reported


def advice(results: Results, kinds: Sequence[str]) -> list[str]:
    """The sentences, the most important first; the first is the headline."""
    if not results.ran:
        return ["All runs failed, for the reasons below."]
    kind, lines = kinds[0], results.lines(kinds[0])
    sentences = [_leader(results, lines, kind), *_level(results, lines, kind), _cost(results, lines[0])]
    sentences += _cheap(results, lines, kind) + _popular(results, lines, kind) + _personal(results, lines)
    sentences += _no_update(results, lines, kind)
    for other in kinds[1:]:
        sentences += _other_table(results, lines, other)
    sentences += [f"{name} failed: {reasons[0]}" for name, reasons in results.failed.items()]
    return sentences + _caution(results)


def _leader(results: Results, lines: Sequence[ResultRow], kind: str) -> str:
    leader, metric = lines[0], results.metric
    lead = f"{leader.name} leads with {metric} {_value(leader, metric)}"
    if len(lines) == 1:
        return f"{leader.name} is alone: {metric} {_value(leader, metric)}."
    runner_up = lines[1]
    gap = results.lead(leader.name, runner_up.name, kind, metric)
    if gap is None:
        return f"{lead}; {runner_up.name} follows with {number(runner_up.values[metric])}. Too few users to say how sure that is."
    if not gap.mean:
        return f"{leader.name} and {runner_up.name} are level: {metric} {number(leader.values[metric])}."
    words = "surely" if _leads_surely(results, leader.name, runner_up.name, kind) else "not surely"
    return f"{lead}, {words} ahead of {runner_up.name} ({interval_in_words(gap)})."


def _level(results: Results, lines: Sequence[ResultRow], kind: str) -> list[str]:
    """Entrants that may be as good as the leader."""
    leader = lines[0].name
    level = [line.name for line in lines[1:] if not _leads_surely(results, leader, line.name, kind)]
    if not level:
        return []
    are = "is" if len(level) == 1 else "are"
    return [f"{join_words(level, 6)} {are} not surely behind {leader}: more periods or seeds may turn the order."]


def _cost(results: Results, leader: ResultRow) -> str:
    name, idle = leader.name, results.of_use("NoUpdate")
    others = {other: results.seconds(other) for other in results.ran if other != name and other not in idle}
    leader_seconds = results.seconds(name)
    took = f"{name} takes {seconds(leader_seconds)} to learn a period"
    cost = f"{took} and {size(results.working(name))} of memory, and keeps {size(results.state(name))}"
    if not others:
        return f"{cost}."
    fastest, slowest = (pick(others, key=lambda other: others[other]) for pick in (min, max))
    if leader_seconds > others[fastest]:
        return f"{cost}; {fastest} takes {seconds(others[fastest])}."
    return f"{cost}: no entrant that learns is faster, {slowest} takes {seconds(others[slowest])}."


def _cheap(results: Results, lines: Sequence[ResultRow], kind: str) -> list[str]:
    """The fastest of those that match the leader, or else of those that give up little; if it is much faster."""
    leader, leader_seconds = lines[0], results.seconds(lines[0].name)
    fair = [line for line in lines[1:] if matches(results, leader, line, kind)]
    alone = f"No entrant matches {leader.name}: all others are surely worse by more than {CLOSE:.0%}."
    sentences = [] if fair or len(lines) == 1 else [alone]
    by_cost = sorted(lines[1:], key=lambda line: results.seconds(line.name))
    fast = [line for line in by_cost if results.seconds(line.name) * CHEAPER <= leader_seconds]
    cheap = next((line for line in fast if line in fair), None)
    near = next((line for line in fast if _lost(results, leader, line) <= NEAR), None)
    chosen = cheap or near
    if chosen is None:
        return sentences
    chosen_seconds, gap = results.seconds(chosen.name), results.lead(leader.name, chosen.name, kind, results.metric)
    by = f" ({interval_in_words(gap)} behind)" if gap else ""
    share = f"1/{leader_seconds / chosen_seconds:.0f} of the time" if chosen_seconds > 0.001 else "next to no time"
    lost = f"gives up {_lost(results, leader, chosen):.1%} of {leader.name}'s {results.metric}"
    choice = f"it {f'matches {leader.name}' if cheap else lost}{by} at {share}"
    return [*sentences, f"The cheap choice is {chosen.name}: {choice}."]


def _lost(results: Results, leader: ResultRow, line: ResultRow) -> float:
    """The share of the leader's metric by which an entrant is worse."""
    best = leader.values[results.metric]
    return abs(best - line.values[results.metric]) / abs(best) if best else 0.0


def matches(results: Results, leader: ResultRow, line: ResultRow, kind: str) -> bool:
    """Whether an entrant is not surely worse than the leader, or worse by a negligible share."""
    gap = results.lead(leader.name, line.name, kind, results.metric)
    small = CLOSE * abs(leader.values[results.metric])
    if gap is None:
        return abs(leader.values[results.metric] - line.values[results.metric]) <= small
    return gap.low <= 0 or gap.mean <= small


def _popular(results: Results, lines: Sequence[ResultRow], kind: str) -> list[str]:
    lists = results.of_use("Popularity")
    if not lists:
        return []
    best = next(line.name for line in lines if line.name in lists)
    rivals = [line.name for line in lines if line.name not in lists]
    beat = [name for name in rivals if _surely(results, name, best, kind)]
    if not rivals:
        return []
    if not beat:
        return [
            f"No entrant surely beats {best}, which shows every user the same list: on these logs personal models are not "
            "worth their cost yet."
        ]
    return [f"{join_words(beat, 4)} surely beat{'s' * (len(beat) == 1)} {best}, which shows every user the same list."]


def _leads_surely(results: Results, leader: str, other: str, kind: str) -> bool:
    gap = results.lead(leader, other, kind, results.metric)
    return gap is not None and gap.low > 0 and results.agree(leader, other, kind)


def _surely(results: Results, a: str, b: str, kind: str) -> bool:
    gap = results.versus(a, b, kind, results.metric)
    return gap is not None and gap.low > 0 and results.agree(a, b, kind)


def _personal(results: Results, lines: Sequence[ResultRow]) -> list[str]:
    """How much of the best entrant's metric is personal; entrants that show one list to all are left out."""
    lists, metric = results.of_use("Popularity"), results.metric
    best = next((line for line in lines if line.name not in lists), None)
    if best is None or metric not in best.personal:
        return []
    personal, whole = best.personal[metric], best.values[metric]
    if personal <= 0.02 * whole:
        return [f"Next to nothing of {best.name}'s {metric} is personal: the mean user's list does as well."]
    return [
        f"{personal / whole:.0%} of {best.name}'s {metric} is personal: with the mean user's list it is {number(whole - personal)}."
    ]


def _no_update(results: Results, lines: Sequence[ResultRow], kind: str) -> list[str]:
    """Learning every period should beat not learning at all."""
    still = results.of_use("NoUpdate")
    learners = [line.name for line in lines if line.name not in still and line.name not in results.of_use("Popularity")]
    if not still or not learners or any(_surely(results, name, still[0], kind) for name in learners):
        return []
    return [f"No learner surely beats {still[0]}, which never learns: look at the logs and the schedules first."]


def _other_table(results: Results, lines: Sequence[ResultRow], other: str) -> list[str]:
    if other == CLICKS:
        return []
    others = results.lines(other)
    if others[0].name == lines[0].name:
        return [
            f"Against popular candidates {others[0].name} leads too, with {results.metric} {number(others[0].values[results.metric])}."
        ]
    return [
        f"Against popular candidates {others[0].name} leads instead ({results.metric} "
        f"{number(others[0].values[results.metric])}): part of {lines[0].name}'s lead is that it knows what is popular."
    ]


def _caution(results: Results) -> list[str]:
    measured = f"Measured on {plural(len(results.test), 'period')} with"
    seeds = max(len(several) for several in results.ran.values())
    if seeds == 1:
        return [f"{measured} one seed: run --seeds 0,1,2 to see how much depends on the initial weights."]
    return [f"{measured} {seeds} seeds; sure means that the interval excludes zero and all seeds agree."]


def interval_in_words(gap: Difference) -> str:
    """`0.0023 [0.0004, 0.0042]`."""
    return f"{gap.mean:.4f} [{gap.low:.4f}, {gap.high:.4f}]".replace("-", "−")


def _value(line: ResultRow, metric: str) -> str:
    spread = line.spread.get(metric)
    return number(line.values[metric]) + (f" ± {number(spread)} over seeds" if spread is not None else "")
