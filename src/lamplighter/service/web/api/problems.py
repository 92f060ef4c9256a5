"""Why something was not done: problem details (RFC 9457), each kind with a `type` that never changes.

A client tells kinds apart by `type`; `detail` is for people, and may be worded anew.
"""

from enum import Enum
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from lamplighter.kit import IllegalTransitionError, LamplighterError, PeerError, VerificationError
from lamplighter.service.people import ForbiddenError, UnauthenticatedError

MEDIA_TYPE: Final = "application/problem+json"
_WHAT_MAX: Final = 500  # characters
_PLACES_MAX: Final = 20
_RETRY_SECONDS: Final = 5

_log = structlog.get_logger(__name__)


class Kind(Enum):
    """A kind of problem: what its `type` ends in, its status, its title."""

    BAD_REQUEST = ("bad-request", HTTPStatus.BAD_REQUEST, "The request cannot be read")
    CURSOR = ("cursor", HTTPStatus.BAD_REQUEST, "This cursor is not of this list")
    UNAUTHENTICATED = ("unauthenticated", HTTPStatus.UNAUTHORIZED, "No good token")
    FORBIDDEN = ("forbidden", HTTPStatus.FORBIDDEN, "Not for this token to do")
    NOT_FOUND = ("not-found", HTTPStatus.NOT_FOUND, "There is no such thing")
    METHOD = ("method-not-allowed", HTTPStatus.METHOD_NOT_ALLOWED, "Not by this method")
    REFUSED = ("refused", HTTPStatus.CONFLICT, "It cannot be done as things stand")
    TOO_LARGE = ("too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large")
    MEDIA = ("media-type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Not in this media type")
    INVALID = ("invalid", HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not what it must be")
    IMAGE = ("image-refused", HTTPStatus.UNPROCESSABLE_ENTITY, "The image did not pass its checks")
    PLAN = ("invalid-plan", HTTPStatus.UNPROCESSABLE_ENTITY, "The plan cannot be read")
    KEY_REUSED = (
        "key-reused",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This Idempotency-Key was used for another request",
    )
    FAILURES = (
        "too-many-failures",
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many tokens that are good for nothing",
    )
    OUR_MISTAKE = ("our-mistake", HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here")
    UNAVAILABLE = ("unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "Not at this moment")

    @property
    def type(self) -> str:
        """Its URI."""
        return f"urn:lamplighter:problem:{self.value[0]}"

    @property
    def status(self) -> HTTPStatus:
        """Its HTTP status."""
        return self.value[1]

    @property
    def title(self) -> str:
        """In a few words."""
        return self.value[2]


class Place(BaseModel):
    """Something in a request that is not what it must be."""

    model_config = ConfigDict(title="Place", extra="forbid")

    where: str = Field(description="Such as `body.reason` or `query.limit`.")
    what: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """Why something was not done (RFC 9457)."""

    model_config = ConfigDict(title="Problem", extra="forbid")

    type: str = Field(description="A URI for this kind of problem, which never changes.")
    title: str = Field(description="The kind, in a few words.")
    status: int = Field(description="The HTTP status.", ge=400, le=599)
    detail: str = Field(description="What happened here, for people.")
    places: list[Place] | None = Field(
        None, description="What is not as it must be, where it is the request."
    )


class ProblemError(Exception):
    """Raised by a route that cannot do what it was asked for."""

    def __init__(self, kind: Kind, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers


def answer(
    kind: Kind, detail: str, *, places: list[Place] | None = None, headers: dict[str, str] | None = None
) -> Response:
    """A problem as it is sent."""
    body: dict[str, Any] = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status.value,
        "detail": _plain(detail),
    }
    if places is not None:
        body["places"] = [place.model_dump() for place in places]
    more = dict(headers or {})
    if kind is Kind.UNAUTHENTICATED:
        more["WWW-Authenticate"] = 'Bearer realm="lamplighter"'
    return JSONResponse(body, kind.status, more, media_type=MEDIA_TYPE)


def of_error(request: Request, error: Exception) -> Response:
    """The answer to what went wrong."""
    match error:
        case ProblemError():
            return answer(error.kind, error.detail, headers=error.headers)
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return _of_status(request, error)
        case ForbiddenError():
            return answer(Kind.FORBIDDEN, str(error))
        case UnauthenticatedError():
            return answer(Kind.FORBIDDEN, str(error))  # the token is good: it is an old password that is not
        case IllegalTransitionError():
            return answer(Kind.REFUSED, str(error))
        case VerificationError() | PeerError():
            return answer(Kind.INVALID, str(error))
        case LamplighterError():
            return answer(Kind.REFUSED, str(error))
        case OperationalError():
            _log.warning("the database did not answer", reason=str(error.orig))
            retry = {"Retry-After": str(_RETRY_SECONDS)}
            return answer(Kind.UNAVAILABLE, "The database does not answer: ask again.", headers=retry)
    _log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return answer(Kind.OUR_MISTAKE, "It was our mistake, and the log says more.")


def _invalid(error: RequestValidationError) -> Response:
    found = list(error.errors())
    if any(it["type"] == "json_invalid" for it in found):
        return answer(Kind.BAD_REQUEST, "The body is no JSON.")
    places = [
        # Never what was found there: it may be a password.
        Place(where=_plain(".".join(map(str, it["loc"]))), what=_plain(str(it["msg"])))
        for it in found[:_PLACES_MAX]
    ]
    detail = "; ".join(f"{place.where}: {place.what}" for place in places)
    return answer(Kind.INVALID, detail or "It is not what it must be.", places=places)


def _of_status(request: Request, error: HTTPException) -> Response:
    kinds = {kind.status: kind for kind in reversed(Kind)}
    kind = kinds.get(HTTPStatus(error.status_code), Kind.BAD_REQUEST)
    headers = dict(error.headers or {})
    if kind is Kind.METHOD:
        headers["Allow"] = ", ".join(allowed(request))
    return answer(kind, str(error.detail), headers=headers)


def allowed(request: Request) -> list[str]:
    """The methods that there are at this path."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return sorted(methods)


def _plain(text: str) -> str:
    """What can be sent: of no great length, and with no half of a surrogate pair."""
    return text[:_WHAT_MAX].encode("utf-8", "replace").decode()
