"""One home in time: a hub, its Devices, the HAN between them, and a queue of its own.

Nothing that happens in one home is heard in another but by way of the DCC, and the WAN takes its time. So
each home may run ahead of the others by the WAN's latency, and most of what a home does is a block transfer,
in which hub and Device hand each other frames while nothing else is due. `House` carries such a conversation
in a tight loop, straight between the two machines, and leaves it as soon as anything else has its turn: a
frame, an alarm, a disturbance of the HAN, a frame that is not the plain next one. Trace and times are those
of the general way, and a test compares them.

At one instant all that arrives comes first, from the WAN before the HAN, in the order of sending; then
whoever asked to be woken, in the order of `nodes`.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

from lamplighter.kit import Instant
from lamplighter.lab.wire import (
    Cluster,
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
    from collections.abc import Callable, Mapping, MutableSequence

    from lamplighter.kit import Eui64, Step
    from lamplighter.lab.faults import Mischief
    from lamplighter.lab.han import Han
    from lamplighter.protocol.zigbee import Straight

DCC_NAME: Final = "DCC"

Frame: TypeAlias = (
    ToUser | HanFrame | WanImage | WanImageReceipt | WanGbcs | WanHubFirmware | WanDeviceLeft | WanUnreachable
)

_FROM_WAN, _FROM_HAN, _ALARM = range(3)
_EVER: Final = Instant(1 << 62)


class Actor(Protocol):
    """The DCC, a hub or a Device, as the world sees it."""

    def receive(self, frame: Any, now: Instant) -> Step:
        """Take a frame that has arrived."""

    def wake(self, now: Instant) -> Step:
        """Act because the time that was asked for has come; before it, do nothing."""


class Node(Actor, Protocol):
    """An actor that somebody has to switch on: a hub or a Device."""

    def start(self, now: Instant) -> Step:
        """Power on."""

    def stop(self) -> Step:
        """Power off: nothing is left but what it remembers without power."""


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
    """A frame for somebody who does not exist, or has no power."""

    frame: Frame | None


class Diary:
    """What is written down of frames and events: the latest `keep` of each, or all (None)."""

    __slots__ = ("events", "trace")

    def __init__(self, keep: int | None) -> None:
        self.trace: MutableSequence[Traced] = [] if keep is None else deque(maxlen=keep)
        self.events: MutableSequence[Reported] = [] if keep is None else deque(maxlen=keep)


class _Due(NamedTuple):
    """A place in the queue; no two compare equal."""

    at: Instant
    rank: int
    """What it is: what comes first at one instant."""
    number: int
    """The order of sending, or of the nodes."""
    node: Eui64
    """Who is to act."""
    frame: Any
    """What arrives; None: it only wakes."""


class House:
    """One home.

    hub      its id, which changes when the hub does
    nodes    the machines: the hub first, then its Devices
    han      the network between them
    another  makes a hub with another id, for the same Devices; None: this one is never swapped
    """

    def __init__(
        self,
        hub: Eui64,
        nodes: Mapping[Eui64, Node],
        han: Han,
        another: Callable[[Eui64], Node] | None = None,
    ) -> None:
        self.hub = hub
        self.nodes: dict[Eui64, Node] = dict(nodes)
        self.diary: Diary | None = None
        """Where frames and events are written down; None: they are not."""
        self.now = Instant(0)
        """When something last happened."""
        self.in_flight = 0
        """Frames on their way to anybody in this home."""
        self.outbox: list[tuple[Instant, Frame]] = []
        """What was sent to the DCC, and when; the world empties it."""
        self.mischief: Mischief | None = None
        """What is done to frames on this HAN."""
        self._han = han
        self._another = another
        self._queue: list[_Due] = []
        self._numbers = 0
        self._wishes: dict[Eui64, Instant] = {}
        self._alarms: dict[Eui64, Instant] = {}
        self._order = {node: number for number, node in enumerate(self.nodes)}
        self._skews: dict[Eui64, int] = {}
        self._off: set[Eui64] = set()

    def start(self, now: Instant) -> None:
        """Switch everything on."""
        for eui, node in self.nodes.items():
            self._take(eui, node.start(now), now)

    @property
    def next_at(self) -> Instant | None:
        """When something happens next of its own accord."""
        queue = self._queue
        while queue:
            at, rank, _, node, _ = queue[0]
            if rank != _ALARM or (self._alarms.get(node) == at == self._wishes.get(node)):
                return at
            heapq.heappop(queue)
            self._put_off(node, at)
        return None

    def arrive(self, at: Instant, number: int, frame: Frame) -> None:
        """Something comes over the WAN; `number` keeps the order among equals."""
        self.in_flight += 1
        heapq.heappush(self._queue, _Due(at, _FROM_WAN, number, self.hub, frame))

    def run(self, until: Instant) -> None:
        """Let everything happen up to and including `until`."""
        while (at := self.next_at) is not None and at <= until:
            _, rank, _, node, frame = heapq.heappop(self._queue)
            self.now = at
            machine = self.nodes.get(node)
            if rank == _ALARM:
                del self._alarms[node], self._wishes[node]
                if machine is not None:
                    self._take(node, machine.wake(self._clock(node, at)), at)
                continue
            self.in_flight -= 1
            if machine is None:
                self._report(at, node, Unclaimed(frame))
            elif frame.__class__ is not HanFrame or not self._converse(frame, at, until):
                self._take(node, machine.receive(frame, self._clock(node, at)), at)

    # What somebody does to it

    def power_off(self, node: Eui64) -> None:
        """Take a node's power: it forgets what is not in its memory, and what comes for it is lost."""
        self.nodes[node].stop()
        self._off.add(node)
        self._wishes.pop(node, None)

    def power_on(self, node: Eui64, now: Instant) -> None:
        """Give it back, if it is gone."""
        if node in self._off:
            self._off.discard(node)
            self.do(node, lambda machine, at: machine.start(at), now)

    def install(self, node: Eui64, machine: Node, now: Instant) -> None:
        """Put a machine in a node's place, and switch it on."""
        self._wishes.pop(node, None)
        self._off.add(node)
        self._order.setdefault(node, len(self._order))
        self.nodes[node] = machine
        self.power_on(node, now)

    def swap_hub(self, new: Eui64, now: Instant) -> None:
        """Another hub comes, with empty slots, and the Devices join it."""
        if self._another is None:
            return
        self.power_off(self.hub)
        del self.nodes[self.hub]
        self.hub = self._han.hub = new
        self.install(new, self._another(new), now)
        for device, machine in self.nodes.items():
            if device != new and hasattr(machine, "join"):
                self.do(device, lambda machine, at: machine.join(new, at), now)

    def skew(self, node: Eui64, microseconds: int, now: Instant) -> None:
        """Set a node's clock wrong by so much, and let it look at it."""
        self._skews.pop(node, None)
        if microseconds:
            self._skews[node] = microseconds
        self.do(node, lambda machine, at: machine.wake(at), now)

    def do(self, node: Eui64, deed: Callable[[Any, Instant], Step], now: Instant) -> None:
        """Do something to a machine that is neither a frame nor a time, and carry what it says."""
        machine = self.nodes.get(node)
        if machine is not None:
            self._take(node, deed(machine, self._clock(node, now)), now)

    # The general way

    def _clock(self, node: Eui64, now: Instant) -> Instant:
        return Instant(now + self._skews.get(node, 0)) if self._skews else now

    def _take(self, node: Eui64, step: Step, now: Instant) -> None:
        for event in step.events:
            self._report(now, node, event)
        for frame in step.send:
            if frame.__class__ is HanFrame:
                self._air(node, frame, now)
            else:
                if self.diary is not None:
                    self.diary.trace.append(Traced(now, str(node), *told(frame)))
                self.outbox.append((now, frame))
        # A node that names no time keeps the one it named before: to be woken for nothing does no harm.
        if step.wake is not None:
            self._wish(node, max(Instant(step.wake - self._skews.get(node, 0)), now))

    def _air(self, node: Eui64, frame: HanFrame, now: Instant) -> None:
        if self.diary is not None:
            self.diary.trace.append(Traced(now, str(node), *self._told(frame)))
        if self.mischief is not None:
            frame = self.mischief.on_han(self.hub, frame, now)
        for at, carried in self._han.carry(frame, now):
            self._send(at, carried)

    def _send(self, at: Instant, frame: HanFrame) -> None:
        self._numbers += 1
        self.in_flight += 1
        heapq.heappush(self._queue, _Due(at, _FROM_HAN, self._numbers, frame.destination, frame))

    def _told(self, frame: HanFrame) -> tuple[str, tuple[Eui64, ...], str, bytes]:
        far = frame.source if frame.destination == self.hub else frame.destination
        return str(frame.destination), (far,), frame.cluster.name, frame.octets

    def _report(self, now: Instant, node: Eui64, event: Any) -> None:
        if self.diary is not None:
            self.diary.events.append(Reported(now, str(node), event))

    # Alarms: one place in the queue for each node, moved only when it comes up, as most are put off by then

    def _wish(self, node: Eui64, at: Instant) -> None:
        self._wishes[node] = at
        alarm = self._alarms.get(node)
        if alarm is None or at < alarm:
            self._alarms[node] = at
            heapq.heappush(self._queue, _Due(at, _ALARM, self._order[node], node, None))

    def _put_off(self, node: Eui64, at: Instant) -> None:
        """An alarm has come up that is not, or no longer, for now."""
        if self._alarms.get(node) != at:
            return  # an earlier one took its place
        del self._alarms[node]
        wish = self._wishes.get(node)
        if wish is not None:
            self._wish(node, wish)

    # The straight way

    def _converse(self, frame: HanFrame, at: Instant, until: Instant) -> bool:
        """Carry on a block transfer from a frame that arrives at `at`; False: that is not one, or not now.

        Each machine answers straight, or says that it wants a closer look. The frame after that, or after the
        time is up, goes into the queue like any other.
        """
        to_hub = frame.destination == self.hub
        device = frame.source if to_hub else frame.destination
        if frame.cluster is not Cluster.OTA or self._skews:
            return False
        serving, fetching = _lane(self.nodes.get(self.hub), device), _lane(self.nodes.get(device), self.hub)
        if serving is None or fetching is None:
            return False
        most, quiet, latency = self._han.clear(device, at)
        (serve, _), (fetch, blocks) = serving, fetching
        last = min(until, quiet - 1, self._until(at))
        hops = min(most, 2 * blocks - 1, (last - at) // latency + 1)
        if hops <= 0:
            return False
        here, there = (serve, fetch) if to_hub else (fetch, serve)
        if self.diary is not None:
            here = self._written(here, frame.destination, device)
            there = self._written(there, frame.source, device)
        octets, arrival = frame.octets, int(at)
        for arrival in range(at, at + hops * latency, latency):
            step = here(octets, arrival)  # type: ignore[arg-type] # an Instant, but for a call that costs
            if step is None:
                break
            octets = step.send[0]
            here, there = there, here
        else:
            arrival += latency
        sent = (arrival - at) // latency
        if not sent:
            return False
        self._han.passed(device, sent)
        self.now = Instant(arrival - latency)
        ends = (frame.source, frame.destination)
        self._send(Instant(arrival), HanFrame(ends[sent & 1], ends[~sent & 1], Cluster.OTA, octets))
        return True

    def _until(self, at: Instant) -> Instant:
        """The last instant at which nobody else has a turn."""
        following = self.next_at
        last = _EVER if following is None else Instant(following - 1)
        return last if self.mischief is None else min(last, self.mischief.quiet(self.hub, at))

    def _written(self, answer: Straight, node: Eui64, device: Eui64) -> Straight:
        """The same answers, and each in the trace."""
        assert self.diary is not None
        trace = self.diary.trace
        whom = device if node == self.hub else self.hub
        names = str(node), str(whom), (device,), Cluster.OTA.name

        def written(octets: bytes, now: Instant) -> Step | None:
            step = answer(octets, now)
            if step is not None:
                trace.append(Traced(now, *names, step.send[0]))
            return step

        return written


def _lane(node: Any, peer: Eui64) -> tuple[Straight, int] | None:
    """A node's half of the block transfer with `peer`, and for how many frames it goes straight on."""
    ask = getattr(node, "lane", None)
    found: tuple[Straight, int] | None = None if ask is None else ask(peer)
    return found


def told(frame: Frame) -> tuple[str, tuple[Eui64, ...], str, bytes]:
    """What the trace says of a frame that leaves the home or comes in: for whom, about whom, what, octets."""
    match frame:
        case ToUser(user, octets, devices):
            return str(user), devices, "to User", octets
        case WanImage(hub, _, image, devices):
            return str(hub), devices, "WAN image", image
        case WanImageReceipt(_, _, device, delivered, _):
            return DCC_NAME, (device,), "WAN image receipt", b"\x01" if delivered else b"\x00"
        case WanGbcs(hub, device, octets, outbound):
            return str(hub) if outbound else DCC_NAME, (device,), "WAN GBCS", octets
        case WanHubFirmware(hub):
            return DCC_NAME, (hub,), "WAN hub firmware", frame.version.number.to_bytes(4, "big")
        case WanDeviceLeft(_, device):
            return DCC_NAME, (device,), "WAN device left", b""
        case WanUnreachable(unreached):
            _, devices, _, octets = told(unreached)
            return DCC_NAME, devices, "WAN unreachable", octets
        case HanFrame():
            raise TypeError("a HAN frame never leaves its home")
