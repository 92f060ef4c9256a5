"""What stands before every page: who asks, whether they meant to, how much they send, what a browser may do.

One middleware, so that no page can forget it. In this order a request is

1. refused where it is for a host that is not ours, sends more than may be sent, or sends it compressed;
2. known by its session cookie;
3. refused where it would change something and comes from another site, or without the form's token.

The API knows people by bearer tokens, which no browser sends by itself: of all this only the limits, and the
headers of the answer, hold for it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request, cookie_parser

from lamplighter.service.people import Person, Scope, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Send
    from starlette.types import Scope as AsgiScope

    from lamplighter.service.people import People

FORM_OCTETS: Final = 128 * 1024
"""Of the body of any request, unless its path may take more."""
FIELDS_MAX: Final = 400
"""Fields in one form."""
API: Final = "/api/"
"""Below it bearer tokens count, and sessions do not."""
OPEN_PATHS: Final = frozenset({"/login", "/healthz", "/readyz", "/metrics", "/favicon.ico"})
"""What can be had with no session, besides what lies below `OPEN_BELOW`; all else asks for one."""
OPEN_BELOW: Final = ("/static/", "/login/", API)
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-CSRF-Token"

_log = structlog.get_logger(__name__)

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_OCTETS: Final = 24
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{0,5})?", re.ASCII)
_DIGITS_MAX: Final = 18  # of a number: what has more fits into no column
_HSTS_SECONDS: Final = 63_072_000  # two years, as browsers' lists ask for

CONTENT_SECURITY_POLICY: Final = "; ".join(  # noqa: FLY002 # a line a rule
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # Pico's marks in check boxes and lists are pictures within the style sheet
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-src 'none'",
        "frame-ancestors 'none'",
    )
)
"""No script, style or frame but our own files; nobody may frame us."""

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it browsers say `Origin: null` of our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a browser may ask of us."""

    hosts: frozenset[str] = frozenset()
    """Names that we answer to, without a port; empty: any."""
    body_octets: int = FORM_OCTETS
    """Of the body of a request."""
    larger: tuple[tuple[str, int], ...] = ()
    """Paths whose requests may have more octets than that, each with how many."""

    def octets_at(self, path: str) -> int:
        """How many octets a request for this path may have."""
        return dict(self.larger).get(path, self.body_octets)


class RefusedError(Exception):
    """A request that goes no further."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Answers(Protocol):
    """The pages that the guard itself answers with."""

    def refused(self, request: Request, error: Exception) -> Response:
        """Why a request goes no further."""

    def unauthenticated(self, request: Request, error: Exception) -> Response:
        """To the door."""

    def failed(self, request: Request) -> Response:
        """Something that nobody thought of."""


@cache
def needs(scope: Scope) -> Callable[[Request], Person]:
    """What a route depends on: the person who asks, and who may do this.

    The function has the attribute `scope`, by which a test finds out what each route asks for.
    Raises `UnauthenticatedError` where nobody is signed in, `ForbiddenError` where this one may not.
    """

    def asks(request: Request) -> Person:
        person: Person | None = request.state.person
        if person is None:
            raise UnauthenticatedError("nobody is signed in")
        person.require(scope)
        return person

    asks.scope = scope  # type: ignore[attr-defined] # read by the test of the role matrix
    return asks


def address_of(request: Request) -> str:
    """Where a request comes from, as far as is known: what failures are counted for."""
    return request.client.host if request.client else ""


def whole(text: str) -> int | None:
    """The number that a text is, of as many digits as a column holds; None: it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else None


def local_path(path: str | None) -> str:
    r"""Where to go on after signing in: a path of ours, else the first page.

    `//elsewhere`, `/\elsewhere` and what has a control character are read by browsers as other sites.
    """
    if (
        not path
        or not path.startswith("/")
        or path.startswith(("//", "/\\", "/login"))
        or "\\" in path
        or not path.isprintable()
        or urlsplit(path).netloc
    ):
        return "/"
    return path


