"""A tiny pipeline for tests: eight days of a small simulated world, delivered as files, and nights without Prefect."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import nightloop.flows.nightly
import nightloop.tasks.promote
import nightloop.tasks.resources
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plugins.assembly import read_plan
from nightloop.tasks.record import promotion_log
from nightloop.tasks.record.entries import Entry
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.record.manifest_store import read_chain
from nightloop.tasks.serving.smoke import SmokeResult
from nightloop.tasks.simulation.deliver import deliver
from nightloop.tasks.sources.simulated import Simulated

WORLD = Simulated(users=60, items=40, rows=250, start="2026-01-01", seed=3)
HISTORY = 2
QUIET = {"repeated_items": {"severity": "off", "most": 1.0}}  # so few users take many items again
WHEN = "2026-02-01T02:00:00+00:00"


@dataclass(frozen=True)
class Tiny:
    """A home with a plan and its deliveries."""

    home: Path
    path: Path  # of the plan

    @property
    def plan(self) -> Plan:
        """The plan as it is on disk now."""
        return read_plan(self.path)

    def name(self, index: int) -> str:
        """The name of a day."""
        return f"2026-01-{index + 1:02d}"

    def deliver(self, *days: int, bad: bool = False) -> None:
        """Put the files of these days where the plan's source looks."""
        for day in days:
            deliver(WORLD, self.home / "in", day, bad)

    def chain(self) -> dict[int, Manifest]:
        """Every night that is recorded."""
        return read_chain(nightloop.tasks.resources.open_store(), self.plan.pipeline, HISTORY - 1, 12)

    def record(self) -> dict[str, bytes]:
        """Every object that says what happened: nights, log, pointer and blobs."""
        objects = nightloop.tasks.resources.open_store()
        keys = [k for k in objects.keys("") if k.startswith("blobs/") or "/nights/" in k or "/log/" in k]
        return {key: found[0] for key in keys if (found := objects.read(key))}

    def log(self) -> list[Entry]:
        """The promotion log."""
        return promotion_log.read_log(nightloop.tasks.resources.open_store(), self.plan.pipeline)


def raw_plan(home: Path, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The tiny plan, with top-level fields replaced by `changes`."""
    training = {"training": {"epochs": 1}}
    plan = {
        "pipeline": "tiny",
        "source": {"use": "files", "options": {"path": f"{home}/in/{{period}}.parquet"}},
        "columns": {"user": "user_id", "item": "item_id", "time": "ts", "numeric": ["price"]},
        "periods": {"every": "day", "start": "2026-01-01"},
        "pretrain_periods": HISTORY,
        "pretrain": {"use": "FullRetrain", "options": {"begin": "scratch"}},
        "model": {"use": "MF", "options": {"width": 4, "biases": True}},
        "strategies": {
            "still": {"use": "NoUpdate"},
            "tuned": {"use": "FineTune", "options": training},
            "popular": {"use": "Popularity"},
        },
        "ranking": {"negatives": 20},
        "expectations": QUIET,
        "gate": {"evidence_nights": 2, "resamples": 200},
    }
    return {**plan, **(changes or {})}


def make(home: Path, monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, Any] | None = None) -> Tiny:
    """A tiny pipeline in a home of its own; the settings point at it."""
    monkeypatch.setenv("NIGHTLOOP_HOME", str(home / "home"))
    path = home / "tiny.yaml"
    path.write_text(yaml.safe_dump(raw_plan(home, changes), sort_keys=False))
    return Tiny(home, path)


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nights whose reports are not drawn, and acts by hand without a smoke test."""
    monkeypatch.setattr(nightloop.flows.nightly, "report", lambda *given: None)
    monkeypatch.setattr(nightloop.tasks.promote, "smoke", lambda *given, **more: SmokeResult(True, ""))


def run(tiny: Tiny, *days: int, live: bool = True) -> list[Manifest]:
    """Run these nights; with `live` the champion follows. The lake stays open through all of them, as in a flow."""
    clock = (lambda: datetime.fromisoformat(WHEN)) if live else None
    plan = tiny.plan
    with nightloop.tasks.resources.keep_open(plan):
        return [
            nightloop.flows.nightly.night(plan, nightloop.flows.nightly.collect_all(plan, day), clock) for day in days
        ]


def begin(factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, *days: int) -> Tiny:
    """A tiny pipeline with eight days delivered and these nights done: made once a session, then copied.

    Every copy lies at one place, since places are part of a plan and of the lake's catalog: one test at a time has it.
    """
    plain(monkeypatch)
    place = factory.getbasetemp() / "tiny"
    kept = factory.getbasetemp() / f"tiny-{'-'.join(map(str, days))}"
    shutil.rmtree(place, ignore_errors=True)
    if kept.exists():
        shutil.copytree(kept, place)
        monkeypatch.setenv("NIGHTLOOP_HOME", str(place / "home"))
        return Tiny(place, place / "tiny.yaml")
    place.mkdir()
    tiny = make(place, monkeypatch)
    tiny.deliver(*range(8))
    run(tiny, *days)
    shutil.copytree(place, kept)
    return tiny


__all__ = ["HISTORY", "WHEN", "WORLD", "Tiny", "begin", "make", "plain", "raw_plan", "run"]
