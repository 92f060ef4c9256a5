"""Operational metrics: rates and times of updates, by exact definitions, from columns anybody can check.

An update is one Device's way through one campaign. It belongs to the period in which its first order was
made, and is counted with all that is known of it now. Milestones are by the clock of whoever testifies, and a
later one implies those before: a Device that proves the version has had it delivered, though the word of that
is lost. `DEFINITIONS` says of each metric what is divided by what; `docs/reports.md` says the same.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lamplighter.campaign import Cause, Stage
from lamplighter.campaign.evidence import CAUSES
from lamplighter.campaign.state import STAGE_BITS, STAGE_SHIFT
from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, Instant, UsageError
from lamplighter.kit.cell import guard, unguard
from lamplighter.kit.instant import SECOND, to_iso
from lamplighter.store.metrics import (
    ACTIVATED,
    AT_HUB,
    LEFT,
    NEVER,
    ON_DEVICE,
    ORDERED,
    PROVEN,
    SUBMITTED,
    Campaign,
    Place,
    Updates,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from lamplighter.store.storms import Volume

    Numbers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

__all__ = [
    "CSV_COLUMNS",
    "DEFINITIONS",
    "DIMENSIONS",
    "SPANS",
    "Counts",
    "Exposure",
    "Group",
    "Metrics",
    "Times",
    "Updates",
    "as_csv",
    "as_facts",
    "measure",
    "read_updates",
    "stages",
    "write_updates",
]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many updates have come how far, and how they ended."""

    updates: int
    """With a first order."""
    delivered: int
    """The image lies at the hub, or more than that is known."""
    transferred: int
    """The Device has the image, or more is known."""
    activated: int
    """The Device says that it has activated it, or its version proves it."""
    proven: int
    """The Device itself has said that it runs the release's version."""
    failed: int
    """Ended: the cause is final, or the attempts are used up."""
    lost: int
    """Ended: nothing was heard of the Device, whatever was asked."""
    withdrawn: int
    """Ended: the Device has left."""
    cancelled: int
    """Ended: the campaign was aborted, or the release withdrawn."""

    @property
    def in_flight(self) -> int:
        """Not ended."""
        return self.updates - self.proven - self.failed - self.lost - self.withdrawn - self.cancelled

    @property
    def settled(self) -> int:
        """Ended by what the Device did or did not do: proven, failed or lost."""
        return self.proven + self.failed + self.lost

    @property
    def delivery_rate(self) -> float | None:
        """Delivered / updates."""
        return _share(self.delivered, self.updates)

    @property
    def transfer_rate(self) -> float | None:
        """Transferred / delivered."""
        return _share(self.transferred, self.delivered)

    @property
    def activation_rate(self) -> float | None:
        """Activated / transferred."""
        return _share(self.activated, self.transferred)

    @property
    def proof_rate(self) -> float | None:
        """Proven / updates."""
        return _share(self.proven, self.updates)

    @property
    def settled_proof_rate(self) -> float | None:
        """Proven / settled."""
        return _share(self.proven, self.settled)

    @property
    def proof_interval(self) -> tuple[float, float] | None:
        """Of the settled proof rate: Wilson's score interval at 95 %."""
        return wilson(self.proven, self.settled)

    @property
    def visits_avoided(self) -> int:
        """Proven Devices: each of them was updated without anybody going there."""
        return self.proven

    @property
    def visits_due(self) -> int:
        """Failed and lost ones: somebody has to go there all the same, or to replace them."""
        return self.failed + self.lost


class Times(NamedTuple):
    """How long something took, seconds."""

    updates: int
    """For which both ends are known."""
    mean: float
    p50: float
    """Each percentile is a time that occurred: the least that so many per cent do not exceed."""
    p90: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Group:
    """Updates that have something in common."""

    value: str
    """What: the region's name, the cause's word."""
    counts: Counts
    """How many of them."""
    times: dict[str, Times | None]
    """By the names of `SPANS`; None: none has both ends."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """How fast a campaign brought its release to who may have it: out of danger, where it is for security."""

    campaign: str
    """Its name."""
    release: str
    """The release's name; empty: an evidence pack of before this was noted."""
    security: str | None
    """What the release cures for security; None: it is no security release."""
    started_at: Instant | None
    """From when it counts; None: it has not started."""
    exposed: int
    """Devices that may have the release, as counted when it started or they came up."""
    left: int | None
    """Those of them that left after they were ordered, unproven; None: not told, in older evidence packs."""
    proven: int
    """Those of them that run it."""
    half_life: float | None
    """Seconds from the start to the proof by which half of those that stayed were; None: not reached."""
    to_90: float | None
    """Seconds to the proof by which 90 % of those that stayed were; None: not reached."""
    device_days: float
    """Days of exposure summed over all exposed Devices: from the start until they were proven, left, or
    `as_of`."""

    @property
    def stayed(self) -> int:
        """Exposed, and did not leave: who is gone is neither a success nor a failure of the campaign."""
        return self.exposed - (self.left or 0)


