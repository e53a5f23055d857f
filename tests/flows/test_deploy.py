"""Deployments: one a pipeline and flow, started when the plan's periods have closed, and never taken away."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.server.schemas.schedules import CronSchedule

from nightloop.flows import deployments
from nightloop.flows.cli.deploy import deploy, deployments_of, main
from nightloop.flows.cli.up import _drop_malformed, up
from nightloop.tasks.lake.periods import period
from nightloop.tasks.plan.cron import AFTER, crons, timezone
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.resources import open_store
from nightloop.tasks.schedule import newest_period
from tests.flows.tiny_pipeline import raw_plan
from tests.prefect_server import Server

pytestmark = pytest.mark.xdist_group("flows")
NEW_YORK = {"every": "day", "start": "2026-03-01", "timezone": "America/New_York"}  # with the change to summer time
CALENDARS = {
    "UTC days": ({"every": "day", "start": "2026-01-01"}, ("0 2 * * *",)),
    "days of New York": (NEW_YORK, ("0 2 * * *",)),
    "days that begin at four": ({**NEW_YORK, "start": "2026-03-01T04:30"}, ("30 6 * * *",)),
    "hours": ({"every": "hour", "start": "2026-01-01T00:10"}, ("25 * * * *",)),
    "weeks from Saturday night": ({"every": "week", "start": "2026-01-03T23:00"}, ("0 1 * * 0",)),
    "months": ({"every": "month", "start": "2026-01-28T23:00"}, ("59 23 28 * *",)),
    "cut days": ({**NEW_YORK, "cuts": ["10:00", "17:30", "24:00"]}, ("0 12 * * *", "30 19 * * *", "0 2 * * *")),
}


def planned(tmp_path: Path, **changes: Any) -> Plan:
    return Plan.model_validate(raw_plan(tmp_path, changes))


@pytest.mark.parametrize("name", CALENDARS)
def test_a_night_starts_soon_after_its_period_has_closed_and_never_before(name: str, tmp_path: Path) -> None:
    periods, wanted = CALENDARS[name]
    plan = planned(tmp_path, periods=periods)
    assert crons(plan) == wanted
    since = datetime.fromisoformat("2026-03-05T00:00:00+00:00")
    for cron in wanted:
        schedule = CronSchedule(cron=cron, timezone=timezone(plan))
        for start in asyncio.run(schedule.get_dates(30, since)):
            closed = period(plan.periods, newest_period(plan, start)).end
            assert closed is not None
            late = start - datetime.fromtimestamp(closed / 1e6, UTC)
            assert timedelta(0) <= late <= AFTER + timedelta(hours=1), (start, late)


def test_a_plan_may_say_when_its_nights_start_and_no_manifest_keeps_it(tmp_path: Path) -> None:
    plan, own = planned(tmp_path), planned(tmp_path, cron="15 4 * * 1-5")
    assert crons(own) == ("15 4 * * 1-5",) and own.hash == plan.hash
    assert crons(planned(tmp_path, periods={"rows": 100})) == ("0 2 * * *",)


@pytest.mark.parametrize(
    "cron", ["at two", "61 4 * * *", "0 4 31 2 *", "@daily", "0  4 * * *", "0 4 * * * *", "a b c d e"]
)
def test_a_plan_whose_cron_starts_no_run_is_refused_in_words(tmp_path: Path, cron: str) -> None:
    with pytest.raises(ValueError, match=f"(?s)cron.*'{re.escape(cron)}' starts no run: .*such as 30 4") as error:
        planned(tmp_path, cron=cron)
    assert "pattern" not in str(error.value)


@pytest.mark.parametrize("cron", ["30 4 * * *", "0 4 * * MON-FRI", "*/15 2,3 1-7 * 0", "0 4 29 2 *"])
def test_prefect_takes_every_cron_that_a_plan_may_have(tmp_path: Path, cron: str) -> None:
    assert CronSchedule(cron=crons(planned(tmp_path, cron=cron))[0], timezone="UTC").cron == cron


def test_every_flow_is_deployed_for_the_pipeline(tmp_path: Path) -> None:
    found = deployments_of("shop@0", planned(tmp_path, pipeline="shop", periods=CALENDARS["cut days"][0]), "an id")
    for one in found:
        made = getattr(deployments, one["entrypoint"].removeprefix("nightloop.flows.deployments."))
        assert one["name"] == f"shop-{made.name}" and one["tags"] == ["shop"] and one["parameters"]["plan"] == "shop@0"
        assert one["work_pool"]["job_variables"]["env"]["NIGHTLOOP_STORE_ID"] == "an id"
        assert "{{" not in str(one)
    nightly, maintain = (next(o for o in found if o["name"] == f"shop-{name}") for name in ("nightly", "maintain"))
    assert [s["cron"] for s in nightly["schedules"]] == list(CALENDARS["cut days"][1])
    assert len({s["slug"] for s in nightly["schedules"]}) == 3
    assert {s["timezone"] for s in nightly["schedules"] + maintain["schedules"]} == {"America/New_York"}


def test_mistakes_are_said_before_anything_is_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, wrong = (tmp_path / f"{name}.yaml" for name in ("one", "two", "wrong"))
    for path in (one, two):
        path.write_text(yaml.safe_dump(raw_plan(tmp_path)))
    wrong.write_text(yaml.safe_dump(raw_plan(tmp_path, {"seed": -1})))
    monkeypatch.setenv("PREFECT_API_URL", "")
    with pytest.raises(RuntimeError, match=r"PREFECT_API_URL is not set.*nightloop up --plan"):
        deploy([str(one)])
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(ValueError, match="are plans of one pipeline, tiny; give one of them"):
        deploy([str(one), str(two)])
    with pytest.raises(ValueError, match="seed"):
        up(1, [str(wrong)])
    assert _drop_malformed([str(wrong), str(one), "absent"]) == [str(one)]
    said = capsys.readouterr().err
    assert (
        "wrong.yaml has 1 mistake" in said and "'absent'" in said and said.count("left out, the others are used") == 2
    )


def test_a_mistake_in_one_plan_keeps_no_other_pipeline_from_being_deployed(
    nightloop_up: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, again, bad = (tmp_path / f"{name}.yaml" for name in ("good", "again", "bad"))
    good.write_text(yaml.safe_dump(raw_plan(tmp_path, {"pipeline": "good"})))
    again.write_text(yaml.safe_dump(raw_plan(tmp_path, {"pipeline": "good", "seed": 3})))
    bad.write_text(yaml.safe_dump(raw_plan(tmp_path, {"pipeline": "bad", "model": {"use": "MFF"}})))
    monkeypatch.setenv("NIGHTLOOP_HOME", str(nightloop_up.home))
    for plans, code in (((bad, good, again), 0), ((bad,), 1)):
        monkeypatch.setattr(sys, "argv", ["deploy", *map(str, plans)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert ended.value.code == code and "bad.yaml is left out, the others are used" in said and "'MFF'" in said
        assert ("good: " in said and "is a plan of good too" in said) == (code == 0)


def test_a_second_pipeline_takes_no_schedule_away_and_what_a_person_paused_stays_paused(
    nightloop_up: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def schedules(name: str) -> dict[str, tuple[str, str, bool]]:
        there = nightloop_up.deployment("nightly", name)["schedules"]
        return {one["slug"]: (one["schedule"]["cron"], one["schedule"]["timezone"], one["active"]) for one in there}

    simulated, path = schedules("simulated"), tmp_path / "york.yaml"
    path.write_text(yaml.safe_dump(raw_plan(tmp_path, {"pipeline": "york", "periods": NEW_YORK})))
    monkeypatch.setenv("NIGHTLOOP_HOME", str(nightloop_up.home))
    assert "york-nightly at 0 2 * * * America/New_York" in deploy([str(path)])[0]
    assert schedules("york") == {"nightly": ("0 2 * * *", "America/New_York", True)}
    assert schedules("simulated") == simulated == {"nightly": ("0 2 * * *", "UTC", True)}

    there = nightloop_up.deployment("nightly", "york")
    one = f"/deployments/{there['id']}/schedules/{there['schedules'][0]['id']}"
    nightloop_up.ask(one, {"active": False}, "PATCH")
    nightloop_up.ask(
        f"/deployments/{there['id']}/schedules",
        [{"active": True, "schedule": {"cron": "0 9 * * 1", "timezone": "UTC"}, "slug": "mine"}],
    )
    path.write_text(yaml.safe_dump(raw_plan(tmp_path, {"pipeline": "york", "periods": NEW_YORK, "cron": "5 3 * * *"})))
    assert "paused in Prefect and left so" in deploy([str(path)])[0]
    assert schedules("york") == {
        "nightly": ("5 3 * * *", "America/New_York", False),
        "mine": ("0 9 * * 1", "UTC", True),
    }


@pytest.mark.parametrize("flow", ["promote", pytest.param("rollback", marks=pytest.mark.soak)])
def test_a_quick_run_promotes_nothing_and_says_what_to_fill_in(flow: str, nightloop_up: Server) -> None:
    ended = nightloop_up.start(flow, {})
    assert ended["state_type"] == "FAILED" and "Custom run, field `reason`" in ended["state"]["message"]


@pytest.mark.soak
def test_a_quick_run_of_a_backfill_is_a_dry_run(nightloop_up: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = nightloop_up.start("backfill", {})
    assert ended["state_type"] == "COMPLETED" and "dry run" in ended["name"]
    monkeypatch.setenv("NIGHTLOOP_HOME", str(nightloop_up.home))
    assert not [key for key in open_store().keys("pipelines/simulated/") if "/nights/" in key]
