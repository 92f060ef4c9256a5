"""A home for the tests of hub and Devices: one hub, Devices of each kind, and a HAN on a virtual clock."""

from __future__ import annotations

import heapq
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from lamplighter.kit import Eui64, FirmwareVersion, Instant
from lamplighter.kit.instant import HOUR, MILLISECOND
from lamplighter.lab.devices import Esme, Flash, Gsme, Hcalcs, Maker, Nameplate, Ppmid
from lamplighter.lab.hub import FIRMWARE, Activation, Hub, Memory, Record
from lamplighter.lab.pki import Pki
from lamplighter.lab.wire import (
    Cluster,
    HanFrame,
    WanDeviceLeft,
    WanGbcs,
    WanHubFirmware,
    WanImage,
    WanImageReceipt,
)
from lamplighter.protocol import gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.smki import Role, Use

if TYPE_CHECKING:
    from lamplighter.kit import ImageHash, Step
    from lamplighter.lab.devices import Schedule

NOW = Instant(1_900_000_000_000_000)
SUPPLIER = Eui64.of(0x90B3D51F30010000)
RIVAL = Eui64.of(0x90B3D51F30020000)
ACB = Eui64.of(0x90B3D51F30000002)
HUB = Eui64.of(0x00DB1234567890A2)
PPMID = Eui64.of(0x00DB1234567890A4)
HCALCS = Eui64.of(0x00DB1234567890A0)
ESME = Eui64.of(0x00DB1234567890A1)
GSME = Eui64.of(0x00DB1234567890A3)

PKI = Pki("a home")
SEALER = images.SealKey(PKI.private_key("maker"))
MAKER = Maker(SEALER.public_key)
AT_ACB = PKI.acb(ACB, (SUPPLIER,), (HUB, PPMID, HCALCS, ESME, GSME))
SIGNER = PKI.issued(SUPPLIER, Role.SUPPLIER, Use.DIGITAL_SIGNATURE)
RIVAL_SIGNER = PKI.issued(RIVAL, Role.SUPPLIER, Use.DIGITAL_SIGNATURE)
AT_PPMID = PKI.device(PPMID, ACB)
AT_HCALCS = PKI.device(HCALCS, ACB, SUPPLIER)
AT_HUB = PKI.device(HUB, ACB).signer(HUB)
RINGS = {PPMID: AT_PPMID, HCALCS: AT_HCALCS} | {
    meter: PKI.device(meter, ACB, SUPPLIER) for meter in (ESME, GSME)
}

OLD, NEW = FirmwareVersion(0x01000000), FirmwareVersion(0x02000000)
IMAGE_TYPES = {PPMID: 0x0084, HCALCS: 0x0085, ESME: 0x0000, GSME: 0x0001}
PLATES = {device: Nameplate(device, 0x121D, kind, 0x0101) for device, kind in IMAGE_TYPES.items()}
KINDS: dict[Eui64, Any] = {PPMID: Ppmid, HCALCS: Hcalcs, ESME: Esme, GSME: Gsme}
ACTIVATIONS = {
    PPMID: Activation.AT_ONCE,
    HCALCS: Activation.ON_COMMAND,
    ESME: Activation.METER,
    GSME: Activation.METER,
}
PAIR = (PPMID, HCALCS)


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
FOR = {device: images.sign_supplier(build(device), SIGNER) for device in (HCALCS, ESME, GSME)} | {
    PPMID: FOR_PPMID
}


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
    """The actors and what they said; HAN frames take a few milliseconds, and some get lost.

    devices   that have power at first
    joined    that the hub knows
    loss      chance of each OTA frame to be lost, or of every frame where `all_lossy`
    awake     schedules of Devices that sleep
    hub       options of the hub
    """

    def __init__(
        self,
        *,
        devices: tuple[Eui64, ...] = PAIR,
        flashes: dict[Eui64, Flash] | None = None,
        joined: tuple[Eui64, ...] | None = None,
        loss: float = 0.0,
        all_lossy: bool = False,
        seed: int = 0,
        awake: dict[Eui64, Schedule] | None = None,
        hub: dict[str, Any] | None = None,
        capable: bool = True,
    ) -> None:
        self.now = NOW
        self.random = Random(seed)
        self.loss = loss
        self.all_lossy = all_lossy
        self.awake = awake or {}
        self.events: list[Any] = []
        self.receipts: list[WanImageReceipt] = []
        self.told: list[WanHubFirmware | WanDeviceLeft] = []
        self.wan: list[WanGbcs] = []
        self.flashes = flashes or {device: Flash.factory(FACTORY[device]) for device in devices}
        self.memory = Memory(Record(FIRMWARE, capable))
        self.joined = devices if joined is None else joined
        self.hub_options = hub or {}
        self.nodes: dict[Eui64, Any] = {}
        self.wakes: dict[Eui64, Instant | None] = {}
        self.air: list[tuple[Instant, int, HanFrame]] = []
        self.order = count()
        for node in (HUB, *devices):
            self.power(node)

    def power(self, node: Eui64) -> None:
        """A new machine on the old memory."""
        if node == HUB:
            joined = {device: ACTIVATIONS[device] for device in self.joined}
            machine: Any = Hub(HUB, AT_HUB, acb=ACB, devices=joined, memory=self.memory, **self.hub_options)
        else:
            options: dict[str, Any] = {} if node == PPMID else {"supplier": SUPPLIER}
            machine = KINDS[node](
                PLATES[node],
                self.flashes[node],
                MAKER,
                RINGS[node],
                hub=HUB,
                acb=ACB,
                awake=self.awake.get(node),
                **options,
            )
        self.unplug(node)
        self.nodes[node] = machine
        self.take(node, machine.start(self.now))

    def unplug(self, node: Eui64) -> None:
        """No power: what it was about to say is not said, and nothing is heard."""
        self.nodes.pop(node, None)
        self.wakes[node] = None
        self.air = [entry for entry in self.air if entry[2].source != node]
        heapq.heapify(self.air)

    def take(self, node: Eui64, step: Step) -> None:
        self.wakes[node] = step.wake
        self.events += step.events
        for frame in step.send:
            match frame:
                case HanFrame():
                    lossy = self.all_lossy or frame.cluster is Cluster.OTA
                    if not lossy or self.random.random() >= self.loss:
                        heapq.heappush(
                            self.air, (Instant(self.now + 5 * MILLISECOND), next(self.order), frame)
                        )
                case WanImageReceipt():
                    self.receipts.append(frame)
                case WanGbcs():
                    self.wan.append(frame)
                case _:
                    self.told.append(frame)

    def do(self, node: Eui64, deed: str, *arguments: Any) -> None:
        """Call a machine's method that gives a step."""
        self.take(node, getattr(self.nodes[node], deed)(*arguments, self.now))

    def send(self, image: images.Image | bytes, *devices: Eui64, transfer: int = 1) -> None:
        """An image arrives over the WAN."""
        octets = image if isinstance(image, bytes) else images.encode(image)
        self.take(HUB, self.nodes[HUB].receive(WanImage(HUB, transfer, octets, devices), self.now))

    def tell(self, device: Eui64, octets: bytes) -> None:
        """A GBCS message arrives over the WAN."""
        self.take(HUB, self.nodes[HUB].receive(WanGbcs(HUB, device, octets, outbound=True), self.now))

    def tell_device(self, device: Eui64, octets: bytes) -> None:
        """A GBCS message arrives over the HAN."""
        frame = HanFrame(HUB, device, Cluster.TUNNELING, octets)
        self.take(device, self.nodes[device].receive(frame, self.now))

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
