"""A bake-off on a Dask cluster that has no directory in common with the run: the results of one process."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

import nightloop.flows.bakeoff
from tests.bakeoff.make_specs import WHEN, bake, oven
from tests.flows.tiny_pipeline import Tiny, begin

pytestmark = pytest.mark.xdist_group("bakeoff")


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return begin(tmp_path_factory, monkeypatch, 1, 2, 3, 4, 5)


def numbers(found: dict[str, Any]) -> object:
    """What does not depend on the machine."""
    return found["curves"], [(cell["entrant"], cell["candidates"]) for cell in found["cells"]], found["failed"]


def test_cells_on_a_cluster_get_their_files_from_the_store(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, directory in (("STORE", "store"), ("DATA", "lake")):
        monkeypatch.setenv(f"NIGHTLOOP_{name}", str(tiny.home / "home" / directory))
    with monkeypatch.context() as patch:
        oven(patch)
        here = bake(tiny.path, strategies=("tuned", "popular"), seeds=(5,))
    shutil.rmtree(tiny.home / "home" / "store" / "pipelines" / "tiny" / "work")  # the results that are kept
    monkeypatch.setattr(nightloop.flows.bakeoff, "scheduled_time", lambda: WHEN)
    elsewhere = {"NIGHTLOOP_HOME": str(tmp_path / "worker")}
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, env=elsewhere) as cluster:
        there = bake(tiny.path, strategies=("tuned", "popular"), seeds=(5,), runner=f"dask:{cluster.scheduler_address}")
    assert numbers(here) == numbers(there) and not there["failed"]
    assert (tmp_path / "worker" / "bakeoff").exists(), "the cells ran on the worker"
    assert not list((tmp_path / "worker" / "bakeoff").glob("scratch-*")), "which leaves nothing behind"
