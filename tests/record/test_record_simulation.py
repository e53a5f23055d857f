"""One seeded simulation: nights, backfills, promoters, rollbacks and sweeps, interleaved call by call, with faults."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import pytest

from nightloop.tasks.objects import blobs, lease
from nightloop.tasks.record import manifest_store, promotion_log, step_cache
from nightloop.tasks.record.entries import Entry, draft_entry
from nightloop.tasks.record.manifest import CheckpointRef, Manifest
from nightloop.tasks.retention.garbage import collect_garbage
from tests.objects.faulty_objects import HOWS, Crash, FaultyStore
from tests.objects.memory_objects import Memory
from tests.record.act_sequences import PIPELINE, act, check_invariants, kept, night

Steps = Generator[None, None, None]  # an actor; what it does between two yields may be interleaved with the others


@dataclass
class World:
    """The truth (`store`), who is at work, and what each was told."""

    random: random.Random
    store: Memory = field(default_factory=Memory.fresh)
    seen: dict[str, bytes] = field(default_factory=dict)
    clock: float = 0.0
    actors: int = 0
    told: list[str] = field(default_factory=list)

    def shaky(self) -> FaultyStore:
        """The store as one actor sees it: usually sound, sometimes with one fault ahead."""
        at = self.random.choice((0, 0, 0, self.random.randint(1, 40)))
        return FaultyStore(self.store, at, self.random.choice(HOWS))


def a_night(world: World, store: FaultyStore, me: str) -> Steps:
    """The first night that is missing, or now and then a late version of an earlier one; then the gate's promotion."""
    mine = lease.take_lease(store, PIPELINE, me, world.clock, 50)
    yield
    if mine is None:
        return
    done = manifest_store.read_chain(store, PIPELINE, 0, 50)
    index = next(i for i in range(51) if i not in done)
    if done and world.random.random() < 0.3:
        index = world.random.choice(sorted(done))
    previous = manifest_store.predecessor(store, PIPELINE, index, 0)
    yield
    salt = str(manifest_store.next_revision(store, PIPELINE, index))
    key = f"{index:032d}{salt:0>32}"
    for name in ("A", "B"):
        if step_cache.cached_result(store, PIPELINE, key, name) is None:
            step_cache.store_result(store, PIPELINE, key, name, kept(store, f"{name} {index} {salt}").model_dump())
        yield
    made = night(store, index, previous, salt, verdict=world.random.choice(("promote", "promote", "hold")))
    yield
    finished = {name: step_cache.cached_result(store, PIPELINE, key, name) for name in ("A", "B")}
    if None in finished.values():
        return  # frozen past the end of its lease, its work was swept
    made = made.model_copy(
        update={"checkpoints": {n: CheckpointRef.model_validate(kept) for n, kept in finished.items()}}
    )
    if lease.renew_lease(store, mine, world.clock, 50) is None:
        return  # somebody took over: he who lost the lease stops writing
    try:
        stands = manifest_store.create_manifest(store, made)
    except ValueError as error:
        assert "is not in the store" in str(error), error
        world.told.append("swept away")
        return
    if stands and made.verdict == "promote":
        newest = promotion_log.read_champion(store, PIPELINE)
        yield
        entry = draft_entry(made, "A", act(at_period=index, when=f"2026-01-07T02:00:{world.clock % 60:02.0f}"))
        note(world, entry, promotion_log.append_promotion(store, PIPELINE, entry, newest.number if newest else 0))
    lease.release_lease(store, mine)


def a_person(world: World, store: FaultyStore, me: str) -> Steps:
    """Promotes any night he likes, by force, or rolls back; decides on what he saw a while ago."""
    newest = promotion_log.read_champion(store, PIPELINE)
    expect = newest.number if newest else 0
    nights = manifest_store.read_chain(store, PIPELINE, 0, 50)
    yield
    if not nights:
        return
    try:
        if newest is not None and world.random.random() < 0.6:
            moved = promotion_log.append_rollback(store, PIPELINE, act(me, "clicks fell"), expect)
            note(world, moved, moved)
        else:
            made: Manifest = world.random.choice(list(nights.values()))
            entry = draft_entry(made, world.random.choice("AB"), act(me, "because"), forced=True)
            yield
            note(world, entry, promotion_log.append_promotion(store, PIPELINE, entry, expect))
    except ValueError as error:
        assert "roll back to" in str(error), error


def note(world: World, wanted: Entry | None, moved: Entry | None) -> None:
    """Whoever is told that he won finds his entry in the log."""
    if wanted is not None and moved is not None:
        assert world.store.held[promotion_log.entry_key(PIPELINE, moved.number)] == promotion_log.seal_record(moved)
        world.told.append(moved.action)


def a_sweep(world: World, store: FaultyStore, me: str) -> Steps:
    """Sees, now and then, a listing that is not whole; what lies in the trash for 30 s is deleted."""
    yield
    store.hidden = world.random.choice(("", "", *HIDDEN))
    try:
        swept = collect_garbage(store, me, world.clock, 50, world.random.choice(("kept", "kept", "dropped")), 30)
    except ValueError as error:
        assert "nothing was removed" in str(error) or "the store does not show" in str(error), error
        world.told.append("refused")
        return
    world.told += [f"swept {bool(swept.removed)}", *["deleted"] * bool(swept.deleted)]


HIDDEN = (
    "pipelines/",
    "/nights/",
    "/nights/000001",
    "/0001.json",
    "/log/",
    "/log/00000001",
    "/work/",
    "blobs/0",
    "removals/",
)
ACTORS: list[Callable[[World, FaultyStore, str], Steps]] = [a_night, a_night, a_night, a_person, a_sweep]


def simulate(seed: int, moves: int) -> World:
    world = World(random.Random(seed))
    running: list[Steps] = []
    for _ in range(moves):
        world.clock += world.random.choice((1, 1, 1, 5, 60)) if world.random.random() < 0.5 else 0
        if len(running) < 4:
            world.actors += 1
            running.append(world.random.choice(ACTORS)(world, world.shaky(), f"actor-{world.actors}"))
        actor = world.random.choice(running)
        try:
            next(actor)
        except StopIteration:
            running.remove(actor)
        except Crash:
            running.remove(actor)
            world.told.append("crash")
        except (OSError, LookupError) as error:
            assert not isinstance(error, FileNotFoundError), error
            running.remove(actor)
            world.told.append(type(error).__name__)
        if world.random.random() < 0.1:
            blobs.put(world.store, b"orphan %d" % world.actors)
        check_invariants(world.store, world.seen)
    return world


@pytest.mark.parametrize("seed", range(25))
def test_the_record_stays_right(seed: int) -> None:
    try:
        simulate(seed, 80)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error!r}") from error


def test_the_simulation_reaches_what_it_is_about() -> None:
    told = [line for seed in range(25) for line in simulate(seed, 80).told]
    for event in ("promote", "rollback", "swept True", "refused", "deleted", "crash", "TimeoutError", "OSError"):
        assert told.count(event) >= 5, (event, told.count(event))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1060))
def test_the_record_stays_right_for_long(seed: int) -> None:
    try:
        simulate(seed, 400)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error!r}") from error
