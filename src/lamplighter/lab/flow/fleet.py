"""The Devices of a rehearsal in flow mode, as arrays: who hangs off which hub, where, and how well it hears.

A fleet is laid out hub by hub. `draw` makes one of any size out of shares, by numpy's Philox under a key for
each (seed, chunk), so that a fleet of 30 million begins like one of a million with the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag, auto
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lamplighter.kit import UsageError
from lamplighter.lab.flow.chance import philox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CHUNK: Final = 1 << 16  # homes drawn under one key


class Kind(IntEnum):
    """What a Device is, as far as its procedure goes."""

    PPMID = 0
    """SRV 11.4."""
    HCALCS = 1
    """SRV 11.1 and 11.3, and so ESMEs and GSMEs."""


class Trait(IntFlag):
    """What is the matter with a Device, beside nothing."""

    NONE = 0
    INELIGIBLE = auto()
    """One of the warning's five lists has it: not commissioned, or its hub is not capable, or so on."""
    OTHER_HARDWARE = auto()
    """Its hardware lies outside the image's range."""
    RUNS_IT = auto()
    """It runs the new version already."""
    SLEEPS = auto()
    """It listens in short windows only."""
    OFF = auto()
    """It has no power."""
    UNCOVERED = auto()
    """The WAN does not reach its hub."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What a drawn fleet is made of. The shares are assumptions, and a forecast's to vary."""

    regions: Sequence[float] = (1.0,)
    """The share of homes in each region, in the order of the network's regions; adds up to 1."""
    coverage: Sequence[float] = ()
    """The share of hubs that the WAN reaches in each region: `Link.coverage`; empty: all."""
    kinds: Sequence[float] = (1.0, 0.0)
    """Of homes, how many have a PPMID and how many an HCALCS."""
    ineligible: float = 0.0
    """The share of Devices that the DCC leaves out."""
    other_hardware: float = 0.0
    """The share whose hardware the image does not fit."""
    sleeping: float = 0.0
    """The share of PPMIDs that sleep."""
    off: float = 0.0
    """The share that is off for good."""
    qualities: Sequence[float] = (1.0,)
    """The share of Devices with each link quality, in the order of the network's qualities; adds up to 1."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Structure of arrays, one element a Device, hub by hub; 10 octets a Device."""

    hub: NDArray[np.uint32]
    """The number of its hub; never falls from one Device to the next."""
    region: NDArray[np.uint8]
    """The region of its hub, by number."""
    kind: NDArray[np.uint8]
    """`Kind`."""
    quality: NDArray[np.uint8]
    """The quality of its HAN link, by number."""
    traits: NDArray[np.uint8]
    """`Trait`."""
    phase: NDArray[np.uint16]
    """When the windows of one that sleeps open, in 65536ths of their period."""

    def __post_init__(self) -> None:
        if len({len(getattr(self, name)) for name in self.__slots__}) != 1:
            raise UsageError("the arrays of a fleet are equally long")
        if np.any(np.diff(self.hub.astype(np.int64)) < 0):
            raise UsageError("a fleet is laid out hub by hub")

    def __len__(self) -> int:
        return len(self.hub)

    @property
    def hubs(self) -> int:
        """How many hubs there are."""
        return int(self.hub[-1]) + 1 if len(self) else 0

    @property
    def nbytes(self) -> int:
        """What the arrays take."""
        return sum(getattr(self, name).nbytes for name in self.__slots__)

    @classmethod
    def of(
        cls,
        hub: Sequence[int],
        *,
        region: Sequence[int],
        kind: Sequence[Kind],
        quality: Sequence[int] | None = None,
        traits: Sequence[Trait] | None = None,
        phase: Sequence[float] | None = None,
    ) -> Fleet:
        """A fleet that is known Device by Device; phase from 0 to 1."""
        count = len(hub)
        shifts = np.zeros(count) if phase is None else np.asarray(phase, np.float64)
        return cls(
            np.asarray(hub, np.uint32),
            np.asarray(region, np.uint8),
            np.asarray(kind, np.uint8),
            np.zeros(count, np.uint8) if quality is None else np.asarray(quality, np.uint8),
            np.zeros(count, np.uint8) if traits is None else np.asarray(traits, np.uint8),
            (shifts * 65535).astype(np.uint16),
        )

    @classmethod
    def draw(cls, seed: str, homes: int, mix: Mix | None = None) -> Fleet:
        """So many homes, each with its own hub, and in it what `mix` says."""
        mix = mix or Mix()
        parts = [
            _chunk(seed, number, min(CHUNK, homes - number * CHUNK), mix)
            for number in range(-(-homes // CHUNK))
        ]
        if not parts:
            return cls.of([], region=[], kind=[])
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _chunk(seed: str, number: int, homes: int, mix: Mix) -> tuple[NDArray[Any], ...]:
    """A whole chunk is drawn whatever is taken of it."""
    dice = philox(seed, "fleet", number)
    region = dice.choice(len(mix.regions), CHUNK, p=mix.regions).astype(np.uint8)[:homes]
    present = (dice.random((CHUNK, len(mix.kinds)), dtype=np.float32) < mix.kinds)[:homes]
    place, kind = np.nonzero(present)
    shape = (CHUNK, len(mix.kinds))
    draws = [dice.random(shape, dtype=np.float32)[:homes][present] for _ in range(3)]
    quality = dice.choice(len(mix.qualities), shape, p=mix.qualities).astype(np.uint8)[:homes]
    traits = np.zeros(len(place), np.uint8)
    bounds = np.cumsum((mix.ineligible, mix.other_hardware, mix.off))
    traits[draws[0] < bounds[2]] = Trait.OFF
    traits[draws[0] < bounds[1]] = Trait.OTHER_HARDWARE
    traits[draws[0] < bounds[0]] = Trait.INELIGIBLE
    traits[(draws[1] < mix.sleeping) & (kind == Kind.PPMID)] |= np.uint8(Trait.SLEEPS)
    if mix.coverage:
        reached = dice.random(CHUNK, dtype=np.float32)[:homes] < np.asarray(mix.coverage, np.float32)[region]
        traits[~reached[place]] |= np.uint8(Trait.UNCOVERED)
    return (
        (place + number * CHUNK).astype(np.uint32),
        region[place],
        kind.astype(np.uint8),
        quality[present],
        traits,
        (draws[2] * 65535).astype(np.uint16),
    )
