"""What a hub reports to whoever holds it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from lamplighter.protocol import zigbee

if TYPE_CHECKING:
    from lamplighter.kit import DecodeError, Eui64, FirmwareVersion
    from lamplighter.protocol.gbcs import TransferResult


class Discard(Enum):
    """By which rule of the hub's own an image was discarded."""

    REBOOT = "images do not outlive a reboot"
    ORDERED = "the hub was told to discard what it holds"
    LEFT = "the Device has left the HAN"


@dataclass(frozen=True, slots=True)
class Passed:
    """The outcome for one Device, as the CCS08 alert tells it."""

    device: Eui64
    """The Device."""
    version: FirmwareVersion
    """The image's version."""
    result: TransferResult
    """How it went."""
    why: zigbee.ServerEvent | Discard
    """What the OTA server said, or the rule."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """An image from the WAN that is none; no Device gets it."""

    error: DecodeError
    """What is wrong with it."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A frame from or for somebody who is not on this HAN; it was dropped."""

    device: Eui64
    """Whom the frame names."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A GBCS message that its Device never got, or for which there was no room; it was dropped."""

    device: Eui64
    """Whom it was for."""


@dataclass(frozen=True, slots=True)
class Rebooted:
    """The hub runs again."""

    firmware: FirmwareVersion
    """What it runs."""


HubEvent: TypeAlias = Passed | Unfit | Stray | Returned | Rebooted | zigbee.Nonsense
