"""The network as tables: what a WAN, HANs and machines do, worked out once for fleets of any size."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lamplighter.kit import UsageError
from lamplighter.kit.instant import DAY, MILLISECOND
from lamplighter.lab import dcc, han, wan
from lamplighter.lab.dcc.postman import PostmanSettings
from lamplighter.lab.devices import Behaviour, Schedule
from lamplighter.lab.devices.device import REPEAT_AFTER, REPEAT_MAX, STORM_PERIOD
from lamplighter.lab.devices.firmware import SOUND
from lamplighter.lab.flow.chance import Chance, Purpose, philox, unit
from lamplighter.lab.flow.course import Course
from lamplighter.lab.flow.stages import STAGES
from lamplighter.lab.flow.ticks import CROSSING_MAX, instants, ticks
from lamplighter.lab.flow.transfer import Air, follow
from lamplighter.lab.hub import Settings as HubSettings
from lamplighter.lab.hub.post import KNOCK_AFTER, KNOCK_SELDOM, KNOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from lamplighter.kit import Instant
    from lamplighter.lab.faults import Scheduled
    from lamplighter.lab.flow.course import Piece
    from lamplighter.lab.flow.fleet import Fleet
    from lamplighter.lab.flow.stages import Stage
    from lamplighter.lab.flow.transfer import Transfers

    Ticks = NDArray[np.uint32]
    Words = NDArray[np.uint32]

_DOUBLINGS: Final = 16  # of the time between repeats: far beyond `REPEAT_MAX`
_REPEATS: Final = np.cumsum(
    [0, *(ticks(min(REPEAT_AFTER << doubled, REPEAT_MAX)) for doubled in range(_DOUBLINGS))]
).astype(np.uint32)
_KNOCKS: Final = np.cumsum(
    [0, *(ticks(KNOCK_AFTER if tries < KNOCKS else KNOCK_SELDOM) for tries in range(1, _DOUBLINGS + 1))]
).astype(np.uint32)
_WORDS: Final = 2.0**32


@dataclass(frozen=True, slots=True)
class Load:
    """An image as it is distributed."""

    octets: int = 300_000
    """The whole OTA file."""
    behaviour: Behaviour = SOUND
    """What its firmware does once it is to run."""
    signed: bool = True
    """Whether the Supplier's signature on it is good; SRV 11.4 asks for none."""
    built: Instant | None = None
    """When the manufacturer built and submitted it, for the faults of manufacture; None: as it is ordered."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The network: exactly what exact mode takes, in tables by number."""

    regions: Mapping[str, wan.Link] = field(default_factory=lambda: {"": wan.Link()})
    """The WAN link of a hub in each region, by name; `Fleet.region` numbers these."""
    qualities: Sequence[han.Quality] = field(default_factory=lambda: (han.Quality(),))
    """What kinds of HAN link there are; `Fleet.quality` numbers these."""
    interference: han.Interference = field(default_factory=han.Interference)
    """In every home."""
    schedule: Schedule = field(default_factory=Schedule)
    """Of the Devices that sleep; each has a phase of its own."""
    dcc: dcc.Settings = field(default_factory=dcc.Settings)
    """How long the DCC waits."""
    hub: HubSettings = field(default_factory=HubSettings)
    """What kind of hub there is."""
    post: PostmanSettings = field(default_factory=PostmanSettings)
    """How it tries again to reach a User."""


class Results(NamedTuple):
    """How a whole run went; one element a Device."""

    at: Ticks
    """By `Stage`: the tick in which it was heard, or `NEVER`."""
    outcome: NDArray[np.uint8]
    """`Outcome`."""
    start: Instant
    """When tick 0 began."""

    def instants(self, stage: Stage) -> NDArray[np.int64]:
        """When a stage was heard; -1: never."""
        return instants(self.at[stage], self.start)


class Links(NamedTuple):
    """How often links break, one element a region."""

    broken: NDArray[np.float32]
    """The share of time."""
    pause: NDArray[np.float32]
    """Ticks between outages, on average."""
    length: NDArray[np.float32]
    """Ticks that one lasts, on average."""


class Table(NamedTuple):
    """Block transfers of one image size, over all qualities, as one long array each."""

    took: Ticks
    gave_up: NDArray[np.float32]
    gave_up_after: Ticks
    unheard: NDArray[np.float32]


