"""Kill -9 at any point of a night or of a promotion, run again: the same bytes as if nothing had happened."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

import nightloop.tasks.resources
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.record import promotion_log
from tests.flows.child_night import POINTS, ROOT_POINTS, killed, scenario
from tests.flows.tiny_pipeline import Tiny, begin
from tests.record.act_sequences import check_invariants

pytestmark = pytest.mark.xdist_group("kill")  # one process: what these tests begin from is made once
OFTEN = (  # the others, which lie close to one of these, in `make soak`
    "pre-trained weights stored, not yet noted",
    "rows in the lake, not yet committed",
    "scores stored, not yet noted",
    "second checkpoint stored, not yet noted",
    "manifest written, not yet visible",
    "between the gate's entry and the pointer",
    "between a person's entry and the pointer",
)
RECORDS: dict[int, dict[str, bytes]] = {}  # of undisturbed runs, by their last night


@pytest.fixture
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> dict[int, dict[str, bytes]]:
    """What is on record after the scenario at the root, and after the one that follows on nights 1 and 2."""
    for day, before in ((1, ()), (3, (1, 2))):
        if day not in RECORDS:
            tiny = begin(tmp_path_factory, monkeypatch, *before)
            scenario(tiny, day)
            RECORDS[day] = everything(tiny)
    return RECORDS


def everything(tiny: Tiny) -> dict[str, bytes]:
    """All nights, the log, the pointer and all blobs."""
    found = nightloop.tasks.resources.open_store().read(promotion_log.pointer_key("tiny"))
    return {**tiny.record(), **({"pointer": found[0]} if found else {})}


def test_the_scenario_has_a_promotion_by_the_gate_and_one_by_hand(undisturbed: dict[int, dict[str, bytes]]) -> None:
    assert sum("/log/" in key for key in undisturbed[3]) >= 2 and "pointer" in undisturbed[3]


@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=() if p in OFTEN else pytest.mark.soak) for p in (ROOT_POINTS | POINTS)]
)
def test_killed_and_run_again_a_night_has_the_bytes_of_an_undisturbed_one(
    point: str,
    undisturbed: dict[int, dict[str, bytes]],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day, before = (1, ()) if point in ROOT_POINTS else (3, (1, 2))
    tiny = begin(tmp_path_factory, monkeypatch, *before)
    seen: dict[str, bytes] = {}
    check_invariants(nightloop.tasks.resources.open_store(), seen, "tiny")
    assert killed(tiny, point, day) == -signal.SIGKILL, (tiny.home / "victim.log").read_text()[-3000:]
    aside = shutil.copytree(tiny.home / "home" / "store", tmp_path / "store")  # a look settles the pointer; not ours
    check_invariants(Directory(aside), seen, "tiny")
    scenario(tiny, day)
    check_invariants(nightloop.tasks.resources.open_store(), seen, "tiny")
    found = everything(tiny)
    assert sorted(found) == sorted(undisturbed[day])
    assert found == undisturbed[day]
