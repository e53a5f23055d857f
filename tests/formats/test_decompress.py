"""Unpacking: small files that unpack to much cost no memory; endless lines and files cut off are refused, not half read."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pytest

from nightloop.tasks.formats.decompress import LONGEST, check_text
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.objects import retry
from nightloop.tasks.objects.s3_client import open_object
from nightloop.tasks.plan.errors import StoreError
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, lake
from tests.sources.test_files import HEADER, JSON, LINES, MANY, PLAN, users

MEGABYTE = b"a" * (1 << 20)
MEASURED = """
import resource, sys
from nightloop.tasks.formats.decompress import check_text
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    check_text(sys.argv[1])
except ValueError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("unpacking")) as warehouse:
        yield warehouse


def packed(path: Path, parts: Iterable[bytes]) -> Path:
    """A file of these bytes, packed as its name says."""
    if path.suffix == ".gz":
        pack = zlib.compressobj(1, zlib.DEFLATED, 31)
        path.write_bytes(b"".join([*map(pack.compress, parts), pack.flush()]))
    else:
        with pa.output_stream(path, compression="zstd" if path.suffix == ".zst" else None) as stream:
            for part in parts:
                stream.write(part)
    return path


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst"])
@pytest.mark.parametrize("lines", [True, False], ids=["many lines", "one line"])
def test_what_a_file_unpacks_to_costs_no_memory(tmp_path: Path, name: str, lines: bool) -> None:
    piece = b"ann,1,2026-01-01\n" * 60_000 if lines else MEGABYTE
    path = packed(tmp_path / name, [HEADER.encode(), *[piece] * 300])
    assert path.stat().st_size < 3_000_000
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, timeout=100)
    *said, kilobytes = done.stdout.splitlines() or [done.stderr]
    assert int(kilobytes) < 50_000 and bool(said) is not lines, done.stdout  # 300 MB were held at once


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.jsonl", "a.jsonl.gz"])
def test_an_endless_line_is_refused_and_not_lost(pond: Warehouse, tmp_path: Path, name: str) -> None:
    """DuckDB passes over a line of more than 64 MB without a word."""
    begin = (HEADER + LINES if "csv" in name else JSON).encode()
    path = packed(tmp_path / name, [begin, *[MEGABYTE] * 70, b",1,2026-01-01\n", begin])
    before = pond.latest()
    with pytest.raises(ValueError, match=rf"{name} has a line of more than {LONGEST:,} bytes") as caught:
        land_period(pond, Files(str(path)), PLAN, day(0))
    assert len(str(caught.value)) < 500 and pond.latest() == before


def test_a_long_line_that_is_not_endless_is_put_aside(pond: Warehouse, tmp_path: Path) -> None:
    path = packed(
        tmp_path / "2026-01-01.csv.gz", [HEADER.encode(), *[MEGABYTE] * 30, b",1,2026-01-01\n", LINES.encode()]
    )
    landing = land_period(pond, Files(str(path).replace("2026-01-01", "{period}")), PLAN, day(0))
    assert landing.rows == 4 and "ann" in users(pond, landing)
    unnamed = packed(tmp_path / "unnamed-2026-01-01.csv", [b"a" * 200_000, b",1,2026-01-01\n", LINES.encode()])
    source = Files(str(unnamed).replace("2026-01-01", "{period}"), names=("user", "item", "time"))
    assert land_period(pond, source, PLAN, day(0)).rows == 4


@pytest.mark.parametrize("part", [0.5, 0.999])
@pytest.mark.parametrize("name", ["a.csv.zst", "a.jsonl.zst"])
def test_a_file_that_is_cut_off_is_refused(pond: Warehouse, tmp_path: Path, name: str, part: float) -> None:
    path = packed(tmp_path / name, [(MANY if "csv" in name else JSON * 5_000).encode()])
    assert land_period(pond, Files(str(path)), PLAN, day(0)).rows > 0
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ValueError, match="deliver it again"):
        land_period(pond, Files(str(path)), PLAN, day(0))


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
@pytest.mark.parametrize("zeros", [1, 512, 1 << 17])
def test_zeros_after_gzip_data_are_named_with_what_to_do(
    pond: Warehouse, tmp_path: Path, name: str, zeros: int, head: bool
) -> None:
    """DuckDB says "Input is not a GZIP stream" of them, without the file. gzip leaves out what follows zeros."""
    one, path = gzip.compress((HEADER + LINES if "csv" in name else JSON).encode()), tmp_path / name
    for more, says in ((b"", "remove them, gzip -dc"), (one, "more data follows them, which gzip would leave out")):
        path.write_bytes(one + b"\0" * zeros + more)
        with pytest.raises(ValueError, match=f"{name} has zero bytes after its gzip data.*{says}"):
            land_period(replace(pond, head=head), Files(str(path)), PLAN, day(0))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_after_gzip_data_are_named_with_what_to_do(pond: Warehouse, tmp_path: Path, end: bytes) -> None:
    """aws-fluent-plugin-kinesis 196: records that are packed one by one, and a line end after each. gzip reads the first one alone."""
    one, path = gzip.compress(JSON.encode()), tmp_path / "a.jsonl.gz"
    for more, says in ((b"", "remove them, gzip -dc"), (one, "more data follows them, which gzip would leave out")):
        path.write_bytes(one + end + more)
        with pytest.raises(ValueError, match=f"a.jsonl.gz has line ends after its gzip data.*{says}"):
            land_period(pond, Files(str(path)), PLAN, day(0))


