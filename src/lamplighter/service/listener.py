"""An application listening in a thread of its own, for processes that do other things besides."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from lamplighter.service.door import Door

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import ASGIApp


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
    }
    if isinstance(application, Door):
        settings["http"] = application.protocol  # called like a class, which is what uvicorn asks for
        return _DoorServer(uvicorn.Config(_nothing, **settings), application)
    return uvicorn.Server(uvicorn.Config(application, **settings))


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
