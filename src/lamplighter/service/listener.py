"""An application listening in a thread of its own, for processes that do other things besides."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lamplighter.service.door import Door

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import ASGIApp

HEAD_OCTETS: Final = 64 * 1024
"""Of the head of a request; what is read at once may be more, and no more than that is kept."""
HEAD_SECONDS: Final = 20.0
"""Until the head has come: from the first moment of a connection, and then from the first octet."""
BODY_SECONDS: Final = 180.0
"""Until the body has come."""
TAKE_OCTETS: Final = 16 * 1024
TAKE_SECONDS: Final = 20.0
"""Of what waits for a client to take it, so much has to go within so long, or all that there is."""
CONNECTIONS_MAX: Final = 2_000
"""Open at one time in one process: twice as many as pages that move by themselves (`live.STREAMS_MAX`)."""

_TURNS: Final = count()  # the lower, the longer has it waited
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: the kernel too keeps nothing for who does not take it
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


class Listener:
    """A context manager: within it the application answers at `url`.

    port  0: any free one, which `url` then names
    """

    def __init__(self, application: ASGIApp | Door, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = socket.create_server((host, port))
        self._server = server(application)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def url(self) -> str:
        """`http://host:port`; connections wait in the socket's queue until the thread is up."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def server(application: ASGIApp | Door, grace_seconds: int = 1) -> uvicorn.Server:
    """A server for one application, which takes the sockets that `run` is given.

    grace_seconds  an idle connection must not keep the process from ending
    """
    settings: dict[str, Any] = {
        "log_config": None,
        "access_log": False,
        "lifespan": "off",
        "timeout_graceful_shutdown": grace_seconds,
        "ws": "none",  # no page has any, and a connection that became one would know none of our bounds
    }
    if isinstance(application, Door):
        settings["http"] = application.protocol  # called like a class, which is what uvicorn asks for
        return _DoorServer(uvicorn.Config(_nothing, **settings), application)
    settings["http"] = _Bounded
    return uvicorn.Server(uvicorn.Config(application, **settings))


class _Bounded(HttpToolsProtocol):
    """uvicorn's protocol, which by itself keeps a head however long it is, and waits for as long as it takes.

    Without this anybody who reaches the port fills the process's memory, or holds connections for nothing: by
    heads without end, by octets that come one by one, by answers that are never read, by sheer number. Where
    all places are taken, a newcomer gets that of the connection which has waited longest to ask something.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._is_in_head = False
        self._head = 0
        self.turn = next(_TURNS)
        self._taking: asyncio.TimerHandle | None = None
        self._left = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        is_full = len(self.connections) >= CONNECTIONS_MAX and not self._make_room()
        super().connection_made(transport)
        # So that we hear of whatever is not taken at once, and not only of what is too much.
        transport.set_write_buffer_limits(high=0)
        if is_full:
            transport.write(_FULL)
            transport.close()
            return
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        self._has_taken()
        super().connection_lost(exc)

    # --- what a client sends

    def data_received(self, data: bytes) -> None:
        if self._timer is None:  # the next request, or what shall never be one
            self._wait(HEAD_SECONDS)
        super().data_received(data)
        if self._is_in_head:
            self._head += len(data)
            if self._head > HEAD_OCTETS:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head = True, 0
        self._wait(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._wait(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._rest()
        super().on_message_complete()

    def _wait(self, seconds: float) -> None:
        self._rest()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- what a client takes

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_again()

    def resume_writing(self) -> None:
        self._has_taken()
        super().resume_writing()

    def _look_again(self) -> None:
        self._left = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(TAKE_SECONDS, self._look)

    def _look(self) -> None:
        """Nothing is added while something is left: uvicorn waits until all is taken."""
        if self.transport.get_write_buffer_size() > self._left - TAKE_OCTETS:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.transport.abort()
        else:
            self._look_again()

    def _has_taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    # --- how many they are

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.turn = next(_TURNS)

    @property
    def is_waiting(self) -> bool:
        """Whether nothing was asked here that has no answer yet."""
        cycle: Any = self.cycle  # None, until the first request
        return not self.transport.is_closing() and (cycle is None or cycle.response_complete)

    def _make_room(self) -> bool:
        """Send away who has waited longest; whether there is anybody who waits."""
        waiting = [it for it in self.connections if isinstance(it, _Bounded) and it.is_waiting]
        if waiting:
            min(waiting, key=lambda it: it.turn).transport.abort()
        return bool(waiting)


class _DoorServer(uvicorn.Server):
    """A server that closes its door when it ends."""

    def __init__(self, config: uvicorn.Config, door: Door) -> None:
        super().__init__(config)
        self._door = door

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await asyncio.get_running_loop().run_in_executor(None, self._door.close)


async def _nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    """No request reaches it: the door's own protocol answers all."""
