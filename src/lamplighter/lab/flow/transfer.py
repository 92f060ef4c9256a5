"""How long a block transfer takes over a HAN, as quantiles: not 18,750 exchanges, but one look into a table.

A table is made once for a link quality and an image size, from the parameters of `lab.han` and the constants
of the machines, by following many transfers at once. What happens exchange by exchange is done in sums:

- an exchange takes two latencies; if either frame is lost, the client asks again after `ANSWER_TIMEOUT`, and
  gives up at the `TRIES`-th silence. The number of losses in all exchanges is negative binomial.
- frames that are held up add their lateness; their sum over a whole transfer is taken as normal.
- a burst of interference is met somewhere in its cycle, and stepped through try by try.

Left out: a transfer that is served again so often that the server aborts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lamplighter.kit.instant import SECOND
from lamplighter.lab.devices.device import BLOCK_OCTETS
from lamplighter.lab.flow.ticks import TICK
from lamplighter.protocol.zigbee.download import ANSWER_TIMEOUT, TRIES
from lamplighter.protocol.zigbee.upload import BLOCK_OCTETS_MAX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lamplighter.lab.han import Interference, Quality

QUANTILES: Final = 1 << 12  # of each table
_FIRST_TOLD: Final = 3  # the exchange at which a minimum block period is told: query, block, block
_FOLLOWED: Final = 1 << 15  # transfers, for a table


class Air(NamedTuple):
    """What a HAN does to frames: its own Device's link, and interference over all."""

    quality: Quality
    interference: Interference
    period: int = 0
    """The hub's minimum block period, microseconds."""

    @property
    def interfered(self) -> float:
        """The share of time that bursts take."""
        pattern = self.interference
        return pattern.length / (pattern.pause + pattern.length) if pattern.pause else 0.0

    @property
    def loss(self) -> float:
        """Probability that a frame sent at no special time is lost."""
        return 1 - (1 - self.quality.loss) * (1 - self.interfered * self.interference.loss)


@dataclass(frozen=True, slots=True)
class Transfers:
    """The transfers of one image size over links of one quality, from query to last block."""

    took: NDArray[np.uint32]
    """Quantiles of the ticks that one takes that comes to its end."""
    gave_up: float
    """The share that does not: the client has no answer `TRIES` times in a row."""
    gave_up_after: NDArray[np.uint32]
    """Quantiles of the ticks until then."""
    unheard: float
    """Of these, the share whose farewell is lost, so that the hub goes on waiting."""


