"""Alert storms: which Devices and versions raise more alerts than they should, and what cures them."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Form, HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import UsageError
from lamplighter.kit.instant import HOUR
from lamplighter.service.web.chart import Chart, Line
from lamplighter.service.web.page import Operator, Reader, TheOffice, go, render

router: Final = APIRouter()

_SHOWN: Final = 50
_NUMBER_MAX: Final = 2**62
_DAYS: Final = 14
"""Before and after the cure."""


@router.get("/storms")
def storms(request: Request, person: Reader, office: TheOffice, before: int = 0) -> Response:
    """Those that go on, then all that are over, the latest first."""
    register = office.store.storms
    found = register.latest(_SHOWN + 1, before if 0 < before < _NUMBER_MAX else None)
    raging = register.list(0, _SHOWN, active=True) if not before else []
    return render(
        request,
        "storms.html",
        raging=list(reversed(raging)),
        storms=[it for it in found[:_SHOWN] if not it.is_open],
        next=found[_SHOWN - 1].id if len(found) > _SHOWN else "",
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
    if release and not (release.isascii() and release.isdigit() and len(release) < 10):
        raise UsageError(f"there is no release {release[:40]!r}")
    office.store.storms.link(number, int(release) if release else None, person.name, office.clock())
    return go(request, f"/storms/{number}", "It is noted which release cures this storm.")
