"""Columns of values as PostgreSQL's arrays in binary: what the driver makes of lists, at a third of the cost.

For the way in, where a column of each lot of messages is one parameter of one statement. An array is a head
(dimensions, whether there are NULLs, the type of its elements, their number, the lowest index), then each
element with its length before it, -1 where it is NULL (PostgreSQL, `array_recv`). The statement must cast the
parameter to the array's type.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct, error
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD: Final = Struct("!iiIii")
_EMPTY: Final = Struct("!iiI")
_LENGTH: Final = Struct("!i")
_NULL: Final = _LENGTH.pack(-1)
_NUMBERS: Final = {
    "smallint": (21, "h"),
    "integer": (23, "i"),
    "bigint": (20, "q"),
}  # pg_type: oid; its octets
_STRINGS: Final = {"bytea": 17, "text": 25}


class Packed(bytes):
    """An array in binary."""

    __slots__ = ()


def pack(kind: str, values: Sequence[Any]) -> Packed:
    """Values of one kind: "smallint", "integer", "bigint", "bytea" or "text"; None is NULL.

    Raises `OverflowError` for a number that is too large for its kind.
    """
    oid, form = _NUMBERS.get(kind) or (_STRINGS[kind], "")
    if not values:
        return Packed(_EMPTY.pack(0, 0, oid))
    nulls = None in values
    head = _HEAD.pack(1, nulls, oid, len(values), 1)
    if not form:
        octets = [it.encode() if isinstance(it, str) else it for it in values] if kind == "text" else values
        parts = [_NULL if it is None else _LENGTH.pack(len(it)) + it for it in octets]
        return Packed(head + b"".join(parts))
    item = _items(form, 1)
    width = item.size - _LENGTH.size
    try:
        if nulls:
            parts = [_NULL if it is None else item.pack(width, it) for it in values]
            return Packed(head + b"".join(parts))
        row = [width] * (2 * len(values))
        row[1::2] = values
        return Packed(head + _items(form, len(values)).pack(*row))
    except error as cause:
        raise OverflowError(f"a number is too large for {kind}") from cause


def adapt(connection: Any) -> None:
    """Have a connection of psycopg send a `Packed` as it is; the statement's cast says what it is."""
    from psycopg.adapt import Dumper  # noqa: PLC0415 # the extra `postgres`
    from psycopg.pq import Format  # noqa: PLC0415

    class Verbatim(Dumper):
        format = Format.BINARY

        def dump(self, obj: bytes) -> bytes:
            return obj

    connection.adapters.register_dumper(Packed, Verbatim)


@lru_cache(maxsize=1024)
def _items(form: str, count: int) -> Struct:
    return Struct("!" + f"i{form}" * count)
