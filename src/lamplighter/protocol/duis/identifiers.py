"""EUI-64 and RequestID in the one spelling that DUIS has: `xx-xx-..`, and `originator:target:counter`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lamplighter.kit import DecodeError, Eui64, UsageError

COUNTER_MAX: Final = 2**64 - 1
_COUNTER_DIGITS: Final = 20


def read_eui64(text: str) -> Eui64:
    """Read `90-B3-D5-1F-30-01-00-00`, in either case."""
    octets = bytes.fromhex(text.replace("-", ""))
    if octets.hex("-").upper() != text.upper():
        raise ValueError("not pairs of hex digits with hyphens between")
    return Eui64(octets)


@dataclass(frozen=True, slots=True, order=True)
class RequestId:
    """`originator:target:counter`."""

    originator: Eui64
    """The User that asks; in a ResponseID the party that answers."""
    target: Eui64
    """The Device, or the ACB for a Non-Device service."""
    counter: int
    """0..2**64-1, always above the originator's last one; GBCS takes it over as originator counter."""

    def __post_init__(self) -> None:
        if not 0 <= self.counter <= COUNTER_MAX:
            raise UsageError(f"a request counter has 64 bits; {self.counter} does not fit")

    @classmethod
    def parse(cls, text: str) -> RequestId:
        """Read `90-B3-D5-1F-30-01-00-00:90-B3-D5-1F-30-00-00-02:1000`."""
        try:
            originator, target, digits = text.split(":", 2)
            if not (digits.isascii() and digits.isdigit() and len(digits) <= _COUNTER_DIGITS):
                raise ValueError("not a counter")
            counter = int(digits)
            if digits[0] == "0" and counter:
                raise ValueError("leading zeros")
            return cls(read_eui64(originator), read_eui64(target), counter)
        except (ValueError, UsageError) as cause:
            expected = "originator:target:counter"
            raise DecodeError("request id", "text", 0, expected, repr(text[:80])) from cause

    @property
    def swapped(self) -> RequestId:
        """The ResponseID that answers this RequestID, and the reverse."""
        return RequestId(self.target, self.originator, self.counter)

    def __str__(self) -> str:
        return f"{self.originator}:{self.target}:{self.counter}"
