"""The one way in which octets are read: bounded, and able to say what failed and where.

A `TracingCursor` also notes every field that it reads, so that a decoder explains a message to a human with
the very grammar by which it decodes it.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple, NoReturn

from lamplighter.kit.errors import DecodeError

_SHOWN_OCTETS = 16


class Record:
    """Consecutive fields of fixed size, which a cursor reads in one go.

    Each field is a `struct` format and a name: `Record(">", ("B", "tag"), ("8s", "originator"))`.
    """

    __slots__ = ("fields", "offsets", "struct")

    def __init__(self, order: str, *fields: tuple[str, str]) -> None:
        self.struct = struct.Struct(order + "".join(code for code, _ in fields))
        self.fields = tuple((struct.calcsize(order + code), name) for code, name in fields)
        sizes = [size for size, _ in self.fields]
        self.offsets = {name: sum(sizes[:index]) for index, (_, name) in enumerate(self.fields)}


class Cursor:
    """Reads a structure front to back; every read names its field.

    what      the structure's name, for errors
    octets    the input; a memoryview is read without copying
    base      what to add to offsets in errors, where `octets` lies inside something larger
    """

    __slots__ = ("_end", "_octets", "at", "base", "what")

    def __init__(self, what: str, octets: bytes | memoryview, base: int = 0) -> None:
        self.what = what
        self._octets = octets
        self._end = len(octets)
        self.at = 0
        self.base = base

    @property
    def left(self) -> int:
        """Octets not yet read."""
        return self._end - self.at

    def take(self, count: int, field: str) -> bytes:
        """The next `count` octets (>= 0)."""
        start = self.at
        stop = start + count
        if count < 0 or stop > self._end:
            self.fail(field, f"{count} octets", f"{self._end - start} left")
        self.at = stop
        octets = self._octets[start:stop]
        return octets if octets.__class__ is bytes else bytes(octets)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self._end - self.at, "rest")

    def u8(self, field: str) -> int:
        """One octet."""
        start = self.at
        if start >= self._end:
            self.fail(field, "1 octet", "the end")
        self.at = start + 1
        return self._octets[start]

    def big(self, count: int, field: str) -> int:
        """An unsigned big-endian integer of `count` octets."""
        return int.from_bytes(self.take(count, field), "big")

    def little(self, count: int, field: str) -> int:
        """An unsigned little-endian integer of `count` octets."""
        return int.from_bytes(self.take(count, field), "little")

    def exactly(self, octets: bytes, field: str) -> None:
        """The next octets must be these."""
        start = self.at
        found = self.take(len(octets), field)
        if found != octets:
            self.at = start
            self.fail(field, octets.hex(), found.hex())

    def inside(self, count: int, what: str, field: str) -> Cursor:
        """A cursor over the next `count` octets; offsets in its errors stay those of the whole."""
        start = self.base + self.at
        return Cursor(what, self.take(count, field), start)

    def unpack(self, record: Record) -> tuple[Any, ...]:
        """The values of a record's fields."""
        start = self.at
        stop = start + record.struct.size
        if stop > self._end:
            self._walk(record)  # to name the first field that is cut
        self.at = stop
        return record.struct.unpack_from(self._octets, start)

    def _walk(self, record: Record) -> None:
        for size, field in record.fields:
            if size == 1:
                self.u8(field)
            else:
                self.take(size, field)

    def one_of(self, allowed: bytes, field: str) -> int:
        """One octet, which must be among `allowed`."""
        octet = self.u8(field)
        if octet not in allowed:
            wanted = " or ".join(f"{one:02X}" for one in allowed)
            self.fail(field, wanted, f"{octet:02X}", at=self.at - 1)
        return octet

    def finish(self) -> None:
        """Nothing may be left."""
        if self.at != self._end:
            rest = bytes(self._octets[self.at : self.at + _SHOWN_OCTETS])
            self.fail("end", "no more octets", f"{self.left} more, starting {rest.hex()}")

    def fail(self, field: str, expected: str, found: str, *, at: int | None = None) -> NoReturn:
        """Refuse the input at `at` (default: here)."""
        raise DecodeError(self.what, field, self.base + (self.at if at is None else at), expected, found)


class Field(NamedTuple):
    """One field as it was read.

    what    the structure it belongs to
    name    its name in the specification's words
    offset  octets from the start of the message
    octets  the field itself
    """

    what: str
    name: str
    offset: int
    octets: bytes


class TracingCursor(Cursor):
    """A cursor that notes each field into `fields`, in the order of reading."""

    __slots__ = ("fields",)

    def __init__(
        self, what: str, octets: bytes | memoryview, base: int = 0, fields: list[Field] | None = None
    ) -> None:
        super().__init__(what, octets, base)
        self.fields: list[Field] = [] if fields is None else fields

    def take(self, count: int, field: str) -> bytes:
        """The next `count` octets, noted."""
        offset = self.base + self.at
        octets = super().take(count, field)
        if octets:
            self.fields.append(Field(self.what, field, offset, octets))
        return octets

    def u8(self, field: str) -> int:
        """One octet, noted."""
        offset = self.base + self.at
        octet = super().u8(field)
        self.fields.append(Field(self.what, field, offset, bytes((octet,))))
        return octet

    def unpack(self, record: Record) -> tuple[Any, ...]:
        """The values of a record's fields, each noted."""
        start = self.at
        self._walk(record)
        self.at = start
        return super().unpack(record)

    def inside(self, count: int, what: str, field: str) -> Cursor:
        """A tracing cursor over the next `count` octets; its fields stand in place of the whole."""
        start = self.base + self.at
        return TracingCursor(what, super().take(count, field), start, self.fields)
