"""Stores: the same semantics on a directory and on S3, and clear refusals of those that must not be used."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ReadTimeoutError

from nightloop.tasks.objects import blobs, retry
from nightloop.tasks.objects.objects import S3, Directory, Objects, open_for_reading, open_objects
from nightloop.tasks.plan.settings import Settings
from tests.objects.memory_objects import Memory
from tests.s3_servers import Server


@pytest.fixture(params=["memory", "directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "memory":
        return Memory()
    if request.param == "directory":
        return open_objects(Settings(store=str(tmp_path / "deep" / "store")))
    server: Server = request.getfixturevalue("moto")
    return open_objects(server.settings(server.bucket() + "/some/prefix", tmp_path), server.credentials)


def test_conditional_writes(store: Objects) -> None:
    assert store.read("a/b") is None
    assert not store.swap("a/b", b"0", "no such tag")
    assert store.create("a/b", b"1") and not store.create("a/b", b"2")
    data, tag = store.read("a/b") or (b"", "")
    assert data == b"1"
    assert store.swap("a/b", b"3", tag) and not store.swap("a/b", b"4", tag)
    assert store.create("a/c", b"") and store.read("a/c")[0] == b""  # type: ignore[index]
    assert store.create("ab", b"5")
    assert list(store.keys("a/")) == ["a/b", "a/c"]
    assert [k for k in store.keys("a") if k != "format.json"] == ["a/b", "a/c", "ab"]
    store.remove("a/b")
    store.remove("a/b")
    assert store.read("a/b") is None and list(store.keys("nothing/")) == []


BAD_KEYS = [
    "", "/etc/passwd", "../up", "a/../b", "a/..", "..", ".", "a//b", "a/", "./a", ".hidden", "a/.hidden", "a\\b", "a b",
    "a'b", 'a"b', "a\x00b", "a\nb", "a;DROP TABLE log", "ä", "a" * 513, "x" * 1_000_000,
    "%2e%2e/a", "~root", "-rf", "a?b", "a*",
]  # fmt: skip


def test_keys_that_could_leave_the_store(store: Objects) -> None:
    for key in BAD_KEYS:
        for use in (store.read, store.remove, lambda k: store.create(k, b""), lambda k: store.swap(k, b"", "")):
            with pytest.raises(ValueError, match="is not a key of a store") as error:
                use(key)
            assert len(str(error.value)) < 600, key[:80]
    with pytest.raises(ValueError, match="is not a key"):
        list(store.keys("../"))


def test_blobs_are_checked_before_use_and_mended(store: Objects) -> None:
    sha = blobs.put(store, b"some weights")
    assert blobs.put(store, b"some weights") == sha and blobs.get(store, sha) == b"some weights"
    key = blobs.blob_key(sha)
    for damage in (b"other weights", b"some", b""):
        assert store.swap(key, damage, store.read(key)[1])  # type: ignore[index]
        with pytest.raises(ValueError, match="changed or cut off"):
            blobs.get(store, sha)
        assert blobs.put(store, b"some weights") == sha and blobs.get(store, sha) == b"some weights"
    store.remove(key)
    with pytest.raises(FileNotFoundError, match=sha):
        blobs.get(store, sha)
    for name in ("../../etc/passwd", "A" * 64, "x" * 1_000_000):
        with pytest.raises(ValueError, match="is not a SHA-256"):
            blobs.get(store, name)


def test_many_threads_one_winner(store: Objects) -> None:
    won: list[int] = []
    gate = threading.Barrier(8)

    def race(me: int) -> None:
        gate.wait()
        if store.create("race", b"%d" % me):
            won.append(me)

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and store.read("race")[0] == b"%d" % won[0]  # type: ignore[index]


def test_swaps_of_many_threads_are_all_counted(store: Objects) -> None:
    """A counter raised by compare-and-swap loses no increment."""
    store.create("counter", b"0")

    def raise_ten() -> None:
        for _ in range(10):
            while True:
                data, tag = store.read("counter") or (b"", "")
                if store.swap("counter", b"%d" % (int(data) + 1), tag):
                    break

    threads = [threading.Thread(target=raise_ten) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read("counter")[0] == b"30"  # type: ignore[index]


def test_newer_or_damaged_format(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path))
    open_objects(settings)
    (tmp_path / "format.json").write_text('{"format": 2}')
    for opener in (open_objects, open_for_reading):
        with pytest.raises(ValueError, match=r"has format 2, this nightloop reads format 1; use a newer"):
            opener(settings)
    (tmp_path / "format.json").write_text("<html>")
    with pytest.raises(ValueError, match="is damaged"):
        open_objects(settings)


def test_places_that_are_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="is a file"):
        open_objects(Settings(store=str(tmp_path / "file")))
    for place in ("gs://bucket/x", "s3://", "s3:///x", "http://host/x"):
        with pytest.raises(ValueError, match="neither a directory nor s3://"):
            open_objects(Settings(store=place))
    with pytest.raises(ValueError, match="is not a key"):
        open_objects(Settings(store="s3://bucket/../other"))
    with pytest.raises(ValueError, match="neither a directory nor s3://"):
        open_objects(Settings(store="s3://bucket';--/x"))


READ_ONLY = """
import os, sys
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.objects.objects import open_for_reading, open_objects
if os.getuid() == 0:
    os.setuid(65534)
