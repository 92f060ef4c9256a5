"""Faults at work in flow mode: the same `Scheduled` ones as in exact mode, upon arrays.

A fault's place is a region or a type of Device; single homes have no names here. What a fault does frame by
frame in exact mode, is done here to the instant at which the message is heard, or to a whole transfer:

    lost, delayed, reordered      alerts from home, or all mail to the User: one roll for each stage; of two
                                  hub's alerts, the DCC drops the one that the other has overtaken
    duplicated-alert              from home nothing: the DCC drops it; to the User a count of copies
    hub-swap                      images on the way to it or in it vanish; N18 where no receipt came
    ppmid-unplugged               a transfer in hand begins again when the PPMID is back
    hub-discards-image            CCS08 code 1 where a roll comes before the end of the transfer
    corrupt-block                 one bad block is enough: CCS08 code 3 from a PPMID, 8F1C from others
    clock-skew                    an activation for later comes early or late
    bricking, wrong-version, alert-storm firmware, wrong-hash
                                  bad from the start, where the image's `built` lies in the fault's time; of
                                  a storm a count of what the DCC lets through
    dcc-outage                    no orders; what comes from homes is heard at its end
    endpoint-down                 heard at the DCC's first try after its end
    slow-region                   the WAN takes longer

What is left out, and why, stands in docs/lab.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lamplighter.kit.instant import DAY, SECOND
from lamplighter.lab.devices import Behaviour, Manner
from lamplighter.lab.faults import Leg
from lamplighter.lab.flow.chance import Chance, Purpose, unit
from lamplighter.lab.flow.fleet import Kind
from lamplighter.lab.flow.stages import STAGES, Stage
from lamplighter.lab.flow.ticks import NEVER, TICK, ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from lamplighter.kit import Instant
    from lamplighter.lab.dcc.postman import PostmanSettings
    from lamplighter.lab.faults import Scheduled
    from lamplighter.lab.flow.course import Batch

    Ticks = NDArray[np.uint32]
    Mask = NDArray[np.bool_]

_MANNERS: Final = {
    "bricking-firmware": Manner.NEVER_REPORTS,
    "wrong-version-firmware": Manner.WRONG_VERSION,
    "alert-storm-firmware": Manner.ALERT_STORM,
}
_LATE: Final = ("delayed-alert", "reordered-alerts")


class Span(NamedTuple):
    """The ticks of a fault: the first, and the first after it."""

    start: int
    end: int

    def holds(self, at: Ticks) -> Mask:
        """Which instants lie in it."""
        return (at >= self.start) & (at < self.end)


class Mischief:
    """Scheduled faults in one course of events.

    regions  their names, in the order of the fleet's numbers
    start    when tick 0 begins
    post     how the DCC tries again
    """

    def __init__(
        self,
        scheduled: Sequence[Scheduled],
        chance: Chance,
        regions: Sequence[str],
        start: Instant,
        post: PostmanSettings,
    ) -> None:
        self._post = post
        self._chance = chance
        self._regions = tuple(regions)
        self._start = start
        self._by_name: dict[str, list[tuple[int, Scheduled, Span]]] = {}
        for number, each in enumerate(scheduled):
            entry = (number, each, Span(self._tick(each.start), self._tick(each.end)))
            self._by_name.setdefault(each.name, []).append(entry)

    def _tick(self, instant: Instant) -> int:
        return min(max(-(-(instant - self._start) // TICK), 0), int(NEVER) - 1)

    def _named(self, *names: str) -> Iterator[tuple[int, Scheduled, Span]]:
        for name in names:
            yield from self._by_name.get(name, ())

    def _luck(
        self, number: int, who: NDArray[np.uint32], attempt: NDArray[np.uint8], stage: int = 0
    ) -> NDArray[np.float32]:
        return unit(self._chance.words(Purpose.FAULTS + number * STAGES + stage, who, attempt)[0])

    def _concerned(self, each: Scheduled, batch: Batch) -> Mask:
        """Which Devices are in the fault's place."""
        if not each.where:
            return np.ones(len(batch.device), bool)
        table = np.array([[each.concerns(name, kind.name) for kind in Kind] for name in self._regions])
        return table[batch.region, batch.kind]

    def _struck(self, number: int, each: Scheduled, batch: Batch, *, hub: bool = False) -> Mask:
        """One roll for each Device or each hub, the same at every attempt."""
        struck = self._concerned(each, batch)
        if each.probability < 1:
            who = batch.hub if hub else batch.device
            struck &= self._luck(number, who, np.zeros_like(batch.attempt)) <= each.probability
        return struck

    def _sure(self, number: int, each: Scheduled) -> bool:
        """One roll for the whole fault."""
        nobody = np.zeros(1, np.uint32)
        return each.probability >= 1 or bool(
            self._luck(number, nobody, np.zeros(1, np.uint8))[0] <= each.probability
        )

    # Manufacture

    def behaviour(self, kind: Kind, built: Instant) -> Behaviour | None:
        """How firmware behaves that was built then for these Devices; None: as its maker meant it."""
        for number, each, _ in self._named(*_MANNERS):
            if each.covers(built, kind.name) and self._sure(number, each):
                storm = int(each.number("alerts")) if each.name == "alert-storm-firmware" else 0
                return Behaviour(_MANNERS[each.name], storm=storm)
        return None

    def misfiled(self, kind: Kind, built: Instant) -> bool:
        """Whether the CPL has another hash for it."""
        return any(
            each.covers(built, kind.name) and self._sure(number, each)
            for number, each, _ in self._named("wrong-hash")
        )

    # Services

    def dcc_up(self, heard: Ticks) -> Ticks:
        """When the DCC hears what would come to it then."""
        for number, each, span in self._named("dcc-outage"):
            if self._sure(number, each):
                heard = np.where(span.holds(heard), np.uint32(span.end), heard)
        return heard

    def down(self, tick: int) -> bool:
        """Whether the DCC takes no requests."""
        at = np.array([tick], np.uint32)
        return bool((self.dcc_up(at) != at).any())

    def slower(self, batch: Batch, sent: Ticks) -> NDArray[np.float32] | None:
        """How many times as long the WAN takes for what is sent then; None: once."""
        factor: NDArray[np.float32] | None = None
        for number, each, span in self._named("slow-region"):
            struck = self._struck(number, each, batch, hub=True) & span.holds(sent)
            times = np.float32(max(1.0, each.number("factor")))
            factor = np.where(struck, times, np.float32(1)) * (np.float32(1) if factor is None else factor)
        return factor

    # What is heard

    @property
    def reorders(self) -> bool:
        """Whether what a home says may be overtaken on its way to the DCC."""
        return any(each.value("leg") == Leg.HOME.value for _, each, _ in self._named(*_LATE))

    @property
    def doubles(self) -> bool:
        """Whether the User gets copies."""
        return "duplicated-alert" in self._by_name

    def from_home(self, batch: Batch, stage: Stage, sent: Ticks, heard: Ticks, *, alert: bool) -> Ticks:
        """When the User hears what a home says, after what is done to it on both legs."""
        if not self._by_name:
            return heard
        return self.to_user(batch, stage, self.to_dcc(batch, stage, sent, heard) if alert else heard)

    def to_dcc(self, batch: Batch, stage: Stage, sent: Ticks, heard: Ticks) -> Ticks:
        """When the DCC hears an alert that is sent then, and would be heard at `heard`."""
        return self.dcc_up(self._suffered(Leg.HOME, batch, stage, sent, heard))

    def to_user(self, batch: Batch, stage: Stage, heard: Ticks) -> Ticks:
        """When the User hears what comes to the DCC at `heard`."""
        heard = self.dcc_up(heard)
        heard = self._suffered(Leg.USER, batch, stage, heard, heard)
        for number, each, span in self._named("endpoint-down"):
            if self._sure(number, each):
                heard = np.where(span.holds(heard), np.uint32(self._next_try(span)), heard)
        return heard

    def copies(self, batch: Batch, stage: Stage, heard: Ticks) -> NDArray[np.uint16]:
        """How many copies the User gets of what it hears then."""
        found = np.zeros(len(heard), np.uint16)
        for number, each, span in self._named("duplicated-alert"):
            if each.value("leg") == Leg.USER.value:
                luck = self._luck(number, batch.device, batch.attempt, stage)
                struck = self._concerned(each, batch) & span.holds(heard) & (luck <= each.probability)
                found += struck & (heard != NEVER)
        return found

    def _next_try(self, span: Span) -> int:
        """When the DCC tries first after an endpoint's outage; it has had mail since the beginning."""
        at, pause = span.start, self._post.first_pause
        while at < span.end:
            at += ticks(pause)
            pause = min(2 * pause, self._post.longest_pause)
        return at

    def _suffered(self, leg: Leg, batch: Batch, stage: Stage, sent: Ticks, heard: Ticks) -> Ticks:
        for number, each, span in self._named(*_LATE, "lost-alert"):
            if each.value("leg") != leg.value:
                continue
            struck = self._concerned(each, batch) & span.holds(sent) & (heard != NEVER)
            luck = self._luck(number, batch.device, batch.attempt, stage)
            struck &= luck <= each.probability
            match each.name:
                case "lost-alert":
                    heard = np.where(struck, NEVER, heard)
                case "delayed-alert":
                    heard = heard + struck * np.uint32(ticks(each.number("days") * DAY))
                case _:
                    # Below its probability, a roll is as good as a fresh one.
                    late = luck / max(each.probability, 1e-9) * ticks(each.number("window") * SECOND)
                    heard = heard + (struck * late).astype(np.uint32)
        return heard

    # Transfers

    def swapped(self, batch: Batch, since: Ticks, until: Ticks) -> Mask:
        """Whose hub is replaced between these instants."""
        found = np.zeros(len(batch.device), bool)
        for number, each, span in self._named("hub-swap"):
            found |= (
                self._struck(number, each, batch, hub=True) & (since <= span.start) & (span.start < until)
            )
        return found

    def unplugged(self, batch: Batch) -> Iterator[tuple[Mask, Span]]:
        """Which PPMIDs are without power, and when."""
        for number, each, span in self._named("ppmid-unplugged"):
            yield self._struck(number, each, batch) & (batch.kind == Kind.PPMID), span

    def discarded(self, batch: Batch, arrived: Ticks, ended: Ticks) -> Ticks:
        """When the hub throws the image away, if it does before the end of the transfer; else `NEVER`."""
        at = np.full(len(arrived), NEVER, np.uint32)
        for number, each, span in self._named("hub-discards-image"):
            every = max(1, ticks(each.number("every") * SECOND))
            luck = self._luck(number, batch.hub, batch.attempt)
            misses = np.zeros(len(arrived))
            if each.probability < 1:
                misses = np.floor(np.log(luck) / np.log1p(-min(max(each.probability, 1e-9), 1 - 1e-9)))
            waits = np.maximum(arrived.astype(np.float64) - span.start, 0)
            then = span.start + (np.ceil(waits / every) + misses) * every
            struck = self._concerned(each, batch) & (then < np.minimum(ended, span.end))
            at = np.where(struck, np.minimum(at, then), at).astype(np.uint32)
        return at

    def corrupted(self, batch: Batch, begins: Ticks, done: Ticks, blocks: int) -> Mask:
        """Which transfers have a bad block in them."""
        found = np.zeros(len(begins), bool)
        for number, each, span in self._named("corrupt-block"):
            length = np.maximum(done - begins, 1).astype(np.float64)
            inside = np.minimum(done, span.end).astype(np.float64) - np.maximum(begins, span.start)
            share = np.clip(inside / length, 0, 1)
            whole = np.log1p(-min(each.probability, 1 - 1e-9)) * blocks * share
            luck = self._luck(number, batch.device, batch.attempt)
            found |= self._concerned(each, batch) & (share > 0) & (luck <= -np.expm1(whole))
        return found

    # Commands

    def skewed(self, batch: Batch, later: int) -> Ticks:
        """When a Device takes it to be `later`."""
        at = np.full(len(batch.device), later, np.int64)
        for number, each, span in self._named("clock-skew"):
            if span.start <= later < span.end:
                struck = self._struck(number, each, batch)
                at = np.where(struck, at - ticks(each.number("seconds") * SECOND), at)
        return np.maximum(at, 0).astype(np.uint32)
