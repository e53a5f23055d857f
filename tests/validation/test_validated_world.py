"""Validation over the real lake: a simulated world night by night, a spoiled delivery, and its late mend."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest

from nightloop.tasks.data.clean_rows import clean_digest
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.periods import Period, period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Calendar, Columns, Part, Plan, Ranking
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.simulation.deliver import spoil_delivery
from nightloop.tasks.sources.simulated import Simulated
from nightloop.tasks.validation.gx import EarlierNights, validate_period
from nightloop.tasks.validation.result import Validation

WORLD = Simulated(users=300, items=200, rows=2000, seed=5)
BAD = 4


@dataclass(frozen=True)
class Upstream:
    """The world through an upstream system that spoils some days."""

    bad: frozenset[int] = frozenset()
    changes: Mapping[int, pa.RecordBatch] = field(default_factory=dict)

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        for batch in WORLD.batches(warehouse, period, columns):
            yield spoil_delivery(batch, period.index) if period.index in self.bad else batch

    def describe(self) -> str:
        return "upstream"


def plan(**expectations: object) -> Plan:
    return Plan(
        pipeline="world",
        source=Part(use="simulated"),
        columns=WORLD.columns,
        periods=Calendar(start=WORLD.start),
        pretrain=Part(use="FullRetrain"),
        model=Part(use="MF"),
        strategies={"a": Part(use="NoUpdate")},
        ranking=Ranking(repeats=True),  # its users take items again
        expectations=expectations,  # type: ignore[arg-type]
    )


def night(lake: Warehouse, upstream: Upstream, the: Plan, index: int, history: list[Mapping[str, float]]) -> Validation:
    at = period(the.periods, index)
    landing = land_period(lake, upstream, the, at)
    return validate_period(lake, the, at, landing.version, EarlierNights(tuple(history)))


def test_good_nights_pass_a_spoiled_one_is_stopped_and_its_mend_passes(tmp_path: Path) -> None:
    history: list[Mapping[str, float]] = []
    with Warehouse.open(Settings(home=tmp_path), "world") as lake:
        for index in range(BAD + 2):
            seen = night(lake, Upstream(frozenset({BAD})), plan(), index, history)
            assert seen.verdict == ("blocked" if index == BAD else "passed"), (index, seen.reasons)
            if index != BAD:
                history.append(seen.statistics)
            else:
                bad = seen
        said = " ".join(bad.reasons)
        for word in ("quarantine share", "volume is", "null_item", "PSI of category"):
            assert word in said, said
        mended = night(lake, Upstream(), plan(), BAD, history[:BAD])
        assert mended.verdict == "passed"
        assert lake.latest()[BAD] == 2
        assert clean_digest(lake, BAD, 2)[2] == 0


def test_judging_again_changes_neither_the_verdict_nor_the_lake(tmp_path: Path) -> None:
    the = plan(rules={"price": {"least": 0}})
    with Warehouse.open(Settings(home=tmp_path), "world") as lake:
        first = night(lake, Upstream(frozenset({0})), the, 0, [])
        digest = clean_digest(lake, 0, 1)
        assert night(lake, Upstream(frozenset({0})), the, 0, []) == first
        assert clean_digest(lake, 0, 1) == digest
    rules = {rule["rule"]: rule for rule in json.loads(first.document)["rules"]}
    assert rules["price/range"]["examples"][0]["value"] == "-1000000000.0"
    assert first.statistics["reason/price/range"] == rules["price/range"]["rows"] > 20


def test_mended_rules_make_a_new_version_and_rows_come_back(tmp_path: Path) -> None:
    with Warehouse.open(Settings(home=tmp_path), "world") as lake:
        strict = night(lake, Upstream(), plan(rules={"price": {"most": 1}}), 0, [])
        assert strict.verdict == "blocked" and strict.statistics["clean"] == 0
        mended = night(lake, Upstream(), plan(rules={"price": {"most": 10_000}}), 0, [])
        assert mended.verdict == "passed" and mended.statistics["clean"] == mended.statistics["rows"]
        assert lake.latest() == {0: 2}
        assert clean_digest(lake, 0, 1)[2] == strict.statistics["rows"]


@pytest.mark.soak
def test_two_lakes_give_the_same_bytes(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        with Warehouse.open(Settings(home=tmp_path / name), "world") as lake:
            history: list[Mapping[str, float]] = []
            for index in range(2):
                seen = night(lake, Upstream(frozenset({1})), plan(), index, history)
                history.append(seen.statistics)
            found.append((seen.document, seen.statistics, seen.reasons))
    assert found[0] == found[1]


def test_great_expectations_is_imported_only_where_something_is_judged() -> None:
    code = (
        "import sys, nightloop.tasks.validation.gx; print('great_expectations' in sys.modules, 'pandas' in sys.modules)"
    )
    house = Path(__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=house)
    assert said.stdout.split() == ["False", "False"]


def test_impressions_have_a_label_rate(tmp_path: Path) -> None:
    world = Simulated(users=300, items=200, rows=3000, kind="impressions")
    the = plan().model_copy(update={"columns": world.columns})
    with Warehouse.open(Settings(home=tmp_path), "world") as lake:
        at = period(the.periods, 0)
        landing = land_period(lake, world, the, at)
        seen = validate_period(lake, the, at, landing.version, EarlierNights())
    assert seen.verdict == "passed"
    assert seen.statistics["label_rate"] == pytest.approx(0.15, abs=0.03)
