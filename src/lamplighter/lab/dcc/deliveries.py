"""Distributions under way: one delivery for each Device that an image was accepted for."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Chart, Instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamplighter.kit import Eui64, FirmwareVersion, ImageHash
    from lamplighter.protocol.duis import RequestId


class Stage(Enum):
    """How far a delivery has come, as far as the DCC has been told."""

    CROSSING = auto()
    """On the WAN, or held up before it."""
    AT_HUB = auto()
    """The hub has it."""
    ON_DEVICE = auto()
    """The hub says that the Device has it."""
    SETTLED = auto()
    """The Device has spoken: activated, verified, or rejected."""
    UNDELIVERED = auto()
    """The hub could not take it."""
    NOT_TRANSFERRED = auto()
    """The Device could not take it."""
    LAPSED = auto()
    """Nobody spoke in time."""
    WITHDRAWN = auto()
    """The DCC has given it up: the Device, its home or the CPL is no longer what it was."""


class Word(Enum):
    """What moves a delivery on."""

    DELIVERED = auto()
    NOT_DELIVERED = auto()
    TRANSFERRED = auto()
    NOT_TRANSFERRED = auto()
    DEVICE_SPOKE = auto()
    OVERDUE = auto()
    WITHDRAWN = auto()


CHART: Final = Chart(
    "delivery of an image to a Device",
    Stage.CROSSING,
    {
        (Stage.CROSSING, Word.DELIVERED): Stage.AT_HUB,
        (Stage.CROSSING, Word.NOT_DELIVERED): Stage.UNDELIVERED,
        (Stage.CROSSING, Word.OVERDUE): Stage.LAPSED,
        (Stage.CROSSING, Word.WITHDRAWN): Stage.WITHDRAWN,
        (Stage.AT_HUB, Word.TRANSFERRED): Stage.ON_DEVICE,
        (Stage.AT_HUB, Word.NOT_TRANSFERRED): Stage.NOT_TRANSFERRED,
        # A Device that reboots quickly is heard before its hub has had its say.
        (Stage.AT_HUB, Word.DEVICE_SPOKE): Stage.SETTLED,
        (Stage.AT_HUB, Word.OVERDUE): Stage.LAPSED,
        (Stage.AT_HUB, Word.WITHDRAWN): Stage.WITHDRAWN,
        (Stage.ON_DEVICE, Word.DEVICE_SPOKE): Stage.SETTLED,
        (Stage.ON_DEVICE, Word.OVERDUE): Stage.LAPSED,
        (Stage.ON_DEVICE, Word.WITHDRAWN): Stage.WITHDRAWN,
    },
)

_IN_PROGRESS: Final = frozenset({Stage.CROSSING, Stage.AT_HUB})
_OPEN: Final = frozenset({Stage.CROSSING, Stage.AT_HUB, Stage.ON_DEVICE})


@dataclass(frozen=True, slots=True)
class Delivery:
    """One image on its way to one Device."""

    transfer: int
    """The DSP's number for the distribution to this hub."""
    request: RequestId
    """The request that ordered it: UpdateFirmwareRequestID in every alert about it."""
    device: Eui64
    """For whom it is."""
    hub: Eui64
    """Behind which hub."""
    version: FirmwareVersion
    """The image's version."""
    hash: ImageHash
    """The image's hash."""
    due: Instant
    """When the stage that it is in ought to have ended; if it is an end, since when."""
    stage: Stage = CHART.start
    """How far it has come."""


class Deliveries:
    """The latest delivery of each Device; an older one has no more to say.

    A delivery that has ended is forgotten after `memory_period`. Until then it explains why a Device runs
    another version than the inventory has.
    """

    __slots__ = ("_due", "_latest", "_memory_period", "_open", "_past")

    def __init__(self, memory_period: int) -> None:
        self._memory_period = memory_period
        self._latest: dict[Eui64, Delivery] = {}
        self._due: list[tuple[Instant, int, Eui64]] = []
        self._past: list[tuple[Instant, int, Eui64]] = []
        self._open = 0

    def __len__(self) -> int:
        return len(self._latest)

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._latest.values())

    @property
    def open(self) -> int:
        """How many have not ended."""
        return self._open

    def is_open(self, device: Eui64) -> bool:
        """Whether the latest delivery to this Device has not ended."""
        latest = self._latest.get(device)
        return latest is not None and latest.stage in _OPEN

    def in_progress(self, device: Eui64) -> bool:
        """Whether an image is still between the DSP and this Device."""
        latest = self._latest.get(device)
        return latest is not None and latest.stage in _IN_PROGRESS

    def begin(self, delivery: Delivery) -> None:
        """Take up a delivery, which replaces the Device's earlier one."""
        earlier = self._latest.get(delivery.device)
        if earlier is None or earlier.stage not in _OPEN:
            self._open += 1
        self._put(delivery)

    def latest(self, device: Eui64) -> Delivery | None:
        """The Device's latest delivery, whatever its stage."""
        return self._latest.get(device)

    def hear(self, delivery: Delivery, word: Word, due: Instant) -> Delivery | None:
        """Move a delivery on; None where it has already heard as much."""
        if not CHART.allows(delivery.stage, word):
            return None
        moved = replace(delivery, stage=CHART.fire(delivery.stage, word), due=due)
        if moved.stage not in _OPEN:
            self._open -= 1
        self._put(moved)
        return moved

    def overdue(self, now: Instant) -> tuple[Delivery, ...]:
        """Deliveries whose stage ought to have ended, earliest first."""
        found = []
        while self._due and self._due[0][0] <= now:
            due, transfer, device = heapq.heappop(self._due)
            latest = self._latest.get(device)
            if latest and (latest.transfer, latest.due) == (transfer, due) and latest.stage in _OPEN:
                found.append(latest)
        return tuple(found)

    @property
    def next_due(self) -> Instant | None:
        """When to look for overdue deliveries again."""
        return self._due[0][0] if self._due else None

    def forget(self, now: Instant) -> None:
        """Forget what has been over for long enough."""
        while self._past and self._past[0][0] <= now:
            _, transfer, device = heapq.heappop(self._past)
            latest = self._latest.get(device)
            if latest and latest.transfer == transfer:
                del self._latest[device]

    def _put(self, delivery: Delivery) -> None:
        self._latest[delivery.device] = delivery
        if delivery.stage in _OPEN:
            heapq.heappush(self._due, (delivery.due, delivery.transfer, delivery.device))
        else:
            at = Instant(delivery.due + self._memory_period)
            heapq.heappush(self._past, (at, delivery.transfer, delivery.device))
