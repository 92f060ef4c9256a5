"""A User of a lab: it asks, signs, and opens what it is told, with nothing but its own key ring.

Whatever it opens is held against the official schema, where that is beside the project.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import DAY
from lamplighter.lab.dcc import Service, Settings
from lamplighter.lab.homes import ACB, GAS_SUPPLIER, SUPPLIER, Lab, build_firmware, build_world
from lamplighter.lab.wire import ToUser, WanGbcs
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import DeviceType
from lamplighter.protocol.smki import Ring, Role

if TYPE_CHECKING:
    from lamplighter.kit import Eui64

NEW = FirmwareVersion(0x0200_0000)
SCHEMA = Path(__file__).resolve().parents[3] / "shared" / "spec" / "duis-5.4.xsd"


@cache
def schema() -> etree.XMLSchema | None:
    """The official schema, or None where it is not beside the project."""
    return etree.XMLSchema(etree.parse(SCHEMA)) if SCHEMA.is_file() else None


def signed_request(ring: Ring, request: duis.Request) -> bytes:
    """A request as it goes over the wire."""
    signer = ring.signer(request.id.originator, Role.XML_SIGNING)
    return duis.sign(duis.encode_request(request), signer)


class User:
    """One User of `lab`, by default its Supplier."""

    def __init__(self, lab: Lab, user: Eui64 = SUPPLIER, ring: Ring | None = None) -> None:
        self.lab = lab
        self.user = user
        self.ring = ring or lab.ring
        self.counter = 1000

    def next_id(self, target: Eui64 = ACB) -> duis.RequestId:
        self.counter += 1
        return duis.RequestId(self.user, target, self.counter)

    def ask(
        self, service: Service, body: duis.RequestBody, target: Eui64 = ACB, id_: duis.RequestId | None = None
    ) -> duis.Response:
        """Send a request and open the synchronous Response."""
        request = duis.Request(id_ or self.next_id(target), body)
        octets = self.lab.world.request(service, signed_request(self.ring, request))
        return self.open(octets)

    def open(self, octets: bytes) -> duis.Response:
        if (official := schema()) is not None:
            official.assertValid(etree.fromstring(octets))
        return duis.open_response(octets, self.ring, now=self.lab.world.now, dcc=ACB).message

    def update_ppmids(self, image: images.Image, *devices: Eui64) -> duis.Response:
        body = duis.UpdatePpmidFirmware(images.encode(image), image.header.file_version, devices)
        return self.ask(Service.NON_DEVICE, body)

    def update(self, image: images.Image, *devices: Eui64) -> duis.Response:
        body = duis.UpdateFirmware(images.encode(image), image.header.file_version, devices)
        return self.ask(Service.NON_DEVICE, body)

    def activate(self, device: Eui64, image_hash, execution=None) -> duis.Response:
        """Transform, correlate, sign, send: the Response to the signed pre-command."""
        id_ = self.next_id(device)
        return self.send(id_, self.signed_pre_command(id_, image_hash, execution))

    def signed_pre_command(self, id_: duis.RequestId, image_hash, execution=None) -> bytes:
        body = duis.ActivateFirmware(image_hash, execution)
        answer = self.ask(Service.TRANSFORM, body, id_=id_)
        at = gbcs.CANCELLED if execution == duis.CANCEL else execution
        intent = gbcs.Activation(self.user, id_.target, id_.counter, image_hash, at)
        signer = self.ring.signer(self.user, Role.SUPPLIER)
        return gbcs.sign_pre_command(answer.body.payload.octets, intent, signer)

    def send(self, id_: duis.RequestId, signed: bytes) -> duis.Response:
        return self.ask(Service.SEND_COMMAND, duis.SignedPreCommand(signed), id_=id_)

    def mail(self) -> list[duis.Response]:
        """What has come for this User; what came for others stays."""
        world = self.lab.world
        mine = [letter for letter in world.mail if letter.user == self.user]
        for letter in mine:
            world.mail.remove(letter)
        return [self.open(letter.octets) for letter in mine]

    def wait(self, days: int = 30) -> list[duis.Response]:
        """Let the homes work until nothing is left to do, and give what came."""
        assert self.lab.world.run_while_busy(self.lab.world.now + days * DAY)
        return self.mail()

    def signed_image(self, image: images.Image) -> images.Image:
        return images.sign_supplier(image, self.ring.signer(self.user, Role.SUPPLIER))


class Desk(User):
    """A User at the DCC's own desk: no homes work behind it, and what the DCC sends is looked at."""

    def __init__(self, lab: Lab, user: Eui64 = SUPPLIER, ring: Ring | None = None) -> None:
        super().__init__(lab, user, ring)
        self.dcc = lab.world.dcc
        self.now = lab.world.now
        self.sent: list = []
        self.events: list = []

    def ask(
        self, service: Service, body: duis.RequestBody, target: Eui64 = ACB, id_: duis.RequestId | None = None
    ) -> duis.Response:
        request = duis.Request(id_ or self.next_id(target), body)
        octets, step = self.dcc.request(service, signed_request(self.ring, request), self.now)
        self.take(step)
        return self.open(octets)

    def take(self, step) -> None:
        self.sent += step.send
        self.events += step.events

    def hear(self, *frames) -> None:
        """Frames come from homes."""
        for frame in frames:
            self.take(self.dcc.receive(frame, self.now))

    def later(self, period: int) -> None:
        """Let time pass, in which the DCC acts when it wished to and homes do not."""
        until = Instant(self.now + period)
        while True:
            step = self.dcc.wake(self.now)
            self.take(step)
            if self.now == until:
                return
            self.now = until if step.wake is None else min(max(step.wake, Instant(self.now + 1)), until)

    def told(self, user: Eui64 | None = None) -> list[duis.Response]:
        """What a User was told since it was last looked."""
        mine = [m for m in self.sent if isinstance(m, ToUser) and m.user == (user or self.user)]
        self.sent = [m for m in self.sent if m not in mine]
        return [self.open(message.octets) for message in mine]

    def gas_supplier(self) -> Desk:
        """The other Supplier, at the same desk."""
        return Desk(self.lab, GAS_SUPPLIER, self.lab.pki.supplier(GAS_SUPPLIER, ACB, self.devices))

    @property
    def devices(self) -> list[Eui64]:
        return [entry.device for entry in self.dcc.inventory]

    def spoken(self, device: Eui64, payload: gbcs.Payload, counter: int, recipient: Eui64 = ACB) -> WanGbcs:
        """A Device's own signed message."""
        message = gbcs.compose(payload, originator=device, recipient=recipient, counter=counter)
        octets = gbcs.sign(message, self.lab.pki.device(device, ACB).signer(device))
        return WanGbcs(self.dcc.inventory.entry(device).hub, device, octets, outbound=False)


