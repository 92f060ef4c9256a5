"""A closed loop of HTTP requests: so many connections, each sends its next request when it has its answer.

The requests are prepared octets, and of an answer only its status and length are looked at: on one core the
generator is far faster than any server that is measured with it.

    outcome = load.run("127.0.0.1", port, [load.request("POST", "/receive", body)] * 1000, connections=8)
"""

from __future__ import annotations

import math
import re
import selectors
import socket
from collections import Counter
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NO_ANSWER: Final = 0  # the status of a request whose connection ended without an answer
_RECEIVE_OCTETS: Final = 65_536
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_BODILESS: Final = {204, 304}  # RFC 9110 section 6.4.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of requests met with."""

    latencies: Sequence[float]
    """Seconds from the first octet sent to the last received, a request each, in the order of sending."""
    statuses: Sequence[int]
    """The HTTP status of each request, in the same order; NO_ANSWER: none came."""
    seconds: float
    """From the first request to the last answer."""

    def percentile(self, share: float) -> float:
        """The latency in seconds that `share` of the requests (above 0, at most 1) do not exceed."""
        return sorted(self.latencies)[math.ceil(share * len(self.latencies)) - 1]

    @property
    def tally(self) -> Counter[int]:
        """How many requests met with each status."""
        return Counter(self.statuses)


def request(
    method: str,
    target: str,
    body: bytes = b"",
    *,
    content_type: str = "application/xml",
    host: str = "localhost",
) -> bytes:
    """The octets of one HTTP/1.1 request on a connection that stays open."""
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run(host: str, port: int, requests: Iterable[bytes], *, connections: int) -> Outcome:
    """Send `requests`, in their order, over `connections` connections that are kept alive.

    A connection that the server closes is opened anew. Raises ConnectionError where none can be opened, and
    ValueError where an answer is in a form that is not measured here (chunks).
    """
    loop = _Loop((host, port), iter(requests))
    start = perf_counter()
    try:
        loop.run(connections)
    finally:
        loop.close()
    return Outcome(loop.latencies, loop.statuses, perf_counter() - start)


class _Connection:
    """One connection, and the request that is on it."""

    __slots__ = ("need", "number", "received", "rest", "sent_at", "socket", "status", "waits")

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.number = -1
        self.sent_at = 0.0
        self.rest = memoryview(b"")  # what is still to be sent
        self.waits = False  # whether the selector watches for room to send it
        self.received = b""
        self.need: int | None = None  # octets of the whole answer, once its head is known
        self.status = NO_ANSWER


class _Loop:
    """One selector for all connections."""

    def __init__(self, address: tuple[str, int], requests: Iterator[bytes]) -> None:
        self.address = address
        self.requests = requests
        self.latencies: list[float] = []
        self.statuses: list[int] = []
        self.selector = selectors.DefaultSelector()
        self.busy: set[_Connection] = set()

    def run(self, connections: int) -> None:
        for _ in range(connections):
            self._begin(None)
        while self.busy:
            for key, events in self.selector.select():
                if events & selectors.EVENT_WRITE:
                    self._send(key.data)
                if events & selectors.EVENT_READ:
                    self._receive(key.data)

    def close(self) -> None:
        for connection in list(self.busy):
            self._drop(connection)
        self.selector.close()

    def _opened(self) -> _Connection:
        opened = socket.create_connection(self.address)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setblocking(False)
        connection = _Connection(opened)
        self.selector.register(opened, selectors.EVENT_READ, connection)
        self.busy.add(connection)
        return connection

    def _drop(self, connection: _Connection) -> None:
        self.selector.unregister(connection.socket)
        connection.socket.close()
        self.busy.discard(connection)

    def _begin(self, connection: _Connection | None) -> None:
        """Send the next request on `connection`, or on a new one; where there is none, close it."""
        octets = next(self.requests, None)
        if octets is None:
            if connection is not None:
                self._drop(connection)
            return
        connection = connection or self._opened()
        connection.number = len(self.latencies)
        connection.received, connection.need, connection.status = b"", None, NO_ANSWER
        connection.rest = memoryview(octets)
        self.latencies.append(math.nan)
        self.statuses.append(NO_ANSWER)
        connection.sent_at = perf_counter()
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        try:
            connection.rest = connection.rest[connection.socket.send(connection.rest) :]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            connection.rest = memoryview(b"")  # an answer may have come all the same: reading tells
        waits = bool(connection.rest)
        if waits != connection.waits:
            connection.waits = waits
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
            self.selector.modify(connection.socket, events, connection)

    def _receive(self, connection: _Connection) -> None:
        try:
            octets = connection.socket.recv(_RECEIVE_OCTETS)
        except BlockingIOError:
            return
        except ConnectionResetError:
            octets = b""
        if not octets:
            self._end(connection, closed=True)
            return
        connection.received += octets
        closes = False
        if connection.need is None:
            end = connection.received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = connection.received[:end]
            if _CHUNKED.search(head):
                raise ValueError("an answer in chunks; the load generator measures answers with a length")
            connection.status = int(head[9:12])
            length = _LENGTH.search(head)
            body = 0 if connection.status in _BODILESS or length is None else int(length[1])
            connection.need = end + 4 + body
        if len(connection.received) >= connection.need:
            closes = bool(_CLOSES.search(connection.received[: connection.need]))
            self._end(connection, closed=closes)

    def _end(self, connection: _Connection, *, closed: bool) -> None:
        whole = connection.need is not None and len(connection.received) >= connection.need
        self.latencies[connection.number] = perf_counter() - connection.sent_at
        self.statuses[connection.number] = connection.status if whole else NO_ANSWER
        if closed or connection.rest:
            self._drop(connection)
            self._begin(None)
        else:
            self._begin(connection)
