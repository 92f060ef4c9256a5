"""Ticks of a reconciler with 50 browsers that watch a campaign live, against the same with none.

Everything is in one process, as `serve --web` has it: the tick must share its interpreter with the poller and
50 event streams. The browsers are another process, which reads what comes. A tick orders 1,000 Devices, and
200 once more; one follows the other without the rest that a reconciler takes. Some seconds of them go by with
the streams open, half as many before and half after without, so that a table that grows favours neither. The
figure is seconds without / seconds with, all ticks counted, on SQLite or PostgreSQL, whichever is the lower.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from bench import tick
from bench.web_pages import _PASSWORD
from lamplighter.service import logs, meters
from lamplighter.service.listener import Listener
from lamplighter.service.observed import Observed
from lamplighter.service.office import Office
from lamplighter.service.people import People, Person, Role
from lamplighter.service.web.app import application
from lamplighter.service.web.security import cookie_name
from lamplighter.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "tick of a reconciler, no browsers vs 50 live charts in its process"
GOAL: Final = 0.9

BROWSERS: Final = 50
TICKS: Final = 40  # of a round, with and without: a campaign is looked at every two seconds
_WARM_UP: Final = 3

_READER: Final = """
import asyncio, sys
host, port, path, cookie, many = sys.argv[1:]
async def watch():
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\\r\\nHost: {host}\\r\\nCookie: {cookie}\\r\\n\\r\\n".encode())
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    assert b" 200 " in head.partition(b"\\r\\n")[0] and b"text/event-stream" in head, head
    await reader.readuntil(b"data:")
    return reader, writer  # a writer that nobody holds closes the connection
async def main():
    readers = await asyncio.gather(*(watch() for _ in range(int(many))))
    print("open", flush=True)
    async def drain(reader, _):
        while await reader.read(65536):
            pass
    await asyncio.gather(*(drain(*it) for it in readers))
asyncio.run(main())
"""


class Side:
    """A database with a campaign, its reconciler's ticks, and the pages of it in the same process."""

    def __init__(self, url: str, ticks: int, stack: ExitStack) -> None:
        logs.configure(level=logs.Level.ERROR)
        # The first wave is half of all, and must not come to its end meanwhile.
        self.estate = tick.Estate.build(url, 2 * (tick.ORDERED + tick.AGAIN) * (ticks + 2 * _WARM_UP))
        self.campaign, _ = self.estate.start()
        store = Store(self.estate.database)
        stack.callback(store.close)
        people = People(store)
        people.create(Person.of("bench", Role), "administrator1", set(Role), _PASSWORD)
        self.cookie = f"{cookie_name('session', secure=False)}={people.sign_in('administrator1', _PASSWORD)}"
        app = Observed(application(Office(store, lambda: self.estate.now), people, secure=False))
        self.listener = stack.enter_context(Listener(app))
        self.ticks(_WARM_UP)

    def ticks(self, count: int) -> float:
        """Seconds of so many."""
        return sum(self.estate.tick(self.campaign) for _ in range(count))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within it, the browsers watch."""
        host, port = self.listener.url.removeprefix("http://").split(":")
        path = f"/events/campaigns/{self.campaign.id}"
        command = [sys.executable, "-c", _READER, host, port, path, self.cookie, str(BROWSERS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as readers:
            assert readers.stdout is not None
            if readers.stdout.readline() != "open\n":
                raise RuntimeError("the browsers could not watch: standard error says why")
            assert meters.STREAMS._value.get() == BROWSERS, "all of them"  # noqa: SLF001 # its only reader
            try:
                yield
            finally:
                readers.terminate()


def rounds(count: int) -> list[float]:
    """Ratios, one a round."""
    ratios = []
    with ExitStack() as stack:
        urls = stack.enter_context(tick.urls())
        sides = {kind: Side(url, 2 * TICKS * count, stack) for kind, url in urls.items()}
        for _ in range(count):
            found = []
            for kind, side in sides.items():
                without = side.ticks(TICKS // 2)
                with side.watched():
                    watched = side.ticks(TICKS)
                without += side.ticks(TICKS // 2)
                found.append(without / watched)
                print(
                    f"  {kind}: {without / TICKS * 1e3:.0f} ms without,"
                    f" {watched / TICKS * 1e3:.0f} ms with {BROWSERS}",
                    file=sys.stderr, flush=True,
                )  # fmt: skip
            ratios.append(min(found))
    return ratios
