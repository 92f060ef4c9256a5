"""The HTTP of the Receive Response service, and nothing more of HTTP than that: one path, one method.

uvicorn runs it in the place of its own protocol. That one bounds neither the head of a request nor the time
that a request may take, and spends more on each than is spent here. What is bounded here: the octets of a
head and of a body, the time for a whole request and between two octets of it, idle and open connections. One
request of a connection is under way at a time; what a client sends beyond that is not read.

A message that is refused is answered 400, as the DCC expects. A body that is encoded (gzip) is refused
unread.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

import httptools

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn import Config
    from uvicorn.server import ServerState

_SWEEP_SECONDS: Final = 0.25
_ENVELOPE_FACTOR: Final = 2  # octets on the wire for one of the message, when it comes in small chunks
_REASONS: Final = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    503: "Service Unavailable",
}
_TAKEN: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_TAKEN_LAST: Final = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask of the service."""

    head_octets: int = 8192
    """Of request line and headers."""
    body_octets: int = 2_000_000
    """Of a message; the largest lawful one is a warning that lists 50,000 Devices, 1.2 million octets."""
    request_seconds: float = 20.0
    """From the first octet of a request to its last."""
    pause_seconds: float = 5.0
    """Between two octets of a request."""
    idle_seconds: float = 75.0
    """Between two requests of a connection."""
    connections: int = 1000
    """At one time in one process."""


class Desk(Protocol):
    """Who looks at what comes in."""

    def offer(self, octets: bytes, answer: Callable[[int, str], None]) -> None:
        """Take a message; `answer(status, text)` is called once, in the event loop's thread."""

    def turn_away(self, check: str, text: str) -> None:
        """Note a request that brought no message."""

    def close(self) -> None:
        """Finish what is under way; called once the event loop takes no more connections, from any thread."""


