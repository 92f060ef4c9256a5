"""Many Devices at once, as arrays: eight octets for an identifier where a Python object takes a hundred.

Not imported by the package itself: numpy is slow to import, and only what moves whole fleets needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from lamplighter.registry.device import BUCKET_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from lamplighter.registry.device import Cohort, Device, Hub

Identifiers: TypeAlias = "NDArray[np.uint64]"
"""EUI-64s as the numbers that they are."""

Indices: TypeAlias = "NDArray[np.signedinteger[Any]]"
"""Places in a list beside."""

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

    def part(self, start: int, stop: int) -> Devices:
        """Some of its rows."""
        return Devices(self.euis[start:stop], self.hubs[start:stop], self.kinds[start:stop], self.cohorts)

    def latest(self) -> Devices:
        """The same with each Device once: the last of its rows; in the order of identifiers."""
        chosen = _last(self.euis)
        return Devices(self.euis[chosen], self.hubs[chosen], self.kinds[chosen], self.cohorts)


class HubKind(NamedTuple):
    """What many hubs have in common, with the meanings that `registry.Hub` gives."""

    model: str = ""
    firmware: str = ""
    region: str = ""
    capable: bool | None = None


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

    def part(self, start: int, stop: int) -> Hubs:
        """Some of its rows."""
        return Hubs(self.euis[start:stop], self.kinds[start:stop], self.told)

    def latest(self) -> Hubs:
        """The same with each hub once: the last of its rows; in the order of identifiers."""
        chosen = _last(self.euis)
        return Hubs(self.euis[chosen], self.kinds[chosen], self.told)


def _last(euis: Identifiers) -> Indices:
    """The place of the last row of each, in the order of identifiers."""
    order = np.argsort(euis, kind="stable")
    last = np.ones(len(euis), bool)
    last[:-1] = euis[order[1:]] != euis[order[:-1]]
    return order[last]


def buckets(euis: Identifiers) -> Indices:
    """`registry.bucket` of each."""
    value = (euis ^ euis >> np.uint64(30)) * _FIRST
    value = (value ^ value >> np.uint64(27)) * _SECOND
    return ((value ^ value >> np.uint64(31)) >> np.uint64(64 - BUCKET_BITS)).astype(np.int64)
