"""The world in exact mode: real machines on a virtual clock, every frame carried and written down.

The world owns time and carriage and nothing else. It takes what an actor's `Step` sends, works out when it
arrives, and hands it over then; two things due at the same instant happen in the order in which they were
sent. Nothing here rolls dice, so that the same seed and the same requests give the same trace.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, assert_never

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import MILLISECOND, to_iso
from lamplighter.lab.dcc import Requested
from lamplighter.lab.wan import Link, Wan
from lamplighter.lab.wire import HanFrame, ToUser, WanGbcs, WanImage, WanImageReceipt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lamplighter.kit import Eui64, Step
    from lamplighter.lab.dcc import Dcc, Service

DCC_NAME: Final = "DCC"


Frame: TypeAlias = ToUser | HanFrame | WanImage | WanImageReceipt | WanGbcs


class Actor(Protocol):
    """The DCC, a hub or a Device, as the world sees it."""

    def receive(self, frame: Any, now: Instant) -> Step:
        """Take a frame that has arrived."""

    def wake(self, now: Instant) -> Step:
        """Act because the time that was asked for has come."""


class Node(Actor, Protocol):
    """An actor that somebody has to switch on: a hub or a Device."""

    def start(self, now: Instant) -> Step:
        """Power on."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How long carriage takes."""

    link: Link = field(default_factory=Link)
    """The WAN link of every hub."""
    han_latency: int = 20 * MILLISECOND
    """Microseconds that one frame takes on a Home Area Network; an assumption."""


class Traced(NamedTuple):
    """One frame or message as it was sent."""

    at: Instant
    """When it was sent."""
    source: str
    """Who sent it: an EUI-64 or `DCC`."""
    destination: str
    """For whom it is."""
    devices: tuple[Eui64, ...]
    """The Devices it concerns: the far end of a HAN frame, the targets of a request or alert."""
    what: str
    """The kind of frame, or the service of a request."""
    octets: bytes
    """The frame or message itself."""


class Reported(NamedTuple):
    """One event that an actor reported."""

    at: Instant
    source: str
    event: Any


class Unclaimed(NamedTuple):
    """A frame for somebody who does not exist."""

    frame: Frame | None


class _Due(NamedTuple):
    """A place in the queue; the number keeps the order of sending among equals."""

    at: Instant
    number: int
    node: Eui64 | None
    """Who is to act; None is the DCC."""
    frame: Frame | None
    """What arrives; None: it only wakes."""


