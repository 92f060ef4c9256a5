"""PPMID, the in-home display that can also top up: SRV 11.4, and orders from the ACB only.

It gets no Supplier signature, so an image stands or falls with its manufacturer's seal. It activates as soon
as the hub says so, and reports to the ACB how that went (CS09, 8F8B). It may sleep through an Image Notify,
so it also asks of its own accord: once a day, or at each waking if it has a schedule. No later command would
ever release an image that it holds: if the hub's word was lost, it activates when it next boots or would ask,
as the ZCL has a client do that gets no Upgrade End Response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lamplighter.kit import VerificationError
from lamplighter.kit.instant import DAY
from lamplighter.lab.devices.device import Device
from lamplighter.lab.devices.flash import ByHub
from lamplighter.protocol import gbcs
from lamplighter.protocol import image as images

if TYPE_CHECKING:
    from lamplighter.kit import Instant
    from lamplighter.lab.devices.flash import Order
    from lamplighter.protocol import zigbee


class Ppmid(Device):
    """One PPMID."""

    POLL: ClassVar[int | None] = 1 * DAY  # a common period for displays; an assumption

    def _read(self, octets: bytes) -> images.Image:
        return images.decode(octets, images.Layout.SRV_11_4)

    def _take(self, image: images.Image, client: zigbee.OtaClient, now: Instant) -> None:
        self._maker.verify(image)
        self._keep(image)
        self._ota(client.accept(now), now)

    def _ask(self, client: zigbee.OtaClient, now: Instant) -> None:
        if self.flash.held is not None and client.idle:
            self._activate(ByHub(), now)
        else:
            super()._ask(client, now)

    def _told_to_activate(self, now: Instant) -> None:
        self._activate(ByHub(), now)

    def _obey(self, opened: gbcs.Opened, now: Instant) -> None:  # noqa: ARG002 # it obeys CS08 alone
        raise VerificationError("command-supported", "CS08", type(opened.payload).__name__)

    def _report(self, order: Order, result: gbcs.ActivationResult, now: Instant) -> None:  # noqa: ARG002 # only the hub orders
        success = result is gbcs.ActivationResult.SUCCESS
        outcome = gbcs.Outcome.SUCCESS if success else gbcs.Outcome.FAILURE
        self._proof(outcome, now)

    def _rave(self, image: images.Image, now: Instant) -> None:  # noqa: ARG002 # it says again what it says at boot
        self._proof(gbcs.Outcome.SUCCESS, now)

    def _proof(self, outcome: gbcs.Outcome, now: Instant) -> None:
        alert = gbcs.Cs09Alert(gbcs.AlertCode.PPMID_ACTIVATION, now, self._version, outcome)
        self._alert(alert, self._acb, now)
