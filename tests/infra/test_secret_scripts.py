"""The scripts that make secrets and hand them to a process."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nightloop.flows.cli.login import SHAPE
from tests.infra.deployment_files import COMPOSE, INFRA, SERVICES

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The secrets, made in a directory of their own."""
    shutil.copy(INFRA / "make-secrets.sh", tmp_path)
    subprocess.run([tmp_path / "make-secrets.sh"], check=True)
    return tmp_path / "secrets"


def test_every_secret_of_compose_is_made_once(secrets: Path) -> None:
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {*made} == {*COMPOSE["secrets"]} and all(made.values())
    assert SHAPE.fullmatch(made["PREFECT_SERVER_API_AUTH_STRING"])
    assert made["PREFECT_API_AUTH_STRING"] == made["PREFECT_SERVER_API_AUTH_STRING"]
    (identity,) = json.loads(made["s3.json"])["identities"]
    assert identity["credentials"] == [{"accessKey": made["AWS_ACCESS_KEY_ID"], "secretKey": made["AWS_SECRET_ACCESS_KEY"]}]
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    subprocess.run([secrets.parent / "make-secrets.sh"], check=True)
    assert made == {path.name: path.read_text() for path in secrets.iterdir()}


def test_a_process_has_its_secrets_in_its_environment(secrets: Path) -> None:
    own = {"SECRETS": str(secrets), "PATH": "/usr/bin:/bin", "NIGHTLOOP_SERVE_TOKEN": "given by the cluster"}
    words = [INFRA / "with-secrets.sh", sys.executable, "-c", SHOW]
    seen = json.loads(subprocess.run(words, env=own, check=True, capture_output=True, text=True).stdout)
    for name in {name for service in SERVICES.values() for name in service.get("secrets", [])} - {"s3.json"}:
        wanted = own[name] if name in own else (secrets / name).read_text()
        assert seen[name] == wanted
    assert not [name for name in seen if "json" in name]
    nothing = subprocess.run([INFRA / "with-secrets.sh", "true"], env={"SECRETS": "/nowhere", "PATH": "/usr/bin:/bin"})
    assert nothing.returncode == 0
