"""SRV 11.1 and 11.4 after acceptance: images that go out, and what is told of them on their way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lamplighter.kit import Instant
from lamplighter.lab.dcc import notices
from lamplighter.lab.dcc.access import is_responsible
from lamplighter.lab.dcc.deliveries import Deliveries, Delivery, Stage, Word
from lamplighter.lab.dcc.notices import Failure
from lamplighter.lab.wire import WanImage
from lamplighter.protocol import gbcs
from lamplighter.protocol.duis import DeviceStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamplighter.kit import Eui64, FirmwareVersion
    from lamplighter.lab.dcc.access import User
    from lamplighter.lab.dcc.firmware import Accepted
    from lamplighter.lab.dcc.inventory import Inventory
    from lamplighter.lab.dcc.outbox import Outbox
    from lamplighter.lab.dcc.products import ProductsList
    from lamplighter.lab.wire import ToUser, WanImageReceipt
    from lamplighter.protocol import duis


class Distribution:
    """What is on its way to Devices.

    receipt_period  how long a hub may take to have an image
    report_period   how long hub and Device may then be silent
    """

    __slots__ = (
        "_inventory",
        "_outbox",
        "_products",
        "_receipt_period",
        "_report_period",
        "_transfers",
        "_users",
        "deliveries",
    )

    def __init__(
        self,
        inventory: Inventory,
        products: ProductsList,
        users: Mapping[Eui64, User],
        outbox: Outbox,
        deliveries: Deliveries,
        *,
        receipt_period: int,
        report_period: int,
    ) -> None:
        self.deliveries = deliveries
        self._inventory = inventory
        self._products = products
        self._users = users
        self._outbox = outbox
        self._receipt_period = receipt_period
        self._report_period = report_period
        self._transfers = 0

    def begin(
        self,
        request: duis.RequestId,
        version: FirmwareVersion,
        octets: bytes,
        accepted: Accepted,
        out_at: Instant,
    ) -> list[WanImage]:
        """Take up what was accepted: one image for each hub, which goes out at `out_at`."""
        due = Instant(out_at + self._receipt_period)
        by_hub: dict[Eui64, list[Eui64]] = {}
        for entry in accepted.entries:
            by_hub.setdefault(entry.hub, []).append(entry.device)
        images = []
        for hub, devices in by_hub.items():
            self._transfers += 1
            for device in devices:
                self.deliveries.begin(
                    Delivery(self._transfers, request, device, hub, version, accepted.image.hash, due)
                )
            images.append(WanImage(hub, self._transfers, octets, tuple(devices)))
        return images

    def send(self, image: WanImage, now: Instant) -> list[WanImage | ToUser]:
        """Send an image that had to wait, to the Devices that may still have it."""
        still, failed = [], []
        for device in image.devices:
            delivery = self._of(image.transfer, device)
            if delivery is None or delivery.stage is not Stage.CROSSING:
                continue
            failure = self._obstacle(delivery)
            if failure is None:
                still.append(device)
            else:
                self.deliveries.hear(delivery, Word.WITHDRAWN, now)
                failed.append((delivery, failure))
        told = self._failed(failed, now)
        return [replace(image, devices=tuple(still)), *told] if still else [*told]

    def take_receipt(self, frame: WanImageReceipt, now: Instant) -> list[ToUser] | str:
        """A hub has an image, or could not take it; the check that failed, where no such receipt is due."""
        delivery = self._of(frame.transfer, frame.device)
        if delivery is None or delivery.hub != frame.hub:
            return "receipt-unexpected"
        told = self._arrived(delivery, frame.at, now, delivered=frame.delivered)
        return told or "receipt-repeated"

    def take_back(self, image: WanImage, now: Instant) -> list[ToUser]:
        """The CSP could not bring an image to its hub."""
        told: list[ToUser] = []
        for device in image.devices:
            delivery = self._of(image.transfer, device)
            if delivery is not None:
                told += self._arrived(delivery, now, now, delivered=False)
        return told

    def take_transfer(
        self, hub: Eui64, alert: gbcs.Ccs08Alert, now: Instant
    ) -> tuple[tuple[Eui64, ...], duis.DccAlert]:
        """A hub tells how it fared with a Device: whom to tell, and what."""
        delivery = self.deliveries.latest(alert.target)
        if delivery is None or delivery.version != alert.version:
            return self._inventory.entry(alert.target).suppliers, notices.transfer(hub, alert, None)
        success = alert.result is gbcs.TransferResult.SUCCESS
        word = Word.TRANSFERRED if success else Word.NOT_TRANSFERRED
        self.deliveries.hear(delivery, word, Instant(now + self._report_period) if success else now)
        return self._concerned(delivery), notices.transfer(hub, alert, delivery.request)

    def settle(self, device: Eui64, now: Instant) -> None:
        """A Device has spoken of its image."""
        delivery = self.deliveries.latest(device)
        if delivery is not None:
            self.deliveries.hear(delivery, Word.DEVICE_SPOKE, now)

    def withdraw(self, devices: Iterable[Eui64], failure: Failure, now: Instant) -> list[ToUser]:
        """Give up what is on its way to these Devices."""
        given_up = []
        for device in devices:
            delivery = self.deliveries.latest(device)
            if delivery and self.deliveries.hear(delivery, Word.WITHDRAWN, now):
                given_up.append((delivery, failure))
        return self._failed(given_up, now)

    def lapse(self, now: Instant) -> tuple[list[Delivery], list[ToUser]]:
        """Wait no longer for what is overdue: the deliveries, and what is told of them.

        A Device's silence is the Supplier's to notice; a hub's is the DCC's to report.
        """
        overdue = self.deliveries.overdue(now)
        for delivery in overdue:
            self.deliveries.hear(delivery, Word.OVERDUE, now)
        silent = ((d, Failure.HUB_SILENT) for d in overdue if d.stage is Stage.CROSSING)
        return [*overdue], self._failed(silent, now)

    def _of(self, transfer: int, device: Eui64) -> Delivery | None:
        delivery = self.deliveries.latest(device)
        return delivery if delivery is not None and delivery.transfer == transfer else None

    def _arrived(self, delivery: Delivery, at: Instant, now: Instant, *, delivered: bool) -> list[ToUser]:
        word = Word.DELIVERED if delivered else Word.NOT_DELIVERED
        due = Instant(now + self._report_period) if delivered else now
        if self.deliveries.hear(delivery, word, due) is None:
            return []
        alert = notices.delivery_status(delivery, at, delivered=delivered)
        return [
            self._outbox.alert(user, alert, (delivery.device,), now) for user in self._concerned(delivery)
        ]

    def _concerned(self, delivery: Delivery) -> tuple[Eui64, ...]:
        """Who is told of a delivery: the requester, and after a change of supplier who is responsible now."""
        requester, entry = delivery.request.originator, self._inventory.find(delivery.device)
        if entry is None or not entry.suppliers or requester in entry.suppliers:
            return (requester,)
        return entry.suppliers

    def _obstacle(self, delivery: Delivery) -> Failure | None:
        """What keeps an accepted image from going out after all."""
        entry = self._inventory.entry(delivery.device)
        if entry.status is not DeviceStatus.COMMISSIONED:
            return Failure.DEVICE_STATUS
        if not is_responsible(self._users[delivery.request.originator], entry):
            return Failure.NOT_RESPONSIBLE
        if not self._products.admits(entry.model, delivery.version, delivery.hash):
            return Failure.NOT_ON_CPL
        return None

    def _failed(self, failed: Iterable[tuple[Delivery, Failure]], now: Instant) -> list[ToUser]:
        """One alert for each request and failure, however many Devices."""
        grouped: dict[tuple[duis.RequestId, Failure], list[Eui64]] = {}
        for delivery, failure in failed:
            grouped.setdefault((delivery.request, failure), []).append(delivery.device)
        return [
            self._outbox.alert(
                request.originator,
                notices.distribution_failed(request, failure, tuple(devices)),
                tuple(devices),
                now,
            )
            for (request, failure), devices in grouped.items()
        ]
