"""Every script in examples/ runs as a reader runs it, and prints what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
REFUSED = b'{"error": "user: given 7"}'


def run(name: str, *words: str, code: int = 0) -> str:
    """What an example prints, on both streams. It imports this checkout."""
    command = [sys.executable, "-P", str(HOUSE / "examples" / name), *words]
    environment = {**os.environ, "PYTHONPATH": str(HOUSE)}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def test_every_example_is_tested() -> None:
    here = Path(__file__).read_text()
    assert all(f'run("{path.name}"' in here for path in (HOUSE / "examples").glob("*.py"))


def test_a_strategy_of_ones_own_passes_the_contract_and_is_compared() -> None:
    said = run("own_strategy.py")
    assert len(re.findall(r"^passed  check_", said, re.M)) >= 14
    rows = [line.split() for line in said.splitlines() if re.match(r" +(\d|mean) ", line)]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "mean"]
    assert all(0 < float(score) < 1 for row in rows for score in row[1:])
    assert rows[0][1] == rows[0][2] and rows[1][1] != rows[1][2], "both start from the same weights, and then differ"


def test_a_source_of_ones_own_is_collected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv("NIGHTLOOP_DATA", str(tmp_path / "mine"))
    assert run("own_source.py").splitlines() == [
        "2026-01-01  a new version: version 1, 3 rows",
        "2026-01-02  a new version: version 1, 2 rows",
        "2026-01-02  a new version: version 2, 2 rows",
        "2026-01-02  nothing new: version 2, 2 rows",
        "logs: 2026-01-01, version 1: 2 rows",
        "logs: 2026-01-02, version 1: 1 rows",
        "logs: 2026-01-02, version 2: 2 rows",
        "quarantine: 2026-01-01, version 1: 1 rows",
        "quarantine: 2026-01-02, version 1: 1 rows",
    ]
    assert not (tmp_path / "mine").exists()


def test_a_history_is_scored() -> None:
    said = run("score_a_history.py").splitlines()
    assert re.fullmatch(r"\d+ rows, \d+ users, \d+ items, 9 periods", said[0])
    rows = {row[0]: (float(row[1]), float(row[2])) for row in map(str.split, said[3:])}
    assert [*rows] == ["3", "4", "5", "6", "7", "8", "mean"]
    assert rows["3"][0] == rows["3"][1] and rows["mean"][0] < rows["mean"][1] < 1


def test_a_history_of_ones_own_is_scored(tmp_path: Path) -> None:
    days = [f"u{n % 5},{n % 7},2026-01-{1 + n // 20:02d} 10:{n % 20:02d}" for n in range(100)]
    (tmp_path / "ratings.csv").write_text("user,item,time\n" + "\n".join(days))
    said = run("score_a_history.py", str(tmp_path / "ratings.csv")).splitlines()
    assert said[0] == "100 rows, 5 users, 7 items, 5 periods" and [row.split()[0] for row in said[3:]] == [
        "3",
        "4",
        "mean",
    ]


def test_the_service_is_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv("NIGHTLOOP_SERVE_TOKEN", "of another service")
    said = run("call_the_service.py")
    assert "fine-tune of 2026-01-01 serves from now on" in said and "serves at http://127.0.0.1:" in said
    assert re.search(r"^scored      i1 0\.\d{4}  i2 0\.\d{4}  i3 0\.\d{4} $", said, re.M), said
    assert re.search(r"^recommended( i\d+ 0\.\d{4} ){3}$", said, re.M), said
    assert "observed    3 labels were learned" in said and "Traceback" not in said
    assert not (tmp_path / "mine").exists()


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a service that refuses every question."""

    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(422)
            self.end_headers()
            self.wfile.write(REFUSED)

    with HTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_refusal_of_a_running_service_is_shown(refusing: str) -> None:
    said = run("call_the_service.py", "--url", refusing, "--user", "7", code=1)
    assert '/score answers 422: {"error": "user: given 7"}' in said and "Traceback" not in said