class Guard:
    """The middleware. `request.state` has `person` (or None) and `csrf`, the token of this person's forms."""

    def __init__(
        self, app: ASGIApp, people: People, limits: Limits, answers: Answers, *, secure: bool
    ) -> None:
        self._app = app
        self._people = people
        self._limits = limits
        self._answers = answers
        self._secure = secure
        self._session_cookie = cookie_name("session", secure=secure)
        self._entry_cookie = cookie_name("entry", secure=secure)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no web sockets here
        request = Request(scope)
        request.state.person, request.state.csrf, request.state.secure = None, "", self._secure
        sending = _Sending(send, self._headers(scope["path"]))
        try:
            receive = await self._admitted(scope, receive, sending.cookies)
            await self._app(scope, receive, sending)
        except RefusedError as refusal:
            sending.headers["Connection"] = "close"  # what else the client sends is not read
            await self._answers.refused(request, refusal)(scope, receive, sending)
        except UnauthenticatedError as error:
            await self._answers.unauthenticated(request, error)(scope, receive, sending)
        except Exception:
            _log.exception("request failed", method=scope["method"], path=scope["path"])
            if sending.has_begun:
                raise
            await self._answers.failed(request)(scope, receive, sending)

    def _headers(self, path: str) -> dict[str, str]:
        headers = dict(HEADERS)
        if self._secure:
            headers["Strict-Transport-Security"] = f"max-age={_HSTS_SECONDS}; includeSubDomains"
        if not path.startswith("/static/"):
            headers["Cache-Control"] = "no-store"
        return headers

    async def _admitted(self, scope: AsgiScope, receive: Receive, said: list[str]) -> Receive:
        headers, path = Headers(scope=scope), scope["path"]
        self._check_host(headers)
        _check_encoding(headers)
        most = self._limits.octets_at(path)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > most:
            raise _too_large(most)
        state = scope["state"]
        if path.startswith(API):
            return _counted(receive, most)
        cookies = cookie_parser(headers.get("cookie", ""))
        session = cookies.get(self._session_cookie)
        known = await run_in_threadpool(self._people.of_session, session) if session else None
        if known is not None:
            state["person"], state["csrf"] = known
        elif not (path in OPEN_PATHS or path.startswith(OPEN_BELOW)):
            raise UnauthenticatedError("nobody is signed in")
        elif path.startswith("/login"):
            state["csrf"] = cookies.get(self._entry_cookie) or secrets.token_urlsafe(_TOKEN_OCTETS)
            if self._entry_cookie not in cookies:
                said.append(_cookie(self._entry_cookie, state["csrf"], secure=self._secure))
        if any(len(part) > _DIGITS_MAX and part.isdigit() for part in path.split("/")):
            raise RefusedError(HTTPStatus.NOT_FOUND, "Nothing here has so long a number.")
        if scope["method"] in _SAFE:
            return _counted(receive, most)
        self._check_origin(scope, headers)
        body = await _whole(receive, most)
        if not state["csrf"] or not await _has_token(headers, body, state["csrf"]):
            raise RefusedError(
                HTTPStatus.FORBIDDEN,
                "This form is out of date, or was not made by this site: go back, load the page again, and "
                "send it again.",
            )
        return _again(body, receive)

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        name = found[1].strip("[]").lower() if found else None
        if not name or (self._limits.hosts and name not in self._limits.hosts):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "This server does not answer to that name.")

    def _check_origin(self, scope: AsgiScope, headers: Headers) -> None:
        """A browser says where a form comes from: it must be from here."""
        site = headers.get("sec-fetch-site")
        origin = headers.get("origin")
        # Behind a proxy that speaks TLS for us we are asked without: the host tells, the scheme does not.
        ours = {f"{scheme}://{headers['host']}" for scheme in ("https", scope["scheme"])}
        if (site is not None and site not in {"same-origin", "none"}) or (
            origin is not None and origin not in ours
        ):
            raise RefusedError(HTTPStatus.FORBIDDEN, "This request was made by another site.")


class _Sending:
    """Sends an answer on, with the headers and cookies that each has."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send = send
        self.headers = headers
        self.cookies: list[str] = []
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in self.headers.items():
                headers[name] = value
            for cookie in self.cookies:
                headers.append("Set-Cookie", cookie)
        await self._send(message)


def cookie_name(name: str, *, secure: bool) -> str:
    """A cookie's name; with `__Host-` only this very host can have set it, over TLS: browsers see to it."""
    return f"__Host-lamplighter-{name}" if secure else f"lamplighter-{name}"


def _cookie(name: str, value: str, *, secure: bool) -> str:
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"


def _check_encoding(headers: Headers) -> None:
    """What is sent compressed is not unpacked: a few octets could be gigabytes."""
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send it as it is: compressed bodies are not taken."
        )


def _too_large(most: int) -> RefusedError:
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"That is too large: at most {most:,} octets are taken."
    )


def _counted(receive: Receive, most: int) -> Receive:
    """Hands on a body up to its limit; what has no Content-Length is counted as it comes."""
    left = most

    async def receiving() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                return {"type": "http.disconnect"}
        return message

    return receiving


async def _whole(receive: Receive, most: int) -> bytes:
    """The body, at most so many octets."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise RefusedError(HTTPStatus.BAD_REQUEST, "The request did not come to its end.")
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Hands on a body that has been read, and then what comes after it."""
    is_told = False

    async def receiving() -> Message:
        nonlocal is_told
        if is_told:
            return await receive()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


async def _has_token(headers: Headers, body: bytes, expected: str) -> bool:
    """Whether the request bears the token of this person's forms."""
    found = headers.get(CSRF_HEADER)
    if found is None:
        found = await _field(headers, body, CSRF_FIELD)
    return found is not None and hmac.compare_digest(found.encode(), expected.encode())


async def _field(headers: Headers, body: bytes, name: str) -> str | None:
    """A field of a form, with files or without."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()

    async def stream() -> AsyncGenerator[bytes]:  # what the parsers take
        yield body
        yield b""

    parsers: dict[str, Callable[[], Any]] = {
        "application/x-www-form-urlencoded": lambda: FormParser(headers, stream()),
        "multipart/form-data": lambda: MultiPartParser(
            headers, stream(), max_files=1, max_fields=FIELDS_MAX, max_part_size=max(len(body), 1)
        ),
    }
    if kind not in parsers:
        return None
    try:
        form = await parsers[kind]().parse()
    except (MultiPartException, ValueError) as cause:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"This form cannot be read: {cause}") from cause
    try:
        value = form.get(name)
        return value if isinstance(value, str) else None
    finally:
        await form.close()
