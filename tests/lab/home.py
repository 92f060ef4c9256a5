"""A home for the tests of hub and Devices: one hub, a PPMID, an HCALCS, and a HAN on a virtual clock."""

from __future__ import annotations

import heapq
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from lamplighter.kit import Eui64, FirmwareVersion, Instant
from lamplighter.kit.instant import HOUR, MILLISECOND
from lamplighter.lab.devices import Flash, Hcalcs, Maker, Nameplate, Ppmid
from lamplighter.lab.hub import Activation, Hub
from lamplighter.lab.pki import Pki
from lamplighter.lab.wire import Cluster, HanFrame, WanGbcs, WanImage, WanImageReceipt
from lamplighter.protocol import gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.smki import Role, Use

if TYPE_CHECKING:
    from lamplighter.kit import ImageHash, Step

NOW = Instant(1_900_000_000_000_000)
SUPPLIER = Eui64.of(0x90B3D51F30010000)
RIVAL = Eui64.of(0x90B3D51F30020000)
ACB = Eui64.of(0x90B3D51F30000002)
HUB = Eui64.of(0x00DB1234567890A2)
PPMID = Eui64.of(0x00DB1234567890A4)
HCALCS = Eui64.of(0x00DB1234567890A0)

PKI = Pki("a home")
SEALER = images.SealKey(PKI.private_key("maker"))
MAKER = Maker(SEALER.public_key)
AT_ACB = PKI.acb(ACB, (SUPPLIER,), (HUB, PPMID, HCALCS))
SIGNER = PKI.issued(SUPPLIER, Role.SUPPLIER, Use.DIGITAL_SIGNATURE)
RIVAL_SIGNER = PKI.issued(RIVAL, Role.SUPPLIER, Use.DIGITAL_SIGNATURE)
AT_PPMID = PKI.device(PPMID, ACB)
AT_HCALCS = PKI.device(HCALCS, ACB, SUPPLIER)
AT_HUB = PKI.device(HUB, ACB).signer(HUB)

OLD, NEW = FirmwareVersion(0x01000000), FirmwareVersion(0x02000000)
PLATES = {PPMID: Nameplate(PPMID, 0x121D, 0x0084, 0x0101), HCALCS: Nameplate(HCALCS, 0x121D, 0x0085, 0x0101)}


def build(
    device: Eui64,
    version: FirmwareVersion = NEW,
    *,
    sealer: Any = SEALER,
    hardware: tuple[int, int] = (0x0100, 0x0200),
    payload: bytes = b"firmware " * 20,
) -> images.Image:
    """A sealed image without a trailer."""
    body = payload + str(version).encode()
    plate = PLATES[device]
    return images.build(
        body if sealer is None else images.seal(body, sealer),
        manufacturer=plate.manufacturer,
        image_type=plate.image_type,
        file_version=version,
        minimum_hardware=hardware[0],
        maximum_hardware=hardware[1],
    )


FACTORY = {device: images.encode(build(device, OLD)) for device in PLATES}
FOR_PPMID = build(PPMID)
FOR_HCALCS = images.sign_supplier(build(HCALCS), SIGNER)


def activate(
    image_hash: ImageHash,
    counter: int,
    execution: Instant | None = None,
    *,
    signer: Any = SIGNER,
    supplier: Eui64 = SUPPLIER,
    device: Eui64 = HCALCS,
) -> bytes:
    """A CS06 command, signed and MACed."""
    message = gbcs.compose(
        gbcs.Cs06Command(image_hash, counter, execution),
        originator=supplier,
        recipient=device,
        counter=counter,
    )
    return gbcs.mac.wrap(gbcs.sign(message, signer), AT_ACB.secrets(ACB, device)[0])


def read_version(device: Eui64, counter: int) -> bytes:
    """A CS08 command, MACed."""
    message = gbcs.compose(
        gbcs.Cs08Command(),
        originator=ACB,
        recipient=device,
        counter=counter,
        supplementary=gbcs.Supplementary(SUPPLIER, 77),
    )
    return gbcs.mac.wrap(gbcs.encode_message(message), AT_ACB.secrets(ACB, device)[0])


