"""The package as it is installed from a wheel: it works away from the checkout, with the plans that it ships."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from nightloop.tasks.simulation.deliver import deliver
from tests.flows.run_cli import HOUSE
from tests.flows.tiny_pipeline import WORLD, raw_plan

pytestmark = pytest.mark.xdist_group("wheel")
STATED = [
    words.rpartition(" ")[2]
    for words in tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["classifiers"]
    if words.startswith("Programming Language")
]


def interpreter(version: str) -> str | None:
    """A Python of this version, where one is installed: on the path, or beside others of pyenv."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [str(python) for python in sorted(kept.glob(f"{version}.*/bin/python3"))]
    for python in (*found, shutil.which(f"python{version}")):
        ask = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if python and subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() == version:
            return python
    return None


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files in a directory of their own; what it depends on is there already."""
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", str(HOUSE), "--no-deps", "-w", str(place)], check=True, capture_output=True)
    (wheel,) = place.glob("nightloop-*.whl")
    subprocess.run(
        [*pip, "install", str(wheel), "--no-deps", "--target", str(place / "site")], check=True, capture_output=True
    )
    return place / "site"


def said(installed: Path, where: Path, *words: str, timeout: int = 280) -> subprocess.CompletedProcess[str]:
    """What the installed console script says in a directory of its user's."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "NIGHTLOOP_", "TESTS_"))}
    own = {**clean, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1", "COLUMNS": "200"}
    command = [sys.executable, "-c", "from nightloop.flows.cli.main import main; main()", *words]
    return subprocess.run(command, cwd=where, env=own, capture_output=True, text=True, timeout=timeout)


def test_doctor_and_a_night_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    done = said(installed, tmp_path, "doctor", "--json")
    found = {row["check"]: row for row in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0, done.stdout
    assert str(installed) in found["install"]["finding"]
    assert (
        "simulated" in found["plans"]["finding"]
        and str(installed / "nightloop" / "infra" / "plans") in found["plans"]["finding"]
    )
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(raw_plan(tmp_path, {"pretrain_periods": 1}), sort_keys=False))
    deliver(WORLD, tmp_path / "in", 0)
    done = said(installed, tmp_path, "night", "tiny.yaml", "--period", "2026-01-01")
    assert done.returncode == 0 and done.stdout.startswith("2026-01-01"), done.stderr[-3000:]
    assert (tmp_path / ".nightloop" / "store").is_dir()
    unknown = said(installed, tmp_path, "status", "nobody")
    assert unknown.returncode == 2 and "no plan 'nobody'" in unknown.stderr and "simulated" in unknown.stderr


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_demo_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    done = said(installed, tmp_path, "demo", timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / ".nightloop" / "reports" / "demo.html").exists()


@pytest.mark.soak
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("version", STATED)
def test_the_demo_under_every_python_that_the_package_states(version: str, tmp_path: Path) -> None:
    if (python := interpreter(version)) is None:
        pytest.skip(f"Python {version} is not installed")
    shutil.copytree(HOUSE, tmp_path / "here", ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "NIGHTLOOP_", "TESTS_"))}
    command = ["make", f"PYTHON={python}", f"VENV={tmp_path}/venv", "demo"]
    done = subprocess.run(command, cwd=tmp_path / "here", env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "here" / ".nightloop" / "reports" / "demo.html").exists()
    assert list((tmp_path / "venv" / "lib").glob(f"python{version}"))