class World:
    """The DCC, hubs and Devices, and the time in which they live.

    start  when the clock begins; all nodes are powered on then
    """

    def __init__(
        self,
        dcc: Dcc,
        hubs: Mapping[Eui64, Node],
        devices: Mapping[Eui64, Node],
        *,
        start: Instant,
        settings: Settings | None = None,
    ) -> None:
        self.dcc = dcc
        self.now = start
        self.trace: list[Traced] = []
        """Every frame and message, in the order of sending."""
        self.events: list[Reported] = []
        """What the actors reported."""
        self.mail: deque[ToUser] = deque()
        """Messages for Users that nobody has taken yet."""
        self._hubs = hubs
        self._devices = devices
        self._settings = settings or Settings()
        self._wan = Wan(self._settings.link)
        self._queue: list[_Due] = []
        self._wakes: dict[Eui64 | None, int] = {}
        self._numbers = 0
        self._in_flight = 0
        for eui, node in (*hubs.items(), *devices.items()):
            self._take(eui, node.start(start))

    @property
    def busy(self) -> bool:
        """Whether anything is on its way, or the DCC waits for a hub or a Device."""
        return self._in_flight > 0 or self.dcc.open > 0

    @property
    def next_at(self) -> Instant | None:
        """When something happens next of its own accord."""
        self._drop_stale()
        return self._queue[0].at if self._queue else None

    def request(self, service: Service, octets: bytes) -> bytes:
        """Hand a User's request to the DCC now, and give its synchronous Response.

        Raises `DecodeError` or `VerificationError` for octets that are no Request at all.
        """
        answer, step = self.dcc.request(service, octets, self.now)
        ((user, devices),) = ((e.id.originator, e.devices) for e in step.events if isinstance(e, Requested))
        self._note(str(user), DCC_NAME, devices, f"{service.value} request", octets)
        self._note(DCC_NAME, str(user), devices, f"{service.value} response", answer)
        self._take(None, step)
        return answer

    def step(self) -> bool:
        """Let the next thing happen, and move the clock there; False where nothing is to come."""
        self._drop_stale()
        if not self._queue:
            return False
        at, _, node, frame = heapq.heappop(self._queue)
        self.now = at
        if frame is None:
            del self._wakes[node]
        else:
            self._in_flight -= 1
        actor = self._actor(node)
        if actor is None:
            self.events.append(Reported(at, str(node), Unclaimed(frame)))
        elif frame is None:
            self._take(node, actor.wake(at))
        else:
            self._take(node, actor.receive(frame, at))
        return True

    def run_until(self, instant: Instant) -> None:
        """Let everything happen up to and including `instant`, and leave the clock there."""
        if instant < self.now:
            raise UsageError(f"the clock stands at {to_iso(self.now)} and never goes back")
        while (at := self.next_at) is not None and at <= instant:
            self.step()
        self.now = instant

    def run_while_busy(self, until: Instant) -> bool:
        """Let things happen while there is work, at most up to `until`; whether the work is done."""
        while self.busy and (at := self.next_at) is not None and at <= until:
            self.step()
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

    def _actor(self, node: Eui64 | None) -> Actor | None:
        if node is None:
            return self.dcc
        return self._hubs.get(node) or self._devices.get(node)

    def _take(self, node: Eui64 | None, step: Step) -> None:
        source = DCC_NAME if node is None else str(node)
        for event in step.events:
            self.events.append(Reported(self.now, source, event))
        for frame in step.send:
            self._carry(source, frame)
        # An actor that names no time keeps the one it named before: to be woken for nothing does no harm.
        if step.wake is not None:
            self._wakes[node] = self._push(max(step.wake, self.now), node, None)

    def _carry(self, source: str, frame: Frame) -> None:
        node: Eui64 | None
        match frame:
            case ToUser():
                self._note(source, str(frame.user), frame.devices, "to User", frame.octets)
                self.mail.append(frame)
                return
            case HanFrame():
                device = frame.source if frame.destination in self._hubs else frame.destination
                self._note(source, str(frame.destination), (device,), frame.cluster.name, frame.octets)
                at, node = Instant(self.now + self._settings.han_latency), frame.destination
            case WanImage():
                self._note(source, str(frame.hub), frame.devices, "WAN image", frame.image)
                at, node = self._wan.arrival(frame, self.now), frame.hub
            case WanImageReceipt():
                octets = b"\x01" if frame.delivered else b"\x00"
                self._note(source, DCC_NAME, (frame.device,), "WAN image receipt", octets)
                at, node = self._wan.arrival(frame, self.now), None
            case WanGbcs():
                node = frame.hub if frame.outbound else None
                destination = DCC_NAME if node is None else str(node)
                self._note(source, destination, (frame.device,), "WAN GBCS", frame.octets)
                at = self._wan.arrival(frame, self.now)
            case _:
                assert_never(frame)
        self._in_flight += 1
        self._push(at, node, frame)

    def _note(
        self, source: str, destination: str, devices: tuple[Eui64, ...], what: str, octets: bytes
    ) -> None:
        self.trace.append(Traced(self.now, source, destination, devices, what, octets))

    def _push(self, at: Instant, node: Eui64 | None, frame: Frame | None) -> int:
        self._numbers += 1
        heapq.heappush(self._queue, _Due(at, self._numbers, node, frame))
        return self._numbers

    def _drop_stale(self) -> None:
        """Forget wakes that a later wish has replaced."""
        queue = self._queue
        while queue and queue[0].frame is None and self._wakes.get(queue[0].node) != queue[0].number:
            heapq.heappop(queue)
