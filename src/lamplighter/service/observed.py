"""Around a web application: a request id, a log line, a span and the figures of each request.

It sees routes as they are declared (`/devices/{eui}`), never paths: those hold Devices, and whatever a
stranger likes to ask for.
"""

from __future__ import annotations

import re
import secrets
from inspect import isroutine
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import structlog

from lamplighter.service import meters, tracing

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID: Final = "X-Request-ID"
"""The header that brings a request's id, from a proxy that gives some, and takes it back."""

NO_ROUTE: Final = "none"
"""The route of what was asked for and does not exist."""

_GOOD_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ID_OCTETS: Final = 9
_FAULT: Final = 500

_log = structlog.get_logger(__name__)


class Observed:
    """An application that is watched.

    quiet  routes whose every request is no news: those that machines ask for all day
    """

    def __init__(
        self, application: ASGIApp, quiet: frozenset[str] = frozenset({"/metrics", "/healthz", "/readyz"})
    ) -> None:
        self.application = application
        self._quiet = quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): said.decode("latin-1") for name, said in scope["headers"]}
        method = scope["method"] if scope["method"] in _METHODS else meters.OTHER
        asked = headers.get(REQUEST_ID.lower(), "")
        request_id = asked if _GOOD_ID.fullmatch(asked) else secrets.token_urlsafe(_ID_OCTETS)
        scope.setdefault("state", {})["request_id"] = request_id
        seen = _Seen(send, request_id)
        root, began = str(scope.get("root_path", "")), perf_counter()
        with (
            tracing.span(f"HTTP {method}", tracing.SERVER, headers, request=request_id) as span,
            structlog.contextvars.bound_contextvars(request=request_id, **_of_trace(span)),
        ):
            try:
                await self.application(scope, receive, seen.send)
            except Exception as error:
                seen.status = seen.status or _FAULT
                _log.exception("request failed", method=method, kind=type(error).__name__)
                raise
            finally:
                if seen.streams:
                    meters.STREAMS.dec()
                route = route_of(scope, root)
                seconds = perf_counter() - began
                status = seen.status or meters.OTHER  # the client has gone before there was an answer
                meters.WEB.labels(route, method, status).inc()
                if not seen.streams:
                    meters.WEB_SECONDS.labels(route, method).observe(seconds)
                tracing.note(span, route=route, status=seen.status)
                if route not in self._quiet or seen.status >= _FAULT:
                    _log.info(
                        "request answered", method=method, route=route, status=status,
                        milliseconds=round(1000 * seconds, 1),
                    )  # fmt: skip


class _Seen:
    """What the application answers."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode("ascii")
        self.status = 0
        self.streams = False

    async def send(self, message: Message) -> None:
        """Note it, and hand it on."""
        if message["type"] == "http.response.start":
            self.status = int(message["status"])  # frameworks say HTTPStatus, whose name is no number
            headers = list(message.get("headers", ()))
            self.streams = any(
                name.lower() == b"content-type" and said.startswith(b"text/event-stream")
                for name, said in headers
            )
            if self.streams:
                meters.STREAMS.inc()
            headers.append((REQUEST_ID.lower().encode(), self._request_id))
            message = {**message, "headers": headers}
        await self._send(message)


def route_of(scope: Scope, root: str = "") -> str:
    """The route that a request was for, as it is declared; `NO_ROUTE` where there is none.

    root  where the application itself is mounted
    """
    mounted = str(scope.get("root_path", "")).removeprefix(root)
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        return mounted + str(path)
    if mounted:
        return f"{mounted}/*"
    if isroutine(scope.get("endpoint")) and not scope.get("path_params"):
        return str(scope["path"])  # a route without a parameter, which is the path itself
    return NO_ROUTE


def _of_trace(span: Any) -> dict[str, str]:
    number = tracing.trace_id(span)
    return {} if number is None else {"trace": number}
