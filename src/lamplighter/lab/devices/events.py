"""What a Device reports to whoever holds it, and to nobody on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamplighter.kit import DecodeError, FirmwareVersion, ImageHash, VerificationError


@dataclass(frozen=True, slots=True)
class Booted:
    """The Device runs."""

    version: FirmwareVersion
    """What it runs."""


@dataclass(frozen=True, slots=True)
class Hung:
    """The Device runs firmware that never speaks or listens."""

    version: FirmwareVersion
    """What it runs."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The outbox was full, and its oldest message is lost."""

    octets: bytes
    """The message."""


@dataclass(frozen=True, slots=True)
class Darkened:
    """No image in the active bank that boots."""

    error: DecodeError | VerificationError
    """What is wrong with it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An image passed its checks and waits for its activation."""

    version: FirmwareVersion
    """Its version."""
    hash: ImageHash
    """Its Manufacturer Image Hash."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """An image failed its checks."""

    error: DecodeError | VerificationError
    """Which one."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A new image did not boot, and the one before it runs again."""

    error: DecodeError | VerificationError
    """What is wrong with the new image."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A command was not obeyed."""

    error: DecodeError | VerificationError
    """Why."""
