"""Advice: what a bake-off means, in words: who leads, by how much, is it sure, what it costs, what is the cheap choice."""

from __future__ import annotations

from collections.abc import Sequence

from nightloop.tasks.bakeoff.result import CLICKS
from nightloop.tasks.bakeoff.results import ResultRow, Results
from nightloop.tasks.evaluation.paired_difference import Difference
from nightloop.tasks.reports.format import join_words, number, plural, seconds, size

CLOSE = 0.01  # a relative loss of the leading metric that is called a match
NEAR = 0.05  # a relative loss that some would accept for a much cheaper night
CHEAPER = 2.0  # times; below this, a cheaper entrant is not worth a word


def advice(board: Results, kinds: Sequence[str]) -> list[str]:
    """The sentences, the most important first; the first is the headline."""
    if not board.ran:
        return ["Nobody finished: every entrant failed, for the reasons below."]
    kind, lines = kinds[0], board.lines(kinds[0])
    said = [_leader(board, lines, kind), *_level(board, lines, kind), _cost(board, lines[0])]
    said += _cheap(board, lines, kind) + _popular(board, lines, kind) + _personal(board, lines)
    said += _no_update(board, lines, kind)
    for other in kinds[1:]:
        said += _other_table(board, lines, other)
    said += [f"{name} failed: {why[0]}" for name, why in board.failed.items()]
    return said + _caution(board)


def _leader(board: Results, lines: Sequence[ResultRow], kind: str) -> str:
    first, metric = lines[0], board.metric
    led = f"{first.name} leads with {metric} {_value(first, metric)}"
    if len(lines) == 1:
        return f"{first.name} is alone: {metric} {_value(first, metric)}."
    second = lines[1]
    gap = board.versus(first.name, second.name, kind, metric)
    if gap is None:
        return (
            f"{led}; {second.name} follows with {number(second.values[metric])}. Too few users to say how sure that is."
        )
    if not gap.mean:
        return f"{first.name} and {second.name} are level: {metric} {number(first.values[metric])}."
    sure = gap.low > 0 and board.agree(first.name, second.name, kind)
    words = "surely" if sure else "not surely"
    return f"{led}, {words} ahead of {second.name} ({interval_in_words(gap)})."


def _level(board: Results, lines: Sequence[ResultRow], kind: str) -> list[str]:
    """Who else may be the best, where the lead is not sure."""
    first = lines[0].name
    level = [line.name for line in lines[1:] if not _surely(board, first, line.name, kind)]
    if not level:
        return []
    are = "is" if len(level) == 1 else "are"
    return [f"{join_words(level, 6)} {are} not surely behind {first}: more periods or seeds may turn the order."]


def _cost(board: Results, leader: ResultRow) -> str:
    name, idle = leader.name, board.of_use("NoUpdate")
    others = {other: board.seconds(other) for other in board.ran if other != name and other not in idle}
    mine = board.seconds(name)
    took = f"{name} takes {seconds(mine)} to learn a period"
    cost = f"{took} and {size(board.working(name))} of memory, and keeps {size(board.state(name))}"
    if not others:
        return f"{cost}."
    fastest, slowest = (pick(others, key=lambda other: others[other]) for pick in (min, max))
    if mine > others[fastest]:
        return f"{cost}; {fastest} takes {seconds(others[fastest])}."
    return f"{cost}: nobody who learns is faster, {slowest} takes {seconds(others[slowest])}."


def _cheap(board: Results, lines: Sequence[ResultRow], kind: str) -> list[str]:
    """The fastest of those that match the leader, or else of those that give up little; where it is much faster."""
    leader, mine = lines[0], board.seconds(lines[0].name)
    fair = [line for line in lines[1:] if matches(board, leader, line, kind)]
    said = (
        []
        if fair or len(lines) == 1
        else [f"Nobody matches {leader.name}: all others are surely worse by more than {CLOSE:.0%}."]
    )
    fast = [line for line in lines[1:] if board.seconds(line.name) * CHEAPER <= mine]
    cheap = min((line for line in fast if line in fair), key=lambda line: board.seconds(line.name), default=None)
    near = min(
        (line for line in fast if _lost(board, leader, line) <= NEAR),
        key=lambda line: board.seconds(line.name),
        default=None,
    )
    chosen = cheap or near
    if chosen is None:
        return said
    theirs, gap = board.seconds(chosen.name), board.versus(leader.name, chosen.name, kind, board.metric)
    by = f" ({interval_in_words(gap)} behind)" if gap else ""
    share = f"1/{mine / theirs:.0f} of the time" if theirs > 0.001 else "next to no time"
    lost = (
        f"matches {leader.name}{by}"
        if cheap
        else f"gives up {_lost(board, leader, chosen):.1%} of {leader.name}'s {board.metric}{by}"
    )
    return [*said, f"The cheap choice is {chosen.name}: it {lost} at {share}."]


