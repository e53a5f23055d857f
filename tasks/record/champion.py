"""Champion: which checkpoint serves as of a night, from the chain and from acts by hand between nights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nightloop.tasks.record.entries import Entry, current_pin, entries_by_hand, summary
from nightloop.tasks.record.manifest import ChampionRef, Manifest


class Incumbent(NamedTuple):
    """The champion of a night's period, whether the gate may move it, and the newest act by hand behind that."""

    champion: ChampionRef | None
    pinned: str  # why the gate may not move the champion; empty: it may
    last_act: int  # number of the newest entry by hand that was taken into account; 0: none


def champion_after(previous: Manifest | None, entries: Sequence[Entry]) -> Incumbent:
    """The champion that serves the period after `previous`.

    The gate's own promotions are in the chain. An act by hand counts from the first night that did not know it: a
    manifest names the newest one that its night knew, so an act counts whatever the outcome of the nights around it
    (skipped, blocked, run again), and also if it was written while a night ran. Acts of a later time do not count, so that a
    backfill repeats what the nights did. If a later act counts, those before it count too.
    """
    if previous is None:
        return Incumbent(None, "", 0)
    newest = max((entry.number for entry in entries_by_hand(entries) if entry.at_period <= previous.period), default=0)
    acts = [entry for entry in entries_by_hand(entries) if entry.number <= newest]
    champion, last_act = previous.champion, previous.last_act
    for entry in acts:
        if entry.number > last_act and entry.action != "unpin":
            champion = champion_of(entry)
    pin = current_pin(acts)
    return Incumbent(champion, summary(pin) if pin else "", acts[-1].number if acts else 0)


def champion_of(entry: Entry) -> ChampionRef:
    """The champion that an entry of the log sets."""
    return ChampionRef(strategy=entry.strategy, period=entry.period, checkpoint=entry.checkpoint)
