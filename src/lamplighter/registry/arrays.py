"""Many Devices at once, as arrays: eight octets for an identifier where a Python object takes a hundred.

Not imported by the package itself: numpy is slow to import, and only what moves whole fleets needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from lamplighter.registry.device import BUCKET_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from lamplighter.registry.device import Cohort, Device, Hub

Identifiers: TypeAlias = "NDArray[np.uint64]"
"""EUI-64s as the numbers that they are."""

Indices: TypeAlias = "NDArray[np.signedinteger[Any]]"
"""Places in a list beside."""

_COMPARED: Final = 1 << 20  # rows at one time
_FIRST: Final = np.uint64(0xBF58_476D_1CE4_E5B9)
_SECOND: Final = np.uint64(0x94D0_49BB_1331_11EB)


@dataclass(frozen=True, slots=True)
class Devices:
    """Devices, column by column."""

    euis: Identifiers
    """Who they are."""
    hubs: Identifiers
    """CHF of each."""
    kinds: Indices
    """What each is: the place of its cohort in `cohorts`."""
    cohorts: Sequence[Cohort]
    """Each at least once; more than the Devices have does no harm."""

    def __len__(self) -> int:
        return len(self.euis)

    @classmethod
    def of(cls, devices: Iterable[Device]) -> Devices:
        """The columns of Devices."""
        cohorts: dict[Cohort, int] = {}
        rows = [(int(it.eui), int(it.hub), cohorts.setdefault(it.cohort, len(cohorts))) for it in devices]
        euis, hubs, kinds = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(
            np.array(euis, np.uint64), np.array(hubs, np.uint64), np.array(kinds, np.int64), list(cohorts)
        )

    @classmethod
    def joined(cls, parts: list[Devices]) -> Devices:
        """The rows of all parts, one after the other; takes them out of the list, for their memory."""
        rows = sum(map(len, parts))
        euis, hubs, kinds = np.empty(rows, np.uint64), np.empty(rows, np.uint64), np.empty(rows, np.int32)
        cohorts: dict[Cohort, int] = {}
        parts.reverse()
        start = 0
        while parts:
            part = parts.pop()
            stop = start + len(part)
            euis[start:stop], hubs[start:stop] = part.euis, part.hubs
            kinds[start:stop] = _numbers(cohorts, part.cohorts)[part.kinds]
            start = stop
        return cls(euis, hubs, kinds, list(cohorts))

    def in_order(self, size: int) -> Iterator[Devices]:
        """Each Device once, the last of its rows, in the order of identifiers; so many at a time."""
        chosen = _last(self.euis)
        for start in range(0, len(chosen), size):
            some = chosen[start : start + size]
            yield Devices(self.euis[some], self.hubs[some], self.kinds[some], self.cohorts)


class HubKind(NamedTuple):
    """What many hubs have in common, with the meanings that `registry.Hub` gives."""

    model: str = ""
    firmware: str = ""
    region: str = ""
    capable: bool | None = None

    def then(self, later: HubKind) -> HubKind:
        """What is known when this was told first and that later."""
        return HubKind(
            later.model or self.model,
            later.firmware or self.firmware,
            later.region or self.region,
            self.capable if later.capable is None else later.capable,
        )


@dataclass(frozen=True, slots=True)
class Hubs:
    """Hubs, column by column."""

    euis: Identifiers
    """Who they are."""
    kinds: Indices
    """What each is: the place in `told`."""
    told: Sequence[HubKind]
    """Each at least once."""

    def __len__(self) -> int:
        return len(self.euis)

    @classmethod
    def of(cls, hubs: Iterable[Hub]) -> Hubs:
        """The columns of hubs."""
        told: dict[HubKind, int] = {}
        rows = [
            (
                int(hub.eui),
                told.setdefault(HubKind(hub.model, hub.firmware, hub.region, hub.capable), len(told)),
            )
            for hub in hubs
        ]
        euis, kinds = zip(*rows, strict=True) if rows else ((), ())
        return cls(np.array(euis, np.uint64), np.array(kinds, np.int64), list(told))

    @classmethod
    def merged(cls, parts: list[Hubs]) -> Hubs:
        """Each hub once, in the order of identifiers: what a later part does not tell stays as it was.

        In each part a hub is once at most. Takes the parts out of the list, for their memory.
        """
        rows = sum(map(len, parts))
        euis, kinds = np.empty(rows, np.uint64), np.empty(rows, np.int32)
        told: dict[HubKind, int] = {}
        parts.reverse()
        start = 0
        while parts:
            part = parts.pop()
            stop = start + len(part)
            euis[start:stop] = part.euis
            kinds[start:stop] = _numbers(told, part.told)[part.kinds]
            start = stop
        order = np.argsort(euis, kind="stable")
        euis, kinds = euis[order], kinds[order]
        is_first = np.ones(rows, bool)
        is_first[1:] = euis[1:] != euis[:-1]
        if is_first.all():
            return cls(euis, kinds, list(told))
        first = np.flatnonzero(is_first)
        times = np.diff(first, append=rows)
        found, which = kinds[first], np.arange(len(first))
        for later in range(1, int(times.max())):
            which = which[times[which] > later]
            names = list(told)
            pairs = found[which].astype(np.int64) << 32 | kinds[first[which] + later]
            pairs, of = np.unique(pairs, return_inverse=True)
            after = [names[pair >> 32].then(names[pair & 0xFFFF_FFFF]) for pair in pairs.tolist()]
            found[which] = _numbers(told, after)[of]
        return cls(euis[is_first], found, list(told))

    def latest(self) -> Hubs:
        """Each hub once, the last of its rows, in the order of identifiers."""
        chosen = _last(self.euis)
        return Hubs(self.euis[chosen], self.kinds[chosen], self.told)

    def in_order(self, size: int) -> Iterator[Hubs]:
        """Each hub once, the last of its rows, in the order of identifiers; so many at a time."""
        hubs = self.latest()
        for start in range(0, len(hubs), size):
            yield Hubs(hubs.euis[start : start + size], hubs.kinds[start : start + size], hubs.told)


def _numbers(known: dict[Any, int], things: Sequence[Any]) -> Indices:
    """The number of each thing; what is new gets the next."""
    return np.array([known.setdefault(thing, len(known)) for thing in things], np.int32)


def _last(euis: Identifiers) -> Indices:
    """The place of the last row of each, in the order of identifiers."""
    order = np.argsort(euis, kind="stable")
    last = np.ones(len(euis), bool)
    for start in range(0, len(euis) - 1, _COMPARED):  # some at a time: no second copy of all
        ordered = euis[order[start : start + _COMPARED + 1]]
        last[start : start + len(ordered) - 1] = ordered[1:] != ordered[:-1]
    return order if last.all() else order[last]


def buckets(euis: Identifiers) -> Indices:
    """`registry.bucket` of each."""
    value = (euis ^ euis >> np.uint64(30)) * _FIRST
    value = (value ^ value >> np.uint64(27)) * _SECOND
    return ((value ^ value >> np.uint64(31)) >> np.uint64(64 - BUCKET_BITS)).astype(np.int64)
