"""A Device as the Supplier's registry knows it, in the terms of the Smart Metering Inventory (SRV 8.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion
    from lamplighter.protocol.duis import DeviceStatus, DeviceType


@dataclass(frozen=True, slots=True)
class Device:
    """One Device."""

    eui: Eui64
    """The Device's identifier."""
    type: DeviceType
    """What it is; decides the procedure."""
    hub: Eui64
    """CHF of the home; images reach the Device through it."""
    manufacturer: int
    """Zigbee manufacturer code, 0..0xFFFF, as the OTA header carries it."""
    hardware: int
    """Hardware version, 0..0xFFFF, held against the range in the OTA header."""
    firmware: FirmwareVersion
    """The version that runs, as last reported."""
    status: DeviceStatus
    """Inventory status."""