class Ending(NamedTuple):
    """Updates that ended without a proof, for one cause."""

    cause: str
    """`Cause.name`, in lower case."""
    meaning: str
    """For a person."""
    failed: int
    lost: int
    withdrawn: int
    cancelled: int

    @property
    def updates(self) -> int:
        """All of them."""
        return self.failed + self.lost + self.withdrawn + self.cancelled


@dataclass(frozen=True, slots=True)
class Metrics:
    """Everything."""

    campaigns: tuple[str, ...]
    """Names of those that are counted."""
    start: Instant | None
    """First orders from here on; None: from the first."""
    end: Instant | None
    """First orders before; None: to the last."""
    as_of: Instant
    """When this was looked at."""
    total: Group
    """All updates."""
    groups: dict[str, tuple[Group, ...]]
    """By the names of `DIMENSIONS`: waves in their order, all others with most updates first."""
    endings: tuple[Ending, ...]
    """Why updates ended without a proof, most first."""
    exposures: tuple[Exposure, ...]
    """One a campaign, by the campaigns' ids; none where a period cuts campaigns."""
    curve: tuple[tuple[float, int], ...]
    """Seconds since the first order, proven Devices by then: at most `CURVE_POINTS` of them."""
    alerts: tuple[Volume, ...] = ()
    """Alert volumes in the period, where the register was asked."""

    @property
    def of_security(self) -> tuple[Exposure, ...]:
        """The exposures of security releases."""
        return tuple(it for it in self.exposures if it.security is not None)


CURVE_POINTS: Final = 200

SPANS: Final = {
    "hand-over": (ORDERED, SUBMITTED),
    "delivery": (ORDERED, AT_HUB),
    "transfer": (AT_HUB, ON_DEVICE),
    "activation": (ON_DEVICE, ACTIVATED),
    "proof": (ACTIVATED, PROVEN),
    "order to proof": (ORDERED, PROVEN),
}
"""Times that are measured, from one milestone to another."""

DIMENSIONS: Final[dict[str, Callable[[Place], str]]] = {
    "campaign": lambda place: place.campaign,
    "region": lambda place: place.region or "unknown",
    "hub-model": lambda place: place.hub_model or "unknown",
    "model": lambda place: product(place.type, place.manufacturer, place.model, place.hardware),
    "wave": lambda place: f"{place.wave + 1}",
    "stratum": lambda place: place.stratum,
}
"""What updates can be grouped by, besides "cause"."""

