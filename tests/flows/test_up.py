"""Who may ask the Prefect servers that nightloop starts: `nightloop up`'s, and the temporary one of a verb."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tests.flows.run_cli import HOUSE, said
from tests.flows.tiny_pipeline import raw_plan
from tests.prefect_server import Server, basic, command, send

EVIL = {"origin": "https://evil.example"}
JSON = {"content-type": "application/json"}
READ, CREATE = "/flows/filter", "/flows/"


def refuses_strangers(api: str) -> None:
    """Nobody reads or creates anything without the login; no other website's script is let near."""
    assert send(f"{api}/admin/version", "GET", EVIL).status == 401
    assert send(f"{api}/csrf-token?client=evil", "GET", EVIL).status == 401
    assert send(f"{api}/admin/version", "GET", {"host": "evil.example"}).status == 401, "a name of its own is no way in"
    for sent in (EVIL, EVIL | JSON, JSON, JSON | {"prefect-csrf-token": "a", "prefect-csrf-client": "b"}):
        for path, body in ((READ, b"{}"), (CREATE, b'{"name": "evil"}')):
            assert send(api + path, "POST", sent, body).status in (401, 403)
    for guess in ("nightloop:", ":", "nightloop:guess", "admin:pass"):
        assert send(f"{api}/admin/version", "GET", {"authorization": basic(guess)}).status == 401
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,authorization"}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", api.removesuffix("/api")):
        answer = send(api + CREATE, "OPTIONS", wanted | {"origin": origin})
        assert answer.status == 400 and "access-control-allow-origin" not in answer.headers


def test_nightloop_up_refuses_strangers(nightloop_up: Server) -> None:
    refuses_strangers(f"{nightloop_up.url}/api")
    assert not [flow for flow in nightloop_up.ask(READ, {}) if flow["name"] == "evil"]


def test_a_login_alone_creates_nothing_without_a_token_against_forged_requests(nightloop_up: Server) -> None:
    known = {"authorization": basic(nightloop_up.login)}
    assert nightloop_up.send("GET", "/admin/version", known)[0] == 200
    for sent in (
        known | JSON,
        known | JSON | EVIL,
        known | JSON | {"prefect-csrf-token": "a", "prefect-csrf-client": "b"},
    ):
        assert nightloop_up.send("POST", CREATE, sent, b'{"name": "forged"}')[0] == 403
    assert nightloop_up.ask(CREATE, {"name": "by the operator"})["name"] == "by the operator"
    assert not [flow for flow in nightloop_up.ask(READ, {}) if flow["name"] == "forged"]


def test_up_says_where_its_login_is_and_not_what_it_is(nightloop_up: Server) -> None:
    path = nightloop_up.home / "prefect" / "login"
    assert nightloop_up.login.removeprefix("nightloop:") not in nightloop_up.said
    assert str(path) in nightloop_up.said and "nightloop login --show" in nightloop_up.said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_taken_port_is_refused_in_one_sentence(nightloop_up: Server, tmp_path: Path) -> None:
    words, environment = command(tmp_path / "another", nightloop_up.port)
    done = subprocess.run(words, cwd=HOUSE, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert f"port {nightloop_up.port} is taken" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.soak
def test_a_verb_takes_the_login_of_its_own_homes_up_and_says_what_to_do_without(
    nightloop_up: Server, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(json.dumps(raw_plan(tmp_path)))
    asked = {
        "PREFECT_API_URL": f"{nightloop_up.url}/api",
        "PREFECT_API_AUTH_STRING": "",
        "PREFECT_CLIENT_MAX_RETRIES": "0",
        "NIGHTLOOP_PREFECT": "1",
    }
    words = ("maintain", str(tmp_path / "tiny.yaml"), "--dry-run", "--json")
    done = said({**asked, "NIGHTLOOP_HOME": str(nightloop_up.home)}, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    done = said({**asked, "NIGHTLOOP_HOME": str(tmp_path / "another")}, *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    where = nightloop_up.url.removeprefix("http://")
    assert f"the Prefect server at {where} asks for another login" in json.loads(done.stdout)["error"]


VERB = """
import sys
import nightloop.flows.cli.main as cli

@cli.app.command()
def probe(prefect: cli.PREFECT = None) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.create_flow_from_name("made by the verb")
        sys.stdout.write(str(client.api_url) + chr(10))
        sys.stdout.flush()
        sys.stdin.read()  # the test is asking the server meanwhile

sys.argv = ["nightloop", "probe", "--prefect"]
cli.main()
"""


@pytest.mark.soak
def test_the_temporary_server_of_a_verb_refuses_strangers_and_serves_the_verb(tmp_path: Path) -> None:
    _, environment = command(tmp_path / "home", 0)
    own = {**environment, "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_AUTH_STRING": "left:over"}
    with subprocess.Popen(
        [sys.executable, "-c", VERB], cwd=HOUSE, env=own, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as verb:  # fmt: skip
        try:
            api = told(verb.stdout)
            assert api.startswith("http://127.0.0.1:"), verb.communicate()[1][-3000:]
            refuses_strangers(api)
            assert send(f"{api}/admin/version", "GET", {"authorization": basic("left:over")}).status == 401
        finally:
            _, error = verb.communicate()
    assert verb.returncode == 0, error[-3000:]


def told(stream: IO[str] | None) -> str:
    """The next line, without a slash at its end."""
    assert stream
    return stream.readline().strip().rstrip("/")


@pytest.mark.parametrize("variable", ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS", "PREFECT_SERVER_CSRF_PROTECTION_ENABLED"])
def test_no_setting_of_the_environment_opens_a_server(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from nightloop.flows.cli.up import server_environment

    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path))
    closed = server_environment("http://127.0.0.1:1")
    monkeypatch.setenv(variable, "*")
    assert server_environment("http://127.0.0.1:1")[variable] == closed[variable] != os.environ[variable]
