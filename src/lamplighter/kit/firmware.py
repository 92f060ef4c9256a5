"""What a firmware image is known by: its 32-bit version and the hash of its Manufacturer Image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lamplighter.kit.errors import DecodeError, UsageError

_VERSION_TEXT: Final = re.compile(r"[0-9A-Fa-f]{1,8}", re.ASCII)
_HASH_TEXT: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class FirmwareVersion:
    """The OTA file version, 0..0xFFFFFFFF; text form eight upper-case hex digits (DUIS FirmwareVersion)."""

    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 0xFFFFFFFF:
            raise UsageError(f"a firmware version has 32 bits; {self.number} does not fit")

    @classmethod
    def parse(cls, text: str) -> FirmwareVersion:
        """Read 1 to 8 hex digits; fewer than 8 are taken as the low digits."""
        if not _VERSION_TEXT.fullmatch(text):
            raise DecodeError("firmware version", "text", 0, "1 to 8 hex digits", repr(text[:40]))
        return cls(int(text, 16))

    @property
    def octets(self) -> bytes:
        """Four octets, big-endian, as GBCS carries them."""
        return self.number.to_bytes(4, "big")

    def __str__(self) -> str:
        return f"{self.number:08X}"


@dataclass(frozen=True, slots=True, order=True)
class ImageHash:
    """SHA-256 of the Manufacturer Image alone: the value on the CPL, in SRV 11.3 and in 8F72/8F1C."""

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != 32:
            raise UsageError(f"a Manufacturer Image Hash has 32 octets, not {len(self.octets)}")

    @classmethod
    def parse(cls, text: str) -> ImageHash:
        """Read 64 hex digits."""
        if not _HASH_TEXT.fullmatch(text):
            raise DecodeError("Manufacturer Image Hash", "text", 0, "64 hex digits", repr(text[:80]))
        return cls(bytes.fromhex(text))

    def __str__(self) -> str:
        return self.octets.hex()