DEFINITIONS: Final = {
    "updates": "Device updates with a first order in the period",
    "delivered": "updates whose image is known to lie at the hub (N60), or of which a later milestone is "
    "known",
    "transferred": "updates whose Device is known to have the image (N62, 8F72, 8F1C, an activation that it "
    "scheduled), or of which a later milestone is known",
    "activated": "updates whose Device says that it has activated the image (N39, CS06, 8F66), or proves it",
    "proven": "updates whose Device itself has reported the release's version",
    "failed": "updates that ended because a cause is final or the attempts are used up",
    "lost": "updates that ended because nothing was heard of the Device, whatever was asked",
    "withdrawn": "updates that ended because the Device left: removed, suspended, decommissioned, or lost to "
    "another Supplier",
    "cancelled": "updates that ended because the campaign was aborted or the release withdrawn",
    "in flight": "updates - proven - failed - lost - withdrawn - cancelled",
    "delivery rate": "delivered ÷ updates",
    "transfer rate": "transferred ÷ delivered",
    "activation rate": "activated ÷ transferred",
    "proof rate": "proven ÷ updates",
    "settled proof rate": "proven ÷ (proven + failed + lost): what has not ended, and what the Device had no "
    "part in, is left out; with Wilson's score interval at 95 %",
    "visits avoided": "proven: each such Device was updated without anybody going there",
    "visits due": "failed + lost: somebody has to go there all the same, or the Device is replaced",
    "hand-over": "first order → first request handed to the DCC",
    "delivery": "first order → first known to be at the hub, or beyond",
    "transfer": "at the hub → first known to be on the Device, or beyond",
    "activation": "on the Device → first known to be activated, or proven",
    "proof": "activated → first report of the release's version by the Device",
    "order to proof": "first order → first report of the release's version by the Device",
    "percentile p": "the least time that at least p % of the updates with both ends do not exceed; a "
    "negative time, from two clocks that disagree, counts as 0",
    "security release": "a release that is marked, as of now, with what it cures for security; of any other, "
    "half-life and exposed Device-days say only how fast it spread",
    "exposure half-life": "start of the campaign → the proof by which half of the Devices that may have the "
    "release, less those that left unproven, were proven; 90 % alike",
    "exposed Device-days": "over the Devices that may have the release, the time from the start of the "
    "campaign to the proof, to when the Device left, or to now",
}
"""Each metric, as the report prints it."""


def product(kind: str, manufacturer: int, model: int, hardware: int) -> str:
    """A product in one line, hexadecimal as on the CPL: "PPMID 1234:0001:0001"."""
    if manufacturer < 0:
        return "unknown"
    return f"{kind} {manufacturer:04X}:{model:04X}:{hardware:04X}".strip()


def wilson(successes: int, trials: int) -> tuple[float, float] | None:
    """The score interval of a share at 95 %; None: nothing was tried."""
    if not trials:
        return None
    z = 1.959963984540054  # the normal distribution's 97.5 % point
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def measure(
    updates: Updates,
    as_of: Instant,
    *,
    by: Iterable[str] = ("region", "hub-model", "model", "wave"),
    start: Instant | None = None,
    end: Instant | None = None,
    alerts: Sequence[Volume] = (),
    departures: bool = True,
) -> Metrics:
    """All metrics of some updates, which are those of a period where `start` or `end` says so.

    by          names of `DIMENSIONS`; raises `UsageError` for any other
    departures  False: who left stays exposed, as evidence packs of the first form reckon
    """
    reached = _reached(updates.first)
    stage, cause = _standing(updates.progress)
    groups = {}
    for name in dict.fromkeys(by):
        key = DIMENSIONS.get(name)
        if key is None:
            raise UsageError(f"nothing is grouped by {name!r}: one of {', '.join(DIMENSIONS)}")
        groups[name] = tuple(_groups(updates, reached, stage, key, is_wave=name == "wave"))
    exposures: tuple[Exposure, ...] = ()
    if start is None and end is None:
        exposures = tuple(_exposures(updates, reached, stage, as_of, departures=departures))
    return Metrics(
        campaigns=tuple(it.name for it in updates.campaigns),
        start=start,
        end=end,
        as_of=as_of,
        total=_group("all", reached, stage),
        groups=groups,
        endings=_endings(stage, cause),
        exposures=exposures,
        curve=_curve(reached),
        alerts=tuple(alerts),
    )


# --- counting


def _reached(first: Numbers) -> Numbers:
    """When each milestone was reached at the latest that the later ones allow: those imply it."""
    reached = first.copy()
    chain = reached[:, ORDERED : PROVEN + 1]
    chain[:] = np.minimum.accumulate(chain[:, ::-1], axis=1)[:, ::-1]
    # An order is what we did, and nobody else's word makes it earlier.
    reached[:, ORDERED] = first[:, ORDERED]
    return reached


def stages(updates: Updates) -> Numbers:
    """The stage that each is in."""
    return _standing(updates.progress)[0]


def _standing(progress: Numbers) -> tuple[Numbers, Numbers]:
    """Stage and cause of each."""
    return progress >> STAGE_SHIFT & (1 << STAGE_BITS) - 1, progress & (1 << STAGE_SHIFT) - 1


