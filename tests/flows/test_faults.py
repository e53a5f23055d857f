"""A store that goes wrong at its n-th call, for every n of a night and of a promotion: nothing half-done stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

import nightloop.tasks.promote
import nightloop.tasks.resources
from nightloop.tasks.objects.objects import Objects
from tests.flows.child_night import scenario
from tests.flows.test_kill import everything
from tests.flows.tiny_pipeline import Tiny, begin
from tests.objects.faulty_objects import HOWS, Crash, FaultyStore, How
from tests.record.act_sequences import check_invariants

pytestmark = pytest.mark.xdist_group("faults")  # one process: what these tests begin from is made once
SAMPLE = 1  # calls of each kind of fault, spread out over the night, in `make test`; `make soak` tries all
NIGHT = 3


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], int]:
    """The record of an undisturbed night and promotion, and how many calls they make."""
    with pytest.MonkeyPatch.context() as patch:
        tiny = begin(tmp_path_factory, patch, 1, 2)
        store = faulty(patch, 0, "fail")
        scenario(tiny, NIGHT)
        calls = store.calls
        return everything(tiny), calls


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[pytest.MonkeyPatch], Tiny]]:
    """Makes the same beginning again and again."""
    yield lambda patch: begin(tmp_path_factory, patch, 1, 2)


def faulty(patch: pytest.MonkeyPatch, at: int, how: How) -> FaultyStore:
    """Whatever opens the store from now on gets this one."""
    store = FaultyStore(nightloop.tasks.resources.open_store(), at, how)

    def opened(*_: object) -> Objects:
        return store

    patch.setattr(nightloop.tasks.resources, "open_objects", opened)
    patch.setattr(nightloop.tasks.promote, "store_time", lambda objects: time.time())  # this store has no clock
    return store


def disturbed(start: Callable[[pytest.MonkeyPatch], Tiny], at: int, how: How) -> dict[str, bytes] | None:
    """The record after a fault at this call, and after running the same again without one; None: so many calls there
    were not."""
    seen: dict[str, bytes] = {}
    with pytest.MonkeyPatch.context() as patch:
        tiny = start(patch)
        check_invariants(nightloop.tasks.resources.open_store(), seen, "tiny")
        with patch.context() as broken:
            store = faulty(broken, at, how)
            try:
                scenario(tiny, NIGHT)
            except (OSError, Crash):
                assert how != "lie", f"a lie at {store.log[at - 1]} was not seen through"
            if store.calls < at:
                return None
            assert store.log[at - 1].endswith("(faulty)")
        check_invariants(nightloop.tasks.resources.open_store(), seen, "tiny")
        scenario(tiny, NIGHT)
        check_invariants(nightloop.tasks.resources.open_store(), seen, "tiny")
        return everything(tiny)


@pytest.mark.parametrize("part", range(SAMPLE))
@pytest.mark.parametrize("how", HOWS)
def test_a_fault_now_and_then_changes_nothing_in_the_end(
    how: How, part: int, sound: tuple[dict[str, bytes], int], start: Callable[[pytest.MonkeyPatch], Tiny]
) -> None:
    record, calls = sound
    at = 1 + (calls * (part * len(HOWS) + HOWS.index(how))) // (SAMPLE * len(HOWS))
    assert disturbed(start, at, how) == record


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("how", HOWS)
def test_a_fault_at_every_call_changes_nothing_in_the_end(
    how: How, sound: tuple[dict[str, bytes], int], start: Callable[[pytest.MonkeyPatch], Tiny]
) -> None:
    record, calls = sound
    for at in range(1, 2 * calls):
        found = disturbed(start, at, how)
        if found is None:  # what a first night of a process finds out, a later one need not ask
            assert at > 0.9 * calls
            return
        assert found == record, f"{how} at call {at} of {calls}"
    raise AssertionError(f"still calling after {2 * calls} calls; an undisturbed night makes {calls}")
