"""Two campaigns side by side: how they went, and what was planned otherwise."""

import difflib
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.campaign.plan import Plan
from lamplighter.campaign.state import State
from lamplighter.kit import Instant
from lamplighter.service.office import CampaignView, Office
from lamplighter.service.web import chart, plan_form, words
from lamplighter.service.web.chart import Chart, Line
from lamplighter.service.web.page import Reader, TheOffice, render
from lamplighter.service.web.pages.campaigns import FAILING, state_tone, view_of
from lamplighter.service.web.security import whole

if TYPE_CHECKING:
    from collections.abc import Callable

router: Final = APIRouter()

_MILESTONES: Final = (0.1, 0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two."""

    seen: CampaignView
    points: tuple[tuple[int, int], ...]
    """(microseconds since the start, Devices proven)."""
    lasted: int
    """From its start to its end, or to now, us."""

    @property
    def proven(self) -> int:
        """Devices that run the release."""
        return self.seen.states[State.PROVEN]

    def reached(self, share: float) -> int | None:
        """After how long such a share of its Devices was proven, us; None: not yet."""
        wanted = share * self.seen.total
        if not self.seen.total:
            return None
        return next((since for since, proven in self.points if proven >= wanted), None)


@router.get("/campaigns/{number:int}/compare")
def compare(request: Request, person: Reader, office: TheOffice, number: int, other: str = "") -> Response:
    """This campaign beside another one; with no other named, the question which."""
    asked = request.query_params.get("with", other)
    here = view_of(office, person, number)
    others = [it for it in office.campaigns(person) if it.id != number and it.started_at is not None]
    if not asked:
        return render(request, "compare.html", here=here, others=others, sides=None, asked="")
    if (another := whole(asked)) is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no campaign {asked[:40]!r}")
    sides = [_side(office, it) for it in (here, view_of(office, person, another))]
    return render(
        request,
        "compare.html",
        here=here,
        others=others,
        asked=asked,
        sides=sides,
        rows=_rows(sides),
        states=[
            (state, state_tone(state), [side.seen.states[state] for side in sides])
            for state in State
            if any(side.seen.states[state] for side in sides)
        ],
        chart=_chart(sides),
        changes=diff(*(plan_form.document_of(_unnamed(side.seen.campaign.plan)) for side in sides)),
    )


def diff(before: str, after: str) -> list[tuple[str, str]]:
    """The lines in which two texts differ, with those around: ("add" or "cut" or "same" or "at", line)."""
    kinds = {"+": "add", "-": "cut", "@": "at"}
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    return [(kind := kinds.get(line[:1], "same"), "…" if kind == "at" else line) for line in lines]


def _unnamed(plan: Plan) -> Plan:
    return replace(plan, name="(its name)")


def _side(office: Office, seen: CampaignView) -> Side:
    campaign = seen.campaign
    if campaign.started_at is None:
        return Side(seen, (), 0)
    until = Instant(campaign.ended_at or office.clock())
    drawn = chart.progress(
        campaign.started_at,
        office.store.forecasts.actual(campaign.id),
        (until, seen.states[State.PROVEN]),
        None,
    )
    return Side(seen, drawn.lines[0].points, until - campaign.started_at)


def _chart(sides: list[Side]) -> Chart:
    """Shares of the Devices, not their number: campaigns differ in size."""
    return Chart(
        tuple(
            Line(
                f"{side.seen.campaign.name}, % proven",
                tuple((since, round(100 * proven / side.seen.total)) for since, proven in side.points),
                tone,
            )
            for side, tone in zip(sides, ("s1", "s2"), strict=True)
            if side.seen.total
        ),
        whole=100,
    )


def _rows(sides: list[Side]) -> list[tuple[str, list[str]]]:
    """What is compared, a line each."""
    lines: list[tuple[str, Callable[[Side], str]]] = [
        ("Release", lambda it: f"{it.seen.registered.name}, version {it.seen.registered.release.version}"),
        ("Status", lambda it: it.seen.campaign.status.value),
        ("Started (UTC)", lambda it: words.moment(it.seen.campaign.started_at, seconds=False)),
        ("Lasted, or has lasted", lambda it: words.span(it.lasted)),
        ("Devices", lambda it: words.number(it.seen.total)),
        ("Proven", lambda it: words.percent(it.proven, it.seen.total)),
        ("Failing at the moment", lambda it: words.percent(_failing(it), it.seen.total)),
        ("Silent or lost", lambda it: words.percent(_silent(it), it.seen.total)),
        ("Strata held now", lambda it: str(sum(s.held is not None for s in it.seen.view.strata))),
        ("Holds, all in all", lambda it: str(sum(e.what == "hold" for e in it.seen.events))),
        ("Orders, later attempts included", lambda it: words.number(it.seen.view.ordered)),
    ]
    lines += [(f"Until {share:.0%} were proven", partial(_reached, share)) for share in _MILESTONES]
    return [(name, [said(side) for side in sides]) for name, said in lines]


def _reached(share: float, side: Side) -> str:
    return words.span(side.reached(share))


def _failing(side: Side) -> int:
    return sum(devices for state, devices in side.seen.states.items() if state in FAILING)


def _silent(side: Side) -> int:
    return side.seen.states[State.SILENT] + side.seen.states[State.LOST]
