"""Dice that fall the same on every machine: streams of numbers out of one seed, each for one purpose.

A stream is BLAKE2b of the seed, its labels and a counter. What one stream is asked changes nothing in
another, so that a home's luck does not hang on its neighbour's, nor on the Python that runs it.
"""

from __future__ import annotations

from hashlib import blake2b
from math import log, log1p
from typing import TYPE_CHECKING, Final, TypeVar

from lamplighter.kit import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

NEVER: Final = 1 << 62  # more tries than there will ever be

_WORD_OCTETS: Final = 8
_BLOCK_OCTETS: Final = 64
_FRACTION: Final = 2.0**-53  # the grid of floats in [0, 1)


class Dice:
    """All streams of one seed."""

    __slots__ = ("_key",)

    def __init__(self, seed: str) -> None:
        self._key = blake2b(seed.encode(), digest_size=_BLOCK_OCTETS).digest()

    def stream(self, *labels: object) -> Stream:
        """The stream of these labels; asking for it twice gives its numbers twice."""
        named = blake2b(key=self._key, digest_size=_BLOCK_OCTETS)
        for label in labels:
            text = str(label).encode()
            named.update(len(text).to_bytes(_WORD_OCTETS, "big") + text)
        return Stream(named.digest())


class Stream:
    """Numbers for one purpose, in one order."""

    __slots__ = ("_count", "_key", "_words")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._count = 0
        self._words: list[int] = []

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return self._fraction() < probability

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._fraction()

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included, all alike."""
        span = high - low + 1
        if span < 1:
            raise UsageError(f"no whole number lies from {low} to {high}")
        octets = (span.bit_length() + 7) // 8
        while True:  # refused with less than one chance in two each time
            word = int.from_bytes(self._octets(octets), "big") >> (8 * octets - span.bit_length())
            if word < span:
                return low + word

    def choose(self, options: Sequence[T]) -> T:
        """One of the options, all alike."""
        return options[self.integer(0, len(options) - 1)]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """One of the options, each as likely as its share of all weights."""
        left = self.uniform(0, sum(weight for _, weight in options))
        for option, weight in options:
            left -= weight
            if left < 0:
                return option
        return options[-1][0]  # the sum was rounded

    def failures(self, probability: float) -> int:
        """How many tries fail before one of this probability succeeds: one roll in place of many."""
        if probability <= 0:
            return NEVER
        if probability >= 1:
            return 0
        return min(int(log(1 - self._fraction()) / log1p(-probability)), NEVER)

    def _fraction(self) -> float:
        return (self._word() >> 11) * _FRACTION

    def _octets(self, count: int) -> bytes:
        words = -(-count // _WORD_OCTETS)
        return b"".join(self._word().to_bytes(_WORD_OCTETS, "big") for _ in range(words))[:count]

    def _word(self) -> int:
        if not self._words:
            counter = self._count.to_bytes(_WORD_OCTETS, "big")
            block = blake2b(counter, key=self._key, digest_size=_BLOCK_OCTETS).digest()
            self._count += 1
            self._words = [
                int.from_bytes(block[at : at + _WORD_OCTETS], "big")
                for at in range(_BLOCK_OCTETS - _WORD_OCTETS, -1, -_WORD_OCTETS)
            ]
        return self._words.pop()
