"""Reports to take away: what came of updates, for any campaign and time, and the register of alert storms."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import DecodeError, Instant, UsageError
from lamplighter.kit.instant import from_day
from lamplighter.service.web import reporting
from lamplighter.service.web.page import Reader, TheOffice, render
from lamplighter.service.web.security import whole
from lamplighter.service.web.turns import TheTurns

router: Final = APIRouter()

_LABELS: Final = {"html": "Report", "csv": "Table (CSV)", "json": "All figures (JSON)"}
"""What the button of each form says."""
_SHOWN: Final = 50


@router.get("/reports")
def reports(request: Request, person: Reader, office: TheOffice) -> Response:
    """What can be had, and the latest campaigns that have begun."""
    begun = [it for it in reversed(office.campaigns(person)) if it.started_at is not None]
    return render(
        request,
        "reports.html",
        campaigns=[(it.id, it.name) for it in begun],
        latest=begun[:_SHOWN],
        forms=_LABELS,
        dimensions=() if office.reporter is None else office.reporter.dimensions,
        nobody=reporting.NOBODY,
    )


@router.get("/reports/metrics")
def metrics(
    person: Reader,
    office: TheOffice,
    turns: TheTurns,
    campaign: str = "",
    start: Annotated[str, Query(alias="from")] = "",
    end: Annotated[str, Query(alias="to")] = "",
    by: Annotated[list[str] | None, Query()] = None,
    form: str = "html",
) -> Response:
    """What came of the updates of a campaign, or of all, that were first ordered in a time."""
    low, high = _day("From", start), _day("Before", end)
    of = office.store.campaigns.find(_number(campaign)).id if campaign else None
    return reporting.metrics(office, turns, person.name, of, low, high, by or (), form)


@router.get("/reports/storms")
def storms(person: Reader, office: TheOffice, turns: TheTurns) -> Response:
    """The register of alert storms."""
    return reporting.storms(office, turns, person.name)


def _day(label: str, text: str) -> Instant | None:
    """The beginning of a day, UTC."""
    if not text:
        return None
    try:
        return from_day(text)
    except DecodeError as cause:
        raise UsageError(f"{label} takes a day such as 2026-11-24, not {text[:40]!r}") from cause


def _number(text: str) -> int:
    if (found := whole(text)) is None:
        raise UsageError(f"campaign is a number, not {text[:40]!r}")
    return found
