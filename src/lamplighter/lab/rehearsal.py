"""A small standard campaign in process: something for a world to live through when it is to be looked at.

A Supplier of one thought, with no store, no policy and no patience: at the start it asks for all PPMIDs to be
updated (11.4), and all other Devices that can be (11.1); each of these that verifies its image (8F72) it
tells to activate at once (11.3). It knows what a Supplier may know, and meets the world as octets alone.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from lamplighter.kit import FirmwareVersion, Instant, UsageError
from lamplighter.kit.instant import MINUTE
from lamplighter.lab.dcc import Service
from lamplighter.lab.homes import ACB, SUPPLIER
from lamplighter.lab.world import OutageError
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import DeviceType
from lamplighter.protocol.smki import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamplighter.kit import Eui64
    from lamplighter.lab.homes import Lab

NEW_VERSION: Final = FirmwareVersion(0x0200_0000)
UPDATABLE: Final = (DeviceType.PPMID, DeviceType.HCALCS, DeviceType.ESME, DeviceType.GSME)
OUTAGE_PAUSE: Final = 10 * MINUTE  # until a DCC that is down is asked again
PAYLOAD_OCTETS: Final = 2_000  # of the firmware inside the image: fifty blocks or so


class Rehearsal:
    """One campaign in one lab.

    payload_octets  how large the firmware is
    """

    def __init__(self, lab: Lab, *, payload_octets: int = PAYLOAD_OCTETS) -> None:
        self._lab = lab
        self._counter = int(lab.world.now)
        self._todo: deque[Callable[[], None]] = deque()
        self.images: dict[DeviceType, images.Image] = {}
        """For each type of Device its image, on the CPL."""
        self.heard: list[tuple[Instant, duis.Response]] = []
        """What the Supplier was told, when it was: answers to its requests, and what came by itself."""
        signer = lab.ring.signer(SUPPLIER, Role.SUPPLIER)
        for kind in UPDATABLE:
            payload = (f"new firmware of a {kind.value} ".encode() * payload_octets)[:payload_octets]
            built = lab.build_firmware(kind, NEW_VERSION, payload)
            self.images[kind] = built if kind is DeviceType.PPMID else images.sign_supplier(built, signer)
            lab.publish(self.images[kind])

    def run(self, until: Instant) -> None:
        """Ask for everything now, and see to the answers until the clock stands at `until`."""
        world = self._lab.world
        if until < world.now:
            raise UsageError("a rehearsal ends after it begins")
        self._todo += [partial(self._ask, kind) for kind in self.images]
        while True:
            up = self._work_off()
            at = world.next_at
            if not up:  # the DCC is down: look again in a while
                world.run_until(Instant(min(until, world.now + OUTAGE_PAUSE)))
            elif at is not None and at <= until:
                world.step()
            else:
                world.run_until(until)
            while world.mail:
                letter = world.mail.popleft()
                if letter.user == SUPPLIER:
                    self._read(letter.octets)
            if world.now >= until:
                return

    def _work_off(self) -> bool:
        """Send what is to be sent; False: the DCC does not answer."""
        while self._todo:
            try:
                self._todo[0]()
            except OutageError:
                return False
            self._todo.popleft()
        return True

    def _ask(self, kind: DeviceType) -> None:
        image, world = self.images[kind], self._lab.world
        devices = tuple(
            entry.device
            for entry in world.dcc.inventory
            if entry.type is kind and SUPPLIER in entry.suppliers and world.node(entry.device) is not None
        )
        if devices:
            service = duis.UpdatePpmidFirmware if kind is DeviceType.PPMID else duis.UpdateFirmware
            body = service(images.encode(image), image.header.file_version, devices)
            self._request(Service.NON_DEVICE, body, self._next_id(ACB))

    def _read(self, octets: bytes) -> None:
        match self._open(octets).body:
            case duis.DeviceAlert(gbcs.AlertCode.IMAGE_VERIFIED, payload):
                opened = gbcs.open_message(payload, self._lab.ring, broker=ACB)
                if isinstance(opened.payload, gbcs.ReceiptAlert):
                    self._todo.append(partial(self._activate, opened.message.originator, opened.payload))

    def _activate(self, device: Eui64, alert: gbcs.ReceiptAlert) -> None:
        """Transform, correlate, sign, send."""
        id_ = self._next_id(device)
        answer = self._request(Service.TRANSFORM, duis.ActivateFirmware(alert.hash), id_)
        if not isinstance(answer.body, duis.ResponseMessage) or not isinstance(
            answer.body.payload, duis.PreCommand
        ):
            return
        intent = gbcs.Activation(SUPPLIER, device, id_.counter, alert.hash, None)
        signer = self._lab.ring.signer(SUPPLIER, Role.SUPPLIER)
        signed = gbcs.sign_pre_command(answer.body.payload.octets, intent, signer)
        self._request(Service.SEND_COMMAND, duis.SignedPreCommand(signed), id_)

    def _request(self, service: Service, body: duis.RequestBody, id_: duis.RequestId) -> duis.Response:
        signer = self._lab.ring.signer(SUPPLIER, Role.XML_SIGNING)
        octets = duis.sign(duis.encode_request(duis.Request(id_, body)), signer)
        return self._open(self._lab.world.request(service, octets))

    def _open(self, octets: bytes) -> duis.Response:
        now = self._lab.world.now
        response = duis.open_response(octets, self._lab.ring, now=now, dcc=ACB).message
        self.heard.append((now, response))
        return response

    def _next_id(self, target: Eui64) -> duis.RequestId:
        self._counter += 1
        return duis.RequestId(SUPPLIER, target, self._counter)
