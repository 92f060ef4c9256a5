"""The world in exact mode: real machines on a virtual clock, every frame carried and written down.

The world owns time and carriage and nothing else. It takes what an actor's `Step` sends, works out when it
arrives, and hands it over then. The DCC keeps the world's time; each home runs ahead of it by no more than
the WAN's latency, in which nothing can reach it that was not on its way (see `house`). All dice come from
one seed and belong to one link, one home or one fault, so that the same seed and the same requests give the
same trace.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, to_iso
from lamplighter.lab.dcc import Requested
from lamplighter.lab.dcc.postman import Outcome, Postman
from lamplighter.lab.house import (
    DCC_NAME,
    Actor,
    Diary,
    Frame,
    House,
    Node,
    Reported,
    Traced,
    Unclaimed,
    told,
)
from lamplighter.lab.wan import Link, Wan
from lamplighter.lab.wire import (
    HanFrame,
    ToUser,
    WanDeviceLeft,
    WanGbcs,
    WanHubFirmware,
    WanImage,
    WanImageReceipt,
    WanUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from lamplighter.kit import Eui64, Step
    from lamplighter.lab.dcc import Dcc, Service
    from lamplighter.lab.faults import Deed, Mischief

__all__ = [
    "DCC_NAME",
    "Actor",
    "Frame",
    "Node",
    "OutageError",
    "Reported",
    "Traced",
    "Unclaimed",
    "World",
]

CSP_PATIENCE: Final = 1 * DAY  # until the CSP tells the DSP that a hub is out of reach; an assumption

_IN_TIME = attrgetter("at")


class OutageError(Exception):
    """The DCC is down."""

    def __init__(self, until: Instant) -> None:
        super().__init__(f"the DCC is down until {to_iso(until)}")
        self.until = until
        """When it is back."""


class _Due(NamedTuple):
    """Something that reaches the DCC, or leaves it late; no two compare equal."""

    at: Instant
    source: int
    """The number of the home that it comes from; -1: from the DCC itself."""
    number: int
    """The order of sending."""
    frame: Frame


class World:
    """The DCC, the homes, and the time in which they live.

    start     when the clock begins; all nodes are powered on then
    wan       the links between the two
    mischief  what goes wrong
    postman   who brings messages out of the DCC
    record    whether frames and events are written down
    keep      how many of the latest each home and the DCC keep of those; None: all
    """

    def __init__(
        self,
        dcc: Dcc,
        houses: Iterable[House],
        *,
        start: Instant,
        wan: Wan | None = None,
        mischief: Mischief | None = None,
        postman: Postman | None = None,
        record: bool = True,
        keep: int | None = None,
    ) -> None:
        self.dcc = dcc
        self.now = start
        self.mail: deque[ToUser] = deque()
        """Messages that have left the DCC, and that no User has taken yet."""
        self._houses = list(houses)
        self._at_hub = {house.hub: number for number, house in enumerate(self._houses)}
        self._home_of = {node: house for house in self._houses for node in house.nodes}
        self._wan = wan or Wan(Link())
        self._ahead = self._wan.latency
        self._mischief = mischief
        self._postman = postman or Postman()
        self._queue: list[_Due] = []
        self._agenda: list[tuple[Instant, int]] = []
        self._wake: Instant | None = None
        self._numbers = 0
        self._in_flight = 0
        self._frontier = start
        self._diary = Diary(keep) if record else None
        for number, house in enumerate(self._houses):
            house.mischief = mischief
            house.diary = Diary(keep) if record else None
            house.start(start)
            self._after(number, house)
        self._deeds = [] if mischief is None else sorted(mischief.deeds(self))
        heapq.heapify(self._deeds)

    @property
    def trace(self) -> list[Traced]:
        """Every frame and message that is written down, in time's order; at one instant, the DCC's first."""
        return sorted(chain.from_iterable(diary.trace for diary in self._diaries()), key=_IN_TIME)

    @property
    def events(self) -> list[Reported]:
        """What the actors reported, likewise."""
        return sorted(chain.from_iterable(diary.events for diary in self._diaries()), key=_IN_TIME)

    @property
    def hubs(self) -> Mapping[Eui64, Node]:
        """All hubs."""
        return {house.hub: house.nodes[house.hub] for house in self._houses}

    @property
    def devices(self) -> Mapping[Eui64, Node]:
        """All Devices but the hubs."""
        return {eui: node for house in self._houses for eui, node in house.nodes.items() if eui != house.hub}

    @property
    def busy(self) -> bool:
        """Whether anything is on its way, or the DCC waits for a hub or a Device."""
        return self._in_flight > 0 or bool(self._queue) or self._postman.waiting > 0 or self.dcc.open > 0

    @property
    def next_at(self) -> Instant | None:
        """When something happens next of its own accord."""
        return min((at for at in self._nexts() if at is not None), default=None)

    def node(self, eui: Eui64) -> Any:
        """The machine of a hub or Device; None: there is none."""
        house = self._home_of.get(eui)
        return None if house is None else house.nodes.get(eui)

    def request(self, service: Service, octets: bytes) -> bytes:
        """Hand a User's request to the DCC now, and give its synchronous Response.

        Raises `DecodeError` or `VerificationError` for octets that are no Request at all, and `OutageError`
        while the DCC is down.
        """
        up = self._dcc_up(self.now)
        if up > self.now:
            raise OutageError(up)
        answer, step = self.dcc.request(service, octets, self.now)
        ((user, devices),) = ((e.id.originator, e.devices) for e in step.events if isinstance(e, Requested))
        self._note(str(user), DCC_NAME, devices, f"{service.value} request", octets)
        self._note(DCC_NAME, str(user), devices, f"{service.value} response", answer)
        self.take(step)
        return answer

    def step(self) -> bool:
        """Let the next thing happen, and move the clock there; False where nothing is to come.

        One thing is a frame for the DCC, or a stretch in which one home runs ahead.
        """
        return self._step(None)

    def run_until(self, instant: Instant) -> None:
        """Let everything happen up to and including `instant`, and leave the clock there."""
        if instant < self.now:
            raise UsageError(f"the clock stands at {to_iso(self.now)} and never goes back")
        while self._step(instant):
            pass
        self.now = instant

    def run_while_busy(self, until: Instant) -> bool:
        """Let things happen while there is work, at most up to `until`; whether the work is done."""
        while self.busy:
            while self._step(until) and self.busy:
                pass
            # Where one home has run ahead, the others follow.
            self.run_until(max(self.now, min(self._frontier, until)))
            if (at := self.next_at) is None or at > until:
                break
        return not self.busy

    def trace_of(self, device: Eui64) -> Iterator[Traced]:
        """What was sent to, from or about one Device, in order."""
        return (traced for traced in self.trace if device in traced.devices)

    def digest(self) -> str:
        """SHA-256 over the whole trace: two runs with the same digest were the same run."""
        taken = hashlib.sha256()
        for at, source, destination, _, what, octets in self.trace:
            taken.update(f"{at} {source} {destination} {what} {len(octets)}\n".encode())
            taken.update(octets)
        return taken.hexdigest()

    # What somebody does to it; each in its own time, which is now

    def take(self, step: Step) -> None:
        """Carry what the DCC says, whatever made it speak."""
        for event in step.events:
            self._report(DCC_NAME, event)
        for frame in step.send:
            self.carry(DCC_NAME, frame)
        # An actor that names no time keeps the one it named before: to be woken for nothing does no harm.
        if step.wake is not None:
            self._wake = max(step.wake, self.now)

    def carry(self, source: str, frame: Frame) -> None:
        """Let a frame go on its way from `source`."""
        if not isinstance(frame, WanUnreachable):
            self._note(source, *told(frame))
        self._route(frame, self.now, -1)

    def power_off(self, node: Eui64) -> None:
        """Take a hub's or Device's power."""
        self._at_home(node, lambda house: house.power_off(node))

    def power_on(self, node: Eui64) -> None:
        """Give it back."""
        self._at_home(node, lambda house: house.power_on(node, self.now))

    def install(self, node: Eui64, machine: Node) -> None:
        """Put another machine in the place of a hub's or Device's."""
        self._at_home(node, lambda house: house.install(node, machine, self.now))

    def swap_hub(self, old: Eui64, new: Eui64) -> None:
        """Put a new hub in the place of an old one, under an id of its own."""
        self._home_of[new] = self._home_of.pop(old)
        self._at_home(new, lambda house: house.swap_hub(new, self.now))
        self._at_hub[new] = self._at_hub.pop(old)

    def skew(self, node: Eui64, microseconds: int) -> None:
        """Set a hub's or Device's clock wrong."""
        self._at_home(node, lambda house: house.skew(node, microseconds, self.now))

    def do(self, node: Eui64, deed: Callable[[Any, Instant], Step]) -> None:
        """Do something else to a hub or Device, and carry what it says: `machine.reboot(now)`."""
        self._at_home(node, lambda house: house.do(node, deed, self.now))

    def put_off(self, deed: Deed) -> None:
        """Have something done later."""
        heapq.heappush(self._deeds, deed)

    def _at_home(self, node: Eui64, what: Callable[[House], None]) -> None:
        house = self._home_of.get(node)
        if house is None:
            raise UsageError(f"no hub or Device here is {node}")
        number = self._at_hub[house.hub]
        before = house.in_flight
        what(house)
        self._in_flight += house.in_flight - before
        self._after(number, house)

    # Time

    def _nexts(self) -> tuple[Instant | None, Instant | None, Instant | None, Instant | None, Instant | None]:
        """When what kind of thing is next, in the order in which they come at one instant."""
        return (
            self._deeds[0].at if self._deeds else None,
            self._queue[0].at if self._queue else None,
            self._wake,
            self._postman.next_at,
            self._next_home(),
        )

    def _step(self, until: Instant | None) -> bool:
        """Let the next thing happen that is due at `until` or before; False: nothing is."""
        deed, arrival, wake, post, home = nexts = self._nexts()
        at = min((at for at in nexts if at is not None), default=None)
        if at is None or (until is not None and at > until):
            return False
        self.now = max(self.now, at)
        if at == deed:
            heapq.heappop(self._deeds).what(self)
        elif at == arrival:
            self._arrived(heapq.heappop(self._queue))
        elif at == wake:
            up = self._dcc_up(at)
            self._wake = None if up == at else up
            if up == at:
                self.take(self.dcc.wake(at))
        elif at == post:
            self._post()
        elif at == home:
            self._run_home(until, deed)
        return True

    def _next_home(self) -> Instant | None:
        """When a home is next; entries that are out of date are put right on the way."""
        agenda = self._agenda
        while agenda:
            at, number = agenda[0]
            true = self._houses[number].next_at
            if true == at:
                return at
            heapq.heappop(agenda)
            if true is not None and true > at:
                heapq.heappush(agenda, (true, number))
        return None

    def _run_home(self, until: Instant | None, deed: Instant | None) -> None:
        """Let the next home run as far ahead as nobody can reach it."""
        at, number = heapq.heappop(self._agenda)
        last = at + self._ahead - 1
        if until is not None:
            last = min(last, until)
        if deed is not None:
            last = min(last, deed - 1)
        house = self._houses[number]
        before = house.in_flight
        house.run(Instant(last))
        self._in_flight += house.in_flight - before
        self._frontier = max(self._frontier, house.now)
        self._after(number, house)

    def _after(self, number: int, house: House) -> None:
        """See to what a home has sent, and to when it is next."""
        for at, frame in house.outbox:
            self._route(frame, at, number)
        house.outbox.clear()
        following = house.next_at
        if following is not None:
            heapq.heappush(self._agenda, (following, number))

    # Carriage

    def _route(self, frame: Frame, now: Instant, source: int) -> None:
        """Send a frame on its way; `source` is the number of the home that it comes from, or -1."""
        match frame:
            case ToUser():
                for at in (now,) if self._mischief is None else self._mischief.on_mail(frame, now):
                    if at > now:
                        self._push(at, source, frame)
                    else:
                        self._postman.offer(frame, now)
                        self._post()
            case WanImage() | WanGbcs(outbound=True):
                self._send_home(frame, now)
            case WanGbcs() | WanImageReceipt() | WanHubFirmware() | WanDeviceLeft():
                arrivals: tuple[Instant, ...] = ()
                if self._wan.reaches(frame.hub):
                    arrivals = (self._wan.arrival(frame, now, self._slower(frame.hub, now)),)
                    if self._mischief is not None:
                        arrivals = self._mischief.on_wan(frame, now, arrivals[0])
                for at in arrivals:
                    self._push(at, source, frame)
            case WanUnreachable():
                self._push(Instant(now + CSP_PATIENCE), source, frame)
            case HanFrame():
                raise UsageError("a HAN frame never leaves its home")
            case _:
                assert_never(frame)

    def _send_home(self, frame: WanImage | WanGbcs, now: Instant) -> None:
        number = self._at_hub.get(frame.hub)
        if number is None or not self._wan.reaches(frame.hub):
            self._report(str(frame.hub), Unclaimed(frame))
            self._route(WanUnreachable(frame), now, -1)
            return
        at = self._wan.arrival(frame, now, self._slower(frame.hub, now))
        self._numbers += 1
        self._in_flight += 1
        self._houses[number].arrive(at, self._numbers, frame)
        heapq.heappush(self._agenda, (at, number))

    def _push(self, at: Instant, source: int, frame: Frame) -> None:
        self._numbers += 1
        heapq.heappush(self._queue, _Due(at, source, self._numbers, frame))

    def _arrived(self, due: _Due) -> None:
        """Something has come to the DCC, or is to be posted only now."""
        if isinstance(due.frame, ToUser):
            self._postman.offer(due.frame, self.now)
            self._post()
        elif (up := self._dcc_up(due.at)) > due.at:
            heapq.heappush(self._queue, due._replace(at=up))
        elif not isinstance(due.frame, HanFrame | WanImage):  # these two never come this way
            if isinstance(due.frame, WanUnreachable):
                self._note(DCC_NAME, *told(due.frame))
            self.take(self.dcc.receive(due.frame, self.now))

    def _post(self) -> None:
        """Bring out all messages that can be."""
        now, postman = self.now, self._postman
        while letters := postman.attempt(now):
            for letter in letters:
                up = self._mischief is None or self._mischief.endpoint_up(letter.mail.user, now)
                postman.outcome(letter, Outcome.TAKEN if up else Outcome.UNREACHABLE, now)
                if up:
                    self.mail.append(letter.mail)

    def _slower(self, hub: Eui64, now: Instant) -> float:
        return 1.0 if self._mischief is None else self._mischief.slower(hub, now)

    def _dcc_up(self, now: Instant) -> Instant:
        return now if self._mischief is None else self._mischief.dcc_up(now)

    # What is written down

    def _diaries(self) -> Iterator[Diary]:
        if self._diary is not None:
            yield self._diary
        for house in self._houses:
            if house.diary is not None:
                yield house.diary

    def _note(
        self, source: str, destination: str, devices: tuple[Eui64, ...], what: str, octets: bytes
    ) -> None:
        if self._diary is not None:
            self._diary.trace.append(Traced(self.now, source, destination, devices, what, octets))

    def _report(self, source: str, event: Any) -> None:
        if self._diary is not None:
            self._diary.events.append(Reported(self.now, source, event))
