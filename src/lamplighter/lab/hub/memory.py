"""What a hub remembers without power: one record that is replaced whole, images and all.

All that one input changes is one write, before anything is said aloud: an outcome is written down together
with the alert that tells of it, and a message for a sleeping Device before the WAN counts it as taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamplighter.kit import Eui64, FirmwareVersion, Instant
    from lamplighter.lab.wire import WanDeviceLeft, WanGbcs, WanHubFirmware, WanImageReceipt

Outward: TypeAlias = "WanDeviceLeft | WanGbcs | WanHubFirmware | WanImageReceipt"
"""What the hub itself has to tell over the WAN."""


@dataclass(frozen=True, slots=True)
class Held:
    """An image in a slot, for one Device; Devices that are to have the same image share the slot."""

    device: Eui64
    """Whom it is for."""
    octets: bytes = field(repr=False)
    """The OTA file."""
    until: Instant
    """When the hub gives up."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A GBCS message that waits for its Device."""

    device: Eui64
    """Whom it is for."""
    octets: bytes
    """The message."""
    until: Instant
    """When the hub throws it away."""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that must survive a reboot."""

    firmware: FirmwareVersion
    """What the hub runs."""
    capable: bool
    """Whether that can update PPMIDs and HCALCSs."""
    alerts: int = 0
    """Originator counter of the latest alert."""
    held: tuple[Held, ...] = ()
    """The open offers."""
    mail: tuple[Letter, ...] = ()
    """Messages for Devices, oldest first."""
    outbox: tuple[Outward, ...] = ()
    """What was said over the WAN just now, or was about to be when the power failed."""


@dataclass(slots=True)
class Memory:
    """The memory itself; it outlives the machine that runs on it."""

    record: Record
    """The record."""
    before_write: Callable[[], None] = field(default=lambda: None, repr=False)
    """Called before each write. What it raises leaves that write undone: a power cut."""

    def commit(self, record: Record) -> None:
        """Replace the record, in one write."""
        self.before_write()
        self.record = record
