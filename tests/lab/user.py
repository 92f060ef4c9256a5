"""A User of a lab: it asks, signs, and opens what it is told, with nothing but its own key ring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamplighter.kit import FirmwareVersion
from lamplighter.kit.instant import DAY
from lamplighter.lab.dcc import Service
from lamplighter.lab.homes import ACB, SUPPLIER, Lab, build_firmware, build_world
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import DeviceType
from lamplighter.protocol.smki import Ring, Role

if TYPE_CHECKING:
    from lamplighter.kit import Eui64

NEW = FirmwareVersion(0x0200_0000)


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
