"""EUI-64: the 64-bit identifier of every party and Device (IEEE; GBCS 4.3.1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lamplighter.kit.errors import DecodeError, UsageError

EUI64_OCTETS: Final = 8
_TEXT: Final = re.compile(r"(?:[0-9A-Fa-f]{2}-){7}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{16}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Eui64:
    """Eight octets, big-endian; text form `00-DB-12-34-56-78-90-A4`."""

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != EUI64_OCTETS:
            raise UsageError(f"an EUI-64 has 8 octets, not {len(self.octets)}")

    @classmethod
    def parse(cls, text: str) -> Eui64:
        """Read `00-DB-12-34-56-78-90-A4` or `00DB1234567890A4`, in either case."""
        if not _TEXT.fullmatch(text):
            raise DecodeError("EUI-64", "text", 0, "xx-xx-xx-xx-xx-xx-xx-xx in hex", repr(text[:40]))
        return cls(bytes.fromhex(text.replace("-", "")))

    @classmethod
    def of(cls, number: int) -> Eui64:
        """The identifier whose 64-bit value is `number`."""
        return cls(number.to_bytes(EUI64_OCTETS, "big"))

    def __int__(self) -> int:
        return int.from_bytes(self.octets, "big")

    def __str__(self) -> str:
        return self.octets.hex("-").upper()