def test_zstd_over_a_large_window_is_named_with_what_to_do(pond: Warehouse, tmp_path: Path) -> None:
    """python-zstandard 157, xopen 155: it was called a file that is not complete, to be delivered again."""
    data, path = (HEADER + LINES).encode(), tmp_path / "a.csv.zst"
    for window, fits in ((27, True), (28, False)):  # a frame of one block that is not packed
        path.write_bytes(
            b"\x28\xb5\x2f\xfd\0" + bytes([(window - 10) << 3]) + (len(data) * 8 + 1).to_bytes(3, "little") + data
        )
        if fits:
            assert land_period(pond, Files(str(path)), PLAN, day(0)).rows > 0
            continue
        with pytest.raises(
            ValueError, match=r"a\.csv\.zst was packed over a window of more than 128 MiB.*pack it without"
        ):
            land_period(pond, Files(str(path)), PLAN, day(0))


@pytest.mark.parametrize(("name", "what"), [("a.csv.gz", "a tar archive"), ("a.csv", "a tar archive"), ("a.tsv.gz", "packed with gzip"),
                                            ("a.csv.zst", "packed with gzip"), ("a.jsonl.gz", "a zip archive")])  # fmt: skip
def test_an_archive_inside_is_named(pond: Warehouse, tmp_path: Path, name: str, what: str) -> None:
    """pandas 12005, spark-csv 413, vector 6241: the name of a file in a tar archive was a part of the first user's id."""
    data = f"ann,1,{LINES[0]}\n".encode()
    if "tar" in what:
        stream = BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for member in ("hit_data.csv", "more.csv"):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, BytesIO(data))
        data = stream.getvalue()
    else:
        data = gzip.compress(data) if "gzip" in what else b"PK\x03\x04" + data
    packed = {".gz": gzip.compress, ".zst": lambda text: bytes(pa.Codec("zstd").compress(text, asbytes=True))}
    (tmp_path / name).write_bytes(packed.get(Path(name).suffix, bytes)(data))
    with pytest.raises(ValueError, match=f"{name} holds {what}, and not text: unpack it"):
        land_period(pond, Files(str(tmp_path / name), names=("user", "item", "time")), PLAN, day(0))


def test_gzip_files_in_parts_and_of_any_size_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    for size in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20):
        one = gzip.compress(b"a\n" * (size // 2) + b"a" * (size % 2), 1)
        for whole in (one, one + one, one + gzip.compress(b"")):
            path.write_bytes(whole)
            check_text(str(path))
        for cut in (one[:-1], one[:-9], one + one[:-1]):
            path.write_bytes(cut)
            with pytest.raises(ValueError, match="deliver it again"):
                check_text(str(path))


class Lame(BaseHTTPRequestHandler):
    """An S3 server that sends half of an object, and then nothing, or a byte now and then."""

    protocol_version = "HTTP/1.1"
    body, how = b"", "cut"

    def log_message(self, *words: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body[: len(self.body) // 2])
        self.wfile.flush()
        with suppress(OSError):
            for byte in self.body[len(self.body) // 2 :] if self.how == "drip" else b"":
                time.sleep(0.5)
                self.wfile.write(bytes([byte]))
        self.close_connection = True


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst"])
@pytest.mark.parametrize("how", ["cut", "drip"])
def test_a_file_on_s3_that_breaks_off_or_never_ends_is_a_fault_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, ending: str
) -> None:
    """It is tried again, as all that the network spoils; the file itself is not called damaged."""
    text = b"".join(b"%d,%d\n" % (n, n * 7919 % 100_003) for n in range(50_000))
    packed = {"csv": text, "csv.gz": gzip.compress(text), "csv.zst": pa.compress(text, "zstd", asbytes=True)}[ending]
    monkeypatch.setattr(retry, "DEADLINE", 1.0)
    lame = type("Server", (Lame,), {"body": packed, "how": how})
    with ThreadingHTTPServer(("127.0.0.1", 0), lame) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = Settings(
            home=tmp_path,
            s3_endpoint=f"http://127.0.0.1:{server.server_port}",
            s3_path_style=True,
            s3_region="us-east-1",
        )
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test-secret"}
        opened = partial(open_object, settings, keys)
        began = time.monotonic()
        with pytest.raises(
            StoreError, match=rf"s3://logs/day\.{ending} was cut off while it was read, or came too slowly"
        ):
            check_text(f"s3://logs/day.{ending}", opened=opened)
        assert time.monotonic() - began < 20
        server.shutdown()