try:
    open_objects(Settings(store=sys.argv[1]))
except PermissionError as error:
    print(error)
    print(open_for_reading(Settings(store=sys.argv[1])).read("a"))
"""


def test_read_only_directory(tmp_path: Path) -> None:
    """Refused for writing, open for reading; in a process of its own, which gives up being root."""
    place = tmp_path / "store"
    open_objects(Settings(store=str(place))).create("a", b"1")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    for path in (place, *place.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = subprocess.run([sys.executable, "-c", READ_ONLY, str(place)], capture_output=True, text=True, timeout=60)
    for path in (place, *place.rglob("*")):
        path.chmod(0o755)
    assert "may not be written" in done.stdout and "b'1'" in done.stdout, done.stderr


def test_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_objects(Settings(store=str(tmp_path)))
    store.create("a", b"old")
    tag = store.read("a")[1]  # type: ignore[index]

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for write in (lambda: store.create("b/c", b"new"), lambda: store.swap("a", b"new", tag)):
            with pytest.raises(OSError, match=r"is full .*no part of the object was written"):
                write()
    assert store.read("a")[0] == b"old" and store.read("b/c") is None  # type: ignore[index]
    assert list((tmp_path / ".writing").iterdir()) == []
    assert store.create("b/c", b"new")


DIES = """
import os, sys
from pathlib import Path
from nightloop.tasks.objects.objects import Directory
os.link = lambda *_: os.kill(os.getpid(), 9)
Directory(Path(sys.argv[1])).create("a", b"half")
"""


def test_killed_while_writing(tmp_path: Path) -> None:
    """A real SIGKILL between the data and its name: no such key; the rest is tidied, what others write is not."""
    open_objects(Settings(store=str(tmp_path)))
    assert subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], timeout=60).returncode == -9
    store = Directory(tmp_path)
    (left,) = (tmp_path / ".writing").iterdir()
    os.utime(left, (1.7e9, 1.7e9))
    assert store.read("a") is None and "a" not in list(store.keys(""))
    with store._temporary_file(b"at work") as mine:
        store.tidy()
        assert list((tmp_path / ".writing").iterdir()) == [mine]
    assert store.create("a", b"whole")


def test_a_store_that_is_opened_takes_no_file_from_a_writer_at_work(tmp_path: Path) -> None:
    """A file that ends while it is looked at is no error, and one that its writer has not locked yet is left to it."""
    store, going = Directory(tmp_path), threading.Event()
    store.create("begin", b"")
    faults: list[Exception] = []

    def write() -> None:
        try:
            for number in range(300):
                store.create(f"a/{number}", b"1")
        except Exception as error:
            faults.append(error)
        going.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not going.is_set():
        store.tidy()
    writer.join()
    assert faults == [] and len(list(store.keys("a/"))) == 300
    fresh = tmp_path / ".writing" / "fresh"
    fresh.touch()
    store.tidy()
    assert fresh.exists()
    os.utime(fresh, (1.7e9, 1.7e9))
    store.tidy()
    assert not fresh.exists()


def test_absent_bucket(moto: Server, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no bucket for s3://absent-bucket/x"):
        open_objects(moto.settings("s3://absent-bucket/x", tmp_path), moto.credentials)


def test_a_lying_store_is_refused(rclone: Server, rclone_store_url: str, tmp_path: Path) -> None:
    """rclone accepts If-None-Match and If-Match and ignores them: no champion is safe there."""
    with pytest.raises(ValueError, match=r"does not honour conditional writes: .*If-None-Match ignored"):
        open_objects(rclone.settings(rclone_store_url, tmp_path), rclone.credentials)
    assert list(open_for_reading(rclone.settings(rclone_store_url, tmp_path), rclone.credentials).keys("")) == []


def test_wrong_credentials(rclone: Server, rclone_store_url: str, tmp_path: Path) -> None:
    wrong = {**rclone.credentials, "aws_secret_access_key": "wrong"}
    with pytest.raises(PermissionError, match="refuses these credentials"):
        open_objects(rclone.settings(rclone_store_url, tmp_path), wrong)


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0))
    nobody = Server("http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="does not answer; check that"):
        open_objects(nobody.settings("s3://bucket", tmp_path), nobody.credentials)


class Scripted:
    """An S3 client over a dict. Each write follows the script: ok, or (what to raise, whether it took effect)."""

    def __init__(self, *script: tuple[Exception, bool] | str) -> None:
        self.held: dict[str, bytes] = {}
        self.script: Iterator[tuple[Exception, bool] | str] = iter(script)

    def get_object(self, Bucket: str, Key: str) -> dict[str, object]:
        if Key not in self.held:
            raise failed(404, "NoSuchKey")
        data = self.held[Key]
        return {"Body": type("Body", (), {"read": lambda self: data})(), "ETag": repr(data)}

    def put_object(
        self, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str = "", IfMatch: str = ""
    ) -> dict[str, object]:
        step = next(self.script, "ok")
        if step == "ok" or step[1]:
            if (IfNoneMatch and Key in self.held) or (IfMatch and repr(self.held.get(Key)) != IfMatch):
                raise failed(412, "PreconditionFailed")
            self.held[Key] = Body
        if step != "ok":
            raise step[0]
        return {"ETag": repr(Body)}


def failed(status: int, code: str, attempts: int = 0) -> ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": attempts}}
    return ClientError(answer, "PutObject")  # type: ignore[arg-type]


CUT = ReadTimeoutError(endpoint_url="http://s3")


@pytest.mark.parametrize(
    ("script", "won"),
    [
        ([(CUT, True)], True),  # timed out after its effect: the retry's 412 is our own doing
        ([(CUT, False)], True),  # timed out before its effect
        ([(failed(500, "InternalError"), True)], True),
        ([(failed(503, "SlowDown"), False), (CUT, True)], True),
        ([(failed(409, "ConditionalRequestConflict"), False)], True),
        ([(failed(412, "PreconditionFailed", attempts=1), True)], True),  # retried inside the client
        ([(CUT, True)] * 2, True),  # no answer at all in as many attempts: read back
    ],
)
def test_writes_of_unknown_fate_are_settled(
    script: list[tuple[Exception, bool]], won: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0, 0.0))
    created = Scripted(*script)
    assert S3("b", "", created).create("a", b"mine") is won  # type: ignore[arg-type]
    assert created.held == {"a": b"mine"}
    swapped = Scripted(*script)
    swapped.held["a"] = b"old"
    assert S3("b", "", swapped).swap("a", b"mine", repr(b"old")) is won  # type: ignore[arg-type]
    assert swapped.held == {"a": b"mine"}


def test_a_race_lost_while_unsure_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0))
    client = Scripted((CUT, False))
    client.held["a"] = b"theirs"
    assert not S3("b", "", client).create("a", b"mine")  # type: ignore[arg-type]
    assert not S3("b", "", Scripted((CUT, False))).swap("a", b"mine", "gone")  # type: ignore[arg-type]


def test_a_fate_that_stays_unknown_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0))
    with pytest.raises(TimeoutError, match="may or may not have been written; run again"):
        S3("b", "p/", Scripted((CUT, False), (CUT, False))).create("a", b"mine")  # type: ignore[arg-type]


class Silent(Scripted):
    """A server that applies the first write, and from then on answers nothing."""

    def get_object(self, Bucket: str, Key: str) -> dict[str, object]:
        raise CUT


@pytest.mark.parametrize("second", [(CUT, True), "ok"])  # "ok": the server says that the key exists
def test_a_write_is_said_to_be_of_unknown_fate_if_it_cannot_be_read_back(
    second: tuple[Exception, bool] | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0))
    silent = Silent((CUT, True), second)
    with pytest.raises(TimeoutError, match="may or may not have been written; run again"):
        S3("b", "p/", silent).create("a", b"mine")  # type: ignore[arg-type]
    assert silent.held == {"p/a": b"mine"}


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (failed(403, "AccessDenied"), PermissionError, "refuses these credentials"),
        (failed(507, "InsufficientStorage"), OSError, "is full"),
        (failed(501, "NotImplemented"), ValueError, "does not support conditional writes"),
        (failed(400, "EntityTooSmall"), OSError, "answered 400"),
        (NoCredentialsError(), PermissionError, "no credentials"),
    ],
)
def test_refusals_are_final_and_clear(error: Exception, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        S3("b", "", Scripted((error, False))).create("a", b"")  # type: ignore[arg-type]
