"""A bake-off on a Dask cluster that has no directory in common with the run: the results of one process."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import LocalCluster

import nightloop.flows.bakeoff
from tests.bakeoff.make_specs import WHEN, bake, oven
from tests.flows.tiny_pipeline import Tiny, begin

pytestmark = pytest.mark.xdist_group("bakeoff")


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return begin(tmp_path_factory, monkeypatch, 1, 2, 3, 4, 5)


def numbers(found: dict[str, object]) -> object:
    """What does not depend on the machine."""
    return found["curves"], [(cell["label"], cell["candidates"], cell["scores"]) for cell in found["cells"]]  # type: ignore[attr-defined]


def test_cells_on_a_cluster_get_their_files_from_the_store(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        oven(patch)
        here = bake(tiny.path, strategies=("tuned", "popular"))
    for name in ("store", "lake"):
        monkeypatch.setenv(f"NIGHTLOOP_{'DATA' if name == 'lake' else name.upper()}", str(tiny.home / "home" / name))
    for entry in (tiny.home / "home" / "store").rglob("*steps*"):
        assert entry  # kept results are asked for by their keys; a second seed has none
    monkeypatch.setattr(nightloop.flows.bakeoff, "scheduled_time", lambda: WHEN)
    elsewhere = {"NIGHTLOOP_HOME": str(tmp_path / "worker")}
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, env=elsewhere) as cluster:
        there = bake(tiny.path, strategies=("tuned", "popular"), seeds=(5,), runner=f"dask:{cluster.scheduler_address}")
    with monkeypatch.context() as patch:
        oven(patch)
        assert numbers(bake(tiny.path, strategies=("tuned", "popular"), seeds=(5,))) == numbers(there)
    assert numbers(here) != numbers(there)
    assert list((tmp_path / "worker" / "bakeoff").glob("scratch-*")) == [], "the worker leaves nothing behind"
