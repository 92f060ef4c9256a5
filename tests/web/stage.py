"""A live lab with the whole web before it: homes and a DCC behind HTTP, a worker, and people who sign in.

What the demo is made of, but for its campaigns: those are written, approved and started on the pages. Time in
the homes runs several hundred times as fast; people's sessions keep to the day's own clock.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lamplighter.cli import demo_lab
from lamplighter.planning.reporter import reporter
from lamplighter.protocol import image as images
from lamplighter.registry import CplEntry, CplStatus
from lamplighter.service.clock import wall_clock
from lamplighter.service.listener import Listener
from lamplighter.service.office import Office
from lamplighter.service.people import People, Person, Role
from lamplighter.service.web.app import application
from lamplighter.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamplighter.lab.homes import Lab
    from lamplighter.service.worker import Worker

PASSWORD = "correct horse battery"
ROOT = Person.of("root", Role)
PEOPLE = {
    "operator1": [Role.OPERATOR],
    "reviewer1": [Role.APPROVER],
    "viewer1": [Role.VIEWER],
    "administrator1": [Role.ADMINISTRATOR],
    "deputy1": [Role.OPERATOR, Role.APPROVER],
}

PLAN = """
name = "{name}"
approvals = 1
stratify = ["hardware"]
sweep_every = "10m"
lasts = "20d"
[target]
types = ["{kind}"]
[[wave]]
name = "canary"
share = "10 %"
minimum = 10
soak = "20m"
[[wave]]
name = "half"
share = "50 %"
soak = "20m"
[[wave]]
name = "everyone"
share = 1
[gate]
acceptable_failure_rate = 0.05
max_failure_rate = 0.25
acceptable_silence_rate = 0.05
max_silence_rate = 0.25
[deadlines]
hub = "12h"
device = "24h"
proof = "36h"
activation = "24h"
read = "12h"
[rate]
per_hour = 5000
[caps]
in_flight = 5000
requests_per_day = 50000
"""


@dataclass
class Stage:
    """A live lab, and the application before it."""

    url: str
    store: Store
    office: Office
    people: People
    lab: Lab
    worker: Worker
    app: Any
    releases: dict[str, int]

    def session(self, name: str) -> str:
        """A session of one of `PEOPLE`."""
        return self.people.sign_in(name, PASSWORD, "127.0.0.1")


@contextmanager
def stage(
    folder: Path, *, homes: int = 120, seed: str = "walk", forecaster: Callable[..., Any] | None = None
) -> Iterator[Stage]:
    """Within it all runs, on a new SQLite database in `folder`."""
    lab = demo_lab.build(seed, homes)
    store = Store.open(f"sqlite:///{folder / 'lamplighter.db'}")
    try:
        demo_lab.register(store, lab, [])
        with demo_lab.meeting(lab, store) as meeting:
            people = People(store, meeting.clock, wall_clock)
            for name, roles in sorted(PEOPLE.items(), key=lambda it: Role.ADMINISTRATOR not in it[1]):
                people.create(ROOT, name, roles, PASSWORD)
            office = Office(store, meeting.clock, forecaster, meeting.parties, reporter)
            releases = _releases(office, lab)
            over = threading.Event()

            def tell() -> None:
                while not over.is_set():
                    if meeting.news.wait(0.1):
                        meeting.news.clear()
                        meeting.worker.wake()

            thread = threading.Thread(target=tell, daemon=True)
            thread.start()
            app = application(office, people, secure=False)
            with Listener(app) as listener:
                try:
                    yield Stage(listener.url, store, office, people, lab, meeting.worker, app, releases)
                finally:
                    over.set()
                    thread.join()
    finally:
        store.close()


def _releases(office: Office, lab: Lab) -> dict[str, int]:
    """Both images of the demo, on the CPL and registered: by the campaign that is to bring them."""
    entries = list(lab.world.dcc.inventory)
    found = {}
    for cast in demo_lab.casting(lab, None):
        lab.publish(cast.image)
        header = cast.image.header
        office.store.registry.put_cpl(
            CplEntry(
                it.manufacturer, it.model, it.hardware, header.file_version, cast.image.hash, CplStatus.ACTIVE
            )
            for it in {entry.model for entry in entries if entry.type is cast.kind}
        )
        srv = "11.1" if cast.image.layout is images.Layout.SRV_11_1 else "11.4"
        added = office.add_release(ROOT, f"{cast.name} 2.0", images.encode(cast.image), srv=srv)
        assert added.registered is not None, added.checks
        found[cast.name] = added.registered.id
    return found
