"""The UI as a user meets it: `nightloop up`, the run forms in Chromium, what the runs show and what they change."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import tasks.open
from tasks.lake.deliveries import deliver
from tasks.store import manifests, registry
from tests.flows.browsing import ROOT, Server, browser, chromium, command, fill, running
from tests.flows.tiny import HISTORY, WORLD, raw_plan

CHROMIUM = chromium()
LAST = "2026-01-04"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("ui"),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine; install one (Debian: apt install chromium)"
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    home = tmp_path_factory.mktemp("ui")
    (home / "tiny.yaml").write_text(yaml.safe_dump(raw_plan(home), sort_keys=False))
    for day in range(4):
        deliver(WORLD, home / "in", day)
    with running(home) as found:
        yield found


@pytest.fixture(scope="module")
def backfilled(server: Server) -> dict[str, Any]:
    """A backfill that somebody started by filling its form."""
    assert CHROMIUM
    with browser(CHROMIUM, server.home / "backfill") as page:
        run = fill(page, server, "backfill", {"plan": str(server.home / "tiny.yaml"), "end": LAST})
    return server.ended(run)


@pytest.fixture
def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(server.home / "home"))
    return tasks.open.open_store()


def test_a_taken_port_is_refused_in_one_sentence(server: Server) -> None:
    words, environment = command(server.home / "another", server.port)
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"port {server.port} is taken" in done.stderr and "Traceback" not in done.stderr


def test_a_form_filled_in_the_browser_runs_the_nights(server: Server, backfilled: dict[str, Any], store: Any) -> None:
    assert backfilled["state_type"] == "COMPLETED", backfilled["state"]["message"]
    assert backfilled["name"] == f"backfill tiny root to {LAST}"
    nights = manifests.chain(store, "tiny", HISTORY - 1, 6)
    assert [night.name for night in nights.values()] == ["2026-01-02", "2026-01-03", LAST]
    assert {night.outcome for night in nights.values()} == {"complete"}
    assert registry.champion(store, "tiny") is None, "a backfill leaves the champion where it is, unless told otherwise"


def test_the_form_explains_its_fields_and_the_artifacts_show(server: Server, backfilled: dict[str, Any]) -> None:
    latest = server.ask("/artifacts/latest/filter", {})
    shown = {a["key"]: a["latest_id"] for a in latest if a["flow_run_id"] == backfilled["id"]}
    assert set(shown) >= {f"tiny-{kind}" for kind in ("grid", "leaderboard", "validation", "verdict", "backfill-plan")}
    assert CHROMIUM
    with browser(CHROMIUM, server.home / "artifacts") as page:
        page.goto(f"{server.url}/deployments/deployment/{server.deployment('backfill')['id']}/run")
        page.get_by_text("Name of a plan in infra/plans").wait_for()
        page.get_by_text("missing and failed").first.wait_for()
        for key, words in (
            ("tiny-grid", "3 nights, all complete"),
            ("tiny-backfill-plan", "3 nights to run"),
            ("tiny-validation", "quarantine share"),
            ("tiny-verdict", "Manifest"),
            ("tiny-leaderboard", "vs champion"),
        ):
            page.goto(f"{server.url}/artifacts/artifact/{shown[key]}")
            page.get_by_text(words).first.wait_for()
        page.wait_for_function(
            "[...document.images].some(i => i.src.startsWith('data:image/png') && i.naturalWidth > 300)"
        )


def test_promotion_and_rollback_from_their_forms_move_the_champion(
    server: Server, backfilled: dict[str, Any], store: Any
) -> None:
    plan = str(server.home / "tiny.yaml")
    first = server.start(
        "promote", {"plan": plan, "strategy": "still", "period": "2026-01-03", "reason": "trial", "force": True}
    )
    assert first["state_type"] == "COMPLETED", first["state"]["message"]
    assert CHROMIUM
    with browser(CHROMIUM, server.home / "promote") as page:
        texts = {"plan": plan, "strategy": "popular", "period": LAST, "reason": "from the form"}
        second = server.ended(fill(page, server, "promote", texts, ("force",)))
    assert second["state_type"] == "COMPLETED", (second["state"]["message"], second["parameters"])
    assert second["name"] == f"promote tiny popular {LAST}"
    now = registry.champion(store, "tiny")
    assert now and (now.strategy, now.name, now.reason, now.forced) == ("popular", LAST, "from the form", True)
    third = server.start("rollback", {"plan": plan, "reason": "it was worse"})
    assert third["state_type"] == "COMPLETED", third["state"]["message"]
    back = registry.champion(store, "tiny")
    assert back and (back.strategy, back.name, back.action) == ("still", "2026-01-03", "rollback")


def test_every_deployment_is_there_and_the_nights_are_scheduled(server: Server) -> None:
    found = {d["name"]: d for d in server.ask("/deployments/filter", {})}
    assert set(found) == {"nightly", "backfill", "bakeoff", "promote", "rollback", "maintain"}
    [planned] = found["nightly"]["schedules"]
    assert planned["active"]
    assert (planned["schedule"]["cron"], planned["schedule"]["timezone"]) == ("0 2 * * *", "UTC")
    due: list[dict[str, Any]] = []
    for _ in range(90):  # Prefect's scheduler looks once a minute
        due = server.ask("/flow_runs/filter", {"deployments": {"name": {"any_": ["nightly"]}}})
        if due:
            break
        time.sleep(1)
    assert due and {run["state_type"] for run in due} == {"SCHEDULED"}
    assert {run["expected_start_time"][11:16] for run in due} == {"02:00"}
