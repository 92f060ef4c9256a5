"""Who comes in: a bearer token before anything else is read, and a limit to how many may be guessed."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from lamplighter.kit import Instant
from lamplighter.kit.instant import MINUTE, SECOND
from lamplighter.service.clock import wall_clock
from lamplighter.service.people import People
from lamplighter.service.web.api import problems
from lamplighter.service.web.api.problems import Kind, ProblemError
from lamplighter.service.web.security import address_of

OPEN_PATHS: Final = frozenset({"/health", "/openapi.json"})
"""What can be had without a token."""
FAILURES_MAX: Final = 20
"""Tokens that are good for nothing which one address may show within `FORGOTTEN`."""
FORGOTTEN: Final = MINUTE
_ADDRESSES_MAX: Final = 10_000  # remembered at a time
_TOKENS_MAX: Final = 1_000
_TOKEN_LONGEST: Final = 200  # characters

_log = structlog.get_logger(__name__)


class Failures:
    """How many tokens that are good for nothing came from where, lately.

    An address that has shown too many is refused without a look at the database. But not for tokens that were
    good before: somebody who guesses must not lock out whoever works behind the same address.
    """

    def __init__(self, clock: Callable[[], Instant] = wall_clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[int, Instant]] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def wait(self, address: str, token: str) -> int:
        """Microseconds that this one has to wait; 0: it may be looked at."""
        now = self._clock()
        with self._lock:
            failures, since = self._failures.get(address, (0, now))
            if failures < FAILURES_MAX or _digest(token) in self._good or not 0 <= now - since < FORGOTTEN:
                return 0
            return FORGOTTEN - (now - since)

    def failed(self, address: str) -> None:
        """One more from there."""
        now = self._clock()
        with self._lock:
            failures, since = self._failures.pop(address, (0, now))
            if not 0 <= now - since < FORGOTTEN:
                failures, since = 0, now
            self._failures[address] = failures + 1, since
            while len(self._failures) > _ADDRESSES_MAX:
                self._failures.popitem(last=False)

    def worked(self, token: str) -> None:
        """This one is good."""
        with self._lock:
            self._good[_digest(token)] = None
            self._good.move_to_end(_digest(token))
            while len(self._good) > _TOKENS_MAX:
                self._good.popitem(last=False)


class Door:
    """The middleware: `request.state.person` is whose token it is."""

    def __init__(self, app: ASGIApp, people: People, failures: Failures) -> None:
        self._app = app
        self._people = people
        self._failures = failures

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        sending = _Sending(send)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            if path not in OPEN_PATHS:
                request.state.person = await run_in_threadpool(self._admit, request)
            await self._app(scope, receive, sending)
        except Exception as error:
            if sending.has_begun:
                raise
            await problems.of_error(request, error)(scope, receive, send)

    def _admit(self, request: Request) -> object:
        token = _token(request.headers)
        address = address_of(request)
        if token is None:
            raise ProblemError(Kind.UNAUTHENTICATED, "Send your token: `Authorization: Bearer TOKEN`.")
        if wait := self._failures.wait(address, token):
            seconds = str(-(-wait // SECOND))
            raise ProblemError(Kind.FAILURES, f"Wait {seconds} seconds.", **{"Retry-After": seconds})
        person = None if len(token) > _TOKEN_LONGEST else self._people.of_token(token)
        if person is None:
            self._failures.failed(address)
            _log.info("token refused", address=address)
            raise ProblemError(Kind.UNAUTHENTICATED, "This token is unknown, or its time is over.")
        self._failures.worked(token)
        return person


class _Sending:
    """Sends an answer on, and knows whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)


def _token(headers: Headers) -> str | None:
    given = headers.getlist("authorization")
    if len(given) != 1:
        return None
    scheme, _, token = given[0].partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
