"""A Device as the Supplier's registry knows it, in the terms of the Smart Metering Inventory (SRV 8.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion
    from lamplighter.protocol.duis import DeviceStatus, DeviceType

BUCKET_BITS: Final = 20
BUCKETS: Final = 1 << BUCKET_BITS


class Part(Enum):
    """The part that we play at a Device's premises."""

    NONE = "none"
    IMPORT = "import"
    GAS = "gas"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Cohort:
    """All that decides about a Device, and that many Devices have in common. A verdict is on a cohort."""

    type: DeviceType
    """What they are; decides the procedure."""
    manufacturer: int
    """Zigbee manufacturer code, 0..0xFFFF, as the OTA header carries it."""
    model: int
    """Model identifier, 0..0xFFFF: the first half of the inventory's model."""
    hardware: int
    """Hardware version and revision, 0..0xFFFF: the second half; held against the range in the OTA header."""
    firmware: FirmwareVersion
    """The version that runs, as last reported."""
    status: DeviceStatus
    """Inventory status."""
    gbcs_version: str = ""
    """Such as `4.2`; empty: unknown. At most 16 characters."""
    part: Part = Part.BOTH
    """Whether we are their responsible Supplier, and for which fuel."""
    tag: str = ""
    """The operator's own word for a stratum; at most 64 characters."""
    region: str = ""
    """CSP region, as `CspRegion` spells it; empty: unknown."""
    hub_model: str = ""
    """Model of their hubs; at most 32 characters; empty: unknown."""
    hub_firmware: str = ""
    """What their hubs run; at most 8 characters; empty: unknown."""
    hub_capable: bool | None = None
    """Whether their hubs can update them; None: unknown, and then the DCC's answer says."""


@dataclass(frozen=True, slots=True)
class Device:
    """One Device."""

    eui: Eui64
    """The Device's identifier."""
    hub: Eui64
    """CHF of the home; images reach the Device through it."""
    cohort: Cohort
    """What it shares with others."""


@dataclass(frozen=True, slots=True)
class Hub:
    """One Communications Hub."""

    eui: Eui64
    """The CHF's identifier."""
    model: str = ""
    """At most 32 characters."""
    firmware: str = ""
    """At most 8 characters."""
    region: str = ""
    """CSP region."""
    capable: bool | None = None
    """Whether it can update the Devices behind it; None: unknown."""


def bucket(eui: Eui64) -> int:
    """Where a Device stands, 0..2^20-1: the splitmix64 finaliser of its identifier, top 20 bits.

    It is the same for ever; each campaign turns the circle of buckets by a salt of its own.
    """
    value = int(eui)
    value = (value ^ value >> 30) * 0xBF58_476D_1CE4_E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D0_49BB_1331_11EB & _MASK
    return (value ^ value >> 31) >> 64 - BUCKET_BITS


_MASK: Final = (1 << 64) - 1
