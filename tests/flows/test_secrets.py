"""Secrets planted in every place that takes one: verbs that fail as real processes, and everything they write is searched."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from tests.flows.run_cli import HOUSE
from tests.flows.tiny_pipeline import raw_plan
from tests.prefect_server import Server as Prefect
from tests.s3_servers import Server, free_port

pytestmark = pytest.mark.xdist_group("secrets")  # one process: the verbs are run once

WORDS = {"dsn": "dsn pl4nted's", "url": "url-pl4nted/2", "key": "KEY-pl4nted-3", "secret": "s3-pl4nted/4", "token": "token-pl4nted-5",
         "login": "login-pl4nted-6", "pg": "pg-pl4nted-7",}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, moto: Server, nightloop_up: Prefect) -> Iterator[dict[str, str]]:
    """What the verbs wrote, by place: what they said, their homes and stores, and Prefect's database."""
    place = tmp_path_factory.mktemp("secrets")
    plan = place / "tiny.yaml"
    plan.write_text(yaml.safe_dump(raw_plan(place)))
    at = f"host=127.0.0.1 port={free_port()}"
    quoted = WORDS["dsn"].replace("'", "\\'")
    dsn = {"NIGHTLOOP_CATALOG": f"postgres:dbname=x user=u password='{quoted}' {at}"}
    url = {"NIGHTLOOP_CATALOG": f"postgres:postgresql://u:{quote(WORDS['url'], safe='')}@127.0.0.1:{free_port()}/x"}
    s3 = {
        "NIGHTLOOP_S3_ENDPOINT": moto.endpoint,
        "NIGHTLOOP_S3_PATH_STYLE": "true",
        "NIGHTLOOP_STORE": "s3://not-there/x",
    }
    common = {
        **nightloop_up.environment, "NIGHTLOOP_HOME": str(place / "home"), "AWS_ACCESS_KEY_ID": WORDS["key"],
        "AWS_SECRET_ACCESS_KEY": WORDS["secret"], "AWS_SESSION_TOKEN": WORDS["token"], "PGPASSWORD": WORDS["pg"],
        "PREFECT_SERVER_API_AUTH_STRING": f"admin:{WORDS['login']}", "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "nightloop,botocore,duckdb", "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.1",
    }  # fmt: skip
    runs = {
        "night, server down": ({**common, **dsn}, ["night", str(plan), "--period", "2026-01-03", "--json"]),
        "status, server down": ({**common, **url}, ["status", str(plan), "--json"]),
        "doctor, no bucket": ({**common, **s3, **dsn}, ["doctor", "--json"]),
    }
    found = dict(side_by_side(runs))
    time.sleep(1.0)  # the last logs and events are on their way
    found["Prefect's database"] = database(nightloop_up.home / "prefect" / "prefect.db")
    for path in place.rglob("*"):
        if path.is_file():
            found[str(path)] = path.read_bytes().decode("utf-8", "replace")
    yield found


def side_by_side(runs: dict[str, tuple[dict[str, str], list[str]]]) -> Iterator[tuple[str, str]]:
    """What these verbs say, run at once."""
    started = {
        name: subprocess.Popen(
            [sys.executable, "-m", "nightloop", *words], cwd=HOUSE, env={**os.environ, **own},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name, (own, words) in runs.items()
    }  # fmt: skip
    for name, process in started.items():
        out, err = process.communicate(timeout=250)
        yield name, f"{out}\n{err}\nexit code {process.returncode}"


def database(path: Path) -> str:
    """Every value of every table."""
    with sqlite3.connect(path) as opened:
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: opened.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}  # noqa: S608
    opened.close()
    assert rows["flow_run"] and rows["log"] and rows["flow_run_state"] and rows["events"]
    return "\n".join(f"{name} {row}" for name, found in rows.items() for row in found)


@pytest.mark.parametrize("word", WORDS)
def test_a_planted_secret_is_written_nowhere(written: dict[str, str], word: str) -> None:
    secret = WORDS[word]
    spelt = {secret, quote(secret, safe=""), secret.replace("'", "\\'"), secret.split()[-1], json.dumps(secret)[1:-1]}
    assert not {place: way for place, text in written.items() for way in spelt if way in text}


def test_what_failed_says_what_was_wrong(written: dict[str, str]) -> None:
    """The verbs came as far as was meant, and their words are still of use."""
    for name, words in {
        "night, server down": (
            "the catalog postgres:dbname=x user=u host=127.0.0.1",
            "cannot be opened",
            "exit code 2",
        ),
        "status, server down": ('"error": "the catalog', "exit code 2"),
        "doctor, no bucket": ("there is no bucket for s3://not-there", "exit code 1"),
        "Prefect's database": ("the catalog postgres:dbname=x user=u host=127.0.0.1", "cannot be opened"),
    }.items():
        assert not [word for word in words if word not in written[name]], written[name][-3000:]
