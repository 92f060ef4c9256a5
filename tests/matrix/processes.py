"""Real processes against a lab over HTTP, and somebody who kills and stops them on a seeded schedule.

Nothing sleeps: whoever waits, waits for something that happens in the lab, and has a deadline for it.
The schedule goes by the DCC's requests. At the n-th of them a victim is struck before the DCC has looked at
it, or after it was carried out and before the answer is sent: the worst moments there are. Others are struck
by the clock, while they are at something else.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from sqlalchemy import select

from lamplighter.campaign import Fact, Progress
from lamplighter.kit import Instant
from lamplighter.kit.instant import SECOND, to_iso
from lamplighter.lab import homes
from lamplighter.lab import server as lab_server
from lamplighter.lab.dcc.dsp import Requested
from lamplighter.lab.dcc.postman import PostmanSettings
from lamplighter.lab.devices import events
from lamplighter.service import keyfiles
from lamplighter.service.clock import wall_clock
from lamplighter.service.receiver import RECEIVE_PATH
from lamplighter.store import schema as s

from .estate import KINDS, NEW_VERSION, begin, plan, register

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lamplighter.campaign import Stage
    from lamplighter.lab.dcc import Service
    from lamplighter.store import Store

_MAIN = "import sys; from lamplighter.cli import main; sys.exit(main())"
SPEED = 600.0  # seconds in the homes for each of ours
LEASE = "10m"  # one second of ours
LEASE_SECONDS = 1.0
PATIENCE_SECONDS = 20.0  # for a request that somebody is to die of; a process takes a while to start
LOOK_SECONDS = 0.1  # between two looks at a condition that gives no word
HURRIED: dict[str, str | float] = {
    "hub": "1h", "device": "2h", "proof": "3h", "activation": "2h", "read": "1h",
    "backoff": "5m", "longest": "20m",
    "sample": 50_000,  # on a busy machine silence proves nothing: no gate is to hold for it
}  # fmt: skip
"""Deadlines that pass within seconds of ours."""


def until(
    condition: Callable[[], bool],
    seconds: float,
    what: str,
    news: threading.Event | None = None,
    story: Callable[[], str] = str,
) -> None:
    """Wait until something is so; `AssertionError` where it is not by the deadline."""
    deadline = monotonic() + seconds
    news = news or threading.Event()
    while not condition():
        assert monotonic() < deadline, f"after {seconds:g} s still not so: {what} {story()}"
        news.wait(LOOK_SECONDS)
        news.clear()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@dataclass(frozen=True)
class Strike:
    """Something that is done to a process."""

    victim: int
    """Which one."""
    signal: int
    """SIGKILL, or SIGSTOP until its lease is over and then SIGCONT."""
    request: int | None = None
    """At the how-manyth request of the DCC; None: by the clock."""
    answered: bool = False
    """Whether the DCC carries the request out first."""
    after: float = 0.0
    """By the clock: seconds after the one before."""


def schedule(seed: int, victims: int, strikes: int) -> list[Strike]:
    """So many strikes, half of them at requests."""
    dice = random.Random(seed)
    listed, request = [], 0
    for _ in range(strikes):
        victim = dice.randrange(victims)
        number = dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
        if dice.random() < 0.5:
            request += dice.randint(1, 4)
            listed.append(Strike(victim, number, request, answered=dice.random() < 0.7))
        else:
            listed.append(Strike(victim, number, after=dice.uniform(0.05, 2.0)))
    return listed


@dataclass
class Process:
    """One process of the Supplier's, started again whenever it has died."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    running: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, "-c", _MAIN, "--json", *self.command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.starts += 1

    def strike(self, number: int) -> None:
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(number)

    def restart_where_dead(self) -> None:
        if self.running is None or self.running.poll() is not None:
            self.start()

    def end(self) -> int:
        """Ask it to end in good order; its exit code."""
        assert self.running is not None
        self.strike(signal.SIGCONT)
        self.strike(signal.SIGTERM)
        return self.running.wait(30)


