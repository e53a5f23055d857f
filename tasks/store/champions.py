"""Champions: who serves as of a night, folded from the chain and from what people did by hand between nights."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.store.manifest import Manifest, Served
from tasks.store.registry import Entry


def as_of(previous: Manifest | None, entries: Sequence[Entry]) -> tuple[Served | None, str]:
    """The champion that serves the period after `previous`, and why the gate may not move it (empty: it may).

    The gate's own promotions are in the chain. What people did by hand after that night is in the promotion log; a
    rollback pins the champion until somebody promotes by hand, so that the next night does not undo it.
    """
    if previous is None:
        return None, ""
    by_hand = [e for e in entries if e.by != "gate" and e.at_period <= previous.period]
    champion = previous.champion
    for entry in by_hand:
        if entry.at_period == previous.period:
            champion = Served(strategy=entry.strategy, period=entry.period, checkpoint=entry.checkpoint)
    last = by_hand[-1] if by_hand else None
    if last is None or last.action != "rollback":
        return champion, ""
    return champion, f"rolled back by {last.by} after period {last.at_period}: {last.reason}"
