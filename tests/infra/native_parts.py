"""The services of compose.yaml as processes of this machine: their environment, secrets and commands are read from that file.

Only what a container has of its own is replaced: the addresses, and the directories of homes and plans.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from nightloop.flows.cli.processes import end_all
from tests.infra.deployment_files import COMPOSE, INFRA, SERVICES, command, environment
from tests.postgres_server import Postgres
from tests.s3_servers import Server, free_port

PATIENCE = 120  # seconds, on a busy machine


@dataclass
class Parts:
    """Everything that runs, each process in a directory of its own below `place`."""

    place: Path
    postgres: Postgres
    s3: Server
    ports: dict[str, int] = field(default_factory=lambda: {"prefect": free_port(), "serve": free_port()})
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def home(self, name: str) -> Path:
        """The home of a process, which no other has."""
        return self.place / name / "home"

    def said(self, name: str) -> str:
        """What a process has printed."""
        return (self.place / name / "log").read_text()

    def variables(self, service: str, name: str) -> dict[str, str]:
        """The environment of a service, as compose sets it, with the addresses of this machine."""
        replaced = {
            "http://s3:8333": self.s3.endpoint,
            "host=postgres port=5432": f"host=127.0.0.1 port={self.postgres.port}",
            "@postgres:5432/": f"@127.0.0.1:{self.postgres.port}/",
            "http://prefect:4200": f"http://127.0.0.1:{self.ports['prefect']}",
            "/home/nightloop/home": str(self.home(name)),
            "/plans": str(self.place / "plans"),
        }
        own = environment(service)
        for before, after in replaced.items():
            own = {key: value.replace(before, after) for key, value in own.items()}
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "NIGHTLOOP_", "AWS_", "PG", "TESTS_"))}
        return {**clean, "SECRETS": str(self._secrets(service)), **own}

    def words(self, service: str, name: str) -> list[str]:
        """The command of a service, which gets its secrets as in the image."""
        programs = {"nightloop": ["-P", "-m", "nightloop"], "prefect": ["-P", "-m", "prefect"], "python": []}
        first, *rest = command(service)
        ports = {"4200": str(self.ports["prefect"]), "8080": str(self.ports["serve"]), "8081": str(self.port_of(name))}
        rest = ["127.0.0.1" if word == "0.0.0.0" else ports.get(word, word) for word in rest]
        return [str(INFRA / "with-secrets.sh"), sys.executable, *programs[first], *rest]

    def port_of(self, name: str) -> int:
        """The port at which a worker answers health checks."""
        return self.ports.setdefault(name, free_port())

    def start(self, service: str, name: str = "", plan: str = "") -> None:
        """Start a service as a process, by a name of its own if there are several of it."""
        name = name or service
        (self.place / name).mkdir(exist_ok=True)
        words = [plan if plan and word == "simulated" else word for word in self.words(service, name)]
        out: IO[bytes] = (self.place / name / "log").open("ab")
        self.running[name] = subprocess.Popen(
            words, cwd=self.place / name, env=self.variables(service, name), stdout=out, stderr=out, start_new_session=True
        )

    def run(self, service: str, *words: str, name: str = "") -> str:
        """Run the command of a service, or another verb of nightloop in its environment, to its end. Returns what it says."""
        name = name or service
        (self.place / name).mkdir(exist_ok=True)
        given = self.words(service, name)
        if words:
            given = [given[0], sys.executable, "-P", "-m", "nightloop", *words]
        done = subprocess.run(
            given, cwd=self.place / name, env=self.variables(service, name), capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{' '.join(given[1:])}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def wait(self, name: str, path: str) -> None:
        """Wait until a process answers at this path of its port."""
        url = f"http://127.0.0.1:{self.ports[name]}{path}"
        for _ in range(PATIENCE * 4):
            try:
                urllib.request.urlopen(url, timeout=2).close()
                return
            except (urllib.error.URLError, OSError):
                assert self.running[name].poll() is None, self.said(name)[-3000:]
                time.sleep(0.25)
        raise AssertionError(f"{name} does not answer at {url}: {self.said(name)[-3000:]}")

    def kill(self, name: str) -> None:
        """As if the machine of a worker lost power: it and its runs are gone at once, and tell nobody."""
        os.killpg(self.running.pop(name).pid, signal.SIGKILL)
        end_all(self.home(name))

    def stop(self) -> None:
        """End everything, the servers last."""
        for name in sorted(self.running, key=lambda name: name == "prefect"):
            process = self.running[name]
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            end_all(self.home(name))

    def _secrets(self, service: str) -> Path:
        """A directory with the secrets that this service has, and no other."""
        own = self.place / "run-secrets" / service
        own.mkdir(parents=True, exist_ok=True)
        for name in SERVICES[service].get("secrets", []):
            if not (own / name).exists():  # a second worker must not empty it while the first reads it
                (own / name).write_text((self.place / "secrets" / name).read_text())
        return own


def empty_bucket(s3: Server, bucket: str) -> None:
    """Remove what another test has left in the bucket of this name."""
    client = s3.client()
    if bucket in [one["Name"] for one in client.list_buckets()["Buckets"]]:
        while found := client.list_objects_v2(Bucket=bucket).get("Contents"):
            for one in found:
                client.delete_object(Bucket=bucket, Key=one["Key"])


@contextmanager
def parts(place: Path, postgres: Postgres, s3: Server) -> Iterator[Parts]:
    """PostgreSQL's databases, the bucket and the Prefect server; everything that is started ends with the block."""
    for statement in (f"CREATE DATABASE {environment('postgres')['POSTGRES_DB']}", COMPOSE["configs"]["databases"]["content"]):
        postgres.run("psql", "-d", "postgres", "-c", statement)
    made = Parts(place, postgres, s3)
    empty_bucket(s3, environment("worker")["NIGHTLOOP_STORE"].split("/")[2])
    try:
        made.run("bucket")
        made.start("prefect")
        made.wait("prefect", "/api/health")
        yield made
    finally:
        made.stop()
