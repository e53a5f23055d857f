"""Findings: the first part of a report. What serves, since when and why; what needs attention; what is cheaper."""

from __future__ import annotations

from dataclasses import dataclass

from nightloop.tasks.plan.load import as_given
from nightloop.tasks.record.entries import Entry, current_pin, summary
from nightloop.tasks.record.manifest import ChampionRef
from nightloop.tasks.reports import history as h
from nightloop.tasks.reports.format import join_words, plain, plural, without_severity
from nightloop.tasks.reports.grid import gain
from nightloop.tasks.reports.standings import mean_note
from nightloop.tasks.reports.table import Mood

ENOUGH = 5  # nights that advice rests on
CHEAPER = 3.0  # times faster; below this, a cheaper strategy is not reported
CATCH_UP = 31  # missed nights that a nightly run does first, unless it is set otherwise
MATCHED = 0.01  # relative loss that counts as matching


@dataclass(frozen=True)
class Finding:
    """A sentence, how bad it is, and what to do about it (empty: nothing)."""

    mood: Mood
    text: str
    todo: str = ""


def headline(history: h.History) -> str:
    """What serves, since when, and why, by the promotion log; by the chain if there is no log (a bake-off)."""
    if history.log:
        return _by_entry(history, history.log[-1])
    champion = _newest_champion(history)
    if champion is None:
        return "No champion yet: no night has promoted a strategy"
    name = f"{champion.strategy} of {h.name(history, champion.period)}"
    return f"No champion yet; by the replayed nights {name} would serve{_beats(history, champion)}"


def findings(history: h.History, refused: str = "") -> list[Finding]:
    """Everything that needs attention, the worst first; then advice. If all is well, one line says so.

    `refused`: why no night can run under the current plan. In that case no run is advised.
    """
    if refused:
        kept = _list_pin(history) + _compare_with_control(history) + _compare_with_mean_rate(history)
        return [Finding("bad", refused), *kept]
    items = _list_blocked(history) + _list_failed(history) + _list_stale(history) + _list_missing(history)
    items += _list_superseded(history) + _list_pin(history) + _list_unpromoted(history)
    items += _compare_with_control(history) + _compare_with_mean_rate(history) + _list_cheaper(history)
    trouble = any(f.mood in ("bad", "warn") for f in items)
    return items if trouble else [Finding("good", "Every night is in place; nothing needs attention."), *items]


def _by_entry(history: h.History, entry: Entry) -> str:
    how = {"rollback": "rolled back to by", "promote": "promoted by"}.get(entry.action, "pinned or unpinned by")
    forced = ", forced" if entry.forced else ""
    day = entry.when[:16].replace("T", " ")
    who = "the gate" if entry.by == "gate" else entry.by
    reason = f": {plain(entry.reason, 300)}" if entry.reason else ""
    return f"{entry.strategy} of {h.name(history, entry.period)} serves since {day}, {how} {who}{forced}{reason}"


def _beats(history: h.History, champion: ChampionRef) -> str:
    metric, control = h.metric(history), h.control(history)
    nights = h.scored_nights(history)[-ENOUGH:]
    pairs = [
        (h.value(history, i, champion.strategy, metric), h.value(history, i, control or "", metric)) for i in nights
    ]
    scored_pairs = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not scored_pairs or control in (None, champion.strategy):
        return ""
    a, b = (sum(column) / len(scored_pairs) for column in zip(*scored_pairs, strict=True))
    return f": {gain(metric, a, b)} {metric} against {control} over the last {plural(len(scored_pairs), 'night')}"


def _list_blocked(history: h.History) -> list[Finding]:
    items = []
    for index in _in_state(history, "blocked"):
        reasons = h.state(history, index)[1] or h.reasons(history.nights[index])
        name = h.name(history, index)
        root = index in history.nights and history.nights[index].previous is None
        skip = "" if root else '; to skip the period, `--skip "why"`'
        todo = (
            f"Fix the source and run `nightloop night {as_given(history.pipeline)} --period {name}`; if the logs are right, add "
            f'`--accept "why"`{skip}. The champion continues to serve meanwhile.'
        )
        because = join_words([without_severity(w) for w in reasons], 2) or "no reason was recorded"
        items.append(Finding("bad", f"{name} is blocked: {because}", todo))
    return items