@dataclass
class Rig:
    """A lab that is served, a store, and the processes between them."""

    folder: Path
    url: str
    workers: int
    homes: int
    seed: str
    store: Store
    stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Rig:
        began = Instant(wall_clock() // SECOND * SECOND)
        self.lab = lab = homes.build_world(self.seed, self.homes, start=began)
        self.campaigns = [
            begin(self.store, release, plan(kind, **HURRIED), began)
            for kind, release in register(self.store, lab).items()
        ]
        keys = self.folder / "keys"
        keyfiles.create(keys)
        own = dict(lab.pki.supplier_keys(homes.SUPPLIER))
        for certificate in lab.ring:
            keyfiles.store(keys, certificate, own.get(certificate))
        self.asked = 0
        self.news = threading.Event()
        self.struck_at: dict[int, list[Strike]] = {}
        request = lab.world.request
        lab.world.request = lambda service, octets: self._requested(request, service, octets)  # type: ignore[method-assign]
        port = free_port()
        settings = lab_server.Settings(
            speed=SPEED, delivery_timeout_seconds=3.0, post=PostmanSettings(60 * SECOND, 600 * SECOND)
        )
        receivers = {homes.SUPPLIER: f"http://127.0.0.1:{port}{RECEIVE_PATH}"}
        server = self.stack.enter_context(lab_server.LabServer(lab.world, receivers, settings))
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("LAMPLIGHTER_")
        } | {
            "LAMPLIGHTER_DATABASE": self.url,
            "LAMPLIGHTER_KEYS": str(keys),
            "LAMPLIGHTER_DCC": server.url,
            "LAMPLIGHTER_SUPPLIER": str(homes.SUPPLIER),
            "LAMPLIGHTER_ACB": str(homes.ACB),
            "LAMPLIGHTER_LEASE": LEASE,
            "LAMPLIGHTER_TIMEOUT": "5",
            "LAMPLIGHTER_POLL": "0.1",
            "LAMPLIGHTER_SPEED": str(SPEED),
            "LAMPLIGHTER_BEGAN": to_iso(began),
        }
        commands = [["serve", "--port", str(port)], *([["worker"]] * self.workers)]
        self.processes = [
            Process(command, environment, self.folder / f"{number}-{command[0]}.log")
            for number, command in enumerate(commands)
        ]
        self.stack.callback(self._kill)
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def _kill(self) -> None:
        for process in self.processes:
            if process.running is not None and process.running.poll() is None:
                process.running.kill()
                process.running.wait(10)

    def _requested(
        self, request: Callable[[Service, bytes], bytes], service: Service, octets: bytes
    ) -> bytes:
        """In the lab's thread: a request has come. Somebody may die of it."""
        self.asked += 1
        strikes = self.struck_at.pop(self.asked, [])
        for strike in strikes:
            if not strike.answered:
                self.processes[strike.victim].strike(strike.signal)
        try:
            return request(service, octets)
        finally:
            for strike in strikes:
                if strike.answered:
                    self.processes[strike.victim].strike(strike.signal)
            self.news.set()

    def ended(self) -> bool:
        """Whether every campaign has ended."""
        return not self.store.campaigns.under_way()

    def strike_all(self, strikes: list[Strike], seconds: float) -> int:
        """Let the schedule run its course, and start again whoever died; how many strikes there were."""
        deadline = monotonic() + seconds
        landed = 0
        for strike in strikes:
            if self.ended():
                break
            if strike.request is None:
                due = monotonic() + strike.after
                until(lambda due=due: self.ended() or monotonic() >= due, seconds, "time passes", self.news)
                self.processes[strike.victim].strike(strike.signal)
            else:
                at = max(strike.request, self.asked + 1)
                self.struck_at.setdefault(at, []).append(strike)
                patience = min(deadline, monotonic() + PATIENCE_SECONDS)
                until(
                    lambda at=at, patience=patience: (
                        self.asked >= at or self.ended() or monotonic() >= patience
                    ),
                    seconds,
                    "a request",
                    self.news,
                )
                if self.asked < at and self.struck_at.pop(at, None):
                    self.processes[strike.victim].strike(strike.signal)  # none came: then by the clock
            landed += 1
            if strike.signal == signal.SIGSTOP:
                over = monotonic() + 1.5 * LEASE_SECONDS
                until(
                    lambda over=over: self.ended() or monotonic() >= over, seconds, "a lease ends", self.news
                )
                self.processes[strike.victim].strike(signal.SIGCONT)
            else:
                died = self.processes[strike.victim].running
                assert died is not None
                until(lambda died=died: died.poll() is not None, 10, "a killed process is dead")
            for process in self.processes:
                process.restart_where_dead()
        return landed

    def finish(self, seconds: float) -> None:
        """Wait for the end of all campaigns, and end all processes in good order."""
        until(self._ended_or_restarted, seconds, "every campaign has ended", self.news, self.story)
        codes = [process.end() for process in self.processes]
        # One that was still starting has no handler yet, and ends by the signal itself.
        assert {0, -signal.SIGTERM} >= set(codes)

    def _ended_or_restarted(self) -> bool:
        for process in self.processes:
            process.restart_where_dead()
        return self.ended()

    def story(self) -> str:
        """Where everything stands, for whoever has to find out why."""
        tails = {
            process.log.name: process.log.read_bytes()[-1500:].decode(errors="replace")
            for process in self.processes
            if process.log.exists()
        }
        return json.dumps(
            {"requests": self.asked, "outbox": self.store.outbox.counts(), "logs": tails}, indent=1
        )

    # What the world says

    def activations(self) -> Counter[str]:
        """How often each Device has started the new firmware for the first time after running another one."""
        running: dict[str, object] = {}
        found: Counter[str] = Counter()
        for event in self.lab.world.events:
            if isinstance(event.event, events.Booted):
                if event.event.version == NEW_VERSION != running.get(event.source, homes.FACTORY_VERSION):
                    found[event.source] += 1
                running[event.source] = event.event.version
        return found

    def sent_with_effect(self) -> Counter[tuple[str, str]]:
        """How often the DCC accepted what bore each request id and response code."""
        return Counter(
            (str(event.event.id), event.event.code)
            for event in self.lab.world.events
            if isinstance(event.event, Requested) and event.event.refusal is None
        )

    def sent_in_vain(self) -> list[tuple[str, str]]:
        """Accepted update requests, each with a Device in it that ran the new firmware by then."""
        proven: set[str] = set()
        found: list[tuple[str, str]] = []
        for _, source, event in self.lab.world.events:
            match event:
                case events.Booted(version=version) if version == NEW_VERSION:
                    proven.add(source)
                case Requested(id=id_, srv="11.1" | "11.4", refusal=None, devices=devices):
                    found += [(str(id_), str(device)) for device in devices if str(device) in proven]
                case _:
                    pass
        return found

    def stages(self) -> Counter[Stage]:
        """How many Devices came to which end, as the Supplier has it."""
        return stages(self.store)


def stages(store: Store) -> Counter[Stage]:
    """How many updates stand at each stage."""
    with store.database.reading() as connection:
        return Counter(
            Progress(number).stage
            for number in connection.execute(select(s.device_update.c.progress)).scalars()
        )


def refused(store: Store) -> list[str]:
    """The codes with which the DCC refused a first attempt, as the Supplier has it: it has no reason to."""
    query = select(s.evidence.c.message).where(
        s.evidence.c.fact.in_([Fact.REFUSED.name, Fact.ACTIVATION_REFUSED.name, Fact.READ_FAILED.name])
    )
    with store.database.reading() as connection:
        return list(connection.execute(query).scalars())


def names(lab: homes.Lab) -> set[str]:
    """All Devices that are to be updated."""
    return {str(getattr(home, kind.value.lower())) for home in lab.homes for kind in KINDS}
