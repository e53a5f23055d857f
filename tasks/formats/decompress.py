"""Decompression, and a check of a whole text file before it is read, for faults that its reader would ignore."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from nightloop.tasks.plan.errors import DataError, StoreError

PIECE = 1 << 20  # bytes that are unpacked at once, however small they were packed
PACKED = 1 << 16  # bytes that are read at once: what is left of them is copied at the end of every gzip stream in them
UNPACK = "unpack it; csv, Parquet and JSON lines are read as they are, and text packed with gzip (.gz) or zstd (.zst)"
MAGIC = {
    b"PK\x03\x04": ("a zip archive", ""), b"\x1f\x8b": ("packed with gzip", ".gz"), b"BZh": ("packed with bzip2", ""),
    b"\xfd7zXZ\x00": ("packed with xz", ""), b"\x28\xb5\x2f\xfd": ("packed with zstd", ".zst"), b"PAR1": ("a Parquet file", ".parquet"),
    b"7z\xbc\xaf": ("a 7z archive", ""), b"Rar!": ("a rar archive", ""), b"\x50\x2a\x4d\x18": ("packed with zstd", ".zst"),
}  # fmt: skip
TAR = slice(257, 262)  # where an archive of tar has its mark, after the name of its first file
SKIPPED = tuple(
    bytes((0x50 + n, 0x2A, 0x4D, 0x18)) for n in range(16)
)  # of a frame of zstd that holds notes, as pzstd's first one
PACKED_MARKS = {".gz": (b"\x1f\x8b",), ".zst": (b"\x28\xb5\x2f\xfd", *SKIPPED)}
PADDING = b"\0\r\n"  # what follows gzip data and is none
PAGE = "as a download that failed leaves it: deliver the file itself"
NO_LOGS = {
    b"version https://git-lfs": "a pointer of Git LFS, and not the file itself: `git lfs pull` fetches that",
    b"<!doctype html": f"a web page, {PAGE}", b"<html": f"a web page, {PAGE}",
    b"<?xml": f"an XML document, {PAGE}", b"<error": f"an XML document, {PAGE}",
}  # fmt: skip
ENDS = re.compile("\r\n|\n|\r")
SMALL = 1 << 22  # bytes of a .gz file that is looked at as a whole although only its first rows are wanted
LONGEST = 1 << 25  # bytes of a line: DuckDB puts lines above 4,000,000 bytes aside, and loses those above 64,000,000


Opened = Callable[[str], BinaryIO]  # opens a file, wherever it is, to be read once from its start


def open_file(file: str) -> BinaryIO:
    """A file on disk, opened."""
    return Path(file).open("rb")


def check_text(file: str, head: bool = False, opened: Opened = open_file) -> None:
    """Raise DataError if a file, plain or with .gz or .zst, is cut off, damaged or has an endless line.

    Readers take a file that was cut off for a whole one. `head`: only its first bytes are looked at, unless it is a
    small .gz file.
    """
    with opened(file) as stream:
        head_bytes = stream.read(512)
    text = head_bytes.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    for mark, kind in NO_LOGS.items():
        if text.startswith(mark):
            raise DataError(f"{file} is {kind}")
    for mark, (kind, ending) in MAGIC.items():
        if head_bytes.startswith(mark) and not (ending and file.endswith(ending)):
            raise DataError(
                f"{file} is {kind}, and not text: {f'let its name end with {ending} in small letters' if ending else UNPACK}"
            )
    for ending, marks in PACKED_MARKS.items():
        if file.endswith(ending) and head_bytes and not head_bytes.startswith(marks):
            raise DataError(
                f"{file} is not packed, although its name ends with {ending}: let its name end otherwise, or deliver it again"
            )
    start = next(unpacked_pieces(file, opened), b"") if file.endswith((".gz", ".zst")) else head_bytes
    known = next((kind for mark, (kind, _) in MAGIC.items() if start.startswith(mark)), "")
    if inside := "a tar archive" if start[TAR] == b"ustar" else known:
        raise DataError(f"{file} holds {inside}, and not text: {UNPACK}")
    size = LONGEST + 1 if "://" in file else Path(file).stat().st_size
    if (head and (size > SMALL or not file.endswith(".gz"))) or (
        size <= LONGEST and not file.endswith((".gz", ".zst"))
    ):
        return
    since = 0
    for piece in unpacked_pieces(file, opened):
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r"))
        since = len(piece) - end - 1 if end >= 0 else since + len(piece)
        if since > LONGEST:
            raise DataError(_line_length_error(file))


def _line_length_error(file: str) -> str:
    return (
        f"{file} has a line of more than {LONGEST:,} bytes, which cannot be read: give it a line a row, each of at most "
        "4,000,000 bytes"
    )


def _padding_error(file: str, rest: bytes, stream: BinaryIO) -> str:
    """The message for zero bytes or line ends after gzip data: `rest`, then what the stream holds."""
    what = "zero bytes after its gzip data, as tapes and archives leave them"
    if not rest.startswith(b"\0"):
        what = "line ends after its gzip data, as programs leave them that pack each record by itself"
    while rest and not rest.strip(PADDING):
        rest = stream.read(PACKED)
    advice = (
        "more data follows them, which gzip would leave out: deliver the file again"
        if rest
        else "remove them, gzip -dc FILE | gzip > NEW.gz, or deliver the file again"
    )
    return f"{file} has {what}; {advice}"


def unpacked_pieces(file: str, opened: Opened = open_file) -> Iterator[bytes]:
    """What a file holds, unpacked. Raises DataError if it is cut off or damaged."""
    with opened(file) as stream:
        if file.endswith((".gz", ".zst")):
            yield from (_read_gzip if file.endswith(".gz") else _read_zstd)(file, stream)
        else:
            yield from iter(partial(stream.read, PIECE), b"")


def text_lines(file: str, encoding: str, opened: Opened = open_file) -> Iterator[str]:
    """The lines of a file, blank ones too, without their ends: \\n, \\r\\n or \\r, mixed as they may be.

    A byte that is invalid in the encoding becomes a lone surrogate, which no text holds otherwise.
    """
    rest, first = "", True
    for text in _decode(file, encoding, opened):
        rest += text.removeprefix("\ufeff") if first else text
        first = first and not text
        end = max(rest.rfind("\n"), rest.rfind("\r", 0, -1)) + 1  # a \\r at the very end may be half of an end
        yield from ENDS.split(rest[:end])[:-1]
        rest = rest[end:]
        if len(rest) > LONGEST:
            raise DataError(_line_length_error(file))
    *whole, last = ENDS.split(rest)
    yield from whole
    if last:
        yield last


def _decode(file: str, encoding: str, opened: Opened) -> Iterator[str]:
    """The text of a file. Raises DataError if it breaks off within a character, or is another encoding altogether."""
    try:
        yield from codecs.iterdecode(unpacked_pieces(file, opened), encoding, "surrogateescape")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not complete text in {encoding} ({error.reason}): deliver it again, or set the source's option `encoding`"
        ) from error


def _read_gzip(file: str, stream: BinaryIO) -> Iterator[bytes]:
    unpack, data, ahead = zlib.decompressobj(wbits=31), b"", stream.read(PACKED)
    try:
        while data or ahead:
            if not data:
                data, ahead = ahead, stream.read(PACKED)
            yield unpack.decompress(data, PIECE)
            data = unpack.unconsumed_tail
            if unpack.eof:
                data = unpack.unused_data
                if not data:
                    data, ahead = ahead, stream.read(PACKED)
                if data[:1].strip(PADDING) != data[:1]:
                    raise DataError(_padding_error(file, data + ahead, stream))
                unpack = zlib.decompressobj(wbits=31) if data else unpack
    except zlib.error as error:
        raise DataError(f"{file} is not a complete gzip file ({error}): deliver it again") from error
    if not unpack.eof:
        raise DataError(f"{file} is cut off: the gzip stream has no end; deliver it again")


def _read_zstd(file: str, packed: BinaryIO) -> Iterator[bytes]:
    with pa.input_stream(packed, compression="zstd") as stream:
        try:
            while piece := stream.read(PIECE):
                yield piece
        except StoreError:
            raise
        except OSError as error:
            if "too much memory" in str(error):
                raise DataError(
                    f"{file} was packed over a window of more than 128 MiB, as zstd --long=31 does: pack it without"
                ) from error
            raise DataError(f"{file} is not a complete zstd file ({error}): deliver it again") from error
