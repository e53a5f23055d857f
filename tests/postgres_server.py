"""A PostgreSQL server of our own for tests, from the system's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.s3_servers import free_port


@dataclass(frozen=True)
class Postgres:
    """A running server whose superuser is `user`."""

    programs: Path
    port: int
    user: str = "postgres"
    password: str = ""
    log: Path = Path("/dev/null")

    def run(self, program: str, *words: str) -> str:
        """What a program of PostgreSQL (psql, pg_dump, ...) says, as a client of this server."""
        own = {
            **os.environ,
            "PGPASSWORD": self.password,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": self.user,
        }
        done = subprocess.run([self.programs / program, *words], env=own, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def running_postgres(user: str = "postgres", password: str = "") -> Iterator[Postgres]:
    """A server until the block ends. With a password it asks for it; without one it trusts everybody on this machine.

    Skips the test if PostgreSQL is not installed.
    """
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb")
    if not binaries and not found:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    if os.geteuid() == 0 and not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root, and there is no runuser to be somebody else with")
    programs = binaries[-1] if binaries else Path(str(found)).parent
    as_other = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder, port = (
        Path(tempfile.mkdtemp(prefix="nightloop-postgres-")),
        free_port(),
    )  # pytest's own are its user's alone
    data, asks = str(folder / "data"), ["-A", "trust"]
    if password:
        (folder / "password").write_text(password)
        asks = ["-A", "scram-sha-256", "--pwfile", str(folder / "password")]
    if as_other:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "postgres")
    make = [*as_other, programs / "initdb", "-D", data, "-U", user, *asks]
    subprocess.run(make, check=True, capture_output=True, cwd="/")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [*as_other, programs / "pg_ctl", "-D", data, "-w"]
    start = [*control, "-o", options, "-l", str(folder / "log"), "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd="/")
    try:
        yield Postgres(programs, port, user, password, folder / "log")
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd="/")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A connection string of a PostgreSQL server of our own."""
    with running_postgres() as server:
        yield f"postgres:dbname=postgres user=postgres host=127.0.0.1 port={server.port}"
