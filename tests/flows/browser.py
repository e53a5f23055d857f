"""Browsing: Chromium as an operator uses it, logged in, and the run forms of the UI."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.prefect_server import Server

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE = 90  # seconds, on a busy machine


def chromium() -> str | None:
    """Where a Chromium is installed, or None."""
    return next((at for name in ("chromium", "chromium-browser", "google-chrome") if (at := shutil.which(name))), None)


@contextmanager
def browser(at: str, profile: Path) -> Iterator[Any]:
    """A page of a fresh Chromium, and its profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        context = tool.chromium.launch_persistent_context(
            str(profile), executable_path=at, args=list(FLAGS), viewport={"width": 1280, "height": 1500}
        )
        context.set_default_timeout(PATIENCE * 1000)
        try:
            yield context.pages[0]
        finally:
            context.close()


def log_in(page: Any, server: Server) -> None:
    """Log in as an operator does: open the address that `up` printed, paste what `nightloop login --show` shows."""
    page.goto(server.url)
    box = page.locator("input[type=password]")
    box.fill("nightloop:no-such-password")
    box.press("Enter")
    page.get_by_text("Invalid credentials").wait_for()
    box.fill(server.login)
    box.press("Enter")
    page.get_by_role("link", name="Deployments").first.wait_for()


def fill(page: Any, server: Server, name: str, texts: Mapping[str, str], switches: tuple[str, ...] = ()) -> str:
    """Fill the run form of a deployment of `simulated` and submit it; `switches` are turned. Returns the id of the run."""
    deployment = server.deployment(name)
    fields = deployment["parameter_openapi_schema"]["properties"]
    order = sorted(fields, key=lambda field: fields[field]["position"])
    areas = [f for f in order if fields[f].get("type") == "string" and "enum" not in fields[f]]
    toggles = [f for f in order if fields[f].get("type") == "boolean"]
    page.goto(f"{server.url}/deployments/deployment/{deployment['id']}/run")
    page.locator("textarea").nth(len(areas) - 1).wait_for()
    for field, text in texts.items():
        page.locator("textarea").nth(areas.index(field)).fill(text)
    for field in switches:
        switch, before = (
            page.get_by_role("switch").nth(toggles.index(field)),
            deployment["parameters"].get(field, False),
        )
        for _ in range(20):  # a form that is still being drawn loses a click
            switch.click()
            page.wait_for_timeout(500)
            if switch.is_checked() != before:
                break
    said = ""
    for _ in range(6):  # on a busy machine Prefect's SQLite may be locked: the form stays, and is sent again
        with page.expect_response(lambda answer: answer.url.endswith("/create_flow_run")) as made:
            page.get_by_role("button", name="Submit").dispatch_event("click")  # an error's message may cover it
        if made.value.ok:
            return str(made.value.json()["id"])
        said = made.value.text()
        page.wait_for_timeout(3000)
    raise AssertionError(f"{name} was not accepted: {said[:500]}")
