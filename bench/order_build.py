"""A 50,000-Device 11.4 request with a 750 kB image, built and signed, against its bare base64 and SHA-256."""

from __future__ import annotations

import base64
import hashlib
import random
import statistics
from time import perf_counter
from typing import TYPE_CHECKING

from lamplighter.kit import Eui64, FirmwareVersion
from lamplighter.lab.pki import Pki
from lamplighter.protocol import duis
from lamplighter.protocol.smki import Role, Use

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "SRV 11.4 for 50,000 Devices, 750 kB: build, sign / base64 + SHA-256"
GOAL = 0.2  # at most five times the bare work

DEVICES = 50_000  # DUIS 5.4, DeviceIDList
IMAGE_OCTETS = 750_000  # the largest that is said to be taken in practice
PAIRS = 12  # in a round; each half of a pair runs right after the other

SUPPLIER, ACB = Eui64.parse("90-B3-D5-1F-30-01-00-00"), Eui64.parse("90-B3-D5-1F-30-00-00-02")


def rounds(count: int) -> list[float]:
    """`count` ratios, each the median over pairs of (time of the bare work / time of ours)."""
    signer = Pki("bench").issued(SUPPLIER, Role.XML_SIGNING, Use.DIGITAL_SIGNATURE)
    dice = random.Random(11)
    image = dice.randbytes(IMAGE_OCTETS)
    devices = tuple(map(Eui64.of, dice.sample(range(0x00DB_0000_0000_0000, 0x00DB_0000_1000_0000), DEVICES)))
    body = duis.UpdatePpmidFirmware(image, FirmwareVersion(0x0200_0000), devices)
    request = duis.Request(duis.RequestId(SUPPLIER, ACB, 1), body)
    octets = duis.encode_request(request)

    def bare() -> None:
        base64.b64encode(image)
        hashlib.sha256(octets).digest()

    def ours() -> None:
        duis.sign_request(request, signer)

    return [_round(bare, ours) for _ in range(count)]


def _round(bare: Callable[[], None], ours: Callable[[], None]) -> float:
    return statistics.median(_seconds(bare) / _seconds(ours) for _ in range(PAIRS))


def _seconds(work: Callable[[], None]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
