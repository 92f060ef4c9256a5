"""Devices: found by what they are and how far they have come; and one of them, with all that it said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.campaign import Cause
from lamplighter.campaign.evidence import CAUSES
from lamplighter.campaign.state import FINAL, Stage, State
from lamplighter.campaign.whereabouts import Whereabouts, whereabouts
from lamplighter.kit import DecodeError, Eui64, Instant, UsageError
from lamplighter.registry import Cohort, CplEntry, DeviceStatus, DeviceType, Part, Verdict, judge
from lamplighter.service.office import DevicePage, Journey
from lamplighter.service.web.page import Asked, Reader, TheOffice, go, render
from lamplighter.service.web.pages.fleet import hex16, version
from lamplighter.service.web.security import whole
from lamplighter.store.fleet import Census, Wanted

router: Final = APIRouter()

ROWS: Final = (25, 50, 100, 250)
_TEXT_MAX: Final = 64
_EUI_DIGITS: Final = 16
_Value = TypeVar("_Value")


class Choice(NamedTuple):
    """A condition that a person can set."""

    name: str
    label: str
    options: list[tuple[str, str]]
    """Each with how many Devices it has."""


@dataclass(frozen=True, slots=True)
class Step:
    """A Device's way through one campaign, as the page tells it."""

    journey: Journey
    since: Instant
    whereabouts: Whereabouts | None
    """None: its latest order is not known any more."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.journey.progress.stage in FINAL


@router.get("/devices")
def show(
    request: Request,
    office: TheOffice,
    person: Reader,
    q: str = "",
    sort: str = "eui",
    after: str = "",
    rows: int = ROWS[1],
    campaign: str = "",
) -> Response:
    """A table of Devices, of which the database gives one page; or those of a campaign."""
    asked = {name: text[:_TEXT_MAX] for name, text in request.query_params.items()}
    rows = rows if rows in ROWS else ROWS[1]
    if campaign:
        return _of_campaign(request, office, asked, rows)
    digits = q.strip().replace("-", "")
    store, now = office.store, office.clock()
    if len(digits) == _EUI_DIGITS:
        eui = _eui(q.strip())
        if store.registry.device(eui) is not None or store.fleet.orders(eui):
            return go(request, f"/devices/{eui}")
        if store.registry.hub(eui) is not None or store.fleet.search(Wanted(hub=eui), limit=1).devices:
            return go(request, f"/devices?hub={eui}")
    census = store.fleet.count(now)
    wanted = _wanted(asked, digits)
    page = store.fleet.search(wanted, sort, after or None, rows)
    matches = None
    if not wanted.prefix and wanted.hub is None:
        matches = sum(it.devices for it in census.cohorts if wanted.has(it.cohort))
    del person
    return render(
        request,
        "devices.html",
        asked=Asked({**asked, "sort": sort, "rows": str(rows)}),
        census=census,
        choices=_choices(census),
        page=page,
        matches=matches,
        rows=ROWS,
    )


@router.get("/devices/{eui}")
def one(request: Request, office: TheOffice, person: Reader, eui: str) -> Response:
    """Where one Device is, why it waits, since when, and what comes next."""
    number = _eui(eui)
    try:
        found = office.device(person, number)
    except UsageError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from error
    fleet = office.store.fleet
    orders = fleet.orders(number)
    steps = []
    for journey in reversed(found.journeys):
        since, ordered = orders.get(journey.campaign.id, (journey.since, None))
        told = None
        if ordered is not None:
            procedure = office.store.registry.listed(journey.campaign.release).release.procedure
            told = whereabouts(procedure, journey.campaign.plan, journey.progress, ordered, office.clock())
        steps.append(Step(journey, since, told))
    return render(
        request,
        "device.html",
        found=found,
        steps=steps,
        queued=[it for it in fleet.queues(number) if it.verdict is Verdict.ELIGIBLE],
        kept_out=[it for it in fleet.queues(number) if it.verdict is not Verdict.ELIGIBLE],
        verdicts=_verdicts(office, person, found),
        storms=_storms(office, number),
        causes=CAUSES,
    )


@router.get("/messages/{number}")
def message(request: Request, office: TheOffice, person: Reader, number: int) -> Response:
    """A message of the DCC, every field of it; a piece of a page where that asks for it."""
    try:
        found = office.message(person, number)
    except UsageError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from error
    template = "message_tree.html" if request.headers.get("hx-request") else "message.html"
    return render(request, template, found=found)


def _of_campaign(request: Request, office: TheOffice, asked: Mapping[str, str], rows: int) -> Response:
    key = asked["campaign"]
    try:
        campaign = office.store.campaigns.find(key if (number := whole(key)) is None else number)
    except UsageError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from error
    state = _one_of(State, "state", asked.get("state", ""))
    cause = _cause(asked.get("cause", ""))
    if (after := whole(asked.get("after", "") or "0")) is None:
        raise UsageError("this page of the table is no more: begin at the first")
    page = office.store.fleet.updates(
        campaign.id,
        [it for it in Stage if it.state is state] if state is not None else (),
        cause=None if cause is None else int(cause),
        stratum=asked.get("stratum") or None,
        after=after,
        limit=rows,
    )
    strata = sorted(it.name for it in office.store.campaigns.view(campaign, office.clock()).strata)
    return render(
        request,
        "campaign_devices.html",
        asked=Asked({**asked, "rows": str(rows)}),
        campaign=campaign,
        page=page,
        states=[it.value for it in State if it is not State.EXCLUDED],
        causes=[(it.name.lower(), CAUSES[it][0]) for it in Cause if it],
        texts=CAUSES,
        strata=strata,
        rows=ROWS,
    )


def _wanted(asked: Mapping[str, str], prefix: str) -> Wanted:
    def of(name: str, read: Callable[[str], _Value]) -> _Value | None:
        text = asked.get(name, "").strip()
        return read(text) if text else None

    def one_of(kind: type[Enum], name: str) -> Any:
        return _one_of(kind, name, asked.get(name, ""))

    if set(prefix) - set("0123456789abcdefABCDEF") or len(prefix) > _EUI_DIGITS:
        raise UsageError(f"an EUI-64 has 16 hex digits, or its first ones are enough: not {prefix[:40]!r}")
    return Wanted(
        type=one_of(DeviceType, "type"),
        manufacturer=of("manufacturer", lambda text: hex16("manufacturer", text)),
        model=of("model", lambda text: hex16("model", text)),
        hardware=of("hardware", lambda text: hex16("hardware", text)),
        firmware=of("firmware", lambda text: version("firmware", text)),
        status=one_of(DeviceStatus, "status"),
        part=one_of(Part, "part"),
        region=of("region", str),
        hub_model=of("hub_model", str),
        tag=of("tag", str),
        hub=of("hub", _eui),
        prefix=prefix,
    )


def _one_of(kind: type[Enum], name: str, text: str) -> Any:
    if not text:
        return None
    try:
        return kind(text)
    except ValueError as cause:
        words = ", ".join(str(it.value) for it in kind)
        raise UsageError(f"{name}: expected one of {words}, found {text[:40]!r}") from cause


def _cause(text: str) -> Cause | None:
    if not text:
        return None
    found = Cause.__members__.get(text.upper())
    if found is None:
        raise UsageError(f"there is no cause {text[:40]!r}")
    return found


def _eui(text: str) -> Eui64:
    try:
        return Eui64.parse(text)
    except DecodeError as cause:
        raise UsageError(f"an EUI-64 is {cause.expected}, not {cause.found}") from cause


_CHOICES: Final[tuple[tuple[str, str, Callable[[Cohort], str]], ...]] = (
    ("type", "Type", lambda it: it.type.value),
    ("manufacturer", "Manufacturer", lambda it: f"{it.manufacturer:04X}"),
    ("model", "Model", lambda it: f"{it.model:04X}"),
    ("firmware", "Firmware", lambda it: str(it.firmware)),
    ("status", "Status", lambda it: it.status.value),
    ("region", "Region", lambda it: it.region),
    ("hub_model", "Hub model", lambda it: it.hub_model),
    ("tag", "Tag", lambda it: it.tag),
)


def _choices(census: Census) -> list[Choice]:
    """What can be chosen, from what there is."""
    found = []
    for name, label, read in _CHOICES:
        counts: dict[str, int] = {}
        for it in census.cohorts:
            if value := read(it.cohort):
                counts[value] = counts.get(value, 0) + it.devices
        if counts:
            options = [(value, f"{value} ({devices:,})") for value, devices in sorted(counts.items())]
            found.append(Choice(name, label, [("", "any"), *options]))
    return found


def _verdicts(office: TheOffice, person: Reader, found: DevicePage) -> list[tuple[Any, Verdict]]:
    """What the Device could have of each release in use."""
    if found.device is None:
        return []
    cohort = found.device.cohort
    rows = []
    for it in reversed(office.releases(person)):
        if it.release.withdrawn:
            continue
        entries = office.store.registry.cpl(it.release.version)
        rows.append((it, judge(cohort, it.release, _entry(entries, cohort))))
    return rows


def _entry(entries: list[CplEntry], cohort: Cohort) -> CplEntry | None:
    product = cohort.manufacturer, cohort.model, cohort.hardware
    return next((it for it in entries if (it.manufacturer, it.model, it.hardware) == product), None)


def _storms(office: TheOffice, eui: Eui64) -> list[Any]:
    storms = getattr(office.store, "storms", None)
    return [] if storms is None else list(storms.of_device(eui))
