"""Access: by the name that is called, the page that asks, and the token; a refusal says what is allowed and teaches nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("prometheus_client")
fastapi = pytest.importorskip("fastapi.testclient")

from nightloop.tasks.http_service.access import checked_host, checked_token, is_loopback  # noqa: E402
from nightloop.tasks.http_service.app import service  # noqa: E402
from tests.http_service.test_service import GOOD, Place  # noqa: E402

TOKEN = "a-token-of-32-characters-0123456"
HOSTS = ["rec.example.com", "*.Inside.example"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("access"))


def asked(place: Place, headers: dict[str, str] | list[tuple[str, str]], path: str = "/score", **options: Any) -> Any:
    """What comes back, without the headers that the client adds by itself."""
    with fastapi.TestClient(service(place.desk, **options)) as client:
        if path == "/score":
            return client.post(path, json=GOOD, headers=headers)
        return client.get(path, headers=headers)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LocalHost:8080", "localhost.", "127.0.0.1", "127.0.0.1:8080", "[::1]:80", "10.1.2.3:8080", "[fd00::1]",
        "rec.example.com", "REC.example.com:443", "a.inside.example", "a.b.inside.example",
    ],
)  # fmt: skip
def test_addresses_localhost_and_allowed_names_may_be_called(place: Place, host: str) -> None:
    assert asked(place, {"host": host}, hosts=HOSTS).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "rec.example.com.evil.example", "xrec.example.com", "inside.example", "evilinside.example", "",
        "localhost.evil.example", "127.0.0.1.evil.example", "evil.example@127.0.0.1", "127.0.0.1/evil.example", "[::1].evil",
        "localhost:evil", "local host", "0x7f.1", "localhost,evil.example", "rec.example.com:99999999",
    ],
)  # fmt: skip
def test_no_other_name_may_be_called(place: Place, host: str) -> None:
    told = asked(place, {"host": host}, hosts=HOSTS)
    assert told.status_code == 400 and "is not allowed; allowed are localhost, rec.example.com" in told.json()["error"]
    assert asked(place, {"host": host}, "/health", hosts=HOSTS).status_code == 400


def test_two_names_at_once_are_no_name(place: Place) -> None:
    assert asked(place, [("host", "localhost"), ("host", "evil.example")], hosts=HOSTS).status_code == 400


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "http://localhost.evil.example", "[", ""]
)
def test_pages_of_other_sites_may_not_ask(place: Place, origin: str) -> None:
    headers = {"host": "localhost:8080", "origin": origin}
    told = asked(place, headers, hosts=[])
    assert told.status_code == 403 and "pages of other sites may not" in told.json()["error"]
    assert "access-control-allow-origin" not in told.headers


def test_a_page_of_this_server_may_ask(place: Place) -> None:
    for host, origin in (("localhost:8080", "http://localhost:8080"), ("Rec.example.com", "https://rec.example.com")):
        assert asked(place, {"host": host, "origin": origin}, hosts=HOSTS).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", "", "text/plain; application/json"]
)  # fmt: skip
def test_a_body_that_a_page_may_send_without_asking_first_is_refused(place: Place, kind: str) -> None:
    """These are the kinds that a browser sends to other sites without a preflight."""
    told = asked(place, {"content-type": kind})
    assert told.status_code == 422 and "with content-type: application/json" in told.json()["error"]


@pytest.mark.parametrize("path", ["/score", "/metrics", "/openapi.json", "/nothing", "/health/"])
def test_without_the_token_nothing_but_health_is_answered(place: Place, path: str) -> None:
    for given in (
        {},
        *({"authorization": a} for a in ("Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "Bearer é")),
    ):
        headers = {name: value.encode("latin-1") for name, value in given.items()}
        told = asked(place, headers, path, token=TOKEN)  # type: ignore[arg-type]
        assert told.status_code == 401 and told.headers["www-authenticate"] == "Bearer" and TOKEN not in told.text
    told = asked(place, {"authorization": f"bearer {TOKEN}"}, path, token=TOKEN)
    assert told.status_code == (404 if path in ("/nothing", "/health/") else 200)
    assert asked(place, {}, "/health", token=TOKEN).status_code == 200


@pytest.mark.parametrize(
    "token", ["short", "with a space in the middle of it", "a-letter-that-is-not-ascii-é", "x" * 2000]
)
def test_a_token_that_cannot_be_is_refused_without_being_told(token: str) -> None:
    with pytest.raises(ValueError, match="16 to 1,000 printable ASCII characters") as caught:
        checked_token(token)
    assert token not in str(caught.value)


@pytest.mark.parametrize("host", ["", "*", "*.", "a..b", "http://a", "a:80", "a/b", "a b", "a.*.b", "é.example"])
def test_a_host_that_cannot_be_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is not a host name: give one without a port"):
        checked_host(host)


def test_what_is_reached_from_outside_is_known() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.com", "")))


def test_a_server_that_listens_to_others_says_what_they_may_do(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    import uvicorn

    from nightloop.flows.cli.serve import serve
    from tests.serving import make_store as made
    from tests.serving.test_observe import FULL, plan

    made.store(tmp_path / "store", plan(FULL))
    (tmp_path / "books.yaml").write_text(plan(FULL).model_dump_json())
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path))
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)  # what holds for a process of its own
    monkeypatch.setattr(
        "nightloop.flows.cli.serve.gc", SimpleNamespace(collect=int, freeze=int, set_threshold=lambda *_: None)
    )
    for host, token, warned in (("0.0.0.0", "", True), ("0.0.0.0", TOKEN, False), ("127.0.0.1", "", False)):
        monkeypatch.setenv("NIGHTLOOP_SERVE_TOKEN", token)
        serve(str(tmp_path / "books.yaml"), host=host, port=0)
        said = capsys.readouterr().err
        assert ("everyone who can reach 0.0.0.0" in said) is warned and TOKEN not in said
