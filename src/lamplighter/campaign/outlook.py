"""What happens next in a campaign, when, and what holds it back: the policy's own view, told to a person.

It decides nothing. Everything here follows from the same plan and view that `decide` looks at, by the same
functions; so what a person reads at three in the morning is what the reconciler is about to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.campaign import gates, rates, windows
from lamplighter.campaign.decide import DATED, awaited, calls_off, judge
from lamplighter.campaign.state import FINAL, FLYING, Stage
from lamplighter.campaign.status import CampaignStatus
from lamplighter.campaign.tallies import LOADING
from lamplighter.kit import Instant
from lamplighter.kit.instant import MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lamplighter.campaign.decide import Stratum, View
    from lamplighter.campaign.plan import Plan

_KINDS: Final = (windows.Kind.UPDATE, windows.Kind.ACTIVATE, windows.Kind.READ)
_UNLIMITED: Final = rates.PER_HOUR_MAX


class Next(NamedTuple):
    """Something that will happen, or that is waited for."""

    at: Instant | None
    """When, where the clock decides; None: when what is waited for has come."""
    what: str
    """In plain words."""
    stratum: str = ""
    """Where it concerns one stratum alone."""
    person: bool = False
    """Whether it waits for a person."""


class Opening(NamedTuple):
    """Whether orders of a kind may go out."""

    kind: windows.Kind
    is_open: bool
    changes_at: Instant | None
    """When that changes; None: not within two years."""


class Limit(NamedTuple):
    """Something of which there is not more than so much."""

    name: str
    used: int
    most: int

    @property
    def left(self) -> int:
        """What may still be taken."""
        return max(0, self.most - self.used)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What happens next."""

    next: tuple[Next, ...]
    """By time; what waits for a person first, then what waits for the world; last the end in any case."""
    openings: tuple[Opening, ...]
    """The windows, for each kind of order that the campaign makes."""
    per_hour: int | None
    """Devices that may be ordered in an hour at this point of the rate's growth; None: no limit."""
    limits: tuple[Limit, ...]
    """The rate and every cap of the plan, and what is used of each."""
    flying: int
    """Devices with an order out."""
    waiting: int
    """Devices that no order was made for yet."""
    ends_at: Instant | None
    """When it ends in any case; None: it has not started, or has ended."""


_QUIET: Final[Mapping[CampaignStatus, str]] = {
    CampaignStatus.FINISHED: "Nothing: it is finished.",
    CampaignStatus.ABORTED: "Nothing: it was aborted.",
}


def outlook(plan: Plan, view: View, now: Instant, *, approvals: int = 0) -> Outlook:
    """What happens next, seen at `now`; `approvals` are those that hold for the plan as it is."""
    flying = sum(count.devices for count in view.counts if count.stage in FLYING)
    waiting = sum(view.waiting.values())
    under_way = view.status in {CampaignStatus.RUNNING, CampaignStatus.PAUSED, CampaignStatus.ABORTING}
    per_hour = rates.per_hour(plan.rate, view.ordered)
    openings = tuple(
        Opening(
            kind,
            windows.open_at(plan.windows, plan.blackout, now, kind),
            windows.next_change(plan.windows, plan.blackout, now, kind),
        )
        for kind in _KINDS
        if kind is not windows.Kind.ACTIVATE or view.procedure.value == "11.1"
    )
    limits = tuple(_limits(plan, view, per_hour))
    ends_at = Instant(view.started_at + plan.lasts) if under_way else None
    match view.status:
        case CampaignStatus.DRAFT:
            found = list(_draft(plan, approvals))
        case CampaignStatus.RUNNING if view.withdrawn:
            found = [Next(None, f"The release is withdrawn: {_out(flying)}, then the campaign finishes.")]
        case CampaignStatus.RUNNING:
            found = list(_running(plan, view, openings, limits, now, flying, waiting))
        case CampaignStatus.PAUSED:
            found = [
                Next(None, "Nothing is ordered until somebody resumes it.", person=True),
                *([Next(None, f"{_out(flying)}; its evidence is taken.")] if flying else []),
            ]
        case CampaignStatus.ABORTING:
            found = [Next(None, f"{_out(flying)}, then what is left is cancelled.")]
        case status:
            found = [Next(None, _QUIET[status])]
    found += _activations(plan, view, now)
    found.sort(key=lambda it: (not it.person, it.at is None, it.at or 0))
    if ends_at is not None:
        found.append(Next(ends_at, "It ends in any case; what is held or waits then is cancelled."))
    return Outlook(
        tuple(found), openings, None if per_hour >= _UNLIMITED else per_hour, limits, flying, waiting, ends_at
    )


def _activations(plan: Plan, view: View, now: Instant) -> Iterator[Next]:
    """What becomes of activations that are dated ahead, where not all is well."""
    unwanted = calls_off(plan, view, now)
    ahead = [it for it in view.counts if it.stage in DATED] if plan.activate_at is not None else []
    if few := sum(it.devices for it in ahead if it.cell.stratum in unwanted):
        lead = plan.call_off_ahead // MINUTE
        yield Next(
            None,
            f"{_devices(few)} told to activate later: called off, but for what is due within {lead} minutes.",
        )
    left = sum(it.devices for it in ahead if it.cell.stratum not in unwanted)
    if left and view.status is CampaignStatus.PAUSED:
        what = "they activate in spite of the pause, unless somebody calls that off."
        yield Next(None, f"{_devices(left)} told to activate later: {what}", person=True)
    if told := sum(it.devices for it in view.counts if it.stage is Stage.CALLING_OFF):
        yield Next(None, f"{_devices(told)} told to drop the activation: word is awaited.")


