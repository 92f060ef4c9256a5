"""Reports to take away: what came of updates, for any campaign and time, and the register of alert storms."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import DecodeError, Instant, UsageError
from lamplighter.kit.instant import from_day, to_iso
from lamplighter.service.office import Office, Reporter
from lamplighter.service.web.page import Reader, TheOffice, TheTurns, render
from lamplighter.service.web.security import whole

router: Final = APIRouter()

_FORMS: Final = {
    "html": ("text/html; charset=utf-8", "Report"),
    "csv": ("text/csv; charset=utf-8", "Table (CSV)"),
    "json": ("application/json", "All figures (JSON)"),
}
"""By the ending of the file: what it is, and what its button says."""
_SHOWN: Final = 50
_NOBODY: Final = "Where these pages are served, nobody makes reports: it needs lamplighter[sim]."


@router.get("/reports")
def reports(request: Request, person: Reader, office: TheOffice) -> Response:
    """What can be had, and the latest campaigns that have begun."""
    begun = [it for it in reversed(office.campaigns(person)) if it.started_at is not None]
    return render(
        request,
        "reports.html",
        campaigns=[(it.id, it.name) for it in begun],
        latest=begun[:_SHOWN],
        forms={ending: label for ending, (_, label) in _FORMS.items()},
        dimensions=() if office.reporter is None else office.reporter.dimensions,
        nobody=_NOBODY,
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
    reporter = _reporter(office)
    if form not in _FORMS:
        raise UsageError(f"a report is {', '.join(_FORMS)}, not {form[:40]!r}")
    low, high = _day("From", start), _day("Before", end)
    if low is not None and high is not None and high <= low:
        raise UsageError(f"from {start} to before {end} there is no day")
    of = [office.store.campaigns.find(_number(campaign)).id] if campaign else None
    made = reporter.metrics
    return turns.handed(
        person.name,
        _file_name("metrics", office, form, "" if of is None else f"campaign-{of[0]}-"),
        _FORMS[form][0],
        lambda file: file.write(made(office.store, of, low, high, by or (), office.clock, form)),
    )


@router.get("/reports/storms")
def storms(person: Reader, office: TheOffice, turns: TheTurns) -> Response:
    """The register of alert storms."""
    reporter = _reporter(office)
    return turns.handed(
        person.name,
        _file_name("storms", office, "html"),
        _FORMS["html"][0],
        lambda file: file.write(reporter.storms(office.store, office.clock())),
    )


def _reporter(office: Office) -> Reporter:
    if office.reporter is None:
        raise UsageError(_NOBODY)
    return office.reporter


def _file_name(what: str, office: Office, ending: str, of: str = "") -> str:
    return f"{what}-{of}{to_iso(office.clock())[:10]}.{ending}"


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
