"""The Smart Metering Inventory: every Device that the DCC knows, its status, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lamplighter.kit import UsageError
from lamplighter.lab.dcc.life import LIFE, RESTORATIONS, Life
from lamplighter.protocol.duis import CspRegion, DeviceStatus, DeviceType, MeterPoints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamplighter.kit import Eui64, FirmwareVersion
    from lamplighter.lab.dcc.products import Model

MPXN_DIGITS: Final = 13  # an MPAN; an MPRN is shorter

METERS: Final = frozenset({DeviceType.ESME, DeviceType.GSME})
"""What measures a meter point."""

_IMPORT_ALONE: Final = frozenset({DeviceType.ESME, DeviceType.HCALCS})
_GAS_ALONE: Final = frozenset({DeviceType.GSME, DeviceType.GPF})


@dataclass(frozen=True, slots=True)
class Entry:
    """One Device in the inventory."""

    device: Eui64
    """Its EUI-64."""
    type: DeviceType
    """What it is."""
    hub: Eui64
    """The CHF of its home; for the CHF itself, its own."""
    model: Model
    """Manufacturer, model and hardware, as installed; the Device itself may know better."""
    firmware: FirmwareVersion
    """The version that it last proved to run."""
    status: DeviceStatus
    """Only a commissioned Device takes part in an update."""
    gbcs_version: str
    """Such as `4.2`; orders versions by their numbers."""
    region: CspRegion
    """Whose WAN it is on."""
    import_supplier: Eui64 | None
    """The Import Supplier of the home."""
    gas_supplier: Eui64 | None
    """The Gas Supplier of the home."""
    suspended_from: DeviceStatus | None = None
    """While it is suspended: the status that it had before, and goes back to."""
    mpxn: str = ""
    """The meter point, for alerts that must name one; empty: one is made up from the Device's id."""

    @property
    def import_side(self) -> Eui64 | None:
        """The Import Supplier, where it is responsible: an HCALCS hangs off an ESME and is its alone."""
        return None if self.type in _GAS_ALONE else self.import_supplier

    @property
    def gas_side(self) -> Eui64 | None:
        """The Gas Supplier, where it is responsible: a PPMID, like a hub, serves both."""
        return None if self.type in _IMPORT_ALONE else self.gas_supplier

    @property
    def suppliers(self) -> tuple[Eui64, ...]:
        """The Suppliers responsible for this Device, each once."""
        sides = self.import_side, self.gas_side
        return tuple(dict.fromkeys(supplier for supplier in sides if supplier is not None))

    @property
    def points(self) -> MeterPoints:
        """What it measures."""
        return MeterPoints(self.mpxn or f"{int(self.device) % 10**MPXN_DIGITS:0{MPXN_DIGITS}d}")


class Inventory:
    """All entries, by Device and by home."""

    __slots__ = ("_at_hub", "_entries")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[Eui64, Entry] = {}
        self._at_hub: dict[Eui64, list[Eui64]] = {}
        for entry in entries:
            self.add(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, device: Eui64) -> Entry | None:
        """The entry of a Device."""
        return self._entries.get(device)

    def at_point(self, mpxn: str) -> Entry | None:
        """The meter that measures a meter point."""
        meters = (entry for entry in self._entries.values() if entry.type in METERS)
        return next((entry for entry in meters if entry.points.import_mpxn == mpxn), None)

    def entry(self, device: Eui64) -> Entry:
        """The entry of a Device that must be there."""
        entry = self._entries.get(device)
        if entry is None:
            raise UsageError(f"Device {device} is not in the inventory")
        return entry

    def home_of(self, entry: Entry) -> tuple[Entry, ...]:
        """All Devices behind the same hub, the hub among them."""
        return tuple(self._entries[device] for device in self._at_hub[entry.hub])

    def add(self, entry: Entry) -> None:
        """Enter a Device, which must be new."""
        if entry.device in self._entries:
            raise UsageError(f"Device {entry.device} stands in the inventory twice")
        self._entries[entry.device] = entry
        self._at_hub.setdefault(entry.hub, []).append(entry.device)

    def remove(self, device: Eui64) -> Entry:
        """Strike a Device out, and give what was known of it."""
        entry = self.entry(device)
        self._at_hub[entry.hub].remove(device)
        return self._entries.pop(device)

    def move(self, device: Eui64, hub: Eui64) -> None:
        """A Device has another hub now."""
        entry = self.remove(device)
        self.add(replace(entry, hub=hub))

    def live(self, device: Eui64, word: Life) -> Entry:
        """A Device's life goes on, along an arrow of the chart."""
        entry = self.entry(device)
        status = LIFE.fire(entry.status, word)
        before = entry.status if status is DeviceStatus.SUSPENDED else None
        if entry.status is DeviceStatus.SUSPENDED and word in RESTORATIONS.values():
            due = self.restoration(entry)
            if word is not due:
                raise UsageError(f"{device} goes back by {due.name}, not by {word.name}")
        moved = self._entries[device] = replace(entry, status=status, suspended_from=before)
        return moved

    def restoration(self, entry: Entry) -> Life:
        """What lifts the bar from a suspended Device."""
        return RESTORATIONS[entry.suspended_from or DeviceStatus.COMMISSIONED]

    def record_firmware(self, device: Eui64, version: FirmwareVersion) -> None:
        """A Device has proved which version it runs."""
        self._entries[device] = replace(self._entries[device], firmware=version)

    def record_gbcs_version(self, device: Eui64, version: str) -> None:
        """A Device was updated to another version of GBCS."""
        self._entries[device] = replace(self._entries[device], gbcs_version=version)

    def record_status(self, device: Eui64, status: DeviceStatus) -> None:
        """Set the scene: what the inventory says of a Device when a rehearsal begins."""
        self._entries[device] = replace(self._entries[device], status=status, suspended_from=None)

    def record_suppliers(
        self, device: Eui64, import_supplier: Eui64 | None, gas_supplier: Eui64 | None
    ) -> Entry:
        """A home's Suppliers have changed."""
        moved = self._entries[device] = replace(
            self._entries[device], import_supplier=import_supplier, gas_supplier=gas_supplier
        )
        return moved
