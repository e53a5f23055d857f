"""The gate's verdict of one night, for people: per challenger what was decided, why, and by which numbers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import starmap

from nightloop.tasks.plan.load import as_given
from nightloop.tasks.record.manifest import Manifest, StrategyVerdict
from nightloop.tasks.reports.format import (
    NONE,
    count,
    escape_markdown,
    join_words,
    number,
    plain,
    plural,
    without_severity,
)
from nightloop.tasks.reports.table import Cell, Mood, Table, as_markdown

MOODS: dict[str, Mood] = {"promote": "good", "hold": "", "reject": "bad", "insufficient_evidence": "warn"}
NOTE = (
    "Difference: challenger minus what served on the same rows of the last nights, plus is better, with an interval for one "
    "look. Evidence: what the gate promotes by, since the champion's strategy began to serve, and what is needed so that any false "
    "promotion in a year has a chance of at most gate.alpha."
)
ORDER = ("promote", "hold", "reject", "insufficient_evidence")


def sentence(night: Manifest, live: bool = True) -> str:
    """What the night decided and what serves next; first, if the champion's strategy failed, that it was not retrained.

    Without `live` the night was replayed and moved nothing: it says what would serve.
    """
    serves = night.champion.strategy if night.champion else None
    decided = f"{night.name}{_describe_decision(night, serves, live)}{_describe_warning(night)}"
    if not night.failed:
        return decided
    others = [f"{name} ({_describe_failure(night, name)})" for name in sorted(night.failed) if name != serves]
    also = f"; failed and kept at their last checkpoints: {join_words(others, 5)}" if others else ""
    if serves in night.failed and night.champion == night.served:
        goes = "continue to serve" if live else "would continue to serve"
        return f"{night.name}: {serves} could not be retrained ({_describe_failure(night, serves)}); its last weights {goes}{also}"
    return decided + also


def _describe_failure(night: Manifest, name: str) -> str:
    failed = night.failed[name]
    return ("error: " if failed.kind == "error" else "") + plain(failed.reason, 160)


def _describe_warning(night: Manifest) -> str:
    """The first warning of validation, if it let the period pass."""
    reasons = [r for v in night.validated if v.verdict == "warned" for r in v.reasons if r.startswith("warning: ")]
    more = f" and {plural(len(reasons) - 1, 'other warning')}" if len(reasons) > 1 else ""
    if not reasons or night.outcome != "complete":
        return ""
    return f"; validation warns: {plain(without_severity(reasons[0]), 160)}{more}"


def _describe_decision(night: Manifest, now: str | None, live: bool) -> str:
    goes = "continues to serve" if live else "would continue to serve"
    serves = f"{now} {goes}" if now else f"there {'is' if live else 'would be'} no champion yet"
    if night.outcome != "complete":
        return f" was {night.outcome}: nothing was learned or compared; {serves}"
    if night.verdict == "promote":
        winners = sorted(s for s, j in night.judged.items() if j.verdict == "promote")
        if night.champion != night.served:
            before = night.served.strategy if night.served else now
            if night.served and before == now:
                return f": {now} {goes}, with this night's weights"
            instead = f" and {'takes' if live else 'would take'} over from {before}" if before != now else ""
            return f": {now} {'is' if live else 'would be'} promoted{instead}"
        waits = f"{join_words(winners)} may be promoted, an operator has to approve it"
        return f": {waits}; {now or 'no champion'} {'serves' if live else 'would serve'} meanwhile"
    outcomes = {"hold": "no challenger is better enough", "reject": "the best challenger was refused"}
    return f": {outcomes.get(night.verdict, 'there is not enough evidence')}; {serves}"


def verdict(night: Manifest, live: bool = True) -> Table:
    """One row a challenger, promotions first: its score beside what served, the paired difference, and why."""
    rows = sorted(night.judged.items(), key=lambda pair: (ORDER.index(pair[1].verdict), pair[0]))
    metric = next((str(j.numbers["metric"]) for _, j in rows if "metric" in j.numbers), "score")
    head = ("challenger", "verdict", metric, "served", "difference", "evidence", "nights", "users", "why")
    note = NOTE if rows else "No challenger was judged this night."
    return Table(sentence(night, live), head, tuple(starmap(_row, rows)), note, frozenset(range(2, 8)))


def verdict_markdown(night: Manifest, live: bool = True) -> str:
    """The verdict as a Prefect artifact: the table, then every reason in full and what to do. `live`: as for `sentence`."""
    parts = [as_markdown(verdict(night, live).first(6))]  # what the UI has room for; the reasons below say the rest
    for strategy, judged in sorted(night.judged.items()):
        if judged.reasons:
            reasons = "".join(f"- {escape_markdown(r, 600)}\n" for r in judged.reasons)
            parts.append(f"**{escape_markdown(strategy)}** ({judged.verdict.replace('_', ' ')})\n\n{reasons}")
    pipeline = escape_markdown(night.pipeline)
    parts.append(
        f"By hand: promote with the deployment *promote* or `nightloop promote {as_given(pipeline)} --strategy NAME "
        '--force --reason "why"`, undo with *rollback* or '
        f'`nightloop rollback {as_given(pipeline)} --reason "why"`. Manifest `{night.hash[:12]}`.\n'
    )
    return "\n".join(parts)


def _row(strategy: str, judged: StrategyVerdict) -> tuple[Cell, ...]:
    reason = judged.reasons[0] if judged.reasons else ""
    more = f" (and {len(judged.reasons) - 1} more)" if len(judged.reasons) > 1 else ""
    numbers = {key: value for key, value in judged.numbers.items() if isinstance(value, int | float)}
    means = number(numbers.get("challenger")), number(numbers.get("served"))
    counts = count(numbers.get("evidence_nights", numbers.get("nights"))), count(numbers.get("users"))
    texts = (*means, difference_in_words(numbers), evidence_in_words(numbers), *counts)
    why = Cell(reason + more, "", "; ".join(judged.reasons))
    return Cell(strategy), Cell(judged.verdict.replace("_", " "), MOODS[judged.verdict]), *map(Cell, texts), why


def evidence_in_words(numbers: Mapping[str, float]) -> str:
    """`12.3 of 54.8`; a dash for the strategy that serves, and before there is a champion."""
    if not {"evidence", "needed"} <= set(numbers):
        return NONE
    return f"{numbers['evidence']:.3g} of {numbers['needed']:.3g}"


def difference_in_words(numbers: Mapping[str, float]) -> str:
    """`+0.0272 [+0.0193, +0.0350]`, plus is better; a dash if it was not measured."""
    if not {"effect", "low", "high"} <= set(numbers):
        return NONE
    return f"{numbers['effect']:+.4f} [{numbers['low']:+.4f}, {numbers['high']:+.4f}]".replace("-", "−")