def _counts(reached: Numbers, stage: Numbers) -> Counts:
    return Counts(
        updates=len(stage),
        delivered=int((reached[:, AT_HUB] < NEVER).sum()),
        transferred=int((reached[:, ON_DEVICE] < NEVER).sum()),
        activated=int((reached[:, ACTIVATED] < NEVER).sum()),
        proven=int((reached[:, PROVEN] < NEVER).sum()),
        failed=int((stage == Stage.FAILED).sum()),
        lost=int((stage == Stage.LOST).sum()),
        withdrawn=int((stage == Stage.WITHDRAWN).sum()),
        cancelled=int((stage == Stage.CANCELLED).sum()),
    )


def _times(reached: Numbers, begins: int, ends: int) -> Times | None:
    begin, end = reached[:, begins], reached[:, ends]
    known = (begin < NEVER) & (end < NEVER)
    if not known.any():
        return None
    took = np.sort(np.maximum(end[known] - begin[known], 0))
    count = len(took)

    def percentile(per_cent: int) -> float:
        return float(took[-(-count * per_cent // 100) - 1]) / SECOND

    mean = _total(took) / count / SECOND
    return Times(
        count,
        mean,
        percentile(50),
        percentile(90),
        percentile(95),
        percentile(99),
        float(took[-1]) / SECOND,
    )


def _total(times: Numbers) -> int:
    """The sum, without rounding; years of ten million Devices are more microseconds than 64 bits hold."""
    return int((times // SECOND).sum()) * SECOND + int((times % SECOND).sum())


def _group(value: str, reached: Numbers, stage: Numbers) -> Group:
    times = {name: _times(reached, *span) for name, span in SPANS.items()}
    return Group(value, _counts(reached, stage), times)


def _groups(
    updates: Updates, reached: Numbers, stage: Numbers, key: Callable[[Place], str], *, is_wave: bool
) -> Iterator[Group]:
    values = [key(place) for place in updates.places]
    names = sorted(set(values))
    number = {name: index for index, name in enumerate(names)}
    of_place = np.array([number[it] for it in values], np.int64)
    if not names:
        return
    of_update = of_place[updates.place]
    order = np.argsort(of_update, kind="stable")
    bounds = np.searchsorted(of_update[order], np.arange(len(names) + 1))
    found = []
    for index, name in enumerate(names):
        mine = order[bounds[index] : bounds[index + 1]]
        if len(mine):
            found.append(_group(name, reached[mine], stage[mine]))
    if is_wave:  # these have an order of their own
        yield from sorted(found, key=lambda it: int(it.value))
    else:
        yield from sorted(found, key=lambda it: (-it.counts.updates, it.value))


def _endings(stage: Numbers, cause: Numbers) -> tuple[Ending, ...]:
    found = []
    for it in Cause:
        mine = stage[cause == it]
        ending = Ending(
            it.name.lower(),
            CAUSES[it][0] or "no cause was given",
            *(
                int((mine == end).sum())
                for end in (Stage.FAILED, Stage.LOST, Stage.WITHDRAWN, Stage.CANCELLED)
            ),
        )
        if ending.updates:
            found.append(ending)
    return tuple(sorted(found, key=lambda it: (-it.updates, it.cause)))


def _exposures(
    updates: Updates, reached: Numbers, stage: Numbers, as_of: Instant, *, departures: bool
) -> Iterator[Exposure]:
    number = {campaign.name: index for index, campaign in enumerate(updates.campaigns)}
    owner = np.array([number.get(it.campaign, -1) for it in updates.places], np.int64)[updates.place]
    is_proven = reached[:, PROVEN] < NEVER
    is_gone = (stage == Stage.WITHDRAWN) & (reached[:, LEFT] < NEVER) & ~is_proven & departures
    for index, campaign in enumerate(updates.campaigns):
        mine = owner == index
        proofs = np.sort(reached[mine & is_proven, PROVEN])
        ends = reached[mine & is_gone, LEFT]
        start = campaign.started_at
        # Devices that came up late may be more than were counted.
        exposed = max(campaign.exposed, int(mine.sum()))
        left = len(ends) if departures else None
        whose = campaign.name, campaign.release, campaign.security
        if start is None:
            yield Exposure(*whose, None, exposed, left, len(proofs), None, None, 0.0)
            continue
        after = np.maximum(proofs - start, 0)
        stayed = exposed - len(ends)

        def by(share_of_100: int, stayed: int = stayed, after: Numbers = after) -> float | None:
            wanted = -(-stayed * share_of_100 // 100)
            return float(after[wanted - 1]) / SECOND if 0 < wanted <= len(after) else None

        days = _total(after) + _total(np.maximum(ends - start, 0))
        days += (stayed - len(after)) * max(as_of - start, 0)
        yield Exposure(*whose, start, exposed, left, len(proofs), by(50), by(90), days / SECOND / 86_400)


def _curve(reached: Numbers) -> tuple[tuple[float, int], ...]:
    ordered, proven = reached[:, ORDERED], reached[:, PROVEN]
    proofs = np.sort(proven[proven < NEVER])
    if not len(proofs):
        return ()
    since = np.maximum(proofs - ordered.min(), 0)  # clocks that disagree
    at = np.unique(np.linspace(0, len(proofs) - 1, min(CURVE_POINTS, len(proofs))).astype(np.int64))
    return ((0.0, 0), *((float(since[it]) / SECOND, int(it) + 1) for it in at))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


# --- as data

_RATES: Final = (
    "delivery_rate", "transfer_rate", "activation_rate", "proof_rate", "settled_proof_rate",
)  # fmt: skip
_NUMBERS: Final = (
    "updates", "delivered", "transferred", "activated", "proven", "failed", "lost", "withdrawn", "cancelled",
    "in_flight", "settled", "visits_avoided", "visits_due",
)  # fmt: skip
_STATISTICS: Final = Times._fields


def as_facts(metrics: Metrics) -> dict[str, Any]:
    """As plain JSON: rates 0..1 or null, times in seconds, moments in ISO 8601."""
    return {
        "campaigns": list(metrics.campaigns),
        "from": _iso(metrics.start),
        "to": _iso(metrics.end),
        "as_of": _iso(metrics.as_of),
        "total": _group_facts(metrics.total),
        "by": {name: [_group_facts(it) for it in groups] for name, groups in metrics.groups.items()},
        "causes": [it._asdict() | {"updates": it.updates} for it in metrics.endings],
        "exposure": [_exposure_facts(it) for it in metrics.exposures],
        "proven_by_seconds": [list(it) for it in metrics.curve],
        "alerts": [it._asdict() for it in metrics.alerts],
    }


def _exposure_facts(it: Exposure) -> dict[str, Any]:
    return {
        "campaign": it.campaign,
        # What an older evidence pack does not say, its metrics do not say either: it stays verifiable.
        **({"release": it.release, "security": it.security} if it.release else {}),
        "started_at": _iso(it.started_at),
        "exposed": it.exposed,
        **({} if it.left is None else {"left": it.left}),
        "proven": it.proven,
        "half_life_seconds": it.half_life,
        "seconds_to_90_percent": it.to_90,
        "device_days": it.device_days,
    }


def _group_facts(group: Group) -> dict[str, Any]:
    counts = group.counts
    return {
        "value": group.value,
        **{name: getattr(counts, name) for name in _NUMBERS},
        **{name: getattr(counts, name) for name in _RATES},
        "settled_proof_interval": None if counts.proof_interval is None else list(counts.proof_interval),
        "seconds": {name: None if times is None else times._asdict() for name, times in group.times.items()},
    }


CSV_COLUMNS: Final = (
    "dimension", "value", *_NUMBERS, *_RATES, "settled_proof_low", "settled_proof_high",
    *(f"{span.replace(' ', '_').replace('-', '_')}_{it}" for span in SPANS for it in _STATISTICS),
    "release", "security", "started_at", "exposed", "left",
    "half_life_seconds", "seconds_to_90_percent", "device_days",
)  # fmt: skip
"""Columns of `as_csv`: counts, rates 0..1, times in seconds; empty where there is nothing to divide by.

The last eight are filled in lines of the dimension "exposure", with the campaign and how many are proven.
"""


def as_csv(metrics: Metrics) -> str:
    """One line a group, the total first, then one a campaign's exposure; see `CSV_COLUMNS`.

    What a spreadsheet would run is kept from it.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for dimension, groups in (("all", (metrics.total,)), *metrics.groups.items()):
        for group in groups:
            counts = group.counts
            low, high = counts.proof_interval or (None, None)
            cells: list[Any] = [dimension, guard(group.value)]
            cells += [getattr(counts, name) for name in (*_NUMBERS, *_RATES)]
            cells += [low, high]
            for span in SPANS:
                cells += group.times[span] or [None] * len(_STATISTICS)
            writer.writerow(["" if it is None else it for it in cells])
    for it in metrics.exposures:
        facts = {"dimension": "exposure", "value": it.campaign} | _exposure_facts(it)
        row = (facts.get(name) for name in CSV_COLUMNS)
        writer.writerow([guard(it) if isinstance(it, str) else it for it in row])
    return lines.getvalue()


def _iso(moment: Instant | None) -> str | None:
    return None if moment is None else to_iso(moment)


# --- the updates themselves, for whoever wants to count again

_UPDATE_COLUMNS: Final = (
    "device", "place", "progress",
    "ordered", "submitted", "at_hub", "on_device", "activated", "proven", "ended", "left",
)  # fmt: skip
_OLDER_UPDATE_COLUMNS: Final = _UPDATE_COLUMNS[:-1]
_PLACE_COLUMNS: Final = ("place", *Place._fields)
_CAMPAIGN_COLUMNS: Final = Campaign._fields
_OLDER_CAMPAIGN_COLUMNS: Final = _CAMPAIGN_COLUMNS[:5]  # before releases could be marked for security
_SIGN: Final = 1 << 63
_LINES_AT_ONCE: Final = 50_000
_EMPTY: Final = -(1 << 63)


def write_updates(updates: Updates) -> tuple[bytes, bytes, Iterator[bytes]]:
    """Campaigns and places as CSV, their texts guarded (see `kit.cell`), and the updates, in pieces.

    An update is a line: EUI-64, number of its place, progress (see `campaign.state`), microseconds since 1970
    of the first testimony of each milestone, empty where there is none.
    """
    campaigns, places = io.StringIO(), io.StringIO()
    writer = csv.writer(campaigns, lineterminator="\n")
    writer.writerow(_CAMPAIGN_COLUMNS)
    for it in updates.campaigns:
        started = "" if it.started_at is None else it.started_at
        texts = guard(it.release), guard(it.security or "")
        writer.writerow((it.id, guard(it.name), it.version, started, it.exposed, *texts))
    writer = csv.writer(places, lineterminator="\n")
    writer.writerow(_PLACE_COLUMNS)
    for number, place in enumerate(updates.places):
        writer.writerow((number, *(guard(it) if isinstance(it, str) else it for it in place)))
    return campaigns.getvalue().encode(), places.getvalue().encode(), _lines(updates)


def _lines(updates: Updates) -> Iterator[bytes]:
    yield ",".join(_UPDATE_COLUMNS).encode() + b"\n"
    for start in range(0, len(updates), _LINES_AT_ONCE):
        part = slice(start, start + _LINES_AT_ONCE)
        devices = updates.device[part].tolist()
        rows = np.column_stack([updates.place[part], updates.progress[part], updates.first[part]]).tolist()
        never = int(NEVER)
        yield "".join(
            f"{device + _SIGN:016X},{','.join('' if it == never else str(it) for it in row)}\n"
            for device, row in zip(devices, rows, strict=True)
        ).encode()


def read_updates(campaigns: bytes, places: bytes, lines: Iterable[bytes], *, older: bool = False) -> Updates:
    """What `write_updates` wrote, now or before campaigns said of which release they are.

    older  of an evidence pack of the first form: texts are not guarded, and when a Device left is not told

    Raises `DecodeError` for anything else.
    """
    who = tuple(_read_campaigns(campaigns, guarded=not older))
    where = tuple(
        Place(row[1], row[2], int(row[3]), row[4], row[5], row[6], int(row[7]), int(row[8]), int(row[9]))
        for row in _table("places", places, _PLACE_COLUMNS, "i..i...iii", guarded=not older)
    )
    devices: list[Numbers] = []
    numbers: list[Numbers] = []
    count = 0
    names = _OLDER_UPDATE_COLUMNS if older else _UPDATE_COLUMNS
    for piece in _whole_lines(lines, ",".join(names).encode() + b"\n"):
        device, rest = _parsed(piece, count, names)
        count += len(device)
        devices.append(device)
        numbers.append(rest)
    columns = len(names) - 1
    rest = np.concatenate([np.zeros((0, columns), np.int64), *numbers])
    device = np.concatenate([np.zeros(0, np.int64), *devices])
    place, progress, first = rest[:, 0].copy(), rest[:, 1].copy(), rest[:, 2:].copy()
    if len(place) and not 0 <= place.min() <= place.max() < len(where):
        raise DecodeError("updates", "place", 0, f"0..{len(where) - 1}", "another number")
    first[first == _EMPTY] = NEVER
    if older:
        first = np.column_stack([first, np.full(len(first), NEVER)])
    assert first.shape[1] == LEFT + 1
    return Updates(who, where, np.arange(len(device)), device, place, progress, first)


def _read_campaigns(octets: bytes, *, guarded: bool) -> Iterator[Campaign]:
    older = octets.startswith(",".join(_OLDER_CAMPAIGN_COLUMNS).encode() + b"\n")
    columns, kinds = (_OLDER_CAMPAIGN_COLUMNS, "i..?i") if older else (_CAMPAIGN_COLUMNS, "i..?i..")
    rows = _table("campaigns", octets, columns, kinds, guarded=guarded)
    for number, name, version, started, exposed, *more in rows:
        release, security = more or ("", "")
        yield Campaign(
            int(number),
            name,
            FirmwareVersion.parse(version),
            Instant(int(started)) if started else None,
            int(exposed),
            release,
            security or None,
        )


def _table(
    what: str, octets: bytes, columns: Sequence[str], kinds: str, *, guarded: bool
) -> Iterator[list[str]]:
    """Rows of a small CSV; kinds: i whole number, ? whole number or nothing, . text."""
    try:
        rows = list(csv.reader(io.StringIO(octets.decode(), newline=""), strict=True))
    except (csv.Error, UnicodeDecodeError) as cause:
        raise DecodeError(what, "CSV", 0, "comma-separated values in UTF-8", str(cause)) from cause
    if not rows or tuple(rows[0]) != tuple(columns):
        raise DecodeError(what, "head", 0, ",".join(columns), ",".join(rows[0]) if rows else "nothing")
    for line, row in enumerate(rows[1:], 2):
        good = len(row) == len(columns) and all(
            kind == "." or (kind == "?" and not cell) or cell.lstrip("-").isdecimal()
            for kind, cell in zip(kinds, row, strict=True)
        )
        if not good:
            raise DecodeError(what, "row", line, f"{len(columns)} columns of their kinds", ",".join(row)[:80])
        yield [
            unguard(cell) if guarded and kind == "." else cell for kind, cell in zip(kinds, row, strict=True)
        ]


def _whole_lines(pieces: Iterable[bytes], head: bytes) -> Iterator[bytes]:
    """The lines below the head, some at a time, never a part of one."""
    kept = b""
    headed = False
    for piece in pieces:
        kept += piece
        if not headed:
            if len(kept) < len(head):
                continue
            if not kept.startswith(head):
                raise DecodeError("updates", "head", 0, head.decode().strip(), repr(kept[: len(head)]))
            kept, headed = kept[len(head) :], True
        end = kept.rfind(b"\n") + 1
        if end:
            yield kept[:end]
            kept = kept[end:]
    if kept or not headed:
        raise DecodeError("updates", "end", 0, "a line feed", repr(kept[-40:]))


def _parsed(piece: bytes, before: int, columns: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Devices and numbers of some lines."""
    devices, rows = [], []
    width = len(columns)
    for line, text in enumerate(piece.decode("ascii", "replace").splitlines(), before + 2):
        cells = text.split(",")
        try:
            if len(cells) != width or not cells[1] or not cells[2]:
                raise ValueError(f"{len(cells)} columns")
            devices.append(int(Eui64.parse(cells[0])) - _SIGN)
            rows.append([int(it) if it else _EMPTY for it in cells[1:]])
            if not all(_EMPTY <= it <= int(NEVER) for it in rows[-1]):
                raise ValueError("a number that is too great")
        except (ValueError, DecodeError) as cause:
            raise DecodeError("updates", "line", line, ",".join(columns), repr(text[:80])) from cause
    return np.array(devices, np.int64), np.array(rows, np.int64).reshape(-1, width - 1)