def _list_failed(history: h.History) -> list[Finding]:
    """Strategies that failed in the newest night, the one that serves first."""
    nights = [night for _, night in sorted(history.nights.items()) if night.outcome == "complete"]
    if not nights or not nights[-1].failed:
        return []
    newest, items = nights[-1], []
    serves = newest.champion.strategy if newest.champion else None
    for name, failure in sorted(newest.failed.items(), key=lambda item: item[0] != serves):
        times = next((n for n, night in enumerate(reversed(nights)) if name not in night.failed), len(nights))
        repeats = f", {plural(times, 'night')} in a row" if times > 1 else ""
        outcome = "broke" if failure.kind == "error" else "could not learn"
        keeps = "its last weights continue to serve" if name == serves else "it keeps its last checkpoint"
        todo = (
            f"Look at its options and at the rows of {newest.name}; then `nightloop night {as_given(history.pipeline)} --period "
            f"{newest.name} --retry-failed`. It joins again by itself the next night."
        )
        mood: Mood = "bad" if name == serves or failure.kind == "error" else "warn"
        text = f"{name} {outcome} in {newest.name}{repeats}; {keeps}: {without_severity(failure.reason)}"
        items.append(Finding(mood, text, todo))
    return items


def _list_stale(history: h.History) -> list[Finding]:
    stale = _in_state(history, "stale")
    if not stale:
        return []
    reasons = h.state(history, stale[0])[1]
    because = join_words([without_severity(w) for w in reasons], 2) or "logs or predecessor changed since"
    text = f"{plural(len(stale), 'night')} stale from {h.name(history, stale[0])} on: {because}"
    command = f"nightloop backfill {as_given(history.pipeline)} --what stale"
    todo = f"`{command} --dry-run` shows what would run again; `{command}` runs it."
    return [Finding("warn", text, todo)]


def _list_missing(history: h.History) -> list[Finding]:
    missing = _in_state(history, "missing")
    if not missing:
        return []
    others = [""] * (len(missing) - 4 + history.later)  # only the first are named
    names = [h.name(history, i) for i in missing[:4]] + others
    text = f"{plural(len(names), 'night')} missing: {join_words(names)}"
    command = f"`nightloop backfill {as_given(history.pipeline)} --what missing`"
    if len(names) > CATCH_UP + 1:  # the newest, and those before it
        return [Finding("warn", text, f"These are more than a nightly run catches up ({CATCH_UP}), so run {command}.")]
    return [Finding("warn", text, f"The next nightly run catches up; now: {command}.")]


def _list_superseded(history: h.History) -> list[Finding]:
    """What serves, if it is of a revision of its night that a later one has replaced."""
    last = history.log[-1] if history.log else None
    night = history.nights.get(last.period) if last else None
    if last is None or night is None or night.checkpoints.get(last.strategy) == last.checkpoint:
        return []
    became = {"skipped": "was skipped", "blocked": "is blocked"}.get(night.outcome, "was run again with another result")
    text = f"{last.strategy} of {night.name} serves as it was made first; that night {became} since"
    todo = (
        f"It serves until the gate or a person moves the champion: `nightloop rollback {as_given(history.pipeline)} --reason "
        '"why"` goes back to the one before.'
    )
    return [Finding("warn", text, todo)]


def _list_pin(history: h.History) -> list[Finding]:
    pin = current_pin(history.log)
    if pin is None:
        return []
    text = f"The champion is pinned: the gate does not move it ({plain(summary(pin), 300)})"
    command = f"nightloop promote {as_given(history.pipeline)}"
    todo = (
        f'When the cause is gone, `{command} --unpin --reason "why"` lets the gate decide again; '
        f'`{command} --strategy NAME --force --reason "why"` promotes another.'
    )
    return [Finding("warn", text, todo)]


