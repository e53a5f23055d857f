"""Page headers: where the pages of a column of a Parquet file are, and the checksums that they have (Thrift's compact form)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

SIZE, CHECKSUM = 3, 4  # fields of the header of a page
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 7, 8, 9, 10, 12  # types of fields; 4 to 6 are integers
LONGEST = 1 << 24  # bytes of a header, as Arrow has it
DEEPEST = 16  # structures in each other


def page_checksums(stream: BinaryIO, start: int, size: int, piece: int) -> Iterator[tuple[int | None, int]]:
    """The checksum that each page has, or None, and that of its bytes. `piece`: how many bytes are read at once.

    Raises EOFError if the bytes are no pages.
    """
    stream.seek(start)
    stored = _StoredBytes(stream, size, piece)
    while stored.left:
        found = stored.structure(max(stored.left - LONGEST, 0))
        if (rest := found.get(SIZE, -1)) < 0:
            raise EOFError("the header of a page does not say its size")
        said, checksum = found.get(CHECKSUM), 0
        if said is None:
            yield None, 0
        while rest:
            part = stored.take(min(rest, piece))
            checksum, rest = zlib.crc32(part, checksum), rest - len(part)
        if said is not None:
            yield said & 0xFFFFFFFF, checksum


class _StoredBytes:
    """The bytes of a column, in order. Every method raises EOFError at their end."""

    def __init__(self, stream: BinaryIO, size: int, piece: int) -> None:
        self.left = self._unread = size
        self._stream, self._piece = stream, piece
        self._buffer, self._place = b"", 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        while len(self._buffer) - self._place < count:
            more = self._stream.read(min(self._piece, self._unread)) if self._unread else b""
            if not more:
                raise EOFError("the column ends within a page")
            self._unread -= len(more)
            self._buffer, self._place = self._buffer[self._place :] + more, 0
        taken = self._buffer[self._place : self._place + count]
        self._place, self.left = self._place + count, self.left - count
        return taken

    def number(self) -> int:
        """An integer without a sign."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise EOFError("an integer has too many digits")

    def structure(self, least: int, depth: int = 0) -> dict[int, int]:
        """The integers of a structure, by their fields; what else it holds is passed over. `least`: bytes that stay left."""
        found: dict[int, int] = {}
        field = 0
        while head := self.take(1)[0]:
            kind = head & 0x0F
            field = field + (head >> 4) if head >> 4 else _signed(self.number())
            value = self._value(kind, least, depth)
            if value is not None:
                found[field] = value
        return found

    def _value(self, kind: int, least: int, depth: int, inside: bool = False) -> int | None:
        """Pass over a value; return it if it is an integer. `inside`: it is in a list, where a boolean takes a byte."""
        if self.left < least or depth > DEEPEST:
            raise EOFError("the header of a page is too large")
        if kind in (TRUE, FALSE, BYTE):
            self.take(inside or kind == BYTE)
        elif kind < DOUBLE:
            return _signed(self.number())
        elif kind == DOUBLE:
            self.take(8)
        elif kind == BINARY:
            length = self.number()
            if length > self.left - least:
                raise EOFError("the header of a page is too large")
            self.take(length)
        elif kind in (LIST, SET):
            head = self.take(1)[0]
            for _ in range(self.number() if head >> 4 == 15 else head >> 4):
                self._value(head & 0x0F, least, depth + 1, True)
        elif kind == STRUCT:
            self.structure(least, depth + 1)
        else:
            raise EOFError("the header of a page holds what no header does")
        return None


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)
