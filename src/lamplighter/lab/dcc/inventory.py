"""The Smart Metering Inventory: every Device that the DCC knows, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lamplighter.kit import UsageError
from lamplighter.protocol.duis import CspRegion, DeviceStatus, DeviceType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamplighter.kit import Eui64, FirmwareVersion
    from lamplighter.lab.dcc.products import Model


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

    @property
    def suppliers(self) -> tuple[Eui64, ...]:
        """The Suppliers responsible for this Device, each once.

        An HCALCS hangs off an ESME and is the Import Supplier's alone; a PPMID, like a hub, serves both.
        """
        match self.type:
            case DeviceType.ESME | DeviceType.HCALCS:
                whose: tuple[Eui64 | None, ...] = (self.import_supplier,)
            case DeviceType.GSME | DeviceType.GPF:
                whose = (self.gas_supplier,)
            case _:
                whose = (self.import_supplier, self.gas_supplier)
        return tuple(dict.fromkeys(supplier for supplier in whose if supplier is not None))


class Inventory:
    """All entries, by Device and by home."""

    __slots__ = ("_at_hub", "_entries")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[Eui64, Entry] = {}
        self._at_hub: dict[Eui64, list[Eui64]] = {}
        for entry in entries:
            if entry.device in self._entries:
                raise UsageError(f"Device {entry.device} stands in the inventory twice")
            self._entries[entry.device] = entry
            self._at_hub.setdefault(entry.hub, []).append(entry.device)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, device: Eui64) -> Entry | None:
        """The entry of a Device."""
        return self._entries.get(device)

    def home_of(self, entry: Entry) -> tuple[Entry, ...]:
        """All Devices behind the same hub, the hub among them."""
        return tuple(self._entries[device] for device in self._at_hub[entry.hub])

    def record_firmware(self, device: Eui64, version: FirmwareVersion) -> None:
        """A Device has proved which version it runs."""
        self._entries[device] = replace(self._entries[device], firmware=version)

    def record_status(self, device: Eui64, status: DeviceStatus) -> None:
        """A Device's life went on."""
        self._entries[device] = replace(self._entries[device], status=status)
