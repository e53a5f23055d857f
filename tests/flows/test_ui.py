"""The UI as a user meets it: `nightloop up`, the run forms in Chromium, what the runs show and what they change."""

from __future__ import annotations

import http.server
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

import nightloop.tasks.resources
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.simulation.deliver import deliver
from tests.flows.browser import browser, chromium, fill, log_in
from tests.flows.tiny_pipeline import HISTORY, WORLD, raw_plan
from tests.prefect_server import Server, basic, children

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
def server(nightloop_up: Server) -> Server:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    (nightloop_up.place / "tiny.yaml").write_text(yaml.safe_dump(raw_plan(nightloop_up.place), sort_keys=False))
    for day in range(4):
        deliver(WORLD, nightloop_up.place / "in", day)
    return nightloop_up


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Any]:
    """The one browser of the session, in which the operator has logged in."""
    assert CHROMIUM
    with browser(CHROMIUM, server.place / "profile") as opened:
        log_in(opened, server)
        yield opened


@pytest.fixture(scope="module")
def backfilled(server: Server, page: Any) -> dict[str, Any]:
    """A backfill that somebody started by filling its form."""
    texts = {"plan": str(server.place / "tiny.yaml"), "end": LAST}
    return server.ended(fill(page, server, "backfill", texts, ("dry_run",)))


@pytest.fixture
def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(server.home))
    return nightloop.tasks.resources.open_store()


def test_a_form_filled_in_the_browser_runs_the_nights(server: Server, backfilled: dict[str, Any], store: Any) -> None:
    assert backfilled["state_type"] == "COMPLETED", backfilled["state"]["message"]
    assert backfilled["name"] == f"backfill tiny root to {LAST}"
    nights = manifest_store.read_chain(store, "tiny", HISTORY - 1, 6)
    assert [night.name for night in nights.values()] == ["2026-01-02", "2026-01-03", LAST]
    assert {night.outcome for night in nights.values()} == {"complete"}
    assert promotion_log.read_champion(store, "tiny") is None, (
        "a backfill leaves the champion where it is, unless told otherwise"
    )


def test_the_form_explains_its_fields_and_the_artifacts_show(
    server: Server, page: Any, backfilled: dict[str, Any]
) -> None:
    asked = {"artifacts": {"flow_run_id": {"any_": [backfilled["id"]]}}, "sort": "CREATED_DESC"}
    shown = {a["key"]: a["id"] for a in reversed(server.ask("/artifacts/filter", asked))}
    assert set(shown) >= {f"tiny-{kind}" for kind in ("grid", "leaderboard", "validation", "verdict", "backfill-plan")}
    page.goto(f"{server.url}/deployments/deployment/{server.deployment('backfill')['id']}/run")
    page.get_by_text("name@... is the plan as it was deployed").wait_for()
    page.get_by_text("missing and failed").first.wait_for()
    for key, words in (
        ("tiny-grid", "nights: 3 complete and"),
        ("tiny-backfill-plan", "3 nights to run"),
        ("tiny-validation", "quarantine share"),
        ("tiny-verdict", "Manifest"),
        ("tiny-leaderboard", "vs champion"),
    ):
        page.goto(f"{server.url}/artifacts/artifact/{shown[key]}")
        page.get_by_text(words).first.wait_for()
        assert "&#" not in page.inner_text("body"), f"{key} shows an entity as it stands"
    page.wait_for_function("[...document.images].some(i => i.src.startsWith('data:image/png') && i.naturalWidth > 300)")


