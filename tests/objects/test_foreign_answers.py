"""A proxy in front of S3 that answers in its place: nothing is taken to be absent, written or listed because of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nightloop.tasks.objects import retry
from nightloop.tasks.objects.clock import store_time
from nightloop.tasks.objects.objects import S3
from nightloop.tasks.objects.s3_client import client, open_object
from nightloop.tasks.plan.errors import StoreError
from nightloop.tasks.plan.settings import Settings

KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
ABSENT = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
EMPTY = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
PAGES = [(404, b"404 page not found"), (404, b"<html>default backend - 404</html>"), (404, b"")]
PAGES += [(200, b"<html>back soon</html>"), (200, b""), (204, b"")]


class Proxy(BaseHTTPRequestHandler):
    """Gives these answers in turn, the last of them from then on."""

    protocol_version = "HTTP/1.1"  # with it a client that asks whether to send its body is told to
    answers: tuple[tuple[int, bytes], ...] = ()
    dated = True

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        (status, body), *later = Proxy.answers
        Proxy.answers = tuple(later) or Proxy.answers
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        if Proxy.dated:
            self.send_header("Date", formatdate(1_800_000_000, usegmt=True))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Settings(s3_endpoint=f"http://127.0.0.1:{server.server_port}", s3_path_style=True)
        server.shutdown()


@pytest.fixture
def store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> S3:
    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0))
    return S3("bucket", "store/", client(settings, tuple(sorted(KEYS.items()))))


def answer(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, bytes], dated: bool = True) -> None:
    monkeypatch.setattr(Proxy, "answers", answers)
    monkeypatch.setattr(Proxy, "dated", dated)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.read("a"),
        lambda store: list(store.keys("a/")),
        lambda store: store.create("a", b"mine"),
        lambda store: store.swap("a", b"mine", "tag"),
        store_time,
    ],
    ids=["read", "list", "create", "swap", "clock"],
)
def test_what_a_proxy_says_is_no_answer(
    page: tuple[int, bytes], ask: Callable[[S3], object], store: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, page)
    with pytest.raises((ConnectionError, TimeoutError), match=r"does not answer|may or may not"):
        ask(store)


def test_it_is_asked_for_again_and_s3_may_say_that_a_key_is_absent(store: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, (404, b"404 page not found"), (404, ABSENT))
    assert store.read("a") is None
    answer(monkeypatch, (200, b"<html>"), (200, EMPTY))
    assert list(store.keys("a/")) == []
    assert store_time(store) == 1_800_000_000


def test_an_answer_without_a_time_is_no_clock(store: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, (200, EMPTY), dated=False)
    with pytest.raises(StoreError, match="no time in its header Date"):
        store_time(store)


def test_a_delivery_is_not_called_missing_by_a_proxy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, (404, b"404 page not found"))
    with pytest.raises(StoreError, match="could not be read"):
        open_object(settings, KEYS, "s3://logs/day.csv")
    answer(monkeypatch, (404, ABSENT))
    with pytest.raises(FileNotFoundError, match="no file"):
        open_object(settings, KEYS, "s3://logs/day.csv")