class Flow:
    """A network, and what goes wrong in it by chance.

    seed     any text; the same gives the same course, however the work is cut
    workers  threads that share the work
    """

    def __init__(
        self,
        settings: Settings | None = None,
        faults: Sequence[Scheduled] = (),
        *,
        load: Load | None = None,
        seed: str = "flow",
        workers: int = 1,
    ) -> None:
        self.settings = settings or Settings()
        self.load = load or Load()
        self.faults = tuple(faults)
        self.chance = Chance(seed, Purpose.FAULTS + STAGES * len(self.faults))
        self.workers = workers
        self._seed = seed
        self._tables: dict[int, Table] = {}
        self._crossings: dict[int, Ticks] = {}
        self._air = [
            Air(quality, self.settings.interference, self.settings.hub.block_period * MILLISECOND)
            for quality in self.settings.qualities
        ]
        self.hold = np.uint32(ticks(self.settings.hub.hold))
        """Ticks for which a hub keeps an image for a Device."""
        self.hop = np.array([ticks(air.quality.latency) for air in self._air], np.uint32)
        """Ticks that a frame takes on a HAN, by quality."""
        loss = np.array([air.loss for air in self._air])
        self.lossy = bool(loss.any())
        """Whether any frame is ever lost."""
        self._lost_below = np.minimum(loss * _WORDS, _WORDS - 1).astype(np.uint32)
        self._per_loss = -1 / np.log(np.clip(loss, 1e-9, 1 - 1e-9)).astype(np.float32)
        links = tuple(self.settings.regions.values())
        self.latency = np.array([ticks(link.latency) for link in links], np.uint32)
        """Ticks from one end of the WAN to the other, by region."""
        self.links = Links(
            np.array([_broken(link) for link in links], np.float32),
            np.array([ticks(link.outage_pause) for link in links], np.float32),
            np.array([ticks(link.outage_length) for link in links], np.float32),
        )
        self.breaks = bool(self.links.broken.any())
        """Whether any link ever breaks."""

    def over(self, fleet: Fleet, start: Instant) -> Course:
        """A course of events that begins at `start`."""
        return Course(self, fleet, start)

    def run(self, fleet: Fleet, start: Instant) -> Results:
        """Order all Devices at `start`, and activate each as soon as its image is heard to be verified."""
        course = self.over(fleet, start)
        course.order(np.arange(len(fleet), dtype=np.uint32), start)
        course.activate_when_verified()
        return Results(course.at, course.outcome, start)

    def crossing(self, octets: int) -> Ticks:
        """Ticks for which a message occupies a link, by region.

        Raises `UsageError` for a link that takes longer than anything that a course has room for.
        """
        known = self._crossings.get(octets)
        if known is None:
            spent = {region: link.crossing(octets) for region, link in self.settings.regions.items()}
            for region, duration in spent.items():
                if duration > CROSSING_MAX:
                    raise UsageError(
                        f"the link of region {region!r} takes {duration // DAY} days for {octets:,} octets: "
                        f"a rehearsal has room for {CROSSING_MAX // DAY}"
                    )
            known = self._crossings[octets] = np.array([*map(ticks, spent.values())], np.uint32)
        return known

    def losses(self, quality: NDArray[np.uint8], words: Words) -> Ticks:
        """How many times in a row a frame is lost."""
        counts = np.zeros(len(words), np.uint32)
        lost = np.flatnonzero(words < self._lost_below[quality])
        counts[lost] = (-np.log(unit(words[lost])) * self._per_loss[quality[lost]]).astype(np.uint32)
        return counts

    def silence(self, quality: NDArray[np.uint8], words: Words) -> Ticks:
        """Ticks by which the repeats of a GBCS message delay it on the HAN."""
        if not self.lossy:
            return np.zeros(len(words), np.uint32)
        return _REPEATS.take(np.minimum(self.losses(quality, words), _DOUBLINGS))

    def knocks(self, quality: NDArray[np.uint8], words: Words) -> Ticks:
        """Ticks by which a hub's repeats of a GBCS message delay it."""
        if not self.lossy:
            return np.zeros(len(words), np.uint32)
        return _KNOCKS.take(np.minimum(self.losses(quality, words), _DOUBLINGS))

    def let_through(self, code: int, alerts: int) -> int:
        """How many messages the DCC makes of so many equal alerts, one every `STORM_PERIOD`."""
        limits = self.settings.dcc.storm
        begun = alerts - limits.most
        if code in limits.excluded or begun <= 0 or limits.window <= limits.most * STORM_PERIOD:
            return alerts
        return limits.most + max(1, -(-(begun - 1) * STORM_PERIOD // limits.period))

    def table(self, octets: int) -> Table:
        """The block transfers of a file of this size."""
        known = self._tables.get(octets)
        if known is None:
            made = [
                follow(air, octets, philox(self._seed, "transfers", octets, number))
                for number, air in enumerate(self._air)
            ]
            known = self._tables[octets] = _joined(made)
        return known

    def spread(self, do: Callable[[Piece], None], work: Iterable[Piece]) -> None:
        """Do the pieces of some work, on all workers; numpy lets go of the interpreter in each operation."""
        if self.workers == 1:
            for piece in work:
                do(piece)
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                deque(pool.map(do, work), 0)


def _broken(link: wan.Link) -> float:
    """The share of time in which a link is broken."""
    return link.outage_length / (link.outage_pause + link.outage_length) if link.outage_pause else 0.0


def _joined(made: Sequence[Transfers]) -> Table:
    return Table(
        np.concatenate([each.took for each in made]),
        np.array([each.gave_up for each in made], np.float32),
        np.concatenate([each.gave_up_after for each in made]),
        np.array([each.unheard for each in made], np.float32),
    )