def a_desk(homes: int = 1, **settings) -> Desk:
    lab = build_world("desk", homes, dcc_settings=Settings(**settings))
    return Desk(lab)


def a_lab(seed: str = "test", homes: int = 1, **named) -> tuple[Lab, User]:
    lab = build_world(seed, homes, **named)
    return lab, User(lab)


def ppmid_image(lab: Lab, payload: bytes = b"display " * 20, version: FirmwareVersion = NEW) -> images.Image:
    return build_firmware(lab.pki, DeviceType.PPMID, version, payload)


def hcalcs_image(lab: Lab, payload: bytes = b"switch " * 20, version: FirmwareVersion = NEW) -> images.Image:
    return build_firmware(lab.pki, DeviceType.HCALCS, version, payload)


def heard(responses: list[duis.Response]) -> list[str]:
    """The messages by name: `N60`, `8F72`, `I0 11.3`."""
    names = []
    for response in responses:
        match response.body:
            case duis.DccAlert(code):
                names.append(code)
            case duis.DeviceAlert(code):
                names.append(f"{code:04X}")
            case duis.ResponseMessage(srv, _, duis.FutureDatedDeviceAlert(code)):
                names.append(f"{code:04X} {srv}")
            case duis.ResponseMessage(srv):
                names.append(f"{response.code} {srv}")
    return names