def _out(flying: int) -> str:
    return f"{_devices(flying)} in flight {'comes' if flying == 1 else 'come'} to an end"


def _devices(count: int) -> str:
    return f"{count:,} Device{'' if count == 1 else 's'}"


def _draft(plan: Plan, approvals: int) -> Iterator[Next]:
    if (missing := plan.approvals - approvals) > 0:
        people = "person" if missing == 1 else "people"
        yield Next(None, f"{missing} more {people} must approve it; its creator cannot.", person=True)
    yield Next(
        None, "Somebody starts it." if missing <= 0 else "Then somebody starts it.", person=missing <= 0
    )


def _running(
    plan: Plan,
    view: View,
    openings: tuple[Opening, ...],
    limits: tuple[Limit, ...],
    now: Instant,
    flying: int,
    waiting: int,
) -> Iterator[Next]:
    judgements = judge(plan, view)
    for stratum in view.strata:
        if (item := _of_stratum(plan, view, stratum, judgements[stratum.id], now)) is not None:
            yield item
    due = waiting or sum(view.late.values())
    for opening in openings:
        if opening.kind is windows.Kind.UPDATE and not due:
            continue
        if opening.changes_at is not None:
            word = "closes" if opening.is_open else "opens"
            yield Next(opening.changes_at, f"The window for orders of kind {opening.kind.value!r} {word}.")
        elif not opening.is_open:
            yield Next(None, f"No window for orders of kind {opening.kind.value!r} opens within two years.")
    for limit in limits:
        if due and not limit.left:
            yield Next(None, f"The limit is reached: {limit.name} ({limit.used:,} of {limit.most:,}).")
    if flying:
        yield Next(
            None, f"{_devices(flying)} in flight: word is awaited from the DCC, the hub or the Device."
        )
    left = sum(it.devices for it in view.counts if it.stage not in FINAL and it.stage not in FLYING)
    if left:
        yield Next(None, f"{_devices(left)} wait for the next try: a pause, a window or a release of a hold.")
    for verdict, devices in view.shut.items() if awaited(view) else ():
        what = f"{_devices(devices)} not ordered may not have the release now: {verdict.value}."
        yield Next(None, f"{what} It waits for them until its end; abort it to go without them.", person=True)
    if view.passed_over:
        yield Next(None, f"{_devices(view.passed_over)} wait until another update in their home is over.")


def _of_stratum(
    plan: Plan, view: View, stratum: Stratum, found: gates.Judgement, now: Instant
) -> Next | None:
    """What its next wave waits for; None: nothing more of it is to come."""
    if stratum.held is not None:
        left = sum(
            it
            for places in (view.waiting, view.late)
            for at, it in places.items()
            if at.stratum == stratum.id
        )
        what = (
            "Held: nothing more is ordered of it until somebody releases the hold."
            if left
            else "Held, and none of it is left to order: the campaign ends once somebody releases the hold."
        )
        return Next(None, what, stratum.name, person=True)
    last = len(plan.waves) - 1
    here = plan.waves[stratum.wave]
    waiting = sum(
        devices
        for place, devices in view.waiting.items()
        if place.stratum == stratum.id and place.wave <= stratum.wave
    )
    if waiting:
        return Next(None, f"Up to {_devices(waiting)} of wave {here.name!r} are ordered.", stratum.name)
    if stratum.id in view.missed:
        return Next(None, f"Devices of wave {here.name!r} are found in the next sweep.", stratum.name)
    if stratum.wave >= last:
        return None
    after = plan.waves[stratum.wave + 1].name
    if not any(it.cell.stratum == stratum.id and it.cell.wave == stratum.wave for it in view.counts):
        if not any(n and at.stratum == stratum.id for at, n in view.waiting.items()):
            return None
        return Next(now, f"Wave {after!r} opens: nobody is in {here.name!r}.", stratum.name)
    if stratum.settled_at is not None and stratum.settled_at <= now:
        opens = Instant(stratum.settled_at + here.soak)
        return Next(
            opens, f"Wave {after!r} opens: {here.name!r} was good, and its soak time is over.", stratum.name
        )
    if found.ruling is gates.Ruling.PASS:
        return Next(
            None, f"Wave {after!r} opens once {here.name!r} has soaked: the gate has passed.", stratum.name
        )
    if not here.gated:
        return Next(None, f"Wave {after!r} opens once all of {here.name!r} has an outcome.", stratum.name)
    return Next(None, f"Wave {after!r} waits for the gate: {found.reason}.", stratum.name)


def _limits(plan: Plan, view: View, per_hour: int) -> Iterator[Limit]:
    caps = plan.caps
    if per_hour < _UNLIMITED:
        yield Limit("orders in the last hour", view.last_hour, per_hour)
    regions: dict[str, int] = {}
    models: dict[str, int] = {}
    loading = [(it.cell.region, it.cell.hub_model, it.devices) for it in view.counts if it.stage in LOADING]
    total = 0
    for region, hub_model, devices in (*loading, *view.elsewhere):
        regions[region] = regions.get(region, 0) + devices
        models[hub_model] = models.get(hub_model, 0) + devices
        total += devices
    if caps.in_flight is not None:
        yield Limit("in flight, all campaigns", total, caps.in_flight)
    if caps.requests_per_day is not None:
        yield Limit("requests in 24 hours, all campaigns", view.last_day, caps.requests_per_day)
    for name, cap, found in (
        ("in flight in region", caps.per_region, regions),
        ("in flight on hub model", caps.per_hub_model, models),
    ):
        if cap is not None:
            for key in sorted(found):
                yield Limit(f"{name} {key or '?'}", found[key], cap)