class Home:
    """The actors and what they said; HAN frames take a few milliseconds, and some get lost."""

    def __init__(
        self,
        *,
        flashes: dict[Eui64, Flash] | None = None,
        joined: tuple[Eui64, ...] = (PPMID, HCALCS),
        loss: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.now = NOW
        self.random = Random(seed)
        self.loss = loss
        self.events: list[Any] = []
        self.receipts: list[WanImageReceipt] = []
        self.wan: list[WanGbcs] = []
        self.flashes = flashes or {device: Flash.factory(FACTORY[device]) for device in PLATES}
        kinds = {PPMID: Activation.AT_ONCE, HCALCS: Activation.ON_COMMAND}
        self.nodes: dict[Eui64, Any] = {
            HUB: Hub(HUB, AT_HUB, acb=ACB, devices={device: kinds[device] for device in joined})
        }
        self.wakes: dict[Eui64, Instant | None] = {}
        self.air: list[tuple[Instant, int, HanFrame]] = []
        self.order = count()
        self.take(HUB, self.nodes[HUB].start(NOW))
        for device in PLATES:
            self.power(device)

    def power(self, device: Eui64) -> None:
        """A new machine on the old flash."""
        flash = self.flashes[device]
        if device == PPMID:
            machine: Any = Ppmid(PLATES[PPMID], flash, MAKER, AT_PPMID, hub=HUB, acb=ACB)
        else:
            machine = Hcalcs(PLATES[HCALCS], flash, MAKER, AT_HCALCS, hub=HUB, acb=ACB, supplier=SUPPLIER)
        self.nodes[device] = machine
        self.wakes[device] = None
        self.air = [entry for entry in self.air if entry[2].source != device]
        heapq.heapify(self.air)
        self.take(device, machine.start(self.now))

    def take(self, node: Eui64, step: Step) -> None:
        self.wakes[node] = step.wake
        self.events += step.events
        for frame in step.send:
            match frame:
                case HanFrame() if self.random.random() >= self.loss or frame.cluster is Cluster.TUNNELING:
                    heapq.heappush(self.air, (Instant(self.now + 5 * MILLISECOND), next(self.order), frame))
                case WanImageReceipt():
                    self.receipts.append(frame)
                case WanGbcs():
                    self.wan.append(frame)

    def send(self, image: images.Image | bytes, *devices: Eui64, transfer: int = 1) -> None:
        """An image arrives over the WAN."""
        octets = image if isinstance(image, bytes) else images.encode(image)
        self.take(HUB, self.nodes[HUB].receive(WanImage(HUB, transfer, octets, devices), self.now))

    def tell(self, device: Eui64, octets: bytes) -> None:
        """A GBCS message arrives over the WAN."""
        self.take(HUB, self.nodes[HUB].receive(WanGbcs(HUB, device, octets, outbound=True), self.now))

    def run(self, length: int = 1 * HOUR) -> None:
        """Let that much time pass."""
        end = self.now + length
        for steps in count():
            assert steps < 500_000, "the home does not come to rest"
            wakes = [(wake, node) for node, wake in self.wakes.items() if wake is not None]
            alarm = min(wakes, key=lambda pair: pair[0], default=None)
            arrival = self.air[0][0] if self.air else None
            if arrival is not None and (alarm is None or arrival <= alarm[0]) and arrival <= end:
                self.now, _, frame = heapq.heappop(self.air)
                node = frame.destination
                if node in self.nodes:
                    self.take(node, self.nodes[node].receive(frame, self.now))
            elif alarm is not None and alarm[0] <= end:
                self.now = max(self.now, alarm[0])
                self.take(alarm[1], self.nodes[alarm[1]].wake(self.now))
            else:
                self.now = Instant(end)
                return

    def said(self, device: Eui64 | None = None) -> list[Any]:
        """What the ACB or the Supplier reads in the messages so far, each fully checked."""
        return [
            gbcs.open_message(frame.octets, AT_ACB, broker=ACB).payload
            for frame in self.wan
            if device in (None, frame.device)
        ]

    def of(self, *kinds: type) -> list[Any]:
        """The events of these kinds."""
        return [event for event in self.events if isinstance(event, kinds)]
