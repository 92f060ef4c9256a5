"""The world over HTTP: the DCC User Interface, and delivery to each User's Receive Response service.

A thin shell. One event loop in one thread answers requests, drives the virtual clock in slices short enough
that nobody waits for it, and posts messages to Users until they are taken. The world is touched from that
thread alone.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

import httpx2
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lamplighter.kit import DecodeError, Instant, UsageError, VerificationError
from lamplighter.kit.instant import SECOND
from lamplighter.lab.dcc import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from starlette.requests import Request

    from lamplighter.kit import Eui64
    from lamplighter.lab.wire import ToUser
    from lamplighter.lab.world import World

BASE_PATH: Final = "/api/v1"  # as the DCC's own test system has it
MEDIA_TYPE: Final = "application/xml"

_SLICE_SECONDS: Final = 0.01  # how long the clock may be driven before requests get their turn
_START_SECONDS: Final = 0.1  # between two looks at a thread that is starting
_SLICE_STEPS: Final = 32  # steps between two looks at the real clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Settings:
    """How the lab is served."""

    host: str = "127.0.0.1"
    """Where to listen. The lab's keys protect nothing: it is not to be reached from outside."""
    port: int = 0
    """0: any free port, which `LabServer.url` then names."""
    speed: float | None = None
    """Virtual seconds a real second; None: as fast as it goes while there is work, and else at rest."""
    max_body_octets: int = 16 * 1024 * 1024
    """A request may hold 10,240,000 octets in base64 and 50,000 Devices."""
    patience_seconds: float = 5.0
    """How long the unscaled clock stands still for a User that does not take its messages."""
    retry_first_seconds: float = 0.1
    """The pause after the first failed delivery; each next one is twice as long."""
    retry_most_seconds: float = 10.0
    """The longest pause between two tries."""
    delivery_timeout_seconds: float = 10.0
    """How long a User may take to answer a delivery."""


