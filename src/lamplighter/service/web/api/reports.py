"""What came of updates: all figures of a campaign, or of any time."""

import re
from datetime import date
from typing import Annotated, Final, Literal

from fastapi import Query
from pydantic import BeforeValidator
from starlette.responses import Response

from lamplighter.kit import Instant
from lamplighter.kit.instant import from_day
from lamplighter.service.web import reporting
from lamplighter.service.web.api.campaigns import known
from lamplighter.service.web.api.problems import Kind, ProblemError
from lamplighter.service.web.api.shapes import IdQuery, Reader, TheOffice, routes_of
from lamplighter.service.web.turns import TheTurns

router: Final = routes_of("reports")

Dimension = Literal["campaign", "region", "hub-model", "model", "wave", "stratum"]
Form = Literal["json", "csv", "html"]
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TEXT: Final = {"schema": {"type": "string"}}


def _day(value: object) -> object:
    """Nothing but `2026-11-24` is a day: a number would be one too."""
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("expected a day such as 2026-11-24")
    return value


_DAY_ONLY: Final = BeforeValidator(_day)


@router.get(
    "/reports/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "The very file that `lamplighter report metrics` makes.",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/csv": _TEXT,
                "text/html": _TEXT,
            },
        },
        404: {},
        409: {},
    },
)
def metrics(
    person: Reader,
    office: TheOffice,
    turns: TheTurns,
    campaign: IdQuery = None,
    start: Annotated[
        date | None, _DAY_ONLY, Query(alias="from", description="First ordered on this day, UTC, or later.")
    ] = None,
    end: Annotated[date | None, _DAY_ONLY, Query(alias="to", description="First ordered before it.")] = None,
    by: Annotated[list[Dimension] | None, Query(description="What is grouped by.")] = None,
    form: Form = "json",
) -> Response:
    """What came of the updates of a campaign, or of all: rates, times, causes, alerts, exposure."""
    if office.reporter is None:
        raise ProblemError(Kind.NOT_FOUND, reporting.NOBODY)
    of = None if campaign is None else known(office, campaign).id
    return reporting.metrics(office, turns, person.name, of, _begins(start), _begins(end), by or (), form)


def _begins(day: date | None) -> Instant | None:
    return None if day is None else from_day(day.isoformat())