@pytest.mark.soak
def test_promotion_and_rollback_from_their_forms_move_the_champion(
    server: Server, page: Any, backfilled: dict[str, Any], store: Any
) -> None:
    plan = str(server.place / "tiny.yaml")
    first = server.start(
        "promote", {"plan": plan, "strategy": "still", "period": "2026-01-03", "reason": "trial", "force": True}
    )
    assert first["state_type"] == "COMPLETED", first["state"]["message"]
    texts = {"plan": plan, "strategy": "popular", "period": LAST, "reason": "from the form"}
    second = server.ended(fill(page, server, "promote", texts, ("force",)))
    assert second["state_type"] == "COMPLETED", (second["state"]["message"], second["parameters"])
    assert second["name"] == f"promote tiny popular {LAST}"
    now = promotion_log.read_champion(store, "tiny")
    assert now and (now.strategy, now.name, now.reason, now.forced) == ("popular", LAST, "from the form", True)
    third = server.start("rollback", {"plan": plan, "reason": "it was worse"})
    assert third["state_type"] == "COMPLETED", third["state"]["message"]
    back = promotion_log.read_champion(store, "tiny")
    assert back and (back.strategy, back.name, back.action) == ("still", "2026-01-03", "rollback")


ATTACK = (Path(__file__).parent / "other_origin.js").read_text()


@contextmanager
def website() -> Iterator[str]:
    """A website on another port: another origin, and yet the same site, which browsers trust more than a far one."""
    answers = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    Thread(target=answers.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{answers.server_port}"
    answers.shutdown()


class Blank(http.server.BaseHTTPRequestHandler):
    """An empty page at every address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a website</title>")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_website_can_neither_read_nor_start_anything_although_the_operator_is_logged_in(
    server: Server, page: Any, name: str
) -> None:
    deployment = server.deployment("maintain")["id"]
    tab = page.context.new_page()
    try:
        with website() as address:
            tab.goto(address)
            seen = tab.evaluate(ATTACK, {"api": f"http://{name}:{server.port}/api", "deployment": deployment})
    finally:
        tab.close()
    assert len(seen) == 37
    read = {what: how for what, how in seen.items() if how not in ("nothing", "opaque", "refused")}
    assert not read, "what was read, or opened"
    made = server.ask("/flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}})
    assert not [run["name"] for run in made if run["job_variables"] or run["parameters"].get("plan") == "evil"]


def test_the_login_is_in_no_table_no_log_and_no_command_line(server: Server, backfilled: dict[str, Any]) -> None:
    password = server.login.removeprefix("nightloop:")
    told = [password.encode(), basic(server.login).removeprefix("Basic ").encode()]
    kept = [path for path in server.home.rglob("*") if path.is_file()] + [server.place / "up.log"]
    assert any(path.name == "prefect.db" for path in kept)
    found = {path.name for path in kept if any(text in path.read_bytes() for text in told)}
    assert found == {"login"}
    for process in children(server.pid):
        assert not any(text in Path(f"/proc/{process}/cmdline").read_bytes() for text in told)


def test_every_deployment_is_there_and_the_nights_are_scheduled(server: Server) -> None:
    found = {d["name"]: d for d in server.ask("/deployments/filter", {})}
    flows = ("nightly", "backfill", "bakeoff", "tune", "promote", "rollback", "maintain")
    assert set(found) >= {f"simulated-{flow}" for flow in flows}
    assert {d["job_variables"]["env"]["DO_NOT_TRACK"] for d in found.values()} == {"1"}
    assert {tuple(d["tags"]) for name, d in found.items() if name.startswith("simulated-")} == {("simulated",)}
    [planned] = found["simulated-nightly"]["schedules"]
    assert planned["active"]
    assert (planned["schedule"]["cron"], planned["schedule"]["timezone"]) == ("0 2 * * *", "UTC")
    due: list[dict[str, Any]] = []
    for _ in range(90):  # Prefect's scheduler looks once a minute
        due = server.ask("/flow_runs/filter", {"deployments": {"name": {"any_": ["simulated-nightly"]}}})
        if due:
            break
        time.sleep(1)
    assert due and {run["state_type"] for run in due} == {"SCHEDULED"}
    assert {run["expected_start_time"][11:16] for run in due} == {"02:00"}