class LabServer:
    """A world that listens. Use it as a context manager, or call `run` in a process of its own.

    receivers  each User's Receive Response service, as a URL; a User without one is told nothing
    """

    def __init__(
        self, world: World, receivers: Mapping[Eui64, str], settings: Settings | None = None
    ) -> None:
        self._world = world
        self._receivers = dict(receivers)
        self._settings = settings or Settings()
        self._socket = socket.create_server((self._settings.host, self._settings.port))
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._queues: dict[Eui64, asyncio.Queue[ToUser]] = {}
        self._undelivered = 0
        self._refused = 0
        self._work = asyncio.Event()
        self._delivered = asyncio.Event()
        config = uvicorn.Config(
            self._application(),
            log_config=None,
            access_log=False,
            # Without it an open connection keeps the process from ending.
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)

    @property
    def url(self) -> str:
        """The base of the three services: `http://host:port/api/v1`."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{host}:{port}{BASE_PATH}"

    @property
    def undelivered(self) -> int:
        """Messages that no User has taken yet."""
        return self._undelivered

    @property
    def refused(self) -> int:
        """Messages that a User answered with 400."""
        return self._refused

    def run(self) -> None:
        """Serve until told to stop: SIGINT or SIGTERM in a process of its own, `stop` in a thread."""
        self._server.run([self._socket])

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.run, name="lab-server", daemon=True)
        self._thread.start()
        while not self._ready.wait(_START_SECONDS):
            if not self._thread.is_alive():
                raise UsageError("the lab's server did not start; its thread says why")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the thread; deliveries that are still tried are given up."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        self._socket.close()

    def _application(self) -> Starlette:
        return Starlette(
            routes=[Route(f"{BASE_PATH}/{{service}}", self._answer, methods=["POST"])],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with httpx2.AsyncClient(timeout=self._settings.delivery_timeout_seconds) as client:
            tasks = [asyncio.create_task(self._drive())]
            tasks[0].add_done_callback(self._stood_still)
            for user, url in self._receivers.items():
                self._queues[user] = asyncio.Queue()
                tasks.append(asyncio.create_task(self._deliver(client, user, url)))
            self._ready.set()
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _stood_still(self, drive: asyncio.Task[None]) -> None:
        """A world whose clock has failed is of no use to anybody."""
        if not drive.cancelled() and (error := drive.exception()) is not None:
            log.error("lab.clock-failed", exc_info=error)
            self._server.should_exit = True

    async def _answer(self, request: Request) -> Response:
        try:
            service = Service(request.path_params["service"])
        except ValueError:
            return PlainTextResponse("no such service\n", 404)
        if request.headers.get("content-type", "").partition(";")[0].strip() != MEDIA_TYPE:
            return PlainTextResponse(f"a request is {MEDIA_TYPE}\n", 415)
        octets = bytearray()
        async for chunk in request.stream():
            octets += chunk
            if len(octets) > self._settings.max_body_octets:
                return PlainTextResponse(f"at most {self._settings.max_body_octets} octets\n", 413)
        try:
            answer = self._world.request(service, bytes(octets))
        except (DecodeError, VerificationError) as error:
            log.info("lab.request-unreadable", service=service.value, error=str(error))
            return PlainTextResponse(f"{error}\n", 400)
        self._post_mail()
        self._work.set()
        return Response(answer, media_type=MEDIA_TYPE)

    async def _drive(self) -> None:
        if self._settings.speed is None:
            while True:
                await self._rest()
                self._advance(None)
                await asyncio.sleep(0)
        started, origin = monotonic(), self._world.now
        while True:
            elapsed = (monotonic() - started) * self._settings.speed
            done = self._advance(Instant(origin + int(elapsed * SECOND)))
            await asyncio.sleep(_SLICE_SECONDS if done else 0)

    async def _rest(self) -> None:
        """Wait for work; and let Users take their messages before time goes on."""
        while not self._world.busy or self._world.next_at is None:
            self._work.clear()
            await self._work.wait()
        if self._undelivered:
            self._delivered.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._delivered.wait(), self._settings.patience_seconds)

    def _advance(self, until: Instant | None) -> bool:
        """Drive the clock for one slice, at most to `until`; whether there is nothing more to do."""
        world, stop_at = self._world, monotonic() + _SLICE_SECONDS
        while monotonic() < stop_at:
            for _ in range(_SLICE_STEPS):
                if until is None:
                    idle = not world.busy or not world.step()
                elif not (idle := (at := world.next_at) is None or at > until):
                    world.step()
                if idle or world.mail:
                    break
            if world.mail:
                self._post_mail()
                # Unscaled time waits for the User's next move.
                if until is None:
                    return False
            if idle:
                if until is not None:
                    world.run_until(until)
                return True
        return False

    def _post_mail(self) -> None:
        while self._world.mail:
            letter = self._world.mail.popleft()
            queue = self._queues.get(letter.user)
            if queue is None:
                log.info("lab.nobody-listens", user=str(letter.user))
                continue
            self._undelivered += 1
            queue.put_nowait(letter)

    async def _deliver(self, client: httpx2.AsyncClient, user: Eui64, url: str) -> None:
        """Post a User's messages in order, each until it is taken (204) or refused (400)."""
        queue = self._queues[user]
        while True:
            letter = await queue.get()
            pause = self._settings.retry_first_seconds
            while (fault := await self._try(client, url, letter)) is not None:
                log.info("lab.user-does-not-take", user=str(user), fault=fault, pause=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._settings.retry_most_seconds)
            self._undelivered -= 1
            if not self._undelivered:
                self._delivered.set()

    async def _try(self, client: httpx2.AsyncClient, url: str, letter: ToUser) -> str | None:
        """Post a message; None where that settles it, else what is wrong."""
        try:
            reply = await client.post(url, content=letter.octets, headers={"content-type": MEDIA_TYPE})
        except httpx2.HTTPError as error:
            return repr(error)
        if reply.status_code == 400:
            self._refused += 1
            log.warning("lab.user-refused", user=str(letter.user), reason=reply.text[:200])
            return None
        return None if reply.status_code == 204 else f"status {reply.status_code}"
