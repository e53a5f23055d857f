"""All parts of compose.yaml together, as processes of this machine: two workers that share nothing but the store.

PostgreSQL, the S3 server and the Prefect server are real ones; the S3 server is moto's, which honours conditional writes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightloop.flows.cli.processes import noted_runs
from nightloop.tasks.simulation.deliver import deliver
from tests.flows.tiny_pipeline import WORLD, raw_plan
from tests.infra.deployment_files import INFRA, environment
from tests.infra.native_parts import Parts, parts
from tests.postgres_server import running_postgres
from tests.prefect_server import basic, send
from tests.s3_servers import Server

pytestmark = [pytest.mark.xdist_group("parts"), pytest.mark.timeout(900)]


@pytest.fixture
def whole(tmp_path: Path, moto: Server) -> Iterator[Parts]:
    """The parts, with six days of logs in a place that every worker reads, and a plan that only the deployer has."""
    shutil.copy(INFRA / "make-secrets.sh", tmp_path)
    subprocess.run([tmp_path / "make-secrets.sh"], check=True)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "simulated.yaml").write_text(yaml.safe_dump(raw_plan(tmp_path)))
    for day in range(6):
        deliver(WORLD, tmp_path / "in", day, False)
    user, password = environment("postgres")["POSTGRES_USER"], (tmp_path / "secrets" / "PGPASSWORD").read_text()
    with running_postgres(user, password) as postgres, parts(tmp_path, postgres, moto) as made:
        said = made.run("deploy")
        assert "tiny: the plan is tiny@" in said
        shutil.rmtree(tmp_path / "plans")  # no worker needs it
        yield made


def ask(whole: Parts, path: str, body: Any = None) -> Any:
    """An answer of Prefect's API to an operator."""
    login = (whole.place / "secrets" / "PREFECT_API_AUTH_STRING").read_text()
    headers = {"authorization": basic(login), "content-type": "application/json"}
    api = f"http://127.0.0.1:{whole.ports['prefect']}/api"
    if body is not None:
        token = json.loads(send(f"{api}/csrf-token?client=tests", "GET", headers).read())["token"]
        headers |= {"prefect-csrf-client": "tests", "prefect-csrf-token": token}
    data = None if body is None else json.dumps(body).encode()
    answer = send(api + path, "GET" if body is None else "POST", headers, data)
    text = answer.read().decode()
    assert answer.status in (200, 201), (path, answer.status, text[:500])
    return json.loads(text)


def start(whole: Parts, flow: str, **parameters: Any) -> str:
    """Start a run of a deployment, as the form does. Returns its id."""
    deployment = ask(whole, f"/deployments/name/{flow}/tiny-{flow}")
    return str(ask(whole, f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})["id"])


def ended(whole: Parts, run: str, patience: int = 240) -> dict[str, Any]:
    """The run, once it has ended."""
    for _ in range(patience * 4):
        found: dict[str, Any] = ask(whole, f"/flow_runs/{run}")
        if found["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return found
        time.sleep(0.25)
    raise AssertionError(f"{found['name']} is still {found['state_name']}; {logs(whole)}")


def logs(whole: Parts) -> str:
    """The last words of every process."""
    return "\n".join(f"--- {name}: {whole.said(name)[-1500:]}" for name in whole.running)


def begin_workers(whole: Parts) -> None:
    """Two workers with homes of their own."""
    for name in ("worker-1", "worker-2"):
        whole.start("worker", name)
    for name in ("worker-1", "worker-2"):
        whole.wait(name, "/health")


def test_a_night_is_trained_by_workers_that_share_nothing_but_the_store(whole: Parts) -> None:
    begin_workers(whole)
    done = ended(whole, start(whole, "nightly", period="2026-01-03"))
    assert done["state_type"] == "COMPLETED", (done["state"], logs(whole))
    (ran,) = [name for name in ("worker-1", "worker-2") if noted_runs(whole.home(name))]
    bucket, _, prefix = environment("worker")["NIGHTLOOP_STORE"].removeprefix("s3://").partition("/")
    found = whole.s3.client().list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")["Contents"]
    assert {f"{prefix}/reports/tiny.html", f"{prefix}/store-id.json"} <= {one["Key"] for one in found}
    assert not [path for path in whole.home(ran).rglob("*") if path.suffix in (".parquet", ".sqlite", ".safetensors")]
    assert "2 nights and their" in whole.run("deploy", "doctor", "--deep")


@pytest.mark.soak
def test_a_worker_that_loses_power_in_a_night_resumes_it_and_the_champion_is_served(whole: Parts) -> None:
    whole.run("bucket")  # a second start of compose changes nothing
    begin_workers(whole)
    run = start(whole, "nightly", period="2026-01-06", catch_up=9)
    for _ in range(480):
        if ask(whole, f"/flow_runs/{run}")["state_type"] == "RUNNING":
            break
        time.sleep(0.25)
    (ran,) = [name for name in ("worker-1", "worker-2") if run in noted_runs(whole.home(name))]
    time.sleep(8)  # in the middle of a night
    whole.kill(ran)
    assert ask(whole, f"/flow_runs/{run}")["state_type"] == "RUNNING", "it told nobody"
    whole.start("worker", ran)
    done = ended(whole, run)
    assert done["state_type"] == "COMPLETED" and done["run_count"] == 2, (done["state"], logs(whole))
    assert "starts again by itself, and resumes" in whole.said(ran)
    promoted = ended(whole, start(whole, "promote", strategy="popular", reason="a trial", force=True))
    assert promoted["state_type"] == "COMPLETED", (promoted["state"], logs(whole))
    plan = done["parameters"]["plan"] if "plan" in done["parameters"] else ""
    whole.start("serve", plan=plan or ask(whole, "/deployments/name/nightly/tiny-nightly")["parameters"]["plan"])
    whole.wait("serve", "/health")
    token = (whole.place / "secrets" / "NIGHTLOOP_SERVE_TOKEN").read_text()
    asked = urllib.request.Request(
        f"http://127.0.0.1:{whole.ports['serve']}/recommend",
        json.dumps({"user": "u1", "k": 3}).encode(),
        {"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert len(json.loads(answer.read())["items"]) == 3
    assert "5 nights and their" in whole.run("deploy", "doctor", "--deep")
