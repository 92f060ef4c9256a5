"""What takes orders from its Supplier: HCALCS and meters, SRV 11.1 and then 11.3.

It checks the Supplier's signature on an image, keeps it, and tells the Supplier so (8F72, or 8F1C). It
activates on a CS06 command of its Supplier alone, at once or at the time given, and never because a hub says
so. The manufacturer's seal is checked at boot, so that an image without one ends in activation failure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from lamplighter.kit import VerificationError
from lamplighter.lab.devices.device import Device
from lamplighter.lab.devices.events import Discarded, Refused
from lamplighter.lab.devices.flash import ByCommand, Pending
from lamplighter.protocol import gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.gbcs import ActivationResult, AlertCode

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, Instant
    from lamplighter.lab.devices.device import Nameplate
    from lamplighter.lab.devices.flash import Flash, Order
    from lamplighter.lab.devices.maker import Maker
    from lamplighter.lab.devices.schedule import Schedule
    from lamplighter.protocol import zigbee
    from lamplighter.protocol.smki import Ring


INVOKE_ID: Final = 0x2000_07D0  # long-invoke-id-and-priority, as in the published messages


class Commanded(Device):
    """One Device that activates on command.

    supplier  whose orders it takes, and whose certificates are in the ring
    """

    POLL: ClassVar[int | None] = None
    FORM: ClassVar[gbcs.Form]
    """In which protocol it writes its receipt alerts."""

    def __init__(
        self,
        plate: Nameplate,
        flash: Flash,
        maker: Maker,
        ring: Ring,
        *,
        hub: Eui64,
        acb: Eui64,
        supplier: Eui64,
        awake: Schedule | None = None,
    ) -> None:
        super().__init__(plate, flash, maker, ring, hub=hub, acb=acb, awake=awake)
        self._supplier = supplier

    def _read(self, octets: bytes) -> images.Image:
        return images.decode(octets, images.Layout.SRV_11_1)

    def _take(self, image: images.Image, client: zigbee.OtaClient, now: Instant) -> None:
        """The transfer is good whatever the signature says: that is the Supplier's to know, not the hub's."""
        self._ota(client.accept(now), now)
        try:
            self._verify_supplier(image)
        except VerificationError as error:
            self._events.append(Discarded(error))
            self._receipt(AlertCode.IMAGE_REJECTED, image, now)
            return
        self._keep(image)
        self._receipt(AlertCode.IMAGE_VERIFIED, image, now)

    def _rave(self, image: images.Image, now: Instant) -> None:
        self._receipt(AlertCode.IMAGE_REJECTED, image, now)

    def _receipt(self, code: AlertCode, image: images.Image, now: Instant) -> None:
        if self.FORM is gbcs.Form.DLMS:
            alert = gbcs.ReceiptAlert(code, gbcs.CosemDateTime.of(now), image.hash, INVOKE_ID)
        else:
            alert = gbcs.ReceiptAlert(code, now, image.hash)
        self._alert(alert, self._supplier, now)

    def _verify_supplier(self, image: images.Image) -> None:
        error = VerificationError("supplier-key", f"a signing certificate of {self._supplier}", "none")
        for certificate in self._ring.message_signers(self._supplier):
            try:
                images.verify_supplier(image, certificate.public_key)
            except VerificationError as refusal:
                error = refusal
            else:
                return
        raise error

    def _told_to_activate(self, now: Instant) -> None:  # noqa: ARG002 # it does not act on it
        wanted = VerificationError("activation-order", "a CS06 command", "an Upgrade End Response")
        self._events.append(Refused(wanted))

    def _obey(self, opened: gbcs.Opened, now: Instant) -> None:
        command = opened.payload
        if not isinstance(command, gbcs.Cs06Command):
            _refuse("command-supported", "CS06 or CS08", type(command).__name__)
        if command.counter != opened.message.counter:
            _refuse("command-content-counter", str(opened.message.counter), str(command.counter))
        self._admit(opened.message, self._supplier)
        order = ByCommand(self._supplier, command.counter, command.hash, command.execution)
        if command.execution is None or command.execution <= now:
            self._carry_out(replace(order, execution=None), now)
            return
        cancelled = command.execution == gbcs.CANCELLED
        self._draft = replace(self._draft, order=None if cancelled else order)
        self._answer(gbcs.Cs06Accepted(), self._supplier, command.counter, now)

    def _carry_out(self, order: ByCommand, now: Instant) -> None:
        """Activate what is held, if the order means it; the latest order replaces any other."""
        held = self.flash.held
        if held is not None and images.decode(held, images.Layout.SRV_11_4).hash == order.hash:
            self._activate(order, now)
            return
        if order.execution is not None:
            self._draft = replace(self._draft, order=None)
        result = ActivationResult.NO_IMAGE_HELD if held is None else ActivationResult.HASH_MISMATCH
        self._report(order, result, now)

    def _report(self, order: Order, result: ActivationResult, now: Instant) -> None:
        assert isinstance(order, ByCommand)  # it activates on command alone
        if order.execution is None:
            self._answer(gbcs.Cs06Response(result, self._version), order.supplier, order.counter, now)
            return
        success = result is ActivationResult.SUCCESS
        code = AlertCode.FUTURE_DATED_SUCCESS if success else AlertCode.FUTURE_DATED_FAILURE
        self._alert(gbcs.OutcomeAlert(code, now, order.counter, result, self._version), order.supplier, now)

    def _alarms(self, client: zigbee.OtaClient, now: Instant) -> None:
        super()._alarms(client, now)
        order = self._scheduled
        if order is not None and order.execution is not None and now >= order.execution:
            self._carry_out(order, now)

    def _due(self) -> tuple[Instant | None, ...]:
        order = self._scheduled
        return (*super()._due(), None if order is None else order.execution)

    @property
    def _scheduled(self) -> ByCommand | None:
        """An activation that is to come."""
        record = self._draft
        if record.pending is Pending.TRIAL or not isinstance(record.order, ByCommand):
            return None
        return record.order


def _refuse(check: str, expected: str, found: str) -> NoReturn:
    raise VerificationError(check, expected, found)
