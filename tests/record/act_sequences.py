"""Small manifests with real blobs, and the invariants of a store."""

from __future__ import annotations

import re

from nightloop.tasks.objects import blobs, lease
from nightloop.tasks.objects.checksum import unseal
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.record.entries import Act, Entry, draft_entry
from nightloop.tasks.record.manifest import (
    ChampionRef,
    CheckpointRef,
    Manifest,
    PeriodLogs,
    PeriodValidation,
    StrategyScores,
    StrategyVerdict,
)

PIPELINE = "shop"
PLAN: dict[str, object] = {"pipeline": PIPELINE}
WHEN = "2026-01-07T02:00:00+00:00"


def act(by: str = "gate", reason: str = "won", at_period: int = 0, when: str = WHEN) -> Act:
    return Act(by=by, when=when, reason=reason, at_period=at_period)


def kept(objects: Objects, text: str) -> CheckpointRef:
    return CheckpointRef(
        weights=blobs.put(objects, f"weights {text}".encode()), memory=blobs.put(objects, f"memory {text}".encode())
    )


def night(
    objects: Objects,
    period: int,
    previous: Manifest | None,
    salt: str = "",
    verdict: str = "promote",
    outcome: str = "complete",
    strategies: tuple[str, ...] = ("A", "B"),
) -> Manifest:
    """The manifest of a night, with its blobs stored; not published."""
    checkpoints = (
        {name: kept(objects, f"{name} {period} {salt}") for name in strategies} if outcome != "blocked" else {}
    )
    winner = ChampionRef(strategy="A", period=period, checkpoint=checkpoints["A"]) if checkpoints else None
    document = blobs.put(objects, f"validation {period} {salt}".encode())
    scores = {
        name: StrategyScores(
            blob=blobs.put(objects, f"scores {name} {period} {salt}".encode()), means={"ndcg@20": 0.25}
        )
        for name in checkpoints
    }
    judged = {name: StrategyVerdict(verdict=verdict, reasons=("seen",), numbers={"gain": 0.5}) for name in checkpoints}
    return Manifest(
        pipeline=PIPELINE,
        period=period,
        name=f"2026-01-{period + 1:02d}",
        revision=manifest_store.next_revision(objects, PIPELINE, period),
        previous=previous.hash if previous else None,
        outcome=outcome,
        reason="too few rows" if outcome == "blocked" else "",
        plan=PLAN,
        logs=(PeriodLogs(period=period, version=1, digest="d" * 64, rows=10, quarantined=0),),
        validated=(PeriodValidation(verdict="passed", reasons=(), statistics={"rows": 10.0}, blob=document),),
        vocabulary=blobs.put(objects, f"vocabulary {period} {salt}".encode()) if checkpoints else None,
        served=previous.champion if previous else None,
        scores=scores,
        checkpoints=checkpoints,
        judged=judged,
        verdict=verdict,
        champion=winner,
    )  # type: ignore[arg-type]


def published(objects: Objects, period: int, previous: Manifest | None, salt: str = "", **more: str) -> Manifest:
    made = night(objects, period, previous, salt, **more)
    assert manifest_store.create_manifest(objects, made)
    return made


def promoted(objects: Objects, manifest: Manifest, strategy: str = "A", by: str = "gate") -> Entry:
    newest = promotion_log.read_champion(objects, PIPELINE)
    entry = promotion_log.append_promotion(
        objects, PIPELINE, draft_entry(manifest, strategy, act(by)), newest.number if newest else 0
    )
    assert entry is not None
    return entry


def check_invariants(objects: Objects, seen: dict[str, bytes] | None = None, pipeline: str = PIPELINE) -> None:
    """Invariants 1 to 5 and 9 of the record of one pipeline, by reading everything that is there.

    `seen`: bytes of records that were visible before; they are compared and brought up to date.
    """
    there = {key.removeprefix("blobs/") for key in objects.keys("blobs/")}
    records = {k: objects.read(k)[0] for k in objects.keys(f"pipelines/{pipeline}/") if re.search(r"/(nights|log)/", k)}
    for key, data in (seen or {}).items():
        assert records.get(key) == data, f"{key} changed or went after it was visible"
    if seen is not None:
        seen.update(records)
    visible: dict[str, Manifest] = {}
    for key in records:
        if "/nights/" in key:
            manifest = Manifest.model_validate_json(unseal(key, records[key]))
            visible[manifest.hash] = manifest
            assert {*manifest_store.blobs_of(manifest)} <= there, f"a blob of {key} is not in its place"
            assert manifest_store.blob_damage(objects, manifest_store.blobs_of(manifest)) == [], key
    for manifest in visible.values():
        assert manifest.previous is None or visible[manifest.previous].period == manifest.period - 1
    _check_log(objects, visible, pipeline)


def _check_log(objects: Objects, visible: dict[str, Manifest], pipeline: str) -> None:
    entries = promotion_log.read_log(objects, pipeline)  # settles the pointer
    assert [e.number for e in entries] == list(range(1, len(entries) + 1))
    pointer = objects.read(promotion_log.pointer_key(pipeline))
    assert (pointer is not None) == bool(entries)
    if pointer:
        assert pointer[0] == objects.read(promotion_log.entry_key(pipeline, len(entries)))[0]
    for entry in entries:
        manifest = visible[entry.manifest]
        assert manifest.checkpoints[entry.strategy] == entry.checkpoint
        assert manifest.verdict == "promote" or (entry.forced and entry.reason)
        blobs.get(objects, entry.checkpoint.weights)


__all__ = ["PIPELINE", "act", "check_invariants", "draft_entry", "kept", "lease", "night", "promoted", "published"]
