"""Somebody else's package: installed, found by its entry point, built from a plan, and held to the contract."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = """
import json
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.plugins import classes
from nightloop.tasks.strategies import build
made = build(Part(use="HalfStep", options={"share": 0.25, "training": {"epochs": 1}}))
inner = build(Part(use="AverageWeights", options={"learner": "HalfStep"})).learner
print(json.dumps([list(classes("strategy")), made.share, made.training.epochs, type(inner).__name__]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A copy of the package's source, and an environment in which it is installed."""
    place = tmp_path_factory.mktemp("third_party")
    source, target = place / "source", place / "site"
    shutil.copytree(ROOT / "tests" / "third_party", source, ignore=shutil.ignore_patterns("__pycache__", "conftest.py"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", target, source], check=True, timeout=120)
    return source, {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(ROOT)])}


def python(installed, *arguments):
    source, environment = installed
    done = subprocess.run(
        [sys.executable, *arguments], cwd=source, env=environment, capture_output=True, text=True, timeout=120
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_and_built(installed):
    names, share, epochs, inner = json.loads(python(installed, "-c", ASK))
    assert "HalfStep" in names and "FineTune" in names
    assert (share, epochs, inner) == (0.25, 1, "HalfStep")


def test_its_own_tests_run_the_contract(installed):
    said = python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert "passed" in said and "skipped" not in said and "failed" not in said
