"""The application: pages, API, files, and the routes that watch over it, behind one guard."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from lamplighter.kit import LamplighterError
from lamplighter.protocol.image import SCHEMA_MAX_OCTETS
from lamplighter.service import tracing
from lamplighter.service.people import ForbiddenError, UnauthenticatedError
from lamplighter.service.web import api, assets
from lamplighter.service.web.page import go, render
from lamplighter.service.web.pages import (
    account,
    approvals,
    audit,
    campaigns,
    compare,
    devices,
    fleet,
    letters,
    live,
    login,
    new,
    releases,
    reports,
    storms,
)
from lamplighter.service.web.pages import people as people_
from lamplighter.service.web.security import API, Guard, Limits, RefusedError, local_path
from lamplighter.service.web.turns import Turns
from lamplighter.service.web.words import query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from lamplighter.service.office import Office
    from lamplighter.service.oidc import OpenId
    from lamplighter.service.people import People

_PAGES: Final = (
    *(login, account, fleet, releases, new, campaigns, compare, live),  # `new` before what takes any word
    *(devices, approvals, letters, storms, reports, audit, people_),
)
_TITLES: Final = {
    HTTPStatus.BAD_REQUEST: "That cannot be",
    HTTPStatus.FORBIDDEN: "Not for you to do",
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.METHOD_NOT_ALLOWED: "Not that way",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not at this moment",
}

_SHOWN_MAX: Final = 100  # characters of an address
_NOT_SAVED: Final = "You were signed out meanwhile, and nothing was saved: sign in, and do it again."
_OUR_MISTAKE: Final = (
    "It was our mistake, and the log says more. What other pages show is no less true for it."
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the pages are served; each has a value that is safe where nothing is said."""

    hosts: frozenset[str] = frozenset()
    """Names that the server answers to, without a port; empty: any."""
    upload_octets: int = 2 * SCHEMA_MAX_OCTETS
    """Of a request that brings an image: room for one that is too large, so that it can be said how much."""


def application(
    office: Office,
    people: People,
    *,
    secure: bool,
    settings: Settings | None = None,
    routes: Sequence[BaseRoute] = (),
    openid: OpenId | None = None,
) -> FastAPI:
    """All of it.

    openid  the provider that vouches for people; None: there are local accounts only
    secure  whether browsers come over TLS: then cookies are for nothing else
    routes  what else is served, such as health and metrics
    """
    settings = settings or Settings()
    app = FastAPI(
        title="Lamplighter", openapi_url=None, routes=list(routes) or None, telemetry=tracing.FASTAPI
    )
    app.state.office = office
    app.state.people = people
    app.state.openid = openid
    app.state.settings = settings
    app.state.turns = Turns()
    for page in _PAGES:
        app.include_router(page.router)
    app.mount("/api/v1", api.application(office, people, settings, turns=app.state.turns))
    app.mount("/static", assets.Static(directory=assets.STATIC), name="static")
    answers = Answers()
    app.add_exception_handler(UnauthenticatedError, answers.unauthenticated)
    for error in (LamplighterError, RequestValidationError, HTTPException):
        app.add_exception_handler(error, answers.refused)
    most = settings.upload_octets
    limits = Limits(
        hosts=settings.hosts,
        larger=(("/releases", most), ("/releases/check", most), ("/api/v1/releases", most)),
    )
    app.add_middleware(Guard, people=people, limits=limits, answers=answers, secure=secure)
    return app


class Answers:
    """The pages that say why something was not done."""

    def unauthenticated(self, request: Request, _error: Exception) -> Response:
        """To the door, and then back to where one wanted to be; or was, where something was to be saved."""
        is_get = request.method == "GET"
        here = str(request.url.replace(scheme="", netloc="")) if is_get else _page_before(request)
        target = query("/login", {"next": here if here != "/" else ""})
        if request.headers.get("hx-request"):  # a piece of a page: the whole of it has to go
            return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": target})
        said = "" if is_get or request.url.path == "/logout" else _NOT_SAVED
        return go(request, target, said, "warn")

    def refused(self, request: Request, error: Exception) -> Response:
        """Why this cannot be."""
        headers: Mapping[str, str] = {}
        match error:
            case HTTPException():
                status, text = HTTPStatus(error.status_code), str(error.detail)
                headers = error.headers or headers
                if text == HTTPStatus.NOT_FOUND.phrase:  # Starlette's own word for it
                    text = f"No page of ours has the address {request.url.path[:_SHOWN_MAX]!r}."
            case RefusedError():
                status, text = error.status, error.text
            case ForbiddenError():
                status, text = HTTPStatus.FORBIDDEN, str(error)
            case RequestValidationError():
                places = (f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in error.errors())
                status, text = HTTPStatus.BAD_REQUEST, "; ".join(places)
            case _:
                status, text = HTTPStatus.BAD_REQUEST, str(error)
        answer = _said(request, status, text)
        answer.headers.update(headers)
        return answer

    def failed(self, request: Request) -> Response:
        """What we did not think of: the log has it, the page does not."""
        return _said(request, HTTPStatus.INTERNAL_SERVER_ERROR, _OUR_MISTAKE)


def _page_before(request: Request) -> str:
    """The page of ours that a request was made from, as browsers tell us of our own; the first one: none."""
    try:
        parts = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return "/"
    scope = {"type": "http", "method": "GET", "path": parts.path}
    # What a form was answered with has an address too, and cannot be asked for.
    is_page = any(it.matches(scope)[0] is Match.FULL for page in _PAGES for it in page.router.routes)
    if not is_page or parts.netloc != request.headers.get("host"):
        return "/"
    return local_path(parts._replace(scheme="", netloc="", fragment="").geturl())


def _said(request: Request, status: HTTPStatus, text: str) -> Response:
    title = _TITLES.get(status, status.phrase)
    if request.url.path.startswith(API):
        problem = {"type": "about:blank", "title": title, "status": status, "detail": text}
        return JSONResponse(problem, status, media_type="application/problem+json")
    before = _page_before(request)
    return render(request, "error.html", status, title=title, text=text, before=before)
