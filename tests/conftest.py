"""Fixtures that several rooms' tests share, and the Prefect server of the session."""

import os

# Before torch is imported: threads that wait by spinning stop each other where tests run side by side.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NIGHTLOOP_THREADS", "1")  # statements over a few rows take a quarter less than on two

import random
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from nightloop.tasks.plan import load
from tests import prefect_server
from tests.postgres_server import postgres
from tests.prefect_server import nightloop_up
from tests.s3_servers import moto, moto_store_url, rclone, rclone_store_url

__all__ = ["moto", "moto_store_url", "nightloop_up", "postgres", "rclone", "rclone_store_url"]
PORT = pytest.StashKey()


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """What a test draws without a seed of its own is the same in every run, so that a failure comes again."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed takes milliseconds, for devices that no test has
    np.random.seed(0)
    random.seed(0)
    load._GIVEN.clear()  # advice names a plan as the process was given it, and each test is one


@pytest.fixture(autouse=True)
def same_prefect() -> Iterator[None]:
    """After a test, Prefect's settings are those of the session again: what looks for a server reads them anew."""
    context = sys.modules.get("prefect.context")
    before = getattr(context, "GLOBAL_SETTINGS_CONTEXT", None)
    yield  # `monkeypatch` begins after this and ends before it
    if (context := sys.modules.get("prefect.context")) and context.GLOBAL_SETTINGS_CONTEXT is not before:
        context.refresh_global_settings_context()


# Rooms whose tensors are small: a second thread of torch waits for a busy machine.
ONE_THREAD = ("models", "modules", "training", "evaluation", "strategies", "retraining", "meta", "plugins")


@pytest.fixture(autouse=True, scope="module")
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread for torch, in the rooms where more of them take longer."""
    before = torch.get_num_threads()
    if request.path.parent.name in ONE_THREAD:
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_configure(config: pytest.Config) -> None:
    """Before there are workers: the address and the login of the Prefect server, for all of them."""
    if not hasattr(config, "workerinput"):
        config.stash[PORT] = prefect_server.reserve()


# Files that take longest, most of it in waiting: they begin first, and the others run beside them.
FIRST = (
    "flows/test_ui.py",
    "infra/test_native_parts.py",
    "flows/test_night.py",
    "bakeoff/test_bakeoff.py",
    "flows/test_demo.py",
    "flows/test_login.py",
    "tests/test_examples.py",
)


TIERS = ("unit", "flow", "soak")
SERVERS = {"moto", "moto_store_url", "rclone", "rclone_store_url", "nightloop_up", "postgres"}  # fixtures
STARTERS = ("subprocess", "multiprocessing")  # a test file that imports one of them starts processes


def tier(item: pytest.Item) -> str:
    """`flow` for a test that runs nights or starts processes or servers, told by its folder, its file and its fixtures."""
    starts = any(hasattr(getattr(item, "module", None), name) for name in STARTERS)
    nights = item.path.parent.name in ("flows", "bakeoff")
    return "flow" if nights or starts or SERVERS & {*getattr(item, "fixturenames", ())} else "unit"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A tier for every test that names none. The longest files first; otherwise the order stays."""
    for item in items:
        if not any(item.get_closest_marker(name) for name in TIERS):
            item.add_marker(tier(item))
    items.sort(
        key=lambda item: next((n for n, file in enumerate(FIRST) if item.nodeid.split("::")[0].endswith(file)), 99)
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After all workers: stop the server. That it leaves nothing behind is a test too."""
    if hasattr(session.config, "workerinput"):
        return
    if wrong := prefect_server.stop():
        print(f"\nFAILED nightloop up, when it was stopped: {wrong}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
