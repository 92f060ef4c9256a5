"""Alert storms: which Devices and versions raise more alerts than they should, and what cures them."""

from http import HTTPStatus
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Form, HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import UsageError
from lamplighter.kit.instant import HOUR
from lamplighter.service.web.chart import Chart, Line
from lamplighter.service.web.page import Operator, Reader, TheOffice, go, render
from lamplighter.service.web.security import whole
from lamplighter.store.storms import Storm

router: Final = APIRouter()

_SHOWN: Final = 50
_DAYS: Final = 14
"""Before and after the cure."""


class Part(NamedTuple):
    """Those that go on, or those that are over."""

    state: str
    title: str
    label: str
    storms: list[Storm]
    """The latest first."""
    next: int | None
    """Where the next page begins; None: there is none."""


_PARTS: Final = {"open": ("Going on", "Storms that go on"), "over": ("Over", "Storms that are over")}


@router.get("/storms")
def storms(request: Request, person: Reader, office: TheOffice, before: int = 0, state: str = "") -> Response:
    """Those that go on, then all that are over; a further page is of one of the two."""
    register = office.store.storms
    start = before if before > 0 else None
    parts = []
    for it, (title, label) in _PARTS.items():
        if state in _PARTS and state != it:
            continue
        found = register.latest(_SHOWN + 1, start, active=it == "open")
        more = found[_SHOWN - 1].id if len(found) > _SHOWN else None
        parts.append(Part(it, title, label, found[:_SHOWN], more))
    return render(
        request,
        "storms.html",
        parts=parts,
        raging=register.raging(),
        before=before,
        releases={it.id: it.name for it in office.releases(person)},
    )


@router.get("/storms/{number:int}")
def storm(request: Request, person: Reader, office: TheOffice, number: int) -> Response:
    """One storm, hour by hour, and what became of the Devices that were cured."""
    register = office.store.storms
    try:
        found = register.find(number)
    except UsageError as cause:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(cause)) from cause
    hours = register.hours(found)
    releases = {it.id: it.name for it in office.releases(person)}
    points = tuple((it.hour + HOUR - found.first_at, it.alerts) for it in hours)
    return render(
        request,
        "storm.html",
        storm=found,
        hours=list(reversed(hours)),
        chart=Chart((Line("alerts an hour", points),)),
        releases=releases,
        candidates=[(it, releases.get(it, str(it))) for it in register.candidates(found)],
        relative=[]
        if found.cured_by is None
        else register.relative(found, found.cured_by, _DAYS, office.clock()),
    )


@router.post("/storms/{number:int}/cure")
def cure(
    request: Request, person: Operator, office: TheOffice, number: int, release: Annotated[str, Form()] = ""
) -> Response:
    """Say which release cures a storm."""
    if (cures := whole(release)) is None and release:
        raise UsageError(f"there is no release {release[:40]!r}")
    office.store.storms.link(number, cures, person.name, office.clock())
    return go(request, f"/storms/{number}", "It is noted which release cures this storm.")
