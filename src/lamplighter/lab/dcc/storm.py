"""Alert storm protection: of equal alerts that one Device raises too often, few go on to the User.

    calm   every alert goes on; as soon as there are `most` within `window`, the next one begins a storm
    storm  alerts are counted and discarded; at the end of each `period` the latest goes on and says how many
           it stands for (ThrottledAlertSequenceId, ThrottledAlertCount); a period without any ends the storm

So the counts of a storm add up to the alerts that were raised in it, and none goes unmentioned. Equal are
alerts of one Device, with one code, for one User; what else they say is not compared.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from lamplighter.kit import Instant
from lamplighter.kit.instant import HOUR
from lamplighter.protocol.duis import Throttled

if TYPE_CHECKING:
    from lamplighter.kit import Eui64

Alert = TypeVar("Alert")


@dataclass(frozen=True, slots=True)
class StormLimits:
    """When the DCC throttles. That it does is published, the numbers are not: assumptions."""

    most: int = 20
    """Equal alerts that go on within a window."""
    window: int = HOUR
    """Microseconds over which they are counted."""
    period: int = HOUR
    """Microseconds between two alerts that go on during a storm."""
    excluded: frozenset[int] = frozenset()
    """Device alert codes, such as 0x8F72, that are never throttled."""


class StormKey(NamedTuple):
    """What makes two alerts equal."""

    user: Eui64
    """Whom it is for."""
    device: Eui64
    """The Device that it is about."""
    code: int
    """The Device's own alert code, also where the DCC decodes the alert into one of its own."""


@dataclass(slots=True)
class _Storm(Generic[Alert]):
    """One storm: what came since an alert last went on."""

    latest: Alert
    count: int
    sequence: int


class Spell(NamedTuple, Generic[Alert]):
    """The end of a period in a storm: this alert goes on, for so many."""

    alert: Alert
    throttled: Throttled


class Throttle(Generic[Alert]):
    """The alerts of late, and the storms; what is older than a window or over is forgotten."""

    __slots__ = ("_due", "_limits", "_recent", "_seen", "_storms")

    def __init__(self, limits: StormLimits) -> None:
        self._limits = limits
        self._recent: deque[tuple[Instant, StormKey]] = deque()
        self._seen: dict[StormKey, int] = {}
        self._storms: dict[StormKey, _Storm[Alert]] = {}
        self._due: list[tuple[Instant, StormKey]] = []

    @property
    def pending(self) -> int:
        """Storms with discarded alerts that none has been sent for yet."""
        return sum(storm.count > 0 for storm in self._storms.values())

    @property
    def next_due(self) -> Instant | None:
        """When a period ends."""
        return self._due[0][0] if self._due else None

    def admit(self, key: StormKey, alert: Alert, now: Instant) -> bool:
        """Whether an alert goes on at once; one that does not is counted, and kept while it is the latest."""
        if key.code in self._limits.excluded:
            return True
        storm = self._storms.get(key)
        if storm is not None:
            storm.latest, storm.count = alert, storm.count + 1
            return False
        self._forget(now)
        seen = self._seen.get(key, 0)
        if seen >= self._limits.most:
            self._storms[key] = _Storm(alert, 1, 0)
            heapq.heappush(self._due, (Instant(now + self._limits.period), key))
            return False
        self._seen[key] = seen + 1
        self._recent.append((now, key))
        return True

    def wake(self, now: Instant) -> list[Spell[Alert]]:
        """What goes on now that periods have ended."""
        self._forget(now)
        told = []
        while self._due and self._due[0][0] <= now:
            due, key = heapq.heappop(self._due)
            storm = self._storms[key]
            if not storm.count:
                del self._storms[key]
                continue
            storm.sequence += 1
            told.append(Spell(storm.latest, Throttled(storm.sequence, storm.count)))
            storm.count = 0
            heapq.heappush(self._due, (Instant(due + self._limits.period), key))
        return told

    def _forget(self, now: Instant) -> None:
        while self._recent and self._recent[0][0] + self._limits.window <= now:
            _, key = self._recent.popleft()
            left = self._seen[key] - 1
            if left:
                self._seen[key] = left
            else:
                del self._seen[key]
