"""The world over HTTP: the DCC User Interface, and delivery to each User's Receive Response service.

A thin shell. One event loop in one thread answers requests, drives the virtual clock in slices short enough
that nobody waits for it, and posts messages to Users until they are taken, as a `Postman` says. The world is
touched from that thread alone.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

import httpx2
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lamplighter.kit import DecodeError, Instant, UsageError, VerificationError
from lamplighter.kit.instant import SECOND
from lamplighter.lab import snapshot
from lamplighter.lab.dcc import Service
from lamplighter.lab.dcc.postman import Outcome, Postman, PostmanSettings
from lamplighter.lab.dice import Dice
from lamplighter.lab.world import OutageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from starlette.requests import Request

    from lamplighter.kit import Eui64
    from lamplighter.lab.dcc.postman import Letter
    from lamplighter.lab.wire import ToUser
    from lamplighter.lab.world import World

BASE_PATH: Final = "/api/v1"  # as the DCC's own test system has it
STATE_PATH: Final = "/lab/state"
MEDIA_TYPE: Final = "application/xml"

# How long the clock may be driven before requests and deliveries get their turn. A delivery takes some turns,
# and a User's go one after the other: this bounds how many a busy lab brings out in a second.
_SLICE_SECONDS: Final = 0.002
_START_SECONDS: Final = 0.1  # between two looks at a thread that is starting
_IDLE_SECONDS: Final = 0.01  # between two looks at a clock that has nothing to do
_SLICE_STEPS: Final = 4  # steps between two looks at the real clock

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
    """Unscaled: our seconds after the first failed delivery; each next pause is twice as long."""
    retry_most_seconds: float = 10.0
    """Unscaled: the longest pause between two tries, our seconds."""
    post: PostmanSettings = field(default_factory=PostmanSettings)
    """Scaled: the pauses between two tries, in virtual time."""
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
        self._speed = self._settings.speed
        self._socket = socket.create_server((self._settings.host, self._settings.port))
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._postman = Postman(self._pauses(), Dice("served").stream("post"))
        self._tries: set[asyncio.Task[None]] = set()
        self._work = asyncio.Event()
        self._posted = asyncio.Event()
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
        return self._postman.waiting

    @property
    def refused(self) -> int:
        """Messages that a User answered with 400."""
        return self._postman.refused

    def pace(self, speed: float) -> None:
        """Let virtual time run so many times as fast from now on. From any thread.

        Raises `UsageError` where time is not scaled, or is to stand still or run backwards.
        """
        if self._speed is None:
            raise UsageError("time that rests between two pieces of work has no pace")
        if not speed > 0:
            raise UsageError(f"time runs a number of times above 0 as fast as the day, not {speed:g}")
        self._speed = speed

    def run(self) -> None:
        """Serve until told to stop: SIGINT or SIGTERM in a process of its own, `stop` in a thread."""
        self._server.run([self._socket])

    def end(self) -> None:
        """Ask it to end in good order, at any time and from a signal handler too; `run` then returns."""
        self._server.should_exit = True

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
        self.end()
        if self._thread is not None:
            self._thread.join()
        self._socket.close()

    def _application(self) -> Starlette:
        return Starlette(
            routes=[
                Route(f"{BASE_PATH}/{{service}}", self._answer, methods=["POST"]),
                Route(STATE_PATH, self._tell_state, methods=["GET"]),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with httpx2.AsyncClient(timeout=self._settings.delivery_timeout_seconds) as client:
            tasks = [asyncio.create_task(self._drive())]
            tasks[0].add_done_callback(self._stood_still)
            tasks.append(asyncio.create_task(self._deliver(client)))
            self._ready.set()
            try:
                yield
            finally:
                tasks += self._tries
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
        except OutageError as error:
            if self._settings.speed is None:  # time at rest would never end it
                self._world.run_until(error.until)
            return PlainTextResponse(f"{error}\n", 503)
        self._post_mail()
        self._work.set()
        return Response(answer, media_type=MEDIA_TYPE)

    async def _tell_state(self, request: Request) -> Response:
        """The world's state, for whoever runs the lab: no part of the DCC, and told on this machine alone."""
        if request.client is None or not ip_address(request.client.host).is_loopback:
            return PlainTextResponse("only from this machine\n", 403)
        return JSONResponse(snapshot.take(self._world))

    async def _drive(self) -> None:
        if self._speed is None:
            while True:
                await self._rest()
                self._advance(None)
                await asyncio.sleep(0)
        started, origin, speed = monotonic(), self._world.now, self._speed
        while True:
            if speed != self._speed:
                started, origin, speed = monotonic(), self._world.now, self._speed
            elapsed = (monotonic() - started) * speed
            done = self._advance(Instant(origin + int(elapsed * SECOND)))
            await asyncio.sleep(_IDLE_SECONDS if done else 0)

    async def _rest(self) -> None:
        """Wait for work; and let Users take their messages before time goes on."""
        while not self._world.busy or self._world.next_at is None:
            self._work.clear()
            await self._work.wait()
        if self.undelivered:
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
            mail = self._world.mail.popleft()
            if mail.user in self._receivers:
                self._postman.offer(mail, self._post_clock())
                self._posted.set()
            else:
                log.info("lab.nobody-listens", user=str(mail.user))

    def _pauses(self) -> PostmanSettings:
        settings = self._settings
        if settings.speed is not None:
            return settings.post
        first, most = settings.retry_first_seconds, settings.retry_most_seconds
        return PostmanSettings(int(first * SECOND), int(most * SECOND))

    def _post_clock(self) -> Instant:
        """The time by which the post pauses: virtual where that goes on by itself, else our own."""
        return Instant(int(monotonic() * SECOND)) if self._settings.speed is None else self._world.now

    async def _deliver(self, client: httpx2.AsyncClient) -> None:
        """Try each message as long as it takes, one at a time for each User."""
        while True:
            self._posted.clear()
            for letter in self._postman.attempt(self._post_clock()):
                attempt = asyncio.create_task(self._bring(client, letter))
                self._tries.add(attempt)
                attempt.add_done_callback(self._tries.discard)
            due = self._postman.next_at
            pause = None if due is None else (due - self._post_clock()) / SECOND / (self._speed or 1)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._posted.wait(), pause)

    async def _bring(self, client: httpx2.AsyncClient, letter: Letter) -> None:
        outcome = await self._try(client, self._receivers[letter.mail.user], letter.mail)
        self._postman.outcome(letter, outcome, self._post_clock())
        self._posted.set()
        if not self.undelivered:
            self._delivered.set()

    async def _try(self, client: httpx2.AsyncClient, url: str, mail: ToUser) -> Outcome:
        """Post a message: 204 and 400 settle it, everything else does not."""
        try:
            reply = await client.post(url, content=mail.octets, headers={"content-type": MEDIA_TYPE})
        except httpx2.HTTPError as error:
            log.info("lab.user-does-not-take", user=str(mail.user), fault=repr(error))
            return Outcome.UNREACHABLE
        match reply.status_code:
            case 204:
                return Outcome.TAKEN
            case 400:
                log.warning("lab.user-refused", user=str(mail.user), reason=reply.text[:200])
                return Outcome.REFUSED
            case status:
                log.info("lab.user-does-not-take", user=str(mail.user), fault=f"status {status}")
                return Outcome.UNREACHABLE
