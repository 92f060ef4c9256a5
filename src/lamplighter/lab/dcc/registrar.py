"""The SMI kept up to date: what people at the DCC decide, what homes say of themselves, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from lamplighter.kit import Eui64, VerificationError
from lamplighter.lab.dcc import notices
from lamplighter.lab.dcc.access import UserRole, is_responsible
from lamplighter.lab.dcc.events import FirmwareRecorded
from lamplighter.lab.dcc.firmware import numbers_of
from lamplighter.lab.dcc.inventory import METERS
from lamplighter.lab.dcc.life import LIFE, Life
from lamplighter.lab.dcc.notices import Failure
from lamplighter.lab.dcc.refusals import Reason, Refusal
from lamplighter.protocol import duis
from lamplighter.protocol.duis import DeviceStatus, DeviceType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.kit import FirmwareVersion, ImageHash, Instant
    from lamplighter.lab.dcc.access import User
    from lamplighter.lab.dcc.deliveries import Deliveries
    from lamplighter.lab.dcc.distribution import Distribution
    from lamplighter.lab.dcc.inventory import Entry, Inventory
    from lamplighter.lab.dcc.outbox import Outbox
    from lamplighter.lab.dcc.products import ProductsList
    from lamplighter.lab.wire import ToUser, WanDeviceLeft, WanHubFirmware

_TYPE_2: Final = frozenset({DeviceType.IHD, DeviceType.CAD})


class Registrar:
    """Every change to the inventory, with the alerts that go with it.

    least_gbcs_version  what a hub has from the moment at which it can update PPMIDs and HCALCSs
    """

    __slots__ = (
        "_deliveries",
        "_distribution",
        "_inventory",
        "_least_gbcs_version",
        "_outbox",
        "_products",
        "_users",
    )

    def __init__(
        self,
        inventory: Inventory,
        products: ProductsList,
        users: Mapping[Eui64, User],
        outbox: Outbox,
        deliveries: Deliveries,
        distribution: Distribution,
        *,
        least_gbcs_version: str,
    ) -> None:
        self._inventory = inventory
        self._products = products
        self._users = users
        self._outbox = outbox
        self._deliveries = deliveries
        self._distribution = distribution
        self._least_gbcs_version = least_gbcs_version

    def read(self, user: Eui64, of: duis.Premises) -> duis.DspInventory | Refusal:
        """SRV 8.2: a whole home, by a Device in it or by its meter point.

        The homes here have no UPRN and no address, so that none is found by these.
        """
        match of:
            case Eui64():
                entry = self._inventory.find(of)
            case duis.Mpxn(number):
                entry = self._inventory.at_point(number)
            case duis.Uprn() | duis.PropertyFilter():
                entry = None
            case _:
                assert_never(of)
        if entry is None:
            no_such = Reason.NO_SUCH_DEVICE if isinstance(of, Eui64) else Reason.NO_SUCH_PREMISES
            return Refusal(no_such, str(of))
        home = self._inventory.home_of(entry)
        if not any(is_responsible(self._users[user], each) for each in home):
            return Refusal(Reason.NOT_RESPONSIBLE, f"{user} for the home of {of}")
        return duis.DspInventory(tuple(map(self._described, home)))

    # What people at the DCC decide

    def change_status(self, device: Eui64, word: Life, now: Instant) -> list[ToUser]:
        """A Device's life goes on."""
        before = self._inventory.entry(device)
        home = self._inventory.home_of(before)
        entry = self._inventory.live(device, word)
        alert = notices.status_change(entry, word, home)
        send = [] if alert is None else self._tell_suppliers(entry, alert, now)
        if word is Life.TAKEN_OUT:
            send += self._distribution.withdraw((device,), Failure.DEVICE_GONE, now)
        return send

    def remove(self, device: Eui64, now: Instant) -> list[ToUser]:
        """Strike a Device out."""
        send = self._distribution.withdraw((device,), Failure.DEVICE_GONE, now)
        entry = self._inventory.remove(device)
        return [*self._tell_suppliers(entry, notices.removed(entry), now), *send]

    def swap_hub(self, old: Eui64, new: Entry, now: Instant) -> list[ToUser]:
        """A home gets another hub; its Devices join that one, and what lay at the old one is lost."""
        gone = self._inventory.entry(old)
        moved = tuple(each.device for each in self._inventory.home_of(gone) if each.device != old)
        send = self.change_status(old, Life.TAKEN_OUT, now)
        self._inventory.add(new)
        for device in moved:
            self._inventory.move(device, new.device)
        return [*send, *self._distribution.withdraw(moved, Failure.DEVICE_MOVED, now)]

    def change_supplier(self, request: duis.RequestId, role: UserRole, now: Instant) -> list[ToUser]:
        """A Supplier gains a home."""
        user, entry = self._users.get(request.originator), self._inventory.find(request.target)
        if entry is None:
            return self._gained(request, "E19", now)
        if user is None or role not in user.roles:
            return self._gained(request, "E04", now)
        if entry.status is not DeviceStatus.COMMISSIONED:
            return self._gained(request, "E05", now)
        send = self._gained(request, None, now)
        for before in self._inventory.home_of(entry):
            import_side, gas_side = before.import_supplier, before.gas_supplier
            if role is UserRole.IMPORT_SUPPLIER:
                import_side = user.user
            else:
                gas_side = user.user
            after = self._inventory.record_suppliers(before.device, import_side, gas_side)
            send += [
                self._outbox.alert(loser, notices.supplier_lost(before), (before.device,), now)
                for loser in before.suppliers
                if loser not in after.suppliers
            ]
        return send

    # What homes say of themselves

    def take_hub_firmware(self, frame: WanHubFirmware, now: Instant) -> tuple[list[ToUser], FirmwareRecorded]:
        """A hub runs new firmware of its own. Raises `VerificationError` where that is no news."""
        entry = self._inventory.find(frame.hub)
        if entry is None or entry.type is not DeviceType.CHF:
            raise VerificationError("hub-unknown", "a hub of the inventory", str(frame.hub))
        least = self._least_gbcs_version
        gains = frame.capable and numbers_of(entry.gbcs_version) < numbers_of(least)
        if entry.firmware == frame.version and not gains:
            raise VerificationError("hub-firmware-repeated", "another version", f"{frame.version} again")
        self._inventory.record_firmware(frame.hub, frame.version)
        if gains:
            self._inventory.record_gbcs_version(frame.hub, least)
        told = self._tell_suppliers(entry, notices.hub_firmware(frame.hub, frame.version), now)
        return told, FirmwareRecorded(frame.hub, frame.version)

    def take_leave(self, frame: WanDeviceLeft, now: Instant) -> list[ToUser]:
        """A Device has left its HAN. Raises `VerificationError` where it was not in service there."""
        entry = self._inventory.find(frame.device)
        if entry is None or entry.hub != frame.hub or not LIFE.allows(entry.status, Life.TAKEN_OUT):
            raise VerificationError(
                "leave-unexpected", f"a Device in service behind {frame.hub}", str(frame.device)
            )
        send = self.change_status(frame.device, Life.TAKEN_OUT, now)
        if entry.type is DeviceType.PPMID:
            send = [*self._tell_suppliers(entry, notices.ppmid_removal(entry), now), *send]
        return send

    def record(
        self,
        device: Eui64,
        version: FirmwareVersion,
        now: Instant,
        *,
        activated: ImageHash | None = None,
        expected: bool = False,
    ) -> tuple[list[ToUser], tuple[FirmwareRecorded, ...]]:
        """Note which version a Device says it runs; what nothing explains, its Suppliers are told (N49 on).

        activated  the hash that the Device was told to activate: the version that the CPL has for it explains
        expected   the image of the latest delivery explains; a mere reading is never explained
        """
        entry = self._inventory.entry(device)
        if entry.firmware == version:
            return [], ()
        self._inventory.record_firmware(device, version)
        recorded = (FirmwareRecorded(device, version),)
        product = self._products.find(entry.model, version)
        if activated is not None and product is not None and product.hash == activated:
            return [], recorded
        delivery = self._deliveries.latest(device)
        if (expected or activated is not None) and delivery is not None and delivery.version == version:
            return [], recorded
        mismatch = notices.mismatch_of(entry, product)
        alert = notices.firmware_mismatch(entry, version, mismatch)
        return self._tell_suppliers(entry, alert, now), recorded

    def _tell_suppliers(self, entry: Entry, alert: duis.DccAlert, now: Instant) -> list[ToUser]:
        return [self._outbox.alert(user, alert, (entry.device,), now) for user in entry.suppliers]

    def _gained(self, request: duis.RequestId, error_code: str | None, now: Instant) -> list[ToUser]:
        notice = notices.supplier_gained(request, error_code)
        return [self._outbox.alert(request.originator, notice, (request.target,), now)]

    def _described(self, entry: Entry) -> duis.InventoryDevice:
        product = self._products.find(entry.model, entry.firmware)
        status = None if product is None else product.status
        return duis.InventoryDevice(
            entry.device,
            entry.type,
            None if entry.type in _TYPE_2 else entry.status,
            f"{entry.model.manufacturer:04X}",
            f"{entry.model.model:04X}{entry.model.hardware:04X}",
            firmware_version=str(entry.firmware),
            firmware_status=status,
            cpl_status=status,
            import_mpxn=entry.points.import_mpxn if entry.type in METERS else None,
            region=entry.region,
            gbcs_version=entry.gbcs_version,
        )
