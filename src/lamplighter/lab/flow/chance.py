"""Chance for millions of Devices: a draw hangs on seed, Device, attempt and purpose, and on no order.

`Chance.words` mixes a counter of these four into 64 bits, as SplitMix64 does (Steele, Lea and Flood 2014; the
mixing constants are Stafford's variant 13). Whoever asks for one Device alone, for all of them in another
order, or in pieces on any number of workers, gets the same words. The keys come from numpy's Philox, one a
purpose, so that the purposes are independent streams.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum, auto
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_ATTEMPT_SHIFT: Final = np.uint64(40)  # above every index of a Device: a trillion of them
_UNIT: Final = np.float32(2.0**-32)


class Purpose(IntEnum):
    """What a word is drawn for; scheduled faults number theirs from `FAULTS` on."""

    WAN = 0
    """Outages of the link while the image crosses."""
    HAN = auto()
    """The transfer: notices and block exchanges."""
    END = auto()
    """The end of it: what is lost of the Upgrade End Request and Response."""
    AGAIN = auto()
    """Whether a Device that gave up is heard."""
    REPORT = auto()
    """Outages when the hub reports."""
    SAID = auto()
    """What is lost of the Device's own report."""
    COMMAND = auto()
    """Outages when a command is sent."""
    ANSWER = auto()
    """What is lost of a command and its answer on the HAN."""
    HEARD = auto()
    """Outages when a Device answers."""
    FAULTS = auto()
    """The first scheduled fault; the next ones count on."""


def philox(seed: str, *labels: str | int) -> np.random.Generator:
    """A numpy generator of its own for these labels: Philox under a key of 128 bits."""
    text = "\x1f".join((seed, *map(str, labels)))
    key = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key.astype(np.uint64)))


class Chance:
    """Every draw of one rehearsal.

    seed      any text
    purposes  how many there are
    """

    __slots__ = ("_keys",)

    def __init__(self, seed: str, purposes: int = Purpose.FAULTS) -> None:
        self._keys = philox(seed, "chance").integers(0, 2**64, purposes, dtype=np.uint64)

    def words(
        self, purpose: int, devices: NDArray[np.uint32], attempts: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Two independent words of 32 bits for each Device and its attempt."""
        word = attempts.astype(np.uint64)
        word <<= _ATTEMPT_SHIFT
        word |= devices
        word *= _GOLDEN
        word += self._keys[purpose]
        other = word >> np.uint64(30)
        word ^= other
        word *= _FIRST
        np.right_shift(word, np.uint64(27), out=other)
        word ^= other
        word *= _SECOND
        np.right_shift(word, np.uint64(31), out=other)
        word ^= other
        return word.astype(np.uint32), (word >> np.uint64(32)).astype(np.uint32)

    def unit(
        self, purpose: int, devices: NDArray[np.uint32], attempts: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """One number above 0 and at most 1 for each."""
        return unit(self.words(purpose, devices, attempts)[0])


def unit(word: NDArray[np.uint32]) -> NDArray[np.float32]:
    """A word as a number above 0 and at most 1."""
    return (word.astype(np.float32) + np.float32(0.5)) * _UNIT
