"""Draws: the numbers of one block of futures, the same wherever and in whatever order blocks are worked.

Each input has a stream of its own, in each block: Philox, a generator without a state to hand on, keyed by
the seed and the input's name, its counter begun at the block's number. What one input draws changes nothing
in another, so that two variants of a case differ by what was changed and by nothing else. Only where the
change is one of how many events come, or when, does what is drawn for one event fall to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.planning.business.case import Assumption, Case, Variant

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

BLOCK: Final = 2_000
"""Futures in one block. A part of every result: another size draws other numbers."""
SEED_MAX: Final = 2**64 - 1


def stream(seed: int, name: str, block: int) -> Generator:
    """The generator of this name in this block."""
    label = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
    key = np.array([seed, label], dtype=np.uint64)
    return Generator(Philox(key=key, counter=np.array([0, 0, 0, block], dtype=np.uint64)))


@dataclass(frozen=True, slots=True)
class Events:
    """The must-fix events of a block, those of one future after those of another."""

    future: Integers
    """To which of the block's futures it belongs, 0 and up."""
    month: Floats
    """When, whole months from the start, 0 and up."""
    kind: Integers
    """Which kind of Device it strikes."""
    reach: Floats
    """Share of that kind's Devices, severity included."""
    curable: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    """Whether an update over the air cures it; whether a fix of the hub does."""
    success: tuple[Floats, Floats]
    """Share of the Devices that the one and the other campaign would cure."""


def constants(case: Case, variant: Variant, seed: int, block: int) -> dict[str, Floats]:
    """By key, what is the same for all of a future: one number a future, or one for all where it is fixed."""
    changed = {key: (verb, number) for key, verb, number in variant}
    found = {
        key: _changed(it, changed.get(key), seed, block, BLOCK)
        for key, it in case.assumptions.items()
        if not it.per_event
    }
    for part in ("share", "events"):
        keys = [f"device.{device.name}.{part}" for device in case.devices]
        # What is set is what it says; the others have the rest, in the proportions that were drawn.
        given = [key for key in keys if key in changed and changed[key][0] == "set"]
        others = [key for key in keys if key not in given]
        rest = np.maximum(1.0 - sum(found[key] for key in given), 0.0)
        total = sum(found[key] for key in others)
        for key in others:
            found[key] = rest * found[key] / np.maximum(total, np.finfo(np.float64).tiny)
    return found


def inputs(case: Case, seed: int, futures: int) -> dict[str, Floats]:
    """What each uncertain input is in each future, and as many values of each that differs by event.

    Drawn again, which is quicker than to send it.
    """
    blocks = range(-(-futures // BLOCK))
    found = [constants(case, (), seed, block) for block in blocks]
    drawn = {key: [np.broadcast_to(it[key], BLOCK) for it in found] for key in case.uncertain}
    for key in case.per_event:
        drawn[key] = [_changed(case.assumptions[key], None, seed, block, BLOCK) for block in blocks]
    return {key: np.concatenate(parts)[:futures] for key, parts in drawn.items()}


def _changed(it: Assumption, change: tuple[str, float] | None, seed: int, block: int, count: int) -> Floats:
    if change is not None and change[0] == "set":
        return np.array([change[1]])
    drawn = it.law.draw(stream(seed, it.key, block) if not it.law.is_fixed else _NO_DICE, count)
    if change is not None:
        drawn = np.clip(drawn * change[1], it.law.low, it.law.high)
    return drawn


_NO_DICE: Final = Generator(Philox(key=0))
"""For what is fixed, and never asks."""


def events(case: Case, variant: Variant, seed: int, block: int, known: Mapping[str, Floats]) -> Events:
    """The events of a block.

    They come as a Poisson process; or, where one cause brings several, causes do, each with one event and a
    Poisson number of others, spread evenly over the months that follow it. Causes from before the start are
    drawn too, so that the expected number of events is the same in each month, and the same either way.
    """
    future, time = _times(case, seed, block, known)
    count = len(future)
    weights = np.cumsum([known[f"device.{it.name}.events"] for it in case.devices[:-1]], axis=0)
    kind = np.zeros(count, dtype=np.int64)
    if len(case.devices) > 1:
        dice = stream(seed, "events: kind", block).random(count)
        for bound in weights:
            kind += dice >= at(bound, future)
    changed = {key: (verb, number) for key, verb, number in variant}

    def each(key: str) -> Floats:
        it = case.assumptions[key]
        return _changed(it, changed.get(key), seed, block, count) if it.per_event else at(known[key], future)

    def cured(key: str) -> NDArray[np.bool_]:
        return stream(seed, f"events: {key}", block).random(count) < at(known[key], future)

    return Events(
        future,
        np.floor(time),
        kind,
        np.minimum(each("events.reach") * at(known["events.severity"], future), 1.0),
        (cured("over_the_air.curable"), cured("hub.curable")),
        (each("over_the_air.success"), each("hub.success")),
    )


def _times(case: Case, seed: int, block: int, known: Mapping[str, Floats]) -> tuple[Integers, Floats]:
    months = float(case.months)
    rate, size, spread = (known[f"events.{key}"] for key in ("frequency", "clustering", "cluster_months"))
    indices = np.arange(BLOCK)
    when = stream(seed, "events: when", block)
    if len(size) == 1 and size[0] == 1:
        number = stream(seed, "events: number", block).poisson(
            np.broadcast_to(rate * (months / 12), BLOCK), BLOCK
        )
        future = np.repeat(indices, number)
        return future, when.random(len(future)) * months
    expected = np.broadcast_to(rate / 12 * (months + spread) / size, BLOCK)
    cause = np.repeat(indices, stream(seed, "events: number", block).poisson(expected, BLOCK))
    began = when.random(len(cause)) * (months + at(spread, cause)) - at(spread, cause)
    brought = 1 + stream(seed, "events: size", block).poisson(at(size, cause) - 1.0, len(cause))
    future, began = np.repeat(cause, brought), np.repeat(began, brought)
    time = began + stream(seed, "events: after", block).random(len(future)) * at(spread, future)
    inside = (time >= 0) & (time < months)
    return future[inside], time[inside]


def at(values: Floats, index: Integers) -> Floats:
    """The value of each index, where there is one for each, or the one for all."""
    return values if len(values) == 1 else values[index]
