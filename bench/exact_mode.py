"""Homes updated in exact mode, against the bare block exchange of the same two OTA machines.

Exact: a world of homes whose PPMIDs all get a 300 kB image by one SRV 11.4 request, from the signed XML of
the request to the N39 that proves the last one: DCC, WAN, hubs, Devices, HAN, and every signature made and
checked. Only the trace is not written. Making the world and its keys is not counted.
Bare: one client machine and one server machine that hand each other the blocks of the same image in a loop,
7,500 exchanges a home, with nobody in between.
The ratio is homes a second in exact mode / images a second bare: 1 would mean that world, carriage, flash,
cryptography and XML are free.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import DAY
from lamplighter.lab import homes
from lamplighter.lab.dcc import Service
from lamplighter.lab.devices.device import BLOCK_OCTETS
from lamplighter.protocol import duis, zigbee
from lamplighter.protocol import image as images
from lamplighter.protocol.smki import Role

NAME: Final = "exact mode, homes updated with 300 kB images, vs bare block exchange of the machines"
GOAL: Final = 0.5

HOMES: Final = 20
IMAGE_OCTETS: Final = 300_000

_NEW: Final = FirmwareVersion(0x0200_0000)
_OLD: Final = zigbee.ImageId(0x121D, 0x0084, FirmwareVersion(0x0100_0000))
_IMAGE: Final = zigbee.ImageId(0x121D, 0x0084, _NEW)
_NOW: Final = Instant(1_900_000_000_000_000)
_PAYLOAD: Final = bytes(range(256)) * (IMAGE_OCTETS // 256)


def rounds(count: int) -> list[float]:
    """Ratios, one a round."""
    return [_bare() / _exact(f"bench {number}") for number in range(count)]


def _exact(seed: str) -> float:
    """Seconds a home."""
    lab = homes.build_world(seed, HOMES, record=False)
    image = homes.build_firmware(lab.pki, duis.DeviceType.PPMID, _NEW, _PAYLOAD)
    lab.publish(image)
    devices = tuple(home.ppmid for home in lab.homes)
    request = duis.Request(
        duis.RequestId(homes.SUPPLIER, homes.ACB, 1000),
        duis.UpdatePpmidFirmware(images.encode(image), _NEW, devices),
    )
    signer = lab.ring.signer(homes.SUPPLIER, Role.XML_SIGNING)
    world = lab.world
    began = perf_counter()
    world.request(Service.NON_DEVICE, duis.sign(duis.encode_request(request), signer))
    world.run_while_busy(Instant(world.now + DAY))
    seconds = perf_counter() - began
    entries = map(world.dcc.inventory.find, devices)
    updated = sum(entry is not None and entry.firmware == _NEW for entry in entries)
    assert updated == HOMES, f"{updated} of {HOMES} homes were updated"
    return seconds / HOMES


def _bare() -> float:
    """Seconds an image, over as many as there are homes."""
    return sum(_transfer() for _ in range(HOMES)) / HOMES


def _transfer() -> float:
    client = zigbee.OtaClient(_OLD, 0x0101, slot=len(_PAYLOAD), block=BLOCK_OCTETS)
    server = zigbee.OtaServer()
    server.offer(zigbee.Offer(_IMAGE, _PAYLOAD, 0x0100, 0x0200, delay=0), _NOW)
    (query,) = client.query(_NOW).send
    (offer,) = server.receive(query, _NOW).send
    asked = client.receive(offer, _NOW).send
    began = perf_counter()
    while asked:
        (answer,) = server.receive(asked[0], _NOW).send
        asked = client.receive(answer, _NOW).send
    return perf_counter() - began
