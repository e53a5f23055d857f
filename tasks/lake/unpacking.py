"""Unpacking: a look at all of a text file before it is read, for what its reader would pass over without a word."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

PIECE = 1 << 20  # bytes that are unpacked at once, however small they were packed
PACKED = 1 << 16  # bytes that are read at once: what is left of them is copied at the end of every gzip stream in them
LONGEST = 1 << 25  # bytes of a line: DuckDB puts lines above 4,000,000 bytes aside, and loses those above 64,000,000


def check_text(file: str) -> None:
    """Raise ValueError where a file on disk, plain or with .gz or .zst, is cut off, damaged or has an endless line.

    Of a file that was cut off readers take what is left for all of it.
    """
    if "://" in file:
        return
    if file.endswith(".gz"):
        pieces = _gzip(file)
    elif file.endswith(".zst"):
        pieces = _zstd(file)
    elif Path(file).stat().st_size > LONGEST:
        pieces = _plain(file)
    else:
        return
    since = 0
    for piece in pieces:
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r"))
        since = len(piece) - end - 1 if end >= 0 else since + len(piece)
        if since > LONGEST:
            raise ValueError(
                f"{file} has a line of more than {LONGEST:,} bytes, which cannot be read: give it a line a row, each of "
                "at most 4,000,000 bytes"
            )


def _plain(file: str) -> Iterator[bytes]:
    with Path(file).open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece


def _gzip(file: str) -> Iterator[bytes]:
    with Path(file).open("rb") as stream:
        unpack, data = zlib.decompressobj(wbits=31), b""
        try:
            while data := data or stream.read(PACKED):
                yield unpack.decompress(data, PIECE)
                data = unpack.unused_data.lstrip(b"\0") if unpack.eof else unpack.unconsumed_tail
                if unpack.eof and (data or stream.peek(1)):
                    unpack = zlib.decompressobj(wbits=31)
        except zlib.error as error:
            raise ValueError(f"{file} is no whole gzip file ({error}): deliver it again") from error
    if not unpack.eof:
        raise ValueError(f"{file} is cut off: the gzip stream has no end; deliver it again")


def _zstd(file: str) -> Iterator[bytes]:
    with pa.OSFile(file) as packed, pa.input_stream(packed, compression="zstd") as stream:
        try:
            while piece := stream.read(PIECE):
                yield piece
        except OSError as error:
            raise ValueError(f"{file} is no whole zstd file ({error}): deliver it again") from error