class _Stage(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    WAITING = auto()
    """The message is whole and has no answer yet."""
    REFUSED = auto()
    """Answered before its end: what still comes is thrown away, for a while."""
    CLOSED = auto()


class Door:
    """What a server makes connections from: `uvicorn.Config(http=door.protocol)`, and `Listener(door)`.

    path  where messages are posted
    open_desk  makes the desk, once, in the event loop's thread
    """

    def __init__(self, path: str, open_desk: Callable[[], Desk], limits: Limits | None = None) -> None:
        self.path = path.encode()
        self.limits = limits or Limits()
        self.connections: set[_Connection] = set()
        self._open_desk = open_desk
        self._desk: Desk | None = None
        self._sweeps = False

    @property
    def desk(self) -> Desk:
        """The desk, opened when the first message comes."""
        if self._desk is None:
            self._desk = self._open_desk()
        return self._desk

    def close(self) -> None:
        """Finish what is under way; a message that comes later opens a new desk."""
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.close()

    def protocol(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Protocol:
        """One connection, as uvicorn asks for it."""
        del config, app_state
        return _Connection(self, server_state, _loop or asyncio.get_running_loop())

    def sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look now and then for connections that have overstayed, as long as there are any."""
        if not self._sweeps:
            self._sweeps = True
            loop.call_later(_SWEEP_SECONDS, self._swept, loop)

    def _swept(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeps = False
        now = monotonic()
        for connection in tuple(self.connections):
            connection.look_at_clock(now)
        if self.connections:
            self.sweep(loop)


class _Connection(asyncio.Protocol):
    """One client."""

    __slots__ = (
        "_begun_at", "_body", "_body_octets", "_closing", "_continue", "_door", "_heard_at", "_loop",
        "_octets", "_parser", "_refusal", "_server", "_stage", "_transport", "_url",
    )  # fmt: skip

    def __init__(self, door: Door, server: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._server = server
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._stage = _Stage.IDLE
        self._closing = False
        self._begun_at = self._heard_at = monotonic()
        self._forget()

    def _forget(self) -> None:
        self._url = b""
        self._body: list[bytes] = []
        self._body_octets = 0
        self._octets = 0
        self._continue = False
        self._refusal: tuple[int, str, str] | None = None

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport: Any = transport  # an asyncio.Transport, which uvloop's does not say that it is
        door = self._door
        if len(door.connections) >= door.limits.connections:
            door.desk.turn_away("http-connections", "too many connections")
            self._say(503, "too many connections", last=True)
            self._close()
            return
        door.connections.add(self)
        self._server.connections.add(self)  # type: ignore[arg-type] # uvicorn knows its own two kinds only
        door.sweep(self._loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        del exc
        if self._stage in (_Stage.HEAD, _Stage.BODY):
            self._door.desk.turn_away("http-truncated", "the connection ended before the request did")
        self._stage = _Stage.CLOSED
        self._door.connections.discard(self)
        self._server.connections.discard(self)

    def eof_received(self) -> bool:
        """The client will send no more; True: it still waits for its answer."""
        if self._stage in (_Stage.HEAD, _Stage.BODY):
            self._stage = _Stage.REFUSED
            self._door.desk.turn_away("http-truncated", "the request ended too early")
            self._say(400, "http-truncated: the request ended too early", last=True)
        self._closing = True
        if self._stage is _Stage.WAITING:
            return True
        self._close()
        return False

    def data_received(self, data: bytes) -> None:
        """Octets have come."""
        if self._stage is _Stage.CLOSED:
            return
        self._heard_at = monotonic()
        if self._stage is _Stage.IDLE:
            self._begin()
        self._octets += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._malformed("http-malformed", str(error)[:200])
            return
        # Of a header or a trailer without an end the parser tells nothing, and keeps it all.
        limits = self._door.limits
        if self._stage is _Stage.HEAD and self._octets > limits.head_octets:
            self._malformed("http-head", f"expected at most {limits.head_octets} octets, found more")
        elif self._octets > limits.head_octets + _ENVELOPE_FACTOR * limits.body_octets:
            if self._stage is _Stage.BODY:
                self._refuse(*self._oversize())
            self._transport.abort()

    def _begin(self) -> None:
        self._stage = _Stage.HEAD
        self._begun_at = self._heard_at
        self._octets = 0

    # What the parser tells

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._stage is _Stage.IDLE:
            self._begin()
        elif self._stage is _Stage.WAITING:
            # It was sent before its forerunner had an answer: the client will see the connection close and
            # send it again.
            self._closing = True

    def on_url(self, url: bytes) -> None:
        """The target of the request, or a part of it."""
        if self._stage is _Stage.HEAD:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if self._stage is not _Stage.HEAD:
            return
        match name.lower():
            case b"content-encoding" if value.lower() != b"identity":
                self._refusal = (400, "http-encoding", "expected a message as it is, found it encoded")
            case b"content-length" if value.isdigit() and int(value) > self._door.limits.body_octets:
                self._refusal = self._oversize()
            case b"expect" if value.lower() == b"100-continue":
                self._continue = True

    def on_headers_complete(self) -> None:
        """The head is whole: see whether the message is welcome at all."""
        if self._stage is not _Stage.HEAD:
            return
        self._stage = _Stage.BODY
        if self._url.partition(b"?")[0] != self._door.path:
            self._refusal = (404, "http-path", "there is nothing here")
        elif self._parser.get_method() != b"POST":
            self._refusal = (405, "http-method", "messages are posted")
        if self._refusal is not None:
            self._refuse(*self._refusal)
        elif self._continue:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the message."""
        if self._stage is not _Stage.BODY:
            return
        self._body_octets += len(body)
        if self._body_octets > self._door.limits.body_octets:
            self._refuse(*self._oversize())
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._stage is _Stage.REFUSED:
            self._close()
        if self._stage is not _Stage.BODY:
            return
        self._stage = _Stage.WAITING
        if not self._parser.should_keep_alive():
            self._closing = True
        self._transport.pause_reading()
        self._door.desk.offer(b"".join(self._body), self._answer)

    # What we say

    def _answer(self, status: int, text: str) -> None:
        if self._stage is not _Stage.WAITING:
            return  # the client has not waited
        self._say(status, text, last=self._closing)
        if self._closing:
            self._close()
            return
        self._stage = _Stage.IDLE
        self._heard_at = monotonic()
        self._forget()
        self._transport.resume_reading()

    def _oversize(self) -> tuple[int, str, str]:
        most = self._door.limits.body_octets
        return 400, "message-oversize", f"expected at most {most} octets, found more"

    def _refuse(self, status: int, check: str, text: str) -> None:
        """Answer before the end; a client that sends on is listened to for a while, so that it hears us."""
        self._door.desk.turn_away(check, text)
        self._stage = _Stage.REFUSED
        self._body.clear()
        self._begun_at = monotonic()
        self._say(status, f"{check}: {text}", last=True)

    def _malformed(self, check: str, text: str) -> None:
        """Answer what cannot be read on."""
        if self._stage not in (_Stage.REFUSED, _Stage.WAITING):
            self._door.desk.turn_away(check, text)
            self._say(400, f"{check}: {text}", last=True)
        if self._stage is _Stage.WAITING:
            self._closing = True  # what follows is nonsense, but the message before it was whole
        else:
            self._close()

    def _say(self, status: int, text: str, *, last: bool) -> None:
        if status == 204:
            self._transport.write(_TAKEN_LAST if last else _TAKEN)
            return
        body = f"{text}\n".encode(errors="replace")
        lines = [f"HTTP/1.1 {status} {_REASONS[status]}", "Content-Type: text/plain; charset=utf-8"]
        lines.append(f"Content-Length: {len(body)}")
        if status == 405:
            lines.append("Allow: POST")
        if status == 503:
            lines.append("Retry-After: 5")
        if last:
            lines.append("Connection: close")
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + body)

    def _close(self) -> None:
        self._stage = _Stage.CLOSED
        self._transport.close()

    # Time

    def look_at_clock(self, now: float) -> None:
        """Send away who overstays."""
        limits = self._door.limits
        match self._stage:
            case _Stage.IDLE if now - self._heard_at > limits.idle_seconds:
                self._close()
            case _Stage.HEAD | _Stage.BODY if (
                now - self._begun_at > limits.request_seconds or now - self._heard_at > limits.pause_seconds
            ):
                self._door.desk.turn_away("http-timeout", "the request did not come to its end in time")
                self._say(408, "http-timeout: the request did not come to its end in time", last=True)
                self._close()
            case _Stage.REFUSED if now - self._begun_at > limits.pause_seconds:
                self._transport.abort()
            case _:
                pass

    def shutdown(self) -> None:
        """The server is ending: what is under way is answered, and no more is taken."""
        if self._stage is _Stage.WAITING:
            self._closing = True
        elif self._stage is not _Stage.CLOSED:
            if self._stage in (_Stage.HEAD, _Stage.BODY):
                self._say(503, "the service is ending", last=True)
            self._close()
