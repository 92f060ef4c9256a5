"""A release: one image that a fleet is to be brought to, and the CPL entry that permits it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from lamplighter.protocol.duis import DeviceType

if TYPE_CHECKING:
    from lamplighter.kit import FirmwareVersion, ImageHash
    from lamplighter.protocol.duis import CplStatus


class Procedure(Enum):
    """How an image reaches its Device and is activated."""

    ONE_STEP = "11.4"
    """SRV 11.4: distributed and activated in one; PPMIDs."""
    TWO_STEP = "11.1"
    """SRV 11.1 distributes, SRV 11.3 activates; HCALCSs and meters."""

    @classmethod
    def of(cls, device_type: DeviceType) -> Procedure | None:
        """The procedure for a type of Device; None: no service request can update it."""
        return _PROCEDURES.get(device_type)


_PROCEDURES = {
    DeviceType.PPMID: Procedure.ONE_STEP,
    DeviceType.HCALCS: Procedure.TWO_STEP,
    DeviceType.ESME: Procedure.TWO_STEP,
    DeviceType.GSME: Procedure.TWO_STEP,
}


@dataclass(frozen=True, slots=True)
class CplEntry:
    """One entry of the Central Products List, as far as a campaign looks at it."""

    manufacturer: int
    """Zigbee manufacturer code, 0..0xFFFF."""
    model: int
    """Model identifier, 0..0xFFFF."""
    hardware: int
    """Hardware version and revision, 0..0xFFFF."""
    version: FirmwareVersion
    """Firmware version."""
    hash: ImageHash
    """Manufacturer Image Hash."""
    status: CplStatus
    """Only an active entry permits an update."""


@dataclass(frozen=True, slots=True)
class Release:
    """An image ready to be sent: what its header says, and its octets."""

    procedure: Procedure
    """Which request carries it: 11.4 unsigned, 11.1 signed by the Supplier."""
    manufacturer: int
    """Zigbee manufacturer code, 0..0xFFFF."""
    version: FirmwareVersion
    """The version that a Device reports once it runs: the proof."""
    hash: ImageHash
    """Manufacturer Image Hash, for the CPL and SRV 11.3."""
    minimum_hardware: int
    """Lowest hardware version that may take it."""
    maximum_hardware: int
    """Highest hardware version that may take it."""
    image: bytes
    """The whole OTA Upgrade Image."""
    path: frozenset[FirmwareVersion] = frozenset()
    """The versions that it may follow; empty: any lower one."""
    withdrawn: bool = False
    """Withdrawn from use: nothing more is ordered of it."""