def exchanges(octets: int) -> int:
    """How many question-and-answer pairs a file takes: the query, and each block."""
    return 1 + -(-octets // min(BLOCK_OCTETS, BLOCK_OCTETS_MAX))


def follow(air: Air, octets: int, dice: np.random.Generator) -> Transfers:
    """Make a table."""
    quality = air.quality
    count = exchanges(octets)
    clear = np.full(_FOLLOWED, 2.0 * quality.latency * count)
    fails = 1 - (1 - quality.loss) ** 2
    clear += _held_back(air.period, 2 * quality.latency, count)
    clear += ANSWER_TIMEOUT * _losses(count, fails, dice)
    clear += _lateness(2 * count, quality, dice)
    # A run of TRIES losses can begin at any exchange.
    alone = -np.expm1(count * np.log1p(-(fails**TRIES))) if fails < 1 else 1.0
    gone = dice.random(_FOLLOWED) < alone
    silent = ANSWER_TIMEOUT * TRIES
    ended = np.where(gone, dice.random(_FOLLOWED) * clear + silent, clear)
    lost = gone & (dice.random(_FOLLOWED) < quality.loss)
    if air.interference.pause:
        _interfere(air, ended, gone, lost, dice)
    good, bad = ended[~gone], ended[gone]
    return Transfers(
        _quantiles(good),
        float(gone.mean()),
        _quantiles(bad),
        float(lost.sum() / max(gone.sum(), 1)),
    )


def _held_back(period: int, exchange: int, count: int) -> float:
    """What a minimum block period adds to a transfer without losses.

    The client asks for its second block at once, is told to wait whole seconds, and so learns of the period:
    from then on it keeps it by itself, but for the last block. A period that an exchange takes anyhow is
    never told of.
    """
    early = period - exchange
    if early <= 0 or count < _FIRST_TOLD:
        return 0.0
    told = exchange + -(-early // SECOND) * SECOND
    return float(told + period * (count - _FIRST_TOLD))


def _quantiles(sample: NDArray[np.float64]) -> NDArray[np.uint32]:
    if not len(sample):
        return np.zeros(QUANTILES, np.uint32)
    places = (2 * np.arange(QUANTILES) + 1) * len(sample) // (2 * QUANTILES)
    return np.rint(np.sort(sample)[places] / TICK).astype(np.uint32)


def _losses(count: int, fails: float, dice: np.random.Generator) -> NDArray[np.float64]:
    """Failures before `count` successes: negative binomial, a Poisson of a gamma."""
    if fails <= 0:
        return np.zeros(_FOLLOWED)
    fails = min(fails, 0.999)
    return dice.negative_binomial(count, 1 - fails, _FOLLOWED).astype(np.float64)


def _lateness(frames: int, quality: Quality, dice: np.random.Generator) -> NDArray[np.float64]:
    if not quality.lateness:
        return np.zeros(_FOLLOWED)
    late = dice.binomial(frames, quality.lateness, _FOLLOWED)
    most = quality.late_most
    total = late * most / 2 + np.sqrt(late / 12) * most * dice.standard_normal(_FOLLOWED)
    return np.maximum(total, 0.0)


def _interfere(
    air: Air,
    ended: NDArray[np.float64],
    gone: NDArray[np.bool_],
    lost: NDArray[np.bool_],
    dice: np.random.Generator,
) -> None:
    """Put bursts into transfers that take `ended` in clear air: stretch them, or end them, in place."""
    pattern = air.interference
    left = ended.copy()
    ended[:] = 0
    going = np.arange(len(left))
    # Transfers begin anywhere between two bursts, or in one: the remainder of a uniform wait is a root.
    gap = 2 * pattern.pause * (1 - np.sqrt(dice.random(len(left))))
    inside = dice.random(len(left)) < air.interfered
    gap[inside] = 0
    length = dice.random(len(left)) * 2 * pattern.length
    length[inside] = 2 * pattern.length * (1 - np.sqrt(dice.random(inside.sum())))
    while len(going):
        clear = np.minimum(left[going], gap)
        ended[going] += clear
        left[going] -= clear
        met = left[going] > 0
        going, length = going[met], length[met]
        if not len(going):
            return
        spent, progress, silent = _burst(air, length, left[going], dice)
        ended[going] += spent
        left[going] -= progress
        dead = silent >= TRIES
        fallen = going[dead]
        gone[fallen] = True
        in_burst = spent[dead] < length[dead]
        lost[fallen] = dice.random(len(fallen)) < np.where(in_burst, pattern.loss, air.quality.loss)
        alive = ~dead & (left[going] > 0)
        overshoot = (spent - length)[alive]
        going = going[alive]
        gap = np.maximum(dice.random(len(going)) * 2 * pattern.pause - overshoot, 0)
        length = dice.random(len(going)) * 2 * pattern.length


def _burst(
    air: Air, length: NDArray[np.float64], left: NDArray[np.float64], dice: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Through one burst try by try: the time spent, what of it was progress, and the silences in a row."""
    passes = ((1 - air.interference.loss) * (1 - air.quality.loss)) ** 2
    pair = 2.0 * air.quality.latency
    spent = np.zeros(len(length))
    progress = np.zeros(len(length))
    silent = np.zeros(len(length), np.int64)
    while True:
        on = np.flatnonzero((spent < length) & (silent < TRIES) & (progress < left))
        if not len(on):
            return spent, progress, silent
        through = np.zeros(len(on)) if passes <= 0 else dice.geometric(1 - passes, len(on)) - 1.0
        room = np.ceil(np.minimum(length[on] - spent[on], left[on] - progress[on]) / pair)
        stopped = through < room
        through = np.minimum(through, room)
        progress[on] += through * pair
        spent[on] += through * pair
        silent[on] = np.where(through > 0, 0, silent[on])
        failed = on[stopped]
        spent[failed] += ANSWER_TIMEOUT
        silent[failed] += 1
