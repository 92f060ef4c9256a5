"""One course of events: order Devices, let time pass, read what was heard.

The whole future of a Device is settled when it is ordered, in arithmetic on arrays; `advance` then tells what
of it has been heard. Devices behind one hub share its WAN link, and its HAN one after the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, SECOND, to_iso
from lamplighter.lab.devices import BOOT_TIME, Manner, Ppmid
from lamplighter.lab.flow import weights
from lamplighter.lab.flow.chance import Purpose, unit
from lamplighter.lab.flow.fleet import Kind, Trait
from lamplighter.lab.flow.mischief import Mischief
from lamplighter.lab.flow.stages import FAILS_AT, STAGES, Outcome, Stage
from lamplighter.lab.flow.ticks import HORIZON, NEVER, TICK, instants, tick_of, ticks
from lamplighter.lab.flow.transfer import QUANTILES, exchanges
from lamplighter.lab.wan import RECEIPT_OCTETS
from lamplighter.lab.world import CSP_PATIENCE
from lamplighter.protocol.gbcs import AlertCode
from lamplighter.protocol.zigbee.download import ANSWER_TIMEOUT
from lamplighter.protocol.zigbee.server import HOLD_SECONDS, NOTIFY_PERIOD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from lamplighter.lab.flow.fleet import Fleet
    from lamplighter.lab.flow.flow import Flow, Load, Table

    Ticks = NDArray[np.uint32]
    Words = NDArray[np.uint32]
    Mask = NDArray[np.bool_]
    Piece = NDArray[np.uint32] | slice

PIECE: Final = 1 << 16  # Devices worked on at a time: their arrays stay in a core's cache
_BLOCK: Final = 1 << 18  # Devices passed over together by `advance` where nothing is due
_TO_QUANTILE: Final = np.uint32(32 - (QUANTILES.bit_length() - 1))  # the top bits of a word choose one
_HALF: Final = np.uint32(16)
_ANEW: Final = 16  # added to the attempt where a Device asks again of its own accord

_BOOT: Final = np.uint32(ticks(BOOT_TIME))
_TIMEOUT: Final = np.uint32(ticks(ANSWER_TIMEOUT))
_HOLD: Final = np.uint32(ticks(HOLD_SECONDS * SECOND))
_PATIENCE: Final = np.uint32(ticks(CSP_PATIENCE))
_NOTICE: Final = np.uint32(ticks(NOTIFY_PERIOD))
_POLL: Final = np.uint32(ticks(Ppmid.POLL or DAY))

_MANNERS: Final = {
    Manner.SOUND: Outcome.UPDATED,
    Manner.ALERT_STORM: Outcome.UPDATED,
    Manner.NEVER_BOOTS: Outcome.ROLLED_BACK,
    Manner.WRONG_VERSION: Outcome.OTHER_VERSION,
    Manner.NEVER_REPORTS: Outcome.MUTE,
}
_SPECIAL: Final = np.uint8(Trait.OTHER_HARDWARE | Trait.RUNS_IT | Trait.OFF)
_FAILS_AT: Final = np.full(len(Outcome), STAGES, np.uint8)
for _outcome, _stage in FAILS_AT.items():
    _FAILS_AT[_outcome] = _stage


class Reports(NamedTuple):
    """What was heard in a stretch of time: equally long arrays, by stage and then by Device."""

    device: NDArray[np.uint32]
    """Number of the Device in its fleet."""
    stage: NDArray[np.uint8]
    """`Stage`: what the message is about."""
    at: NDArray[np.int64]
    """When it was heard: an Instant."""
    outcome: NDArray[np.uint8]
    """`Outcome` that the message tells: a failure, UPDATED, UNDER_WAY, or MUTE where no answer came."""


class Batch(NamedTuple):
    """The Devices of a piece that are worked on now."""

    where: Piece
    """Their places in the arrays."""
    device: NDArray[np.uint32]
    hub: NDArray[np.uint32]
    region: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    quality: NDArray[np.uint8]
    traits: NDArray[np.uint8]
    attempt: NDArray[np.uint8]


class Course:
    """What happens to one fleet in one network."""

    def __init__(self, flow: Flow, fleet: Fleet, start: Instant) -> None:
        count = len(fleet)
        self.flow = flow
        self.fleet = fleet
        self.start = start
        self.at: NDArray[np.uint32] = np.full((STAGES, count), NEVER, np.uint32)
        """By `Stage`: the tick in which it is heard, which may be to come; `NEVER`: it is not."""
        self.outcome = np.zeros(count, np.uint8)
        """`Outcome`, which may be to come as well."""
        self.attempts = np.zeros(count, np.uint8)
        """How often an image was ordered for it."""
        self.more = np.zeros(count, np.uint16)
        """Messages of its latest order that the Supplier gets beyond one for each stage, in the end: copies,
        a storm's alerts, word that an activation for later is accepted, and N50 for a version that nobody
        expected. Of the last three it is not counted what is lost or doubled on the way to the User."""
        self._becomes = np.zeros(count, np.uint8)  # what the message of its proof tells
        self._needless = np.zeros(0, np.uint16)  # what gets through of its storm; empty until there is one
        self._busy_until = np.zeros(count, np.uint32)
        self._wan_free = np.zeros(fleet.hubs, np.uint32)
        self._han_from = np.zeros(fleet.hubs, np.uint32)
        self._han_free = np.zeros(fleet.hubs, np.uint32)
        self._mischief = Mischief(
            flow.faults, flow.chance, tuple(flow.settings.regions), start, flow.settings.post
        )
        # When each hub last spoke of a Device, and when the DCC hears that: where alerts may be overtaken.
        self._spoken = np.full((2, count if self._mischief.reorders else 0), NEVER, np.uint32)
        self._report_period = np.uint32(ticks(flow.settings.dcc.report_period))
        self._now = -1
        self._due = np.full(-(-count // _BLOCK), NEVER, np.uint32)

    @property
    def nbytes(self) -> int:
        """What fleet and course take."""
        mine = (
            self.at,
            self.outcome,
            self.attempts,
            self.more,
            self._spoken,
            self._needless,
            self._becomes,
            self._busy_until,
            self._wan_free,
            self._han_from,
            self._han_free,
        )
        return self.fleet.nbytes + sum(array.nbytes for array in mine)

    def order(self, devices: NDArray[np.uint32], now: Instant, load: Load | None = None) -> None:
        """Ask for an image, by SRV 11.4 or 11.1 as each Device is; numbers ascending.

        A Device to which an image is on its way is left as it is, as the DCC leaves it out.
        """
        load = load or self.flow.load
        if load.behaviour.on is not None:
            raise UsageError("flow mode does not know hardware versions: order those Devices by themselves")
        at = self._tick(now)
        built = now if load.built is None else load.built
        loads = [self._as_built(load, kind, built) for kind in Kind]
        if not self._needless.size and any(each.behaviour.storm for each in loads if each is not None):
            self._needless = np.zeros(len(self.fleet), np.uint16)
        self.flow.table(load.octets)  # made here, and only read by the workers
        self._do(devices, lambda piece: self._distribute(piece, at, loads))

    def _as_built(self, load: Load, kind: Kind, built: Instant) -> Load | None:
        """The image as the manufacturer's faults have it; None: the CPL has another hash for it."""
        if self._mischief.misfiled(kind, built):
            return None
        behaviour = self._mischief.behaviour(kind, built)
        return load if behaviour is None else replace(load, behaviour=behaviour)

    def activate(self, devices: NDArray[np.uint32], now: Instant, at: Instant | None = None) -> None:
        """SRV 11.3 for Devices that hold a verified image, now or for later; others are left as they are."""
        tick = self._tick(now)
        later = None if at is None else max(tick_of(at, self.start), tick)
        self._do(devices, lambda piece: self._command(piece, tick, later))

    def activate_when_verified(self, at: Instant | None = None) -> None:
        """SRV 11.3 for all, each in the instant in which its 8F72 is heard or will be."""
        later = None if at is None else tick_of(at, self.start)
        everyone = np.arange(len(self.fleet), dtype=np.uint32)
        self._do(everyone, lambda piece: self._command(piece, None, later))

    def advance(self, to: Instant) -> Reports:
        """Let time pass up to and including `to`, and tell what was heard since last time."""
        since, now = self._now, tick_of(to, self.start)
        if now < since:
            raise UsageError("the course of events never goes back")
        self._now = now
        devices: list[NDArray[np.uint32]] = []
        stages: list[NDArray[np.uint8]] = []
        for stage in Stage:
            found = [self._heard(stage, int(block), since, now) for block in np.flatnonzero(self._due <= now)]
            devices += found
            stages.append(np.full(sum(map(len, found)), stage, np.uint8))
        for block in np.flatnonzero(self._due <= now):
            self._due[block] = self._next(int(block), now)
        device = np.concatenate([np.zeros(0, np.uint32), *devices])
        stage_of = np.concatenate(stages)
        outcome = self.outcome[device]
        fails_at = _FAILS_AT[outcome]
        told = np.where(fails_at == stage_of, outcome, np.uint8(Outcome.UNDER_WAY))
        proofs = stage_of == Stage.PROVEN
        told[proofs] = self._becomes[device[proofs]]
        return Reports(device, stage_of, instants(self.at[stage_of, device], self.start), told)

    def next_at(self) -> Instant | None:
        """When something is heard next, if nothing more is ordered; None: never."""
        for block in np.flatnonzero(self._due <= max(self._now, 0)):
            self._due[block] = self._next(int(block), self._now)
        tick = int(self._due.min(initial=NEVER))
        return None if tick == int(NEVER) else Instant(self.start + tick * TICK)

    def takes_requests(self, now: Instant) -> bool:
        """Whether the DCC is there to be asked."""
        return not self._mischief.down(max(tick_of(now, self.start), self._now + 1))

    def _heard(self, stage: Stage, block: int, since: int, now: int) -> NDArray[np.uint32]:
        begins = block * _BLOCK
        at = self.at[stage, begins : begins + _BLOCK]
        # One comparison for since < at <= now: what lies before wraps around.
        fresh = np.flatnonzero(at - np.uint32(since + 1) < np.uint32(now - since))
        return fresh.astype(np.uint32) + np.uint32(begins)

    def _next(self, block: int, now: int) -> int:
        # The least of what is to come; what lies before wraps around and is greater than any of it.
        at = self.at[:, block * _BLOCK : (block + 1) * _BLOCK]
        return min(int(np.min(at - np.uint32(now + 1))) + now + 1, int(NEVER))

    def _tick(self, now: Instant) -> int:
        """What is ordered in the tick up to which time has passed, falls into the next."""
        tick = tick_of(now, self.start)
        if not self._now <= tick <= HORIZON:
            raise UsageError("nothing is ordered in the past, nor too far ahead")
        tick = max(tick, self._now + 1)
        if self._mischief.down(tick):
            raise UsageError(f"the DCC is down at {to_iso(now)} and takes no requests")
        return tick

    def _do(self, devices: NDArray[np.uint32], do: Callable[[Piece], None]) -> None:
        if not len(devices):
            return
        devices = np.asarray(devices, np.uint32)
        self.flow.spread(do, self._pieces(devices))
        self._due[np.unique(devices // _BLOCK)] = 0

    def _pieces(self, devices: NDArray[np.uint32]) -> Iterator[Piece]:
        """Cut work so that no hub is in two pieces; whole stretches as slices."""
        begins = 0
        hub = self.fleet.hub
        while begins < len(devices):
            ends = min(begins + PIECE, len(devices))
            while ends < len(devices) and hub[devices[ends]] == hub[devices[ends - 1]]:
                ends += 1
            first, last = int(devices[begins]), int(devices[ends - 1])
            if last - first == ends - begins - 1:
                yield slice(first, last + 1)
            else:
                yield devices[begins:ends]
            begins = ends

    def _batch(self, where: Piece) -> Batch:
        of = self.fleet
        return Batch(
            where,
            _numbers(where),
            of.hub[where],
            of.region[where],
            of.kind[where],
            of.quality[where],
            of.traits[where],
            self.attempts[where],
        )

    # SRV 11.4 and 11.1

    def _distribute(self, piece: Piece, now: int, loads: Sequence[Load | None]) -> None:
        fits = self._admit(piece, now, loads)
        if not fits.all():
            piece = _numbers(piece)[fits]
        batch = self._batch(piece)
        if not len(batch.device):
            return
        arrived, at_hub = self._cross(batch, now, next(load for load in loads if load is not None))
        turn = _turns(batch.hub)
        if turn is None:
            self._transfer(batch, arrived, at_hub, loads)
        else:
            for number in range(int(turn.max()) + 1):
                mine = turn == number
                self._transfer(self._batch(batch.device[mine]), arrived[mine], at_hub[mine], loads)
        if self._spoken.size:
            self._drop_overtaken(np.unique(batch.hub))

    def _admit(self, piece: Piece, now: int, loads: Sequence[Load | None]) -> Mask:
        """Whom the DCC accepts: nobody in the warning's lists, and nobody to whom an image is on its way."""
        free = self._busy_until[piece] <= now
        eligible = (self.fleet.traits[piece] & np.uint8(Trait.INELIGIBLE)) == 0
        for kind, load in zip(Kind, loads, strict=True):
            if load is None:
                eligible &= self.fleet.kind[piece] != kind
        if not eligible.all():
            refused = _numbers(piece)[free & ~eligible]
            self.at[:, refused] = NEVER
            self.at[Stage.ACCEPTED, refused] = now
            self.outcome[refused] = Outcome.REFUSED
        fits: Mask = free & eligible
        return fits

    def _wan(self, batch: Batch, octets: int, sent: Ticks) -> tuple[Ticks, Ticks]:
        """Ticks for which a message sent then occupies its link, and its latency."""
        crossing = self.flow.crossing(octets)[batch.region]
        latency = self.flow.latency[batch.region]
        slower = self._mischief.slower(batch, sent)
        if slower is not None:
            crossing, latency = ((each * slower).astype(np.uint32) for each in (crossing, latency))
        return crossing, latency

    def _cross(self, batch: Batch, now: int, load: Load) -> tuple[Ticks, Ticks]:
        """The image crosses the WAN, once for a hub: when it is there, and N60 heard, for each Device."""
        where = batch.where
        self.attempts[where] += 1
        batch.attempt[:] = self.attempts[where]
        self.at[Stage.ACCEPTED, where] = now
        sent = np.full(len(batch.device), now, np.uint32)
        crossing, latency = self._wan(batch, load.octets, sent)
        begins = np.maximum(self._wan_free[batch.hub], np.uint32(now))
        crossed = self._through(batch, Purpose.WAN, begins, crossing)
        turn = _turns(batch.hub)
        if turn is not None:
            crossed = crossed[np.flatnonzero(turn == 0)][np.cumsum(turn == 0) - 1]
        self._wan_free[batch.hub] = crossed
        arrived: Ticks = crossed + latency
        receipt, latency = self._wan(batch, RECEIPT_OCTETS, arrived)
        if turn is not None:
            receipt = receipt * (turn + np.uint32(1))
        at_hub = arrived + receipt + latency
        return arrived, self._mischief.from_home(batch, Stage.AT_HUB, arrived, at_hub, alert=False)

    def _transfer(self, batch: Batch, arrived: Ticks, at_hub: Ticks, loads: Sequence[Load | None]) -> None:
        """From the first notice to the hub's word on it, and on to what follows; one Device a hub."""
        flow, where, quality = self.flow, batch.where, batch.quality
        octets = next(load.octets for load in loads if load is not None)
        table = flow.table(octets)
        hop = flow.hop[quality]
        # Who asks while another is served is told to wait, and asks again, until the other is done.
        asks, until = arrived.astype(np.int64), self._han_free[batch.hub]
        waits = np.where(asks >= self._han_from[batch.hub], until - asks, 0)
        begins = arrived + (-(-np.maximum(waits, 0) // int(_HOLD)) * int(_HOLD)).astype(np.uint32)
        picks, fates = flow.chance.words(Purpose.HAN, batch.device, batch.attempt)
        begins = self._wake(batch, begins, picks)
        took = _picked(table.took, quality, picks)
        first = begins
        begins, lapses = self._plug_in(batch, arrived, begins, took + hop)
        done = begins + hop + took  # the last block is on the Device
        ended = done + hop  # its Upgrade End Request is at the hub
        told = ended + hop  # the Upgrade End Response is on the Device
        if flow.lossy:
            losses, others = flow.chance.words(Purpose.END, batch.device, batch.attempt)
            again = _TIMEOUT * flow.losses(quality, losses)
            ended += again
            told += again + _TIMEOUT * flow.losses(quality, others)
        self._han_from[batch.hub] = begins
        self._han_free[batch.hub] = np.where(lapses, begins, told)
        fate = np.full(len(ended), Outcome.UNDER_WAY, np.uint8)
        self._give_up(batch, begins, fates, table, ended, fate)
        self._never_begin(batch, arrived, hop, first, ended, fate)
        self._strike(batch, arrived, first, begins, done, octets, ended, fate)
        link_up = self._through(batch, Purpose.REPORT, ended, np.uint32(0), arrived)
        crossing, latency = self._wan(batch, weights.TRANSFER_ALERT, ended)
        on_device = link_up + crossing + latency
        failed = (fate != Outcome.UNDER_WAY) & (fate != Outcome.REJECTED)
        then, verified, proven = self._settle(batch, loads, fate, done, ended, told, link_up + crossing)
        if failed.any():
            proven = np.where(failed, NEVER, proven)
            verified = np.where(failed, NEVER, verified)
            then = np.where(failed, fate, then)
        uncovered = (batch.traits & np.uint8(Trait.UNCOVERED)) != 0
        if uncovered.any():
            gave_up = self.at[Stage.ACCEPTED][where] + _PATIENCE
            gave_up = self._mischief.to_user(batch, Stage.AT_HUB, gave_up)
            at_hub = np.where(uncovered, gave_up, at_hub)
            on_device, verified, proven = (
                np.where(uncovered, NEVER, each) for each in (on_device, verified, proven)
            )
            then = np.where(uncovered, np.uint8(Outcome.UNDELIVERED), then)
        swapped = self._mischief.swapped(batch, np.zeros_like(arrived), on_device)
        if swapped.any():
            on_its_way = self._mischief.swapped(batch, self.at[Stage.ACCEPTED][where], arrived)
            vanished = self._mischief.swapped(batch, arrived, ended)
            # The DCC knows the old hub no more: what it had said and is still on the WAN, nobody hears.
            unheard = self._mischief.swapped(batch, ended, on_device)
            on_device = np.where(unheard, NEVER, on_device)
            waited = self.at[Stage.ACCEPTED][where] + np.uint32(ticks(flow.settings.dcc.receipt_period))
            at_hub = np.where(on_its_way, self._mischief.to_user(batch, Stage.AT_HUB, waited), at_hub)
            on_device, verified, proven = (
                np.where(on_its_way | vanished, NEVER, each) for each in (on_device, verified, proven)
            )
            then = np.where(on_its_way, np.uint8(Outcome.UNREACHED), then)
            then = np.where(vanished, np.uint8(Outcome.VANISHED), then)
        at_dcc = self._mischief.to_dcc(batch, Stage.ON_DEVICE, ended, on_device)
        if self._spoken.size:
            self._spoken[:, where] = ended, at_dcc
        on_device = self._mischief.to_user(batch, Stage.ON_DEVICE, at_dcc)
        self.at[Stage.AT_HUB, where] = at_hub
        self.at[Stage.ON_DEVICE, where] = on_device
        self.at[Stage.VERIFIED, where] = verified
        self.at[Stage.ACTIVATION, where] = NEVER
        self.at[Stage.PROVEN, where] = proven
        self.outcome[where] = then
        # Where the hub is not heard, the DCC waits on; a Device that speaks sets it at ease.
        spoke = np.minimum(np.minimum(on_device, verified), proven)
        waits = np.minimum(at_hub, ended) + self._report_period
        self._busy_until[where] = np.minimum(spoke, waits)
        self._count(batch, loads)

    def _count(self, batch: Batch, loads: Sequence[Load | None]) -> None:
        """The messages beyond one a stage, up to a PPMID's proof or an image's verification."""
        where, kind = batch.where, batch.kind
        strange = (self.outcome[where] == Outcome.OTHER_VERSION) & (self.at[Stage.PROVEN, where] != NEVER)
        more = strange.astype(np.uint16)
        for stage in (Stage.AT_HUB, Stage.ON_DEVICE, Stage.VERIFIED, Stage.PROVEN):
            if self._mischief.doubles:
                more += self._mischief.copies(batch, stage, self.at[stage, where])
        if self._needless.size:
            # A PPMID's proof and its needless alerts are equal to the DCC; an HCALCS answers, and then raves.
            codes = {Kind.PPMID: (AlertCode.PPMID_ACTIVATION, 1), Kind.HCALCS: (AlertCode.IMAGE_REJECTED, 0)}
            storms = [0 if load is None else load.behaviour.storm for load in loads]
            through = [
                self.flow.let_through(codes[each][0], storm + codes[each][1]) - codes[each][1] if storm else 0
                for each, storm in zip(Kind, storms, strict=True)
            ]
            needless = np.array(through, np.uint16)[kind]
            self._needless[where] = needless
            raves = (kind == Kind.PPMID) & (self.outcome[where] == Outcome.UPDATED)
            more += needless * raves
        self.more[where] = more

    def _drop_overtaken(self, hubs: NDArray[np.uint32]) -> None:
        """Of two alerts of one hub, the DCC takes the earlier for a replay where it has heard the later."""
        ends = np.searchsorted(self.fleet.hub, hubs, "right")
        begins = np.searchsorted(self.fleet.hub, hubs, "left")
        counts = ends - begins
        device = np.repeat(begins - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        sent, heard = self._spoken[:, device].astype(np.uint64)
        rank = np.repeat(np.arange(len(hubs), dtype=np.uint64), counts) << np.uint64(32)
        order = np.argsort(rank | heard, kind="stable")
        said = (rank | sent)[order]
        said[heard[order] == int(NEVER)] = 0  # what is lost overtakes nothing
        latest = np.concatenate((np.zeros(1, np.uint64), np.maximum.accumulate(said)[:-1]))
        gone = device[order[(latest > said) & (latest >> np.uint64(32) == rank[order] >> np.uint64(32))]]
        gone = gone[self.at[Stage.ON_DEVICE, gone] != NEVER]
        self.at[Stage.ON_DEVICE, gone] = NEVER
        spoke = np.minimum(self.at[Stage.VERIFIED, gone], self.at[Stage.PROVEN, gone])
        waits = np.minimum(self.at[Stage.AT_HUB, gone], self._spoken[0, gone]) + self._report_period
        self._busy_until[gone] = np.minimum(spoke, waits)

    def _settle(
        self,
        batch: Batch,
        loads: Sequence[Load | None],
        fate: NDArray[np.uint8],
        done: Ticks,
        ended: Ticks,
        told: Ticks,
        link_free: Ticks,
    ) -> tuple[NDArray[np.uint8], Ticks, Ticks]:
        """What a Device does with an image that it has: how that ends, and when it is heard."""
        flow, hop = self.flow, self.flow.hop[batch.quality]
        said = flow.silence(batch.quality, flow.chance.words(Purpose.SAID, batch.device, batch.attempt)[0])
        becomes = np.array(
            [Outcome.IDLE if load is None else _MANNERS[load.behaviour.manner] for load in loads], np.uint8
        )[batch.kind]
        self._becomes[batch.where] = becomes
        one_step = batch.kind == Kind.PPMID
        never = np.full(len(done), NEVER, np.uint32)
        then, proven, verified = becomes, never, never
        if one_step.any():
            spoken = self._boots(batch, told) + hop + said
            crossing, latency = self._wan(batch, weights.PPMID_ALERT, spoken)
            heard = np.maximum(spoken, link_free) + crossing + latency
            heard = self._mischief.from_home(batch, Stage.PROVEN, spoken, heard, alert=True)
            proven = np.where(one_step & (becomes != Outcome.MUTE), heard, NEVER)
        if not one_step.all():
            load = loads[Kind.HCALCS]
            spoken = done + hop + said
            crossing, latency = self._wan(batch, weights.RECEIPT_ALERT, spoken)
            heard = np.where(spoken == ended, link_free, spoken) + crossing + latency
            heard = self._mischief.from_home(batch, Stage.VERIFIED, spoken, heard, alert=True)
            verified = np.where(one_step, NEVER, heard)
            good = (fate != Outcome.REJECTED) & (load is not None and load.signed)
            held = np.where(good, np.uint8(Outcome.HELD), np.uint8(Outcome.REJECTED))
            then = np.where(one_step, becomes, held)
        return then, verified, proven

    def _plug_in(self, batch: Batch, arrived: Ticks, begins: Ticks, length: Ticks) -> tuple[Ticks, Mask]:
        """A PPMID that has no power asks when it is back, and begins anew; some come back too late."""
        lapses = np.zeros(len(begins), bool)
        for struck, span in self._mischief.unplugged(batch):
            cut = struck & (begins < span.end) & (begins + length > span.start)
            begins = np.where(cut, np.uint32(span.end), begins)
            lapses |= cut & (begins + length > arrived + self.flow.hold)
        return begins, lapses

    def _boots(self, batch: Batch, told: Ticks) -> Ticks:
        """When a Device that was told to activate has booted."""
        boots = told + _BOOT
        for struck, span in self._mischief.unplugged(batch):
            dark = struck & (boots >= span.start) & (told < span.end)
            boots = np.where(dark, np.uint32(span.end), boots)
        return boots

    def _strike(
        self,
        batch: Batch,
        arrived: Ticks,
        first: Ticks,
        begins: Ticks,
        done: Ticks,
        octets: int,
        ended: Ticks,
        fate: NDArray[np.uint8],
    ) -> None:
        """What faults do to a transfer that first began at `first`, and at `begins` for good."""
        under_way = fate == Outcome.UNDER_WAY
        late = under_way & (ended > arrived + self.flow.hold)
        ended[late] = (arrived + self.flow.hold)[late]
        unasked = first > ended
        for struck, span in self._mischief.unplugged(batch):
            unasked |= struck & (first >= span.start) & (span.end > ended)
        fate[late] = np.where(unasked[late], np.uint8(Outcome.DISCARDED), np.uint8(Outcome.TRANSFER_FAILED))
        bad = (fate == Outcome.UNDER_WAY) & self._mischief.corrupted(
            batch, begins, done, exchanges(octets) - 1
        )
        fate[bad] = np.where(
            batch.kind[bad] == Kind.PPMID, np.uint8(Outcome.TRANSFER_FAILED), np.uint8(Outcome.REJECTED)
        )
        thrown = self._mischief.discarded(batch, arrived, ended)
        away = thrown != NEVER
        ended[away] = thrown[away]
        fate[away] = Outcome.DISCARDED

    def _wake(self, batch: Batch, begins: Ticks, words: Words) -> Ticks:
        """When the first notice goes out that is heard; a Device that sleeps asks when it next wakes."""
        flow = self.flow
        begins = begins + _NOTICE * flow.losses(batch.quality, words << _HALF) if flow.lossy else begins
        asleep = np.flatnonzero(batch.traits & np.uint8(Trait.SLEEPS))
        if len(asleep):
            schedule = flow.settings.schedule
            period, window = np.uint64(ticks(schedule.period)), np.uint64(ticks(schedule.window))
            phase = self.fleet.phase[batch.device[asleep]].astype(np.uint64) * period >> np.uint64(16)
            at = begins[asleep].astype(np.uint64)
            into = (at + period - phase) % period
            begins[asleep] = np.where(into < window, at, at + period - into)
        return begins

    def _give_up(
        self,
        batch: Batch,
        begins: Ticks,
        fates: Words,
        table: Table,
        ended: Ticks,
        fate: NDArray[np.uint8],
    ) -> None:
        """Transfers that are broken off. A PPMID whose farewell nobody heard asks again of its own accord."""
        flow = self.flow
        if not table.gave_up.any():
            return
        share = table.gave_up[batch.quality]
        at = np.flatnonzero(unit(fates) <= share)
        if not len(at):
            return
        # Below its share, a fate is as good as a fresh word: it says when, and whether anybody heard.
        within = unit(fates[at]) / share[at]
        quality = batch.quality[at]
        after = _picked(table.gave_up_after, quality, (within * np.float32(2**32 - 256)).astype(np.uint32))
        ended[at] = begins[at] + after + flow.hop[quality]
        fate[at] = Outcome.TRANSFER_FAILED
        deaf = at[
            flow.chance.unit(Purpose.AGAIN, batch.device[at], batch.attempt[at]) < table.unheard[quality]
        ]
        self._start_again(batch, deaf, begins, table, ended, fate)

    def _start_again(
        self,
        batch: Batch,
        deaf: NDArray[np.intp],
        begins: Ticks,
        table: Table,
        ended: Ticks,
        fate: NDArray[np.uint8],
    ) -> None:
        """Ask again at the next polls, as long as the hub has the image on offer."""
        flow = self.flow
        limit = begins + self.flow.hold
        ended[deaf] = limit[deaf]  # the offer lapses, unless the Device asks
        deaf = deaf[self.fleet.kind[batch.device[deaf]] == Kind.PPMID]
        period = np.where(
            self.fleet.traits[batch.device[deaf]] & np.uint8(Trait.SLEEPS),
            np.uint32(ticks(flow.settings.schedule.period)),
            _POLL,
        )
        for again in range(1, int(self.flow.hold // _POLL) + 1):
            if not len(deaf):
                return
            attempt = batch.attempt[deaf] + np.uint8(_ANEW * again)
            picks, fates = flow.chance.words(Purpose.HAN, batch.device[deaf], attempt)
            quality = batch.quality[deaf]
            hop = flow.hop[quality]
            asks = begins[deaf] + period * np.uint32(again)
            good = unit(fates) > table.gave_up[quality]
            done = asks + _picked(table.took, quality, picks) + hop + hop
            well = good & (done < limit[deaf])
            ended[deaf[well]] = done[well]
            fate[deaf[well]] = Outcome.UNDER_WAY
            deaf, period = deaf[~good], period[~good]

    def _never_begin(
        self, batch: Batch, arrived: Ticks, hop: Ticks, first: Ticks, ended: Ticks, fate: NDArray[np.uint8]
    ) -> None:
        """Devices that the image is not for, or that do not ask for it.

        One that runs the image already hears of it in the notice and lets it be. A PPMID asks all the same at
        its next poll or waking, and the hub then knows; other Devices never ask.
        """
        special = np.flatnonzero(batch.traits & _SPECIAL)
        if not len(special):
            return
        trait, at = batch.traits[special], arrived[special]
        misfit, runs_it, sleeps, off = (
            (trait & np.uint8(each)) != 0
            for each in (Trait.OTHER_HARDWARE, Trait.RUNS_IT, Trait.SLEEPS, Trait.OFF)
        )
        phase = self.fleet.phase[batch.device[special]].astype(np.uint64) * np.uint64(_POLL) >> np.uint64(16)
        polls = (at + (phase + _POLL - at.astype(np.uint64) % _POLL) % _POLL).astype(np.uint32)
        polls = np.where(sleeps, first[special], polls)
        silent = off | (runs_it & (batch.kind[special] != Kind.PPMID))
        asks = np.where(runs_it, polls, np.where(sleeps, first[special], at + hop[special]))
        ended[special] = np.where(silent, at + self.flow.hold, asks + hop[special])
        fate[special] = np.where(misfit & ~off, Outcome.HARDWARE_MISMATCH, Outcome.DISCARDED)

    def _through(
        self,
        batch: Batch,
        purpose: Purpose,
        begins: Ticks,
        lengths: Ticks | np.uint32,
        since: Ticks | None = None,
    ) -> Ticks:
        """When what has so many ticks of crossing to do has done them, if the link is broken at times.

        since  when the link was last known to be up; None: nothing is known
        """
        flow = self.flow
        ends = begins + lengths
        if not flow.breaks:
            return ends
        links, region = flow.links, batch.region
        luck, other = (unit(word) for word in flow.chance.words(purpose, batch.device, batch.attempt))
        # The wait for the next outage, from any moment at which there is none, and from now on.
        comes = 2 * links.pause[region] * (1 - np.sqrt(luck))
        passed = np.zeros_like(luck) if since is None else (begins - since).astype(np.float32)
        met = comes <= passed + np.asarray(lengths, np.float32)
        met &= links.pause[region] > 0
        if since is None:
            met |= other < links.broken[region]
        at = np.flatnonzero(met)
        if len(at):
            length = 2 * links.length[region[at]]
            share = other[at]
            if since is None:
                broken = links.broken[region[at]]
                now = share < broken
                share = np.where(now, share / np.maximum(broken, 1e-9), (share - broken) / (1 - broken))
                lasts = length * np.where(now, 1 - np.sqrt(share), share)
            else:
                # The first outage since; one that is over by now is forgotten, and so is what came after it.
                over = comes[at] - passed[at] + length * share
                lasts = np.clip(over, 0, length * share)
            ends[at] += lasts.astype(np.uint32)
        return ends

    # SRV 11.3

    def _since(self, device: NDArray[np.uint32], sent: Ticks) -> Ticks:
        """When the link was last known to be up: when a Device's receipt crossed it."""
        heard = self.at[Stage.VERIFIED][device]
        latency = self.flow.latency[self.fleet.region[device]]
        return np.where(heard <= sent, np.maximum(heard, latency) - latency, np.uint32(0))

    def _command(self, piece: Piece, now: int | None, later: int | None) -> None:
        """The signed pre-command goes to who holds an image; `now` None: once that is verified."""
        holds = self.outcome[piece] == Outcome.HELD
        verified = self.at[Stage.VERIFIED][piece]
        holds &= verified != NEVER if now is None else (verified <= now) | (verified == NEVER)
        device = _numbers(piece)[holds]
        if not len(device):
            return
        flow, batch = self.flow, self._batch(device)
        hop = flow.hop[batch.quality]
        sent = self.at[Stage.VERIFIED][device] if now is None else np.full(len(device), now, np.uint32)
        crossing, latency = self._wan(
            batch, weights.COMMAND if later is None else weights.COMMAND_FOR_LATER, sent
        )
        begins = np.maximum(self._wan_free[batch.hub], sent)
        crossed = self._through(batch, Purpose.COMMAND, begins, crossing, self._since(device, sent))
        self._wan_free[batch.hub] = crossed
        lost, said = flow.chance.words(Purpose.ANSWER, batch.device, batch.attempt)
        obeyed = crossed + latency + hop + flow.knocks(batch.quality, lost)
        if later is not None:
            obeyed = np.maximum(obeyed, self._mischief.skewed(batch, later))
        spoken = obeyed + _BOOT + hop + flow.silence(batch.quality, said)
        weight = weights.ANSWER if later is None else weights.OUTCOME_ALERT
        crossing, latency = self._wan(batch, weight, spoken)
        heard = self._through(batch, Purpose.HEARD, spoken, crossing, crossed) + latency
        becomes = self._becomes[device]
        # Where no answer comes, the DCC says so in the end: E21, or E30 of an activation for later.
        due = sent if later is None else np.maximum(sent, np.uint32(later))
        waited = due + np.uint32(ticks(flow.settings.dcc.answer_period))
        if later is not None:
            heard = self._mischief.to_dcc(batch, Stage.PROVEN, spoken, heard)
        silent = (becomes == Outcome.MUTE) | (heard > waited)
        proven = self._mischief.to_user(batch, Stage.PROVEN, np.where(silent, waited, heard))
        self.at[Stage.ACTIVATION, device] = sent
        self.at[Stage.PROVEN, device] = proven
        self.outcome[device] = becomes
        self._becomes[device] = np.where(silent, np.uint8(Outcome.MUTE), becomes)
        more = self._mischief.copies(batch, Stage.PROVEN, proven)
        more += np.uint16(later is not None)
        more += ~silent & (becomes == Outcome.OTHER_VERSION)
        if self._needless.size:
            more += self._needless[device] * (becomes == Outcome.UPDATED)
        self.more[device] += more


def _numbers(piece: Piece) -> NDArray[np.uint32]:
    return np.arange(piece.start, piece.stop, dtype=np.uint32) if isinstance(piece, slice) else piece


def _turns(hub: NDArray[np.uint32]) -> NDArray[np.uint32] | None:
    """The place of each Device in the queue of its hub, 0 first; None: all are first."""
    follows = hub[1:] == hub[:-1]
    if not follows.any():
        return None
    place = np.arange(len(hub), dtype=np.uint32)
    first = np.concatenate(([True], ~follows))
    return place - np.maximum.accumulate(np.where(first, place, np.uint32(0)))


def _picked(quantiles: Ticks, quality: NDArray[np.uint8], words: Words) -> Ticks:
    """A quantile for each word, out of the part of the table that is for its quality."""
    return quantiles.take(quality.astype(np.uint32) * np.uint32(QUANTILES) + (words >> _TO_QUANTILE))
