"""The doctor: what it looks at, and that each thing that is broken is found and named."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from nightloop.flows.cli import disk_space
from nightloop.flows.cli.dead_runs import NAMES, RUNS, _build_automation
from nightloop.flows.cli.doctor import doctor
from nightloop.flows.cli.prefect_health import _check_schedules, _check_worker, _find_dead_runs, check_prefect_server
from nightloop.flows.cli.up import up
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.stored_plans import store_plan
from nightloop.tasks.record import manifest_store
from nightloop.tasks.resources import open_store
from nightloop.tasks.terminal import TAG
from tests.flows.tiny_pipeline import Tiny, begin, run
from tests.prefect_server import Server

pytestmark = pytest.mark.xdist_group("flows")
NOW = datetime.now(UTC)


@pytest.fixture
def begun(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Nights 1 and 2 are done; no server is used."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    return begin(tmp_path_factory, monkeypatch, 1, 2)


def found(deep: bool = False) -> dict[str, tuple[bool, str]]:
    """What each check found."""
    return {row["check"]: (row["ok"], row["finding"]) for row in doctor(deep)["checks"]}


def test_a_sound_machine(begun: Tiny) -> None:
    rows = found(deep=True)
    assert all(ok for ok, _ in rows.values()), rows
    assert "those of tiny can be attached and written" in rows["lake"][1]
    assert "correctors:" in rows["plug-ins"][1] and "ReLoop2" in rows["plug-ins"][1]
    assert "2 nights and their" in rows["blobs"][1] and "not used" in rows["prefect"][1]
    assert "simulated" in rows["plans"][1]


def test_a_machine_without_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_API_URL", "")
    rows = found(deep=True)
    assert all(ok for ok, _ in rows.values()), rows
    assert "no pipeline yet" in rows["lake"][1] and not list((tmp_path / "home").glob("lake/*"))


def test_a_damaged_blob_is_found_where_somebody_looks_for_it(begun: Tiny) -> None:
    sha = begun.chain()[2].checkpoints["tuned"].weights
    (begun.home / "home" / "store" / blobs.blob_key(sha)).write_bytes(b"something else")
    assert all(ok for ok, _ in found().values())
    ok, finding = found(deep=True)["blobs"]
    assert not ok and sha[:12] in finding


def test_a_damaged_night_is_found_where_somebody_looks_for_it(begun: Tiny) -> None:
    key = manifest_store.manifest_key("tiny", 2, 1)
    path = begun.home / "home" / "store" / key
    path.write_bytes(path.read_bytes()[:-80])
    ok, finding = found(deep=True)["blobs"]
    assert not ok and key in finding and "was changed or cut off" in finding
    run(begun, 2)  # a revision that stands takes nothing from what the older one promised
    ok, finding = found(deep=True)["blobs"]
    assert not ok and key in finding
    path.write_text("given up\n")
    ok, finding = found(deep=True)["blobs"]
    assert ok and "2 nights and their" in finding


def test_a_lake_that_cannot_be_read_is_found(begun: Tiny) -> None:
    (begun.home / "home" / "lake" / "tiny.sqlite").write_bytes(b"no catalog")
    ok, finding = found()["lake"]
    assert not ok and "tiny.sqlite" in finding


def test_a_plan_that_is_wrong_is_found_wherever_it_lies(begun: Tiny) -> None:
    place = begun.home / "home" / "plans" / "shop.yaml"
    place.parent.mkdir(exist_ok=True)
    place.write_text(yaml.safe_dump({**yaml.safe_load(begun.path.read_text()), "seed": -1}))
    ok, finding = found()["plans"]
    assert not ok and "shop.yaml" in finding and "seed" in finding


def test_a_server_is_asked_for_its_worker_its_schedules_and_its_runs(
    nightloop_up: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(nightloop_up.home))
    found = ""
    for _ in range(90):  # a worker that has just been started is not there yet
        try:
            found = check_prefect_server()
            break
        except RuntimeError as error:
            found = str(error)
        time.sleep(1)
    assert "simulated-nightly" in found and f"{nightloop_up.url}/api answers, with a worker" in found
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "")
    assert "simulated-nightly" in check_prefect_server(), "a `nightloop up` of this home is found, and its login"
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(RuntimeError, match=r"http://127\.0\.0\.1:9/api does not answer"):
        check_prefect_server()


class Client:
    """A server on which things went wrong."""

    def __init__(self, **known: Any) -> None:
        self.known = known

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **more: self.known[name]


def test_what_is_dead_on_a_server_is_named(begun: Tiny) -> None:
    asleep = Client(read_workers_for_work_pool=[SimpleNamespace(last_heartbeat_time=NOW - timedelta(minutes=5))])
    assert "no worker of the pool nightloop is alive (the last was seen" in " ".join(_check_worker(asleep))
    began = SimpleNamespace(
        id=UUID(int=1),
        name="nightly tiny",
        state_name="Running",
        start_time=NOW - timedelta(hours=1),
        deployment_id="2",
    )
    by_command = SimpleNamespace(**vars(began) | {"deployment_id": None})
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        wrong = list(_find_dead_runs(Client(read_automations=[], read_flow_runs=[began, by_command])))
    assert all(f"'{name}' is missing" in said for name, said in zip(NAMES, wrong, strict=False)) and len(wrong) == 6
    for said in wrong[4:]:
        assert "'nightly tiny' is Running since" in said and "marked as crashed or cancelled" in said
        assert said.endswith("http://127.0.0.1:4200/runs/flow-run/00000000-0000-0000-0000-000000000001")
    late = SimpleNamespace(expected_start_time=NOW - timedelta(hours=1))
    nightly = SimpleNamespace(
        id="00000000-0000-0000-0000-000000000001",
        name="tiny-nightly",
        updated=NOW - timedelta(hours=1),
        schedules=[SimpleNamespace(active=True)],
        parameters={},
    )
    assert "was due at" in _check_schedules(Client(read_deployments=[nightly], read_flow_runs=[late]))[1][0]
    assert "has planned no run" in _check_schedules(Client(read_deployments=[nightly], read_flow_runs=[]))[1][0]
    nightly.schedules[0].active = False
    client = Client(read_deployments=[nightly], read_flow_runs=[])
    assert _check_schedules(client) == ("tiny-nightly has no active schedule", [])
    place = begun.home / "home" / "plans" / "tiny.yaml"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(begun.path.read_bytes())
    nightly.parameters["plan"] = store_plan(open_store(), "tiny", begun.path.read_bytes())
    assert _check_schedules(client) == ("tiny-nightly has no active schedule", [])
    place.write_text(yaml.safe_dump(yaml.safe_load(begun.path.read_text()) | {"cron": "0 4 * * *"}))
    changed = _check_schedules(client)[0]
    assert f"{place} differs from the plan that is deployed, tiny@" in changed and "nightloop deploy" in changed
    nightly.parameters["plan"] = f"tiny@{'0' * 16}"  # what else is wrong is said all the same
    assert "cannot be read (the store has no plan tiny@0000" in _check_schedules(client)[0]


def test_a_full_disk_is_found_and_up_does_not_start_on_it(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk Prefect's server ends with a traceback of a hundred lines."""
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000))
    ok, finding = found()["disk"]
    assert (
        not ok and "3 MB are free at" in finding and "a night needs room for checkpoints, at least 2000 MB" in finding
    )
    with pytest.raises(OSError, match=r"Prefect's database needs room, at least 100 MB. Free space there"):
        up(4299, [str(begun.path)])
    assert not (begun.home / "home" / "prefect").exists()


@pytest.mark.parametrize("whose", RUNS)
def test_only_runs_of_our_workers_and_commands_are_marked_as_dead(whose: str) -> None:
    """Other programs of a shared server send a heartbeat every three minutes, which is Prefect's default: they are not dead."""
    from prefect.client.schemas.objects import StateType
    from prefect.events.schemas.events import Resource

    automation = _build_automation("dead", whose, ("prefect.flow-run.heartbeat", set()), StateType.CRASHED, "gone")

    def marked(pool: str, tag: str) -> bool:
        labels = [
            {"prefect.resource.id": "prefect.deployment.1", "prefect.resource.role": "deployment"},
            {"prefect.resource.id": "prefect.work-pool.1", "prefect.resource.role": "work-pool", "prefect.resource.name": pool},
            {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"},
        ]  # fmt: skip
        return bool(automation.trigger.match_related.includes([Resource.model_validate(label) for label in labels]))

    assert marked("nightloop", TAG)
    assert marked("nightloop", "shop") is (not whose) and marked("somebody-elses", TAG) is bool(whose)
    assert not marked("somebody-elses", "nightloop")
