"""Real processes against a lab over HTTP, and somebody who strikes them at moments that were drawn.

Nothing sleeps: whoever waits, waits for something that happens, and has a deadline for it. A strike is laid
and lands in the lab's own thread, at the n-th request, message or act of its kind. What follows (another
takes over, a late write is refused, the database answers again) is waited for before the next one is laid.
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import httpx2
import psycopg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from lamplighter.client import ApiError, Client
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, SECOND, to_iso
from lamplighter.lab import homes
from lamplighter.lab import server as lab_server
from lamplighter.lab.dcc.postman import Outcome, PostmanSettings
from lamplighter.service import keyfiles
from lamplighter.service.clock import rehearsal_clock, wall_clock
from lamplighter.service.people import People, Role, Scope
from lamplighter.service.receiver import RECEIVE_PATH

from . import town
from .strikes import Blow, Ending, Moment, Strike, Victim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamplighter.lab.dcc import Service
    from lamplighter.lab.wire import ToUser
    from lamplighter.store import Store
    from tests import postgres

    from .strikes import Case

_MAIN = "import sys; from lamplighter.cli import main; sys.exit(main())"
SPEED = 600.0  # seconds in the homes for each of ours
LEASE = "10m"  # one second of ours
LEASE_SECONDS = 1.0
LEASE_MICROSECONDS = 600 * SECOND
PATIENCE_SECONDS = 240.0  # for whatever is to happen; a quiet hour that was missed comes back after 144
LOOK_SECONDS = 0.05  # between two looks at what gives no word
WORKERS: Final = {"sqlite": 0, "postgresql": 1}  # beside `serve`; on SQLite one decides and sends
RECEIVERS: Final = {"sqlite": 0, "postgresql": 2}
_ROOM, _UNLIMITED = "3", "unlimited"  # octets of a file that still find room on a full disk
_ROOT, _OPERATOR, _APPROVER = "root", "operator", "approver"
_DROPPED = "work dropped"
_REFUSED = "is another's by now"  # `Database.writing`: the transaction was refused, and not only the lease
_GONE = (SQLAlchemyError, psycopg.Error, ProcessLookupError, IndexError)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


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

    @property
    def pid(self) -> int:
        assert self.running is not None
        return self.running.pid

    @property
    def is_dead(self) -> bool:
        return self.running is None or self.running.poll() is not None

    def restart_where_dead(self) -> None:
        if self.is_dead:
            self.start()

    def end(self) -> int:
        """Ask it to end in good order; its exit code."""
        assert self.running is not None
        if not self.is_dead:
            self.running.send_signal(signal.SIGTERM)
        return self.running.wait(PATIENCE_SECONDS)

    def refused(self) -> int:
        """How many of its writes were refused, because the lease under which it began them had fallen."""
        found = 0
        for line in self.log.read_bytes().splitlines():
            with suppress(ValueError):  # it was killed in the middle of one, or had no room
                said = json.loads(line)
                found += said.get("event") == _DROPPED and _REFUSED in said.get("reason", "")
        return found


@dataclass(frozen=True, slots=True)
class Hit:
    """A strike that has landed."""

    strike: Strike
    pids: tuple[int, ...]
    """Whom it hit; of a whole database server, the postmaster."""
    put_off: int
    """Messages that we had not taken by then."""
    refused: int
    """Writes of the victim that had been refused by then."""


@dataclass
class Rig:
    """A lab that is served, a store, the processes between them, and an operator."""

    folder: Path
    url: str
    store: Store
    case: Case
    server: postgres.Server | None
    """PostgreSQL; None: the database is a file."""
    stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Rig:
        start = Instant(wall_clock() // SECOND * SECOND)
        case = self.case
        self.dice = random.Random(f"blows {self.kind} {case.seed}")
        self.town = town.build(self.store, case, start)
        self.lab = self.town.lab
        self._account()
        self.asked = self.put_off = 0
        self.news = threading.Event()
        self._laid: tuple[Strike, int] | None = None
        self._hit: Hit | None = None
        self._fault: Exception | None = None
        self.landed: Counter[str] = Counter()
        self.taken_over = self.late_writes_refused = 0
        self.campaigns: list[int] = []
        self._listen(start)
        self.stack.callback(self._kill)
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    @property
    def kind(self) -> str:
        """What kind of database it is."""
        return "sqlite" if self.server is None else "postgresql"

    def _account(self) -> None:
        """An operator who comes with a token, and somebody whose word the plans need."""
        people = People(self.store)
        people.create(people.local(_ROOT), _ROOT, [Role.ADMINISTRATOR])
        root = people.local(_ROOT)
        people.create(root, _OPERATOR, [Role.OPERATOR])
        people.create(root, _APPROVER, [Role.APPROVER])
        until = Instant(wall_clock() + 60 * DAY)  # as long as a campaign may last; time goes fast here
        self._token = people.issue_token(root, "matrix", [Scope.READ, Scope.OPERATE], until, _OPERATOR)[1]

    def _listen(self, start: Instant) -> None:
        """Serve the lab, and set the stage for the processes."""
        lab, keys = self.lab, self.folder / "keys"
        keyfiles.create(keys)
        own = dict(lab.pki.supplier_keys(homes.SUPPLIER))
        for certificate in lab.ring:
            keyfiles.store(keys, certificate, own.get(certificate))
        request = lab.world.request
        lab.world.request = lambda service, octets: self._requested(request, service, octets)  # type: ignore[method-assign]
        port, web = free_port(), free_port()
        settings = lab_server.Settings(
            speed=SPEED, delivery_timeout_seconds=3.0, post=PostmanSettings(60 * SECOND, 600 * SECOND)
        )
        dcc = _WatchedServer(lab.world, {homes.SUPPLIER: f"http://127.0.0.1:{port}{RECEIVE_PATH}"}, settings)
        dcc.told = self._told
        self.stack.enter_context(dcc)
        # The lab's clock runs from now on, and stands at its start: ours agreed with the day's when it would
        # have to, to stand there too.
        now = wall_clock()
        began = Instant(now + int((now - start) / (SPEED - 1)))
        self.clock = rehearsal_clock(began, SPEED)
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("LAMPLIGHTER_")
        } | {
            "LAMPLIGHTER_DATABASE": self.url,
            "LAMPLIGHTER_KEYS": str(keys),
            "LAMPLIGHTER_DCC": dcc.url,
            "LAMPLIGHTER_SUPPLIER": str(homes.SUPPLIER),
            "LAMPLIGHTER_ACB": str(homes.ACB),
            "LAMPLIGHTER_LEASE": LEASE,
            "LAMPLIGHTER_TIMEOUT": "5",
            "LAMPLIGHTER_POLL": "0.2",
            "LAMPLIGHTER_SPEED": str(SPEED),
            "LAMPLIGHTER_BEGAN": to_iso(began),
            "LAMPLIGHTER_LOG_FORM": "json",
            "LAMPLIGHTER_LOG_LEVEL": "info",
        }
        receivers = RECEIVERS[self.kind]
        commands = [
            ["serve", "--port", str(port), *(["--receivers", str(receivers)] if receivers else [])],
            ["web", f"127.0.0.1:{web}"],
            *([["worker"]] * WORKERS[self.kind]),
        ]
        self.processes = [
            Process(command, environment, self.folder / f"{number}-{command[0]}.log")
            for number, command in enumerate(commands)
        ]
        self.serve, self.web = self.processes[:2]
        self.operator = self.stack.enter_context(
            Client(f"http://127.0.0.1:{web}", self._token, timeout=5.0, pause=0.0)
        )

    def _kill(self) -> None:
        for process in self.processes:
            if process.running is not None and not process.is_dead:
                process.running.kill()
                process.running.wait()

    # Waiting

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so; who dies meanwhile is started again, and a database may be away."""
        deadline = monotonic() + PATIENCE_SECONDS
        self._settle()
        while not self._is_so(condition):
            if self._fault is not None:
                raise self._fault
            if monotonic() >= deadline:
                raise AssertionError(f"after {PATIENCE_SECONDS:g} s still not so: {what} {self._story()}")
            self.news.wait(LOOK_SECONDS)
            self.news.clear()
            self._settle()

    def _is_so(self, condition: Callable[[], bool]) -> bool:
        for process in self.processes:
            process.restart_where_dead()
        try:
            return condition()
        except SQLAlchemyError:
            return False

    def _story(self) -> str:
        """Where everything stands, for whoever has to find out why."""
        told: dict[str, Any] = {
            process.log.name: process.log.read_bytes()[-1500:].decode(errors="replace")
            for process in self.processes
            if process.log.exists()
        }
        with suppress(SQLAlchemyError):
            told |= {"outbox": self.store.outbox.counts(), "landed": dict(self.landed)}
            told["campaigns"] = [
                [it.plan.name, it.status.value, dict(self._stages(it.id))]
                for it in self.store.campaigns.under_way()
            ]
        return json.dumps(told, indent=1, default=str)

    def _stages(self, campaign: int) -> Counter[str]:
        """How many Devices of a campaign stand at each stage, by the tallies."""
        view = self.store.campaigns.view(self.store.campaigns.find(campaign), self.clock())
        found: Counter[str] = Counter()
        for it in view.counts:
            found[it.stage.name] += it.devices
        return found

    def ended(self) -> bool:
        """Whether every campaign has ended."""
        return not self.store.campaigns.under_way()

    # Moments, in the lab's thread

    def _requested(
        self, request: Callable[[Service, bytes], bytes], service: Service, octets: bytes
    ) -> bytes:
        self.asked += 1
        is_update = b"FirmwareImage" in octets
        self._comes(Moment.ASKED, is_update=is_update)
        try:
            return request(service, octets)
        finally:
            self._comes(Moment.CARRIED_OUT, is_update=is_update)

    def _told(self, outcome: Outcome | None) -> None:
        """A message is on its way to us (None), or that is what came of it."""
        if outcome is None:
            self._comes(Moment.BROUGHT)
        elif outcome is Outcome.TAKEN:
            self._comes(Moment.TAKEN)
        else:
            self.put_off += 1
            self.news.set()

    def _comes(self, moment: Moment, *, is_update: bool = False) -> None:
        if self._laid is None:
            return
        strike, left = self._laid
        if strike.moment is not moment or (strike.update and not is_update):
            return
        if left > 1:
            self._laid = strike, left - 1
            return
        hit = None
        try:
            hit = self._blow(strike)
        except _GONE:  # whoever it was to be: then the next time
            return
        except Exception as error:  # noqa: BLE001 # the lab would make a refusal of it: whoever waits is told
            self._fault = error
        self._laid = None  # first: as soon as there is a hit, the next strike may be laid
        self._hit = hit
        self.news.set()

    def _blow(self, strike: Strike) -> Hit:
        pids = self._victims(strike)
        hit = Hit(strike, pids, self.put_off, self._refused_by(pids[0]))
        for pid in pids:
            match strike.blow:
                case Blow.KILL:
                    os.kill(pid, signal.SIGKILL)
                case Blow.STOP:
                    os.kill(pid, signal.SIGSTOP)
                case Blow.CRASH:
                    os.kill(pid, signal.SIGQUIT)  # PostgreSQL: shut down at once, and flush nothing
                case Blow.FILL:
                    self._leave_room(pid, _ROOM)
        return hit

    def _victims(self, strike: Strike) -> tuple[int, ...]:
        match strike.victim:
            case Victim.SENDER:
                return (self._sender(),)
            case Victim.SERVE:
                return (self.serve.pid,)
            case Victim.RECEIVER:
                return (self.dice.choice(self._receivers()),)
            case Victim.WEB:
                return (self.web.pid,)
            case Victim.DATABASE if strike.blow is Blow.CRASH:
                assert self.server is not None
                return (self.server.pid,)
            case Victim.DATABASE if strike.blow is Blow.KILL:
                return (self.dice.choice(self._backends()),)
            case Victim.DATABASE:
                return tuple(self._backends())

    def _leave_room(self, pid: int, room: str) -> None:
        """How long a file may become that a process writes; one that is gone writes none."""
        done = subprocess.run(
            ["prlimit", f"--pid={pid}", f"--fsize={room}:{_UNLIMITED}"],
            check=False,
            capture_output=True,
            # Only root with all its capabilities, or the same user, may say that to a process.
            **(self.server.identity if self.server is not None else {}),
        )
        assert not done.returncode or not _is_alive(pid), done.stderr

    def _sender(self) -> int:
        """Who holds the lane to the DCC; `IndexError`: nobody, or somebody who is dead."""
        holders = [it.fence.owner for it in self.store.leases.list() if it.fence.name == "outbox"]
        pid = int(holders[0].rsplit("-", 2)[1])
        if not any(it.pid == pid and not it.is_dead for it in self.processes):
            raise ProcessLookupError(pid)
        return pid

    def _receivers(self) -> list[int]:
        """The children of `serve` that take messages."""
        return [pid for pid in _children(self.serve.pid) if b"spawn_main" in _command(pid)]

    def _backends(self) -> list[int]:
        """The server's processes for the Supplier's connections, but not for our own."""
        query = text(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid"
        )
        with self.store.database.reading() as connection:
            return list(connection.execute(query).scalars())

    def _refused_by(self, pid: int) -> int:
        return sum(it.refused() for it in self.processes if it.running is not None and it.pid == pid)

    # The siege

    def begin(self, works: Sequence[town.Work], strike: Strike | None = None) -> None:
        """The operator starts campaigns through the API; whoever answers may be struck meanwhile."""
        for work in works:
            number = self._patiently(lambda work=work: self._draft(work))
            self.campaigns.append(number)
            self._operate(lambda number=number: self.operator.start_campaign(number), number, strike)
            strike = None

    def _draft(self, work: town.Work) -> int:
        campaigns = self.store.campaigns
        try:
            return campaigns.find(work.plan.name).id
        except UsageError:
            with self.store.database.together():
                number = campaigns.create(work.plan, work.release, _OPERATOR, self.clock())
                digest = campaigns.digest_of(work.release, work.plan)
                campaigns.approve(number, _APPROVER, digest, self.clock())
            return number

    def _patiently(self, act: Callable[[], int]) -> int:
        """Do something on the database, which may be away at the moment."""
        results: list[int] = []
        self.until(lambda: not results.append(act()), "the database answers")  # type: ignore[func-returns-value]
        return results[0]

    def _operate(self, act: Callable[[], object], campaign: int, strike: Strike | None = None) -> None:
        """Do something through the API, again and again until it is done; the web process may be struck."""
        events = self.store.campaigns.events
        before = self._patiently(lambda: len(events(campaign)))

        def done() -> bool:
            return len(events(campaign)) > before

        def tried() -> bool:
            # ApiError: it was done, and the answer was lost; else it is to be tried again.
            with suppress(httpx2.HTTPError, ApiError):
                act()
            return done()

        if strike is not None:
            self.until(self.web_answers, "the web process answers")
            with ThreadPoolExecutor(1) as pool:
                trying = pool.submit(tried)
                if strike.moment is Moment.DONE:
                    self.until(lambda: done() or trying.done(), "an act is done")
                self._hit = self._blow(strike)
                self._settle()
                with suppress(SQLAlchemyError):
                    trying.result()
        self.until(tried, "the operator has acted")

    def web_answers(self) -> bool:
        """Whether somebody serves the API."""
        with suppress(httpx2.HTTPError, ApiError):
            return self.operator.health()["status"] == "ok"
        return False

    def strike_all(self) -> None:
        """Lay one strike after the other, each with a street's campaigns to strike at; all of them land."""
        for strike, street in zip(self.case.strikes, self.town.streets, strict=True):
            if strike.moment in {Moment.ACT, Moment.DONE}:
                self.begin(street, strike)
                continue
            before, self._laid = self.landed.total(), (strike, strike.nth)
            self.begin(street)
            self.until(lambda before=before: self.landed.total() > before, f"{strike} lands")

    def _settle(self) -> None:
        """Wait for what a strike leads to, if one has landed, whatever else is waited for."""
        hit, self._hit = self._hit, None
        if hit is None:
            return
        strike, pid = hit.strike, hit.pids[0]
        self.landed[str(strike)] += 1
        match strike.blow:
            case Blow.KILL:
                self.until(lambda: not _is_alive(pid), "whoever was killed is dead")
            case Blow.CRASH:
                assert self.server is not None
                self.server.restart("immediate")
            case Blow.STOP:
                self._let_go_on(hit)
            case Blow.FILL if strike.victim is Victim.DATABASE:
                # It cannot write its journal, throws all out, and begins anew with children that have room.
                self.until(lambda: not all(map(_is_alive, hit.pids)), "the database finds no room")
            case Blow.FILL:
                self.until(lambda: self.put_off > hit.put_off, "a message is put off for want of room")
        if strike.blow is Blow.FILL:
            for each in hit.pids:
                self._leave_room(each, _UNLIMITED)
        self.until(lambda: bool(self.store.leases.list()), "the database answers")

    def _let_go_on(self, hit: Hit) -> None:
        """Wait until the victim is past its lease, and let it go on; a late write of it must be refused."""
        pid, over = hit.pids[0], monotonic() + 1.5 * LEASE_SECONDS
        others = hit.strike.victim is Victim.SENDER and WORKERS[self.kind] > 0
        if others:
            self.until(
                lambda: self._sender_is_another(pid), "another has taken over from one that is stopped"
            )
            self.taken_over += 1
        self.until(lambda: monotonic() >= over, "a lease is over")
        os.kill(pid, signal.SIGCONT)
        if others:
            self.until(lambda: self._refused_by(pid) > hit.refused, "a late write is refused")
            self.late_writes_refused += self._refused_by(pid) - hit.refused

    def _sender_is_another(self, pid: int) -> bool:
        with suppress(ProcessLookupError, IndexError):
            return self._sender() != pid
        return False

    # The end

    def finish(self) -> None:
        """Let the operator see to what is held, wait for the end of all campaigns, and end all processes."""
        self.held_at: Instant | None = None
        self.seen_to_at: Instant | None = None
        if self.case.ending is not Ending.SOUND:
            self._see_to_hold(self.campaigns[0])
        self.until(self.ended, "every campaign has ended")
        codes = [process.end() for process in self.processes]
        # One that was still starting has no handler yet, and ends by the signal itself.
        assert {0, -signal.SIGTERM} >= set(codes), (codes, self._story())

    def _see_to_hold(self, campaign: int) -> None:
        self.until(lambda: self._held(campaign) is not None, "the gate holds what is bad")
        self.held_at = self._held(campaign)
        # All others have come to their end; the hold has stood all the while.
        self.until(
            lambda: (
                [campaign] == self.store.campaigns.numbers_under_way() and self._good_are_proven(campaign)
            ),
            "all that is good has ended",
        )
        self.seen_to_at = self.clock()
        if self.case.ending is Ending.ABORTED:
            self._operate(lambda: self.operator.abort_campaign(campaign), campaign)
            return
        for _ in range(town.OLD):  # each time for those who have failed until then
            self.until(lambda: self.ended() or self._held(campaign) is not None, "it is held again, or over")
            if self.ended():
                return
            self._operate(lambda: self.operator.release_hold(campaign, town.BAD_STRATUM), campaign)

    def _held(self, campaign: int) -> Instant | None:
        query = text("SELECT held_at FROM stratum WHERE campaign = :campaign AND name = :name")
        with self.store.database.reading() as connection:
            at = connection.execute(query, {"campaign": campaign, "name": town.BAD_STRATUM}).scalar()
        return None if at is None else Instant(at)

    def _good_are_proven(self, campaign: int) -> bool:
        return self._stages(campaign)["PROVEN"] == town.NEW


class _WatchedServer(lab_server.LabServer):
    """A lab's server that tells of each message that it brings, before and after."""

    told: Callable[[Outcome | None], None]

    async def _try(self, client: httpx2.AsyncClient, url: str, mail: ToUser) -> Outcome:
        self.told(None)
        outcome = await super()._try(client, url, mail)
        self.told(outcome)
        return outcome


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(word) for path in found for word in path.read_text().split())


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _is_alive(pid: int) -> bool:
    """Whether a process is there; one that nobody has buried yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False
