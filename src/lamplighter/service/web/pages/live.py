"""What browsers see change: the event stream of a campaign."""

from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, HTTPException
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from lamplighter.kit.instant import to_iso
from lamplighter.service.office import Office
from lamplighter.service.people import Person, Role
from lamplighter.service.web.live import BusyError, Live, Look
from lamplighter.service.web.page import Reader, TheOffice, environment
from lamplighter.service.web.pages import campaigns

router: Final = APIRouter()

_WATCHER: Final = Person.of("live", [Role.VIEWER])
"""Who looks, for all who may look."""
_TEMPLATES: Final = environment()
_PARTS: Final = ("notices", "next", "progress", "rest")


class Looker:
    """Looks at campaigns, and tells them as pieces of the page; in one thread at a time."""

    def __init__(self, office: Office, causes: campaigns.Causes) -> None:
        self._office = office
        self._causes = causes

    def __call__(self, number: int) -> Look:
        """One campaign."""
        office = self._office
        seen = office.campaign(_WATCHER, number)
        context = campaigns.live_context(office, seen, self._causes.of(seen, wait=True))
        chart = context["chart"]
        parts: Any = _TEMPLATES.get_template("campaign_live.html").make_module(context)
        news: dict[str, Any] = {
            "parts": {name: str(getattr(parts, name)()) for name in _PARTS},
            "status": _badge(seen.campaign.status.value),
            "chart": None if chart is None or chart.is_empty else chart.data(),
        }
        return Look(to_iso(context["at"]), news, seen.campaign.status in campaigns.ENDED)


def _badge(word: str) -> str:
    module: Any = _TEMPLATES.get_template("macros.html").module
    return str(module.badge(word))


@router.get("/events/campaigns/{number:int}")
async def events(request: Request, person: Reader, office: TheOffice, number: int) -> StreamingResponse:
    """A campaign's event stream: one poller for all who ask, whoever they are."""
    await run_in_threadpool(campaigns.view_of, office, person, number)
    live = live_of(request, office)
    try:
        live.check(person.name)
    except BusyError as cause:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(cause)) from cause

    async def stream() -> AsyncGenerator[str, None]:
        following = live.follow(number, person.name)
        try:
            async for text in following:
                yield text
        finally:
            await following.aclose()

    # A proxy that gathers what it hands on would hold every event back.
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


def live_of(request: Request, office: Office) -> Live:
    """The pollers of this process."""
    state = request.app.state
    found: Live | None = getattr(state, "live", None)
    if found is None:
        found = state.live = Live(Looker(office, campaigns.causes_of(request, office)))
    return found
