"""The period grid: one row a night, what came in, how each strategy did, what the gate decided, what served."""

from __future__ import annotations

from pydantic import JsonValue

from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.reports import history as h
from nightloop.tasks.reports.format import NONE, count, join_words, number, percent, plural, without_severity
from nightloop.tasks.reports.table import Cell, Mood, Table

STATES: dict[str, Mood] = {"complete": "", "blocked": "bad", "stale": "warn", "missing": "warn", "skipped": "quiet"}
VALID: dict[str, Mood] = {"passed": "good", "warned": "warn", "overridden": "warn", "blocked": "bad"}
VERDICTS: dict[str, Mood] = {"promote": "good", "hold": "", "reject": "warn", "insufficient_evidence": "quiet"}
WORST = ("blocked", "overridden", "warned", "passed")
MARK = "◆"


def grid(history: h.History) -> Table:
    """The grid of every known period, oldest first."""
    metric, columns = h.metric(history), h.strategies(history)
    head = ("night", "state", "validation", "gate", "champion after", *columns, "rows", "set aside", "remarks")
    rows = tuple(_row(history, index, metric, columns) for index in h.periods(history))
    arrow = "lower" if h.better(metric, 0, 1) else "higher"
    note = f"Columns of strategies: {metric}, {arrow} is better; bold is the night's best, {MARK} the champion when that night was made."
    note += f" {history.later:,} later periods are missing and not listed." if history.later else ""
    return Table(_title(history), head, rows, note, frozenset(range(5, 7 + len(columns))))


def grid_records(history: h.History) -> list[dict[str, JsonValue]]:
    """The same rows as plain values, for `--json`."""
    metric, columns = h.metric(history), h.strategies(history)
    return [_record(history, index, metric, columns) for index in h.periods(history)]


def _title(history: h.History) -> str:
    states = [h.state(history, index)[0] for index in h.periods(history)]
    more = {"missing": history.later}
    counts = [f"{n:,} {s}" for s in STATES if (n := states.count(s) + more.get(s, 0))]
    whole = plural(len(states) + history.later, "night")
    return f"{whole}: {join_words(counts, 9)}" if set(states) - {"complete"} else f"{whole}, all complete"


def _row(history: h.History, index: int, metric: str, columns: list[str]) -> tuple[Cell, ...]:
    night = history.nights.get(index)
    state, reasons = h.state(history, index)
    head = Cell(h.name(history, index)), Cell(state, STATES.get(state, "warn"), "; ".join(reasons))
    if night is None:
        return *head, *(Cell(NONE, "quiet") for _ in range(len(columns) + 5)), Cell("; ".join(reasons))
    rows = sum(logs.rows for logs in night.logs)
    aside = sum(logs.quarantined for logs in night.logs)
    decided = _validation(night), _gate(night), _champion(night)
    put_aside = Cell(count(aside) if aside else NONE, "" if aside else "quiet")
    last = Cell(count(rows)), put_aside, Cell(_remarks(history, night))
    return *head, *decided, *_scores(history, index, metric, columns), *last


def _validation(night: Manifest) -> Cell:
    if not night.validated:
        return Cell(NONE, "quiet")
    verdict = min((v.verdict for v in night.validated), key=WORST.index)
    return Cell(verdict, VALID[verdict], "; ".join(r for v in night.validated for r in v.reasons))


def _remarks(history: h.History, night: Manifest) -> str:
    """What is out of the ordinary, in words: why it is stale or blocked, warnings, and whether it was repaired."""
    state, reasons = h.state(history, night.period)
    remarks = [f"repaired, revision {night.revision}"] if night.revision > 1 else []
    remarks += [without_severity(reason) for reason in reasons] if state != "complete" else []
    odd = [v for v in night.validated if v.verdict in ("warned", "overridden")]
    remarks += [without_severity(v.reasons[0]) for v in odd if v.reasons]
    remarks += [
        f"{name} {'broke' if reasons.kind == 'error' else 'failed'}" for name, reasons in sorted(night.failed.items())
    ]
    return "; ".join(dict.fromkeys(remarks))


def _scores(history: h.History, index: int, metric: str, columns: list[str]) -> list[Cell]:
    values = [h.value(history, index, strategy, metric) for strategy in columns]
    scored = [v for v in values if v is not None]
    champion = h.serving(history, index)
    served = champion.strategy if champion else None
    best = None if not scored else min(scored) if h.better(metric, 0, 1) else max(scored)
    cells = []
    for strategy, v in zip(columns, values, strict=True):
        mood: Mood = "quiet" if v is None else "best" if v == best else ""
        cells.append(Cell(number(v) + (f" {MARK}" if strategy == served and v is not None else ""), mood))
    return cells


def _gate(night: Manifest) -> Cell:
    if not night.judged:
        return Cell(NONE, "quiet")
    reasons = "; ".join(f"{s}: {j.verdict} ({', '.join(j.reasons)})" for s, j in sorted(night.judged.items()))
    winners = [s for s, j in sorted(night.judged.items()) if j.verdict == "promote"]
    if night.champion and night.champion != night.served:
        winners = [night.champion.strategy]  # others may have passed; only one serves
    # Newer weights of the strategy that serves already.
    renewed = night.served is not None and winners == [night.served.strategy]
    words = "renew" if renewed and night.verdict == "promote" else night.verdict  # the next column says which strategy
    return Cell(words.replace("_", " "), VERDICTS[night.verdict], reasons)  # a narrow column breaks it at the blank


def _champion(night: Manifest) -> Cell:
    if night.champion is None:
        return Cell("none", "quiet")
    moved = night.served != night.champion
    return Cell(night.champion.strategy, "good" if moved else "", "moved this night" if moved else "")


def _record(history: h.History, index: int, metric: str, columns: list[str]) -> dict[str, JsonValue]:
    night = history.nights.get(index)
    state, reasons = h.state(history, index)
    champion, before = (night.champion if night else None), h.serving(history, index)
    return {
        "period": index,
        "name": h.name(history, index),
        "state": state,
        "reasons": list(reasons),
        "revision": night.revision if night else None,
        "rows": sum(logs.rows for logs in night.logs) if night else None,
        "quarantined": sum(logs.quarantined for logs in night.logs) if night else None,
        "validation": [v.verdict for v in night.validated] if night else [],
        "metric": metric,
        "scores": {s: h.value(history, index, s, metric) for s in columns},
        "verdict": night.verdict if night else None,
        "served": before.strategy if before else None,
        "champion": champion.strategy if champion else None,
    }


def gain(metric: str, a: float | None, b: float | None) -> str:
    """How much better `a` is than `b`, relatively and signed so that plus is always better."""
    if a is None or b is None or b == 0:
        return NONE
    return percent((a - b) / abs(b) * (-1 if h.better(metric, 0, 1) else 1))
