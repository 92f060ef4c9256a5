"""What browsers see change: one poller for each campaign and process, shared by all who look at it.

A browser holds one event stream open. The first to look at a campaign starts its poller, the last to leave
ends it; how many look makes no difference to the database. All pollers share one thread, and rest for a
multiple of the time that a look took: however large the fleet, looking takes a small part of one processor.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog

from lamplighter.kit import LamplighterError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

EVERY_SECONDS: Final = 2.0
"""Between two looks at a campaign, at least."""
REST: Final = 5.0
"""Times the time that a look took, after which the next one is."""
BEAT_SECONDS: Final = 15.0
"""After so long without news a stream says that it is alive: a proxy keeps it, and who left is noticed."""
STREAM_SECONDS: Final = 120.0
"""After so long a stream ends, and the browser asks anew: whoever was signed out meanwhile stays out."""
STREAMS_MAX: Final = 1_000
"""Of one process."""
STREAMS_EACH: Final = 100
"""Of one person: nobody keeps the others from looking."""

_RETRY_MILLISECONDS: Final = 2_000
_HASTE: Final = 0.15  # of the usual pause: the next look waits so long at least, whoever comes

_log = structlog.get_logger(__name__)


class BusyError(LamplighterError):
    """More streams than one process holds."""


@dataclass(frozen=True, slots=True)
class Look:
    """A campaign as browsers are told of it."""

    at: str
    """When, ISO 8601; changes each time, and is no news."""
    news: dict[str, Any]
    """What is told where it has changed."""
    is_over: bool
    """Whether it will never change again."""


@dataclass(slots=True)
class _Watch:
    """One campaign that somebody looks at."""

    readers: int = 0
    task: asyncio.Task[None] | None = None
    at: str = ""
    text: str = ""
    """The latest news, as JSON."""
    version: int = 0
    """Counts the news."""
    begun: int = 0
    """Looks that were begun."""
    done: int = 0
    """The latest that came to its end."""
    is_over: bool = False
    trouble: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody new looks on, and is to hear of nothing older than that."""

    def tell(self) -> None:
        """Wake all who wait, and let the next wait anew."""
        self.done = self.begun
        self.changed.set()
        self.changed = asyncio.Event()


class Live:
    """The pollers of one process; all calls come from its event loop.

    look  called in a thread with a campaign's number
    """

    def __init__(
        self,
        look: Callable[[int], Look],
        *,
        every: float = EVERY_SECONDS,
        beat: float = BEAT_SECONDS,
        stream: float = STREAM_SECONDS,
        streams_max: int = STREAMS_MAX,
        streams_each: int = STREAMS_EACH,
    ) -> None:
        self._look = look
        self._every = every
        self._beat = beat
        self._stream = stream
        self._streams_max = streams_max
        self._streams_each = streams_each
        self._of: Counter[str] = Counter()
        self._watches: dict[int, _Watch] = {}
        self._turn = asyncio.Semaphore(1)
        self.looks = 0
        """How often a campaign was looked at."""

    @property
    def streams(self) -> int:
        """How many browsers look on."""
        return sum(watch.readers for watch in self._watches.values())

    @property
    def pollers(self) -> int:
        """How many campaigns are looked at."""
        return len(self._watches)

    def check(self, who: str) -> None:
        """Raise `BusyError` where there is no room for one more stream of this person."""
        if self._of[who] >= self._streams_each:
            raise BusyError(f"{who} has {self._streams_each} pages open: live updates are for no more")
        if self.streams >= self._streams_max:
            raise BusyError(f"{self._streams_max} pages are open: live updates are for no more")

    async def follow(self, campaign: int, who: str = "") -> AsyncGenerator[str, None]:
        """The events of a campaign, as `text/event-stream`, until it is over or the stream has lasted."""
        watch = self._watches.setdefault(campaign, _Watch())
        watch.readers += 1
        self._of[who] += 1
        if watch.task is None:
            watch.task = asyncio.create_task(self._poll(campaign, watch))
        # The page was made a moment ago: what a look that began before says may be older.
        told = watch.begun
        version = -1
        watch.wanted.set()
        ends = monotonic() + self._stream
        try:
            yield f"retry: {_RETRY_MILLISECONDS}\n\n"
            while True:
                changed = watch.changed
                if watch.done > told or watch.is_over:
                    told = watch.done
                    if watch.version != version:
                        version = watch.version
                        yield _event("state", watch.text)
                    yield _event("trouble" if watch.trouble else "tick", json.dumps({"at": watch.at}))
                if watch.is_over:
                    yield _event("over", "{}")
                    return
                left = ends - monotonic()
                if left <= 0:
                    return
                try:
                    await asyncio.wait_for(changed.wait(), min(self._beat, left))
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            watch.readers -= 1
            self._of -= Counter({who: 1})  # and forgets whom it comes to 0 for

    async def _poll(self, campaign: int, watch: _Watch) -> None:
        try:
            while watch.readers:
                async with self._turn:
                    began = monotonic()
                    await self._take(campaign, watch)
                    took = monotonic() - began
                if watch.is_over:
                    return
                await self._rest(watch, took)
        finally:
            watch.task = None
            if self._watches.get(campaign) is watch:
                del self._watches[campaign]

    async def _rest(self, watch: _Watch, took: float) -> None:
        """Until the next look is due, or somebody new has come; but a while in any case."""
        least = max(self._every * _HASTE, took)
        await asyncio.sleep(least)
        with suppress(TimeoutError):
            await asyncio.wait_for(watch.wanted.wait(), max(self._every, REST * took) - least)

    async def _take(self, campaign: int, watch: _Watch) -> None:
        self.looks += 1
        watch.begun += 1
        watch.wanted.clear()
        try:
            look = await asyncio.to_thread(self._look, campaign)
        except Exception as error:  # noqa: BLE001 # a database that is away for a minute ends no page
            _log.warning("campaign not looked at", campaign=campaign, reason=f"{type(error).__name__}")
            watch.trouble = True
        else:
            watch.trouble = False
            watch.at, watch.is_over = look.at, look.is_over
            text = json.dumps(look.news, separators=(",", ":"))
            if text != watch.text:
                watch.text = text
                watch.version += 1
        watch.tell()


def _event(name: str, data: str) -> str:
    """One event; JSON has no line feed of its own."""
    return f"event: {name}\ndata: {data}\n\n"
