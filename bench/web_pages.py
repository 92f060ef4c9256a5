"""Pages and API answers over a fleet, against bare primary-key lookups in the same database.

Each page is asked for over HTTP, by somebody who is signed in, from the whole application: guard, session,
queries, template. A lookup is `SELECT ... FROM device WHERE eui = ?` through the same pool and in a
transaction of its own, as every read of ours is. Both are medians, taken in turn. The figure is 1 / lookups
that the slowest page costs, on SQLite or PostgreSQL, whichever is the lower: 0.004 says 250 lookups, which
is a page of some dozen queries. One that looked at all Devices would cost tens of thousands at ten million.

`python -m bench.web_pages 10000000` shows each page, on both databases.
"""

from __future__ import annotations

import statistics
import sys
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Final

import httpx2
from sqlalchemy import select

from bench import tick
from lamplighter.kit import Eui64, Instant
from lamplighter.kit.instant import DAY
from lamplighter.service import logs
from lamplighter.service.clock import wall_clock
from lamplighter.service.listener import Listener
from lamplighter.service.observed import Observed
from lamplighter.service.office import Office
from lamplighter.service.people import People, Person, Role, Scope
from lamplighter.service.web.app import application
from lamplighter.service.web.security import cookie_name
from lamplighter.store import Store
from lamplighter.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "slowest page or API answer vs a primary-key lookup, 100,000 Devices"
GOAL: Final = 0.004

DEVICES: Final = 100_000
LOOKS: Final = 9  # at each page in a round, of which the median counts
LOOKUPS: Final = 100
_PASSWORD: Final = "correct horse battery"
_SCRAMBLE: Final = 2_654_435_761  # odd: a Device somewhere, another one each time

PAGES: Final = (
    "/", "/releases", "/campaigns", "/campaigns/1", "/devices", "/devices?q=0000",
    "/devices?type=PPMID&region=North", "/devices?campaign=C&state=queued", "/devices/{eui}", "/approvals",
    "/letters", "/storms", "/audit",
)  # fmt: skip
ANSWERS: Final = (
    "/api/v1/devices?limit=100", "/api/v1/devices/{eui}", "/api/v1/campaigns", "/api/v1/campaigns/1",
    "/api/v1/releases", "/api/v1/audit?limit=100",
)  # fmt: skip


class Scene:
    """A fleet with a campaign under way, behind an application that listens."""

    def __init__(self, url: str, devices: int, stack: ExitStack) -> None:
        logs.configure(level=logs.Level.ERROR)
        self.devices = devices
        estate = tick.Estate.build(url, devices)
        campaign, _ = estate.start()
        for _ in range(2):
            estate.tick(campaign)
        estate.database.close()
        self.store = Store.open(url)
        stack.callback(self.store.close)
        people = People(self.store)
        people.create(Person.of("bench", Role), "administrator1", set(Role), _PASSWORD)
        session = people.sign_in("administrator1", _PASSWORD)
        _, token = people.issue_token(
            people.local("administrator1"), "bench", {Scope.READ}, Instant(wall_clock() + DAY)
        )
        office = Office(self.store, lambda: estate.now)
        app = Observed(application(office, people, secure=False))
        listener = stack.enter_context(Listener(app))
        self.url = listener.url
        self.cookie = f"{cookie_name('session', secure=False)}={session}"
        headers = {"Cookie": self.cookie}
        self.browser = stack.enter_context(httpx2.Client(base_url=listener.url, headers=headers, timeout=600))
        bearer = {"Authorization": f"Bearer {token}"}
        self.program = stack.enter_context(httpx2.Client(base_url=listener.url, headers=bearer, timeout=600))
        self._number = 1

    def eui(self) -> Eui64:
        """A Device, another one each time."""
        self._number = self._number * _SCRAMBLE % self.devices
        return Eui64.of((1 << 63) + self._number)  # as `tick.Estate` numbers them in the database

    def look(self, path: str) -> float:
        """Seconds until a page is here."""
        client = self.program if path.startswith("/api/") else self.browser
        asked = path.format(eui=self.eui())
        began = perf_counter()
        answer = client.get(asked)
        seconds = perf_counter() - began
        if answer.status_code != 200:
            raise RuntimeError(f"{asked}: {answer.status_code} {answer.text[:500]}")
        return seconds

    def lookup(self) -> float:
        """Seconds of one lookup: the median of many."""
        database, seconds = self.store.database, []
        for _ in range(LOOKUPS):
            query = select(s.device).where(s.device.c.eui == self.eui())
            began = perf_counter()
            with database.reading() as connection:
                connection.execute(query).one()
            seconds.append(perf_counter() - began)
        return statistics.median(seconds)


@contextmanager
def scenes(devices: int) -> Iterator[dict[str, Scene]]:
    """One on each database."""
    with ExitStack() as stack:
        urls = stack.enter_context(tick.urls())
        yield {kind: Scene(url, devices, stack) for kind, url in urls.items()}


def round_on(scene: Scene) -> dict[str, float]:
    """Lookups that each page costs; the first look at each is not counted, and is told as its own."""
    found = {}
    for path in PAGES + ANSWERS:
        scene.look(path)
        pairs = [(scene.look(path), scene.lookup()) for _ in range(LOOKS)]
        found[path] = statistics.median(it for it, _ in pairs) / statistics.median(it for _, it in pairs)
    return found


def rounds(count: int, devices: int = DEVICES) -> list[float]:
    """Ratios, one a round; the slowest page of each database is printed to standard error."""
    ratios = []
    with scenes(devices) as found:
        for _ in range(count):
            costs = {kind: round_on(scene) for kind, scene in found.items()}
            for kind, cost in costs.items():
                slowest = max(cost, key=cost.__getitem__)
                print(f"  {kind}: {slowest} costs {cost[slowest]:.0f} lookups", file=sys.stderr, flush=True)
            ratios.append(1 / max(max(cost.values()) for cost in costs.values()))
    return ratios


def show(devices: int) -> None:
    """Each page on each database: milliseconds cold and warm, and lookups."""
    with scenes(devices) as found:
        for kind, scene in found.items():
            lookup = statistics.median(scene.lookup() for _ in range(5))
            print(f"{kind}, {devices:,} Devices; a lookup takes {lookup * 1e6:.0f} us")
            print(f"{'page':<40} {'cold ms':>9} {'warm ms':>9} {'lookups':>9}")
            for path in PAGES + ANSWERS:
                cold = scene.look(path)
                warm = statistics.median(scene.look(path) for _ in range(LOOKS))
                print(f"{path:<40} {cold * 1e3:>9.1f} {warm * 1e3:>9.1f} {warm / lookup:>9.0f}", flush=True)


if __name__ == "__main__":
    show(int(sys.argv[1]) if len(sys.argv) > 1 else DEVICES)