def _lost(board: Results, leader: ResultRow, line: ResultRow) -> float:
    """The share of the leader's metric by which an entrant is worse."""
    best = leader.values[board.metric]
    return abs(best - line.values[board.metric]) / abs(best) if best else 0.0


def matches(board: Results, leader: ResultRow, line: ResultRow, kind: str) -> bool:
    """Whether an entrant is not surely worse than the leader, or worse by a share that nobody would miss."""
    gap = board.versus(leader.name, line.name, kind, board.metric)
    small = CLOSE * abs(leader.values[board.metric])
    if gap is None:
        return abs(leader.values[board.metric] - line.values[board.metric]) <= small
    return gap.low <= 0 or gap.mean <= small


def _popular(board: Results, lines: Sequence[ResultRow], kind: str) -> list[str]:
    lists = board.of_use("Popularity")
    if not lists:
        return []
    best = next(line.name for line in lines if line.name in lists)
    rivals = [line.name for line in lines if line.name not in lists]
    beat = [name for name in rivals if _surely(board, name, best, kind)]
    if not rivals:
        return []
    if not beat:
        return [
            f"Nobody surely beats {best}, which shows everybody the same list: on these logs personal models are not "
            "worth their cost yet."
        ]
    return [f"{join_words(beat, 4)} surely beat{'s' * (len(beat) == 1)} {best}, which shows everybody the same list."]


def _surely(board: Results, a: str, b: str, kind: str) -> bool:
    gap = board.versus(a, b, kind, board.metric)
    return gap is not None and gap.low > 0 and board.agree(a, b, kind)


def _personal(board: Results, lines: Sequence[ResultRow]) -> list[str]:
    """Of the best that is not a list for all by its nature."""
    lists, metric = board.of_use("Popularity"), board.metric
    best = next((line for line in lines if line.name not in lists), None)
    if best is None or metric not in best.personal:
        return []
    mine, whole = best.personal[metric], best.values[metric]
    if mine <= 0.02 * whole:
        return [f"Next to nothing of {best.name}'s {metric} is personal: the mean user's list does as well."]
    return [
        f"{mine / whole:.0%} of {best.name}'s {metric} is personal: with the mean user's list it is {number(whole - mine)}."
    ]


def _no_update(board: Results, lines: Sequence[ResultRow], kind: str) -> list[str]:
    """Learning every period should beat not learning at all."""
    still = board.of_use("NoUpdate")
    learners = [line.name for line in lines if line.name not in still and line.name not in board.of_use("Popularity")]
    if not still or not learners or any(_surely(board, name, still[0], kind) for name in learners):
        return []
    return [f"No learner surely beats {still[0]}, which never learns: look at the logs and the schedules first."]


def _other_table(board: Results, lines: Sequence[ResultRow], other: str) -> list[str]:
    if other == CLICKS:
        return []
    there = board.lines(other)
    if there[0].name == lines[0].name:
        return [
            f"Against popular candidates {there[0].name} leads too, with {board.metric} {number(there[0].values[board.metric])}."
        ]
    return [
        f"Against popular candidates {there[0].name} leads instead ({board.metric} "
        f"{number(there[0].values[board.metric])}): part of {lines[0].name}'s lead is that it knows what is popular."
    ]


def _caution(board: Results) -> list[str]:
    periods = plural(len(board.test), "period")
    seeds = max(len(several) for several in board.ran.values())
    if seeds == 1:
        return [f"Measured on {periods} with one seed: run --seeds 0,1,2 to see what is luck of the first weights."]
    return [
        f"Measured on {periods} with {seeds} seeds; sure means that the interval leaves nought out and all seeds agree."
    ]


def interval_in_words(gap: Difference) -> str:
    """`0.0023 [0.0004, 0.0042]`."""
    return f"{gap.mean:.4f} [{gap.low:.4f}, {gap.high:.4f}]".replace("-", "−")


def _value(line: ResultRow, metric: str) -> str:
    spread = line.spread.get(metric)
    return number(line.values[metric]) + (f" ± {number(spread)} over seeds" if spread is not None else "")