def _list_unpromoted(history: h.History) -> list[Finding]:
    """A backfill decides as nights do and promotes nothing: its champion serves only after a night or an operator promotes it."""
    champion, last = _newest_champion(history), history.log[-1] if history.log else None
    if champion is None or (last and (last.by != "gate" or last.period >= champion.period)):
        return []
    serves = f"{last.strategy} of {h.name(history, last.period)} serves" if last else "there is no champion"
    text = f"Replayed nights chose {champion.strategy} of {h.name(history, champion.period)}; {serves}"
    todo = (
        f'The next night promotes it; now: `nightloop promote {as_given(history.pipeline)} --reason "why"`, or give a backfill '
        "`--move-champion`."
    )
    return [Finding("warn", text, todo)]


def _newest_champion(history: h.History) -> ChampionRef | None:
    """The champion of the newest night."""
    return history.nights[max(history.nights)].champion if history.nights else None


def _compare_with_control(history: h.History) -> list[Finding]:
    """Models that learn every night should beat the one that never does; if they do not, something is wrong."""
    metric, control, nights = h.metric(history), h.control(history), h.scored_nights(history)[-ENOUGH:]
    if control is None or len(nights) < ENOUGH:
        return []
    served = [(h.served_value(history, i, metric), h.value(history, i, control, metric)) for i in nights]
    if any(a is None or b is None for a, b in served):
        return []
    losses = sum(1 for a, b in served if a is not None and b is not None and h.better(metric, b, a))
    if losses < len(nights):
        return []
    text = f"What serves has been worse than {control}, which never learns, for {plural(losses, 'night')} running"
    return [Finding("warn", text, "Look at the leaderboard's slices; then roll back, or promote the control.")]


def _compare_with_mean_rate(history: h.History) -> list[Finding]:
    """Click probabilities should beat the mean click rate, whose normalised entropy is 1; the control ages, and may not."""
    nights = h.scored_nights(history)[-ENOUGH:]
    values_by_strategy = [
        [v for i in nights if (v := h.value(history, i, s, "ne")) is not None] for s in h.strategies(history)
    ]
    means = {
        s: sum(values) / len(values)
        for s, values in zip(h.strategies(history), values_by_strategy, strict=True)
        if values
    }
    bad = {s: mean for s, mean in means.items() if mean >= 1 and s != h.control(history)}
    if not bad:
        return []
    which = join_words([f"{s} {mean:.3f}" for s, mean in bad.items()])
    text = f"No better than predicting the mean click rate for every row (normalised entropy 1 or more): {which}"
    todo = "Use more rows a night, fewer epochs, a lower lr or a smaller model; see `training` in the plan."
    return [Finding("warn", text, todo)]


def _list_cheaper(history: h.History) -> list[Finding]:
    champion = _newest_champion(history)
    metric, nights = h.metric(history), h.scored_nights(history)
    if champion is None or h.better(metric, 0, 1):
        return []
    cost = {s: mean_note(history, "seconds", s) for s in h.strategies(history)}
    champion_cost = cost.get(champion.strategy)
    items = []
    for strategy, strategy_cost in cost.items():
        ran = _count_matched_nights(history, strategy, champion.strategy, metric, nights)
        if (
            champion_cost
            and strategy_cost
            and champion_cost / strategy_cost >= CHEAPER
            and ran >= ENOUGH
            and strategy != h.control(history)
        ):
            share = f"1/{champion_cost / strategy_cost:.0f} of the time"
            text = f"{strategy} has matched {champion.strategy} for {plural(ran, 'night')} at {share}: switch?"
            command = f'nightloop promote {as_given(history.pipeline)} --strategy {strategy} --force --reason "cheaper"'
            items.append(Finding("", text, f"`{command}`"))
    return items


def _count_matched_nights(history: h.History, strategy: str, champion: str, metric: str, nights: list[int]) -> int:
    run = 0
    for index in reversed(nights):
        a, b = h.value(history, index, strategy, metric), h.value(history, index, champion, metric)
        if strategy == champion or a is None or b is None or a < b * (1 - MATCHED):
            break
        run += 1
    return run


def _in_state(history: h.History, wanted: str) -> list[int]:
    return [index for index in h.periods(history) if h.state(history, index)[0] == wanted]
