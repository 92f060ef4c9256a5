"""What SRV 8.2 answers: the Devices of a premises as the Smart Metering Inventory has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from lamplighter.protocol.duis.codes import ESME_VARIANTS
from lamplighter.protocol.duis.grammar import Sequence, many, maybe, one
from lamplighter.protocol.duis.simple_types import DATE, EUI, TEXT, UPRN, member, string, word

if TYPE_CHECKING:
    from lamplighter.kit import Eui64

DEVICES_MAX: Final = 17  # DSPInventory


class DeviceType(Enum):
    """What a Device is."""

    ESME = "ESME"
    GSME = "GSME"
    GPF = "GPF"
    CHF = "CHF"
    HCALCS = "HCALCS"
    PPMID = "PPMID"
    IHD = "IHD"
    CAD = "CAD"


class DeviceStatus(Enum):
    """Where a Device is in its life."""

    PENDING = "Pending"
    WHITELISTED = "Whitelisted"
    INSTALLED_NOT_COMMISSIONED = "InstalledNotCommissioned"
    COMMISSIONED = "Commissioned"
    DECOMMISSIONED = "Decommissioned"
    WITHDRAWN = "Withdrawn"
    SUSPENDED = "Suspended"
    RECOVERY = "Recovery"
    RECOVERED = "Recovered"


class CplStatus(Enum):
    """The status of a Central Products List entry, or of a firmware version on it."""

    ACTIVE = "Active"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    WITHDRAWN = "Withdrawn"


class CspRegion(Enum):
    """The Communications Service Provider's region."""

    NORTH = "North"
    CENTRAL = "Central"
    SOUTH = "South"
    NORTH_4G = "4G North"
    CENTRAL_4G = "4G Central"
    SOUTH_4G = "4G South"
    UNKNOWN = "Unknown"
    SMETS1 = "SMETS1"


class Connectivity(Enum):
    """How a hub reaches the WAN."""

    CELLULAR = "Cellular"
    VIRTUAL = "Virtual"


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """Where the premises are."""

    post_code: str
    """6 to 8 characters."""
    address: str
    """At most 30 characters."""


@dataclass(frozen=True, slots=True)
class InventoryDevice:
    """One Device of the inventory. Texts are kept as they are: not every Device follows the usual forms."""

    device: Eui64
    """Its id."""
    type: DeviceType
    """What it is."""
    status: DeviceStatus | None
    """Its status; a Type 2 Device has none."""
    manufacturer: str
    """Usually 4 hex digits; at most 30 characters."""
    model: str
    """Usually 8 hex digits: model, hardware version and revision; at most 30 characters."""
    smets_version: str | None = None
    """SMETS or CHTS version, such as `CHTS V1.4`."""
    firmware_version: str | None = None
    """1 to 8 characters, usually hex digits."""
    firmware_status: CplStatus | None = None
    """The status of that version."""
    cpl_status: CplStatus | None = None
    """The status of the CPL entry."""
    commissioned: str | None = None
    """The date, such as `2025-12-28Z`."""
    import_mpxn: str | None = None
    """The meter point it measures: MPAN or MPRN, 1 to 13 characters."""
    secondary_import_mpan: str | None = None
    """13 characters."""
    export_mpan: str | None = None
    """13 characters."""
    esme_variant: str | None = None
    """Such as `A` or `ADE`."""
    uprn: str | None = None
    """The Unique Property Reference Number, at most 12 digits."""
    property: PropertyFilter | None = None
    """Where it is."""
    region: CspRegion | None = None
    """Which Communications Service Provider serves it."""
    gbcs_version: str | None = None
    """The GBCS version it was built for, such as `4.2`; a GBCS version that is too low bars an update."""
    han_variant: str | None = None
    """`Single Band` or `Dual Band`."""
    s1sp: str | None = None
    """The SMETS1 service provider."""
    connectivity: Connectivity | None = None
    """How its hub reaches the WAN."""


@dataclass(frozen=True, slots=True)
class DspInventory:
    """The answer to SRV 8.2."""

    devices: tuple[InventoryDevice, ...]
    """1 to 17 Devices."""


PROPERTY: Final = Sequence(
    PropertyFilter, one("PostCode", string(6, 8)), one("AddressIdentifier", string(0, 30))
)
_DEVICE: Final = Sequence(
    InventoryDevice,
    one("DeviceID", EUI),
    one("DeviceType", member(DeviceType)),
    maybe("DeviceStatus", member(DeviceStatus)),
    one("DeviceManufacturer", string(0, 30)),
    one("DeviceModel", string(0, 30)),
    maybe("SMETSCHTSVersion", string(1, 20)),
    maybe("DeviceFirmwareVersion", string(1, 8)),
    maybe("DeviceFirmwareVersionStatus", member(CplStatus)),
    maybe("CPLStatus", member(CplStatus)),
    maybe("DateCommissioned", DATE),
    maybe("ImportMPxN", string(1, 13)),
    maybe("SecondaryImportMPAN", string(13, 13)),
    maybe("ExportMPAN", string(13, 13)),
    maybe("ESMEVariant", word(ESME_VARIANTS, "an ESME variant such as A or ADE")),
    maybe("UPRN", UPRN),
    maybe("PropertyFilter", PROPERTY),
    maybe("CSPRegion", member(CspRegion)),
    maybe("DeviceGBCSVersion", TEXT),
    maybe("HANVariant", TEXT),
    maybe("S1SP", TEXT),
    maybe("Connectivity", member(Connectivity)),
)
INVENTORY: Final = Sequence(DspInventory, many("Device", _DEVICE, 1, DEVICES_MAX))
