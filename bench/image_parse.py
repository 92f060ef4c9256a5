"""One 750 kB image decoded, checked and hashed, against `hashlib.sha256` of the same octets."""

from __future__ import annotations

import hashlib
import statistics
from time import perf_counter
from typing import TYPE_CHECKING

from lamplighter.kit import FirmwareVersion
from lamplighter.protocol import image

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "750 kB image: decode, check, hash / sha256"
GOAL = 0.95

PAIRS = 60  # a round; each half of a pair runs right after the other


def rounds(count: int) -> list[float]:
    """`count` ratios, each the median over pairs of (time of sha256 / time of ours)."""
    body = bytes(index * 31 & 0xFF for index in range(image.MAX_IMAGE_OCTETS - image.HEADER_OCTETS))
    built = image.build(
        body,
        manufacturer=0x121D,
        image_type=0x0084,
        file_version=FirmwareVersion(2),
        minimum_hardware=0x0100,
        maximum_hardware=0x01FF,
    )
    octets = image.encode(built)
    assert built.hash == _ours(octets).hash
    return [_round(octets) for _ in range(count)]


def _ours(octets: bytes) -> image.Image:
    read = image.decode(octets)
    image.check(read, layout=image.Layout.SRV_11_4)
    return read


def _round(octets: bytes) -> float:
    return statistics.median(
        _seconds(lambda: hashlib.sha256(octets).digest()) / _seconds(lambda: _ours(octets))
        for _ in range(PAIRS)
    )


def _seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
