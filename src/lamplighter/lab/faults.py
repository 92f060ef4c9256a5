"""Faults by name: what can be made to go wrong, when, where and how often, repeatable from one seed.

Each has one entry in `FAULTS`, which documents it. A `Scheduled` fault is one of them with a time, a place
and a probability; any number of them act together. They reach a rehearsal in four ways, and in no other:

    frames        what is carried gets lost, doubled, late, or altered
    instants      at a time somebody takes a plug out, swaps a hub, sets a clock wrong
    services      the DCC or a User's endpoint is not there
    manufacture   the image or its entry on the CPL is bad from the start: `Lab.build_firmware`, `Lab.publish`

Each fault rolls dice of its own for each home, so that adding one changes nothing in the others.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.lab.dcc.life import Life
from lamplighter.lab.devices import Behaviour, Manner
from lamplighter.lab.wire import Cluster, HanFrame, ToUser, WanGbcs
from lamplighter.protocol import zigbee
from lamplighter.protocol.duis import DeviceType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from lamplighter.lab.dice import Dice, Stream
    from lamplighter.lab.wan import WanFrame
    from lamplighter.lab.world import World

EVER: Final = Instant(1 << 62)
_ONCE: Final = Instant(0)

_ALERT_HEAD: Final = (b"\xdf", b"\x03")  # tag, and CRA flag Alert (GBCS 7.2)
_OTHER_HUB_BIT: Final = 1 << 40  # in which the ids of a home's hubs differ


class Reach(Enum):
    """How a fault reaches the rehearsal."""

    FRAMES = "frames"
    INSTANTS = "instants"
    SERVICES = "services"
    MANUFACTURE = "manufacture"


class Leg(Enum):
    """On which part of its way an alert suffers."""

    HOME = "home"
    """From the Device or hub to the DCC, which guards against replay: a doubled alert goes no further."""
    USER = "user"
    """From the DCC to the User, who has to cope."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing about a fault that can be set."""

    name: str
    """As it is given."""
    default: float | str
    """Its value, where nothing is given."""
    unit: str
    """Its unit, or the words that it may be."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can go wrong."""

    name: str
    """Its name."""
    doc: str
    """What happens, and where it shows."""
    reach: Reach
    """How it reaches the rehearsal."""
    where: str
    """What its `where` may name; empty, it strikes everywhere."""
    each: str
    """What its probability is rolled for."""
    parameters: tuple[Parameter, ...] = ()
    """What can be set."""


_LEG: Final = Parameter("leg", Leg.HOME.value, "home or user")
_HOMES: Final = "regions, hubs, Devices"

FAULTS: Final[Mapping[str, Fault]] = {
    fault.name: fault
    for fault in (
        Fault(
            "lost-alert",
            "An alert is sent and never arrives. On the leg from home to DCC it is a Device's or hub's "
            "alert: no DCC Alert and no Device alert follows from it, and what waits for it times out. On "
            "the leg to the User it is any message that the DCC has for that User.",
            Reach.FRAMES,
            f"{_HOMES}, Users",
            "alert",
            (_LEG,),
        ),
        Fault(
            "duplicated-alert",
            "An alert arrives twice, the second time later. The DCC drops the second one that comes from a "
            "home, because its counter is not above the last; a User gets the same octets twice.",
            Reach.FRAMES,
            f"{_HOMES}, Users",
            "alert",
            (_LEG, Parameter("after", MINUTE // SECOND, "seconds")),
        ),
        Fault(
            "delayed-alert",
            "An alert arrives days late, by itself: later ones overtake it, and where the DCC has heard a "
            "later one of the same Device, it drops the late one as a replay.",
            Reach.FRAMES,
            f"{_HOMES}, Users",
            "alert",
            (_LEG, Parameter("days", 3.0, "days")),
        ),
        Fault(
            "reordered-alerts",
            "Alerts that are sent close together arrive in another order: each is late by a time of its own.",
            Reach.FRAMES,
            f"{_HOMES}, Users",
            "alert",
            (_LEG, Parameter("window", 10 * MINUTE // SECOND, "seconds")),
        ),
        Fault(
            "hub-swap",
            "An installer replaces the Communications Hub. The new one has another id and empty slots; the "
            "inventory moves the home's Devices to it, and they join it. Images and transfers at the old hub "
            "are gone, and what is sent to it reaches nobody.",
            Reach.INSTANTS,
            "regions, hubs",
            "hub",
        ),
        Fault(
            "ppmid-unplugged",
            "Somebody takes the PPMID off its mains at the start and plugs it in again at the end. It hears "
            "and says nothing meanwhile; its flash remembers, and it boots and asks for its image then.",
            Reach.INSTANTS,
            _HOMES,
            "PPMID",
        ),
        Fault(
            "hub-discards-image",
            "The hub throws away the images that it holds, again and again while the fault lasts, and says "
            "so with CCS08 code 1 (image discarded); the User hears N62 with that outcome.",
            Reach.INSTANTS,
            "regions, hubs",
            "hub and time",
            (Parameter("every", HOUR // SECOND, "seconds"),),
        ),
        Fault(
            "bricking-firmware",
            "Firmware that the manufacturer builds meanwhile boots and is never heard of again: no CS09, no "
            "CS06 response, no answer to anything. The Device is not to be saved by a power cut.",
            Reach.MANUFACTURE,
            "types of Device: PPMID, HCALCS, ESME, GSME",
            "build",
        ),
        Fault(
            "wrong-version-firmware",
            "Firmware that the manufacturer builds meanwhile runs, and says that it is another version: the "
            "version in CS09, CS06 and CS08 is not that of the image which was sent.",
            Reach.MANUFACTURE,
            "types of Device: PPMID, HCALCS, ESME, GSME",
            "build",
            (Parameter("version", "01000000", "firmware version, eight hex digits"),),
        ),
        Fault(
            "alert-storm-firmware",
            "Firmware that the manufacturer builds meanwhile raises one needless alert a second after each "
            "boot. The DCC throttles equal alerts, and gives the User sequence id and count.",
            Reach.MANUFACTURE,
            "types of Device: PPMID, HCALCS, ESME, GSME",
            "build",
            (Parameter("alerts", 500, "alerts after a boot"),),
        ),
        Fault(
            "dcc-outage",
            "The DCC is down. Requests get no answer (HTTP 503; `Outage` in process); what comes from homes "
            "waits at the CSP and is heard when the DCC is back, and nothing goes out.",
            Reach.SERVICES,
            "nothing",
            "fault",
        ),
        Fault(
            "endpoint-down",
            "A User's Receive Response service does not answer. The DCC keeps what it has for it, tries "
            "again with growing pauses, and loses nothing.",
            Reach.SERVICES,
            "Users",
            "fault",
        ),
        Fault(
            "clock-skew",
            "The clocks of hubs and Devices are wrong by a constant time: the times in their alerts are, and "
            "an activation for later happens too early or too late.",
            Reach.INSTANTS,
            _HOMES,
            "hub and Device",
            (Parameter("seconds", HOUR // SECOND, "seconds, fast; below 0: slow"),),
        ),
        Fault(
            "corrupt-block",
            "An octet of an Image Block is altered on its way to the Device. The file is fetched to its end "
            "and then fails: at the seal for a PPMID, which tells the hub so (CCS08 code 3, N62), at the "
            "Supplier's signature for an HCALCS or a meter, which tells its Supplier so (8F1C).",
            Reach.FRAMES,
            _HOMES,
            "block",
        ),
        Fault(
            "wrong-hash",
            "What the manufacturer submits meanwhile stands on the CPL under another Manufacturer Image "
            "Hash: requests for the image are refused (E110102, E110402) until it is submitted again.",
            Reach.MANUFACTURE,
            "types of Device: PPMID, HCALCS, ESME, GSME",
            "submission",
        ),
        Fault(
            "slow-region",
            "All that crosses the WAN takes several times as long.",
            Reach.FRAMES,
            "regions, hubs",
            "fault",
            (Parameter("factor", 10.0, "times as long, from 1"),),
        ),
    )
}
"""Every fault that there is, by name."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One fault, with its time and place."""

    name: str
    """Which one; a key of `FAULTS`."""
    start: Instant = _ONCE
    """When it begins."""
    end: Instant = EVER
    """When it is over; that instant is no longer in it."""
    where: frozenset[str] = frozenset()
    """EUI-64s, regions such as `4G North`, or types of Device, as the fault has it; empty: everywhere."""
    probability: float = 1.0
    """How likely it strikes, 0..1, each time that it could."""
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    """What is not to be as `FAULTS` has it."""

    def __post_init__(self) -> None:
        fault = FAULTS.get(self.name)
        if fault is None:
            raise UsageError(f"no fault is called {self.name!r}; there are {', '.join(FAULTS)}")
        known = {parameter.name for parameter in fault.parameters}
        if unknown := set(self.parameters) - known:
            raise UsageError(
                f"{self.name} has no {min(unknown)!r}; it has {', '.join(sorted(known)) or 'none'}"
            )
        if not 0 <= self.probability <= 1 or self.end <= self.start:
            raise UsageError(f"{self.name}: a probability lies in 0..1, and a fault ends after it starts")

    def value(self, name: str) -> float | str:
        """A parameter."""
        (default,) = (p.default for p in FAULTS[self.name].parameters if p.name == name)
        return self.parameters.get(name, default)

    def number(self, name: str) -> float:
        """A parameter that is a number."""
        return float(self.value(name))

    def covers(self, now: Instant, *names: object) -> bool:
        """Whether it is on now, for something that goes by any of these names."""
        return self.start <= now < self.end and self.concerns(*names)

    def concerns(self, *names: object) -> bool:
        """Whether its place is any of these."""
        return not self.where or any(str(name) in self.where for name in names)


@dataclass(frozen=True, slots=True, order=True)
class Deed:
    """Something that is done to the world at an instant; the number keeps the order among faults."""

    at: Instant
    number: int
    what: Callable[[World], object] = field(compare=False)


class Mischief:
    """Faults at work in one world, and how often each has truly done something.

    region_of  the name of a hub's region
    """

    def __init__(
        self, scheduled: Iterable[Scheduled], dice: Dice, region_of: Mapping[Eui64, str] | None = None
    ) -> None:
        self.scheduled = tuple(scheduled)
        self.acted: Counter[str] = Counter()
        """By the name of the fault: what it lost, doubled, held up, altered, took away, set wrong or made."""
        self._dice = dice
        self._region_of = region_of or {}
        self._streams: dict[tuple[object, ...], Stream] = {}
        self._numbered: dict[str, list[tuple[int, Scheduled]]] = {}
        for number, each in enumerate(self.scheduled):
            self._numbered.setdefault(each.name, []).append((number, each))
        self._regions = frozenset(self._region_of.values())

    # Frames

    def on_han(self, hub: Eui64, frame: HanFrame, now: Instant) -> HanFrame:
        """What a frame is like by the time that it arrives."""
        if frame.cluster is not Cluster.OTA or frame.source != hub:
            return frame
        device = frame.destination
        for number, each in self._numbered.get("corrupt-block", ()):
            if each.covers(now, hub, device, self._region(hub)):
                dice = self._stream(number, hub, device)
                if _is_block(frame.octets) and dice.chance(each.probability):
                    self.acted[each.name] += 1
                    octets = bytearray(frame.octets)
                    octets[-1] ^= dice.integer(1, 255)
                    frame = frame._replace(octets=bytes(octets))
        return frame

    def quiet(self, hub: Eui64, now: Instant) -> Instant:
        """Until when nothing is done to the frames of a HAN; before now: something is."""
        until = EVER
        for _, each in self._numbered.get("corrupt-block", ()):
            # A place may be a Device of any home: its region apart, the fault is taken to be everywhere.
            elsewhere = each.where and each.where <= self._regions and self._region(hub) not in each.where
            if now >= each.end or elsewhere:
                continue
            until = min(until, Instant(max(each.start, now) - 1))
        return until

    def on_wan(self, frame: WanFrame, now: Instant, arrival: Instant) -> tuple[Instant, ...]:
        """When a frame arrives that would arrive at `arrival`: perhaps never, or twice."""
        if not isinstance(frame, WanGbcs) or frame.outbound or not is_alert(frame.octets):
            return (arrival,)
        names = (frame.hub, frame.device, self._region(frame.hub))
        return self._suffered(Leg.HOME, frame.hub, names, now, arrival)

    def on_mail(self, mail: ToUser, now: Instant) -> tuple[Instant, ...]:
        """When the DCC gives a message to the post."""
        return self._suffered(Leg.USER, mail.user, (mail.user, *mail.devices), now, now)

    def slower(self, hub: Eui64, now: Instant) -> float:
        """How many times as long the WAN takes."""
        factor = 1.0
        for number, each in self._numbered.get("slow-region", ()):
            if each.covers(now, hub, self._region(hub)) and self._struck(number, each, hub):
                times = max(1.0, each.number("factor"))
                self.acted[each.name] += times > 1
                factor *= times
        return factor

    def _suffered(
        self, leg: Leg, whose: Eui64, names: tuple[object, ...], now: Instant, arrival: Instant
    ) -> tuple[Instant, ...]:
        arrivals = [arrival]
        for name in ("delayed-alert", "reordered-alerts", "duplicated-alert", "lost-alert"):
            for number, each in self._numbered.get(name, ()):
                if each.value("leg") != leg.value or not each.covers(now, *names):
                    continue
                dice = self._stream(number, whose)
                if not dice.chance(each.probability):
                    continue
                self.acted[name] += 1
                match name:
                    case "lost-alert":
                        return ()
                    case "duplicated-alert":
                        arrivals.append(Instant(arrivals[0] + int(each.number("after") * SECOND)))
                    case "delayed-alert":
                        arrivals = [Instant(at + int(each.number("days") * DAY)) for at in arrivals]
                    case _:
                        window = int(each.number("window") * SECOND)
                        arrivals = [Instant(at + dice.integer(0, window)) for at in arrivals]
        return tuple(arrivals)

    # Services

    def dcc_up(self, now: Instant) -> Instant:
        """When the DCC is there: now, or at the end of its outage."""
        up = now
        while (end := self._down("dcc-outage", up)) is not None:
            up = end
        return up

    def endpoint_up(self, user: Eui64, now: Instant) -> bool:
        """Whether a User's endpoint answers."""
        return self._down("endpoint-down", now, user) is None

    def _down(self, name: str, now: Instant, *names: object) -> Instant | None:
        for number, each in self._numbered.get(name, ()):
            if each.covers(now, *names) and self._struck(number, each):
                self.acted[name] += 1
                return each.end
        return None

    # Instants

    def deeds(self, world: World) -> Iterator[Deed]:
        """All that is to be done at an instant, in no order."""
        for number, each in enumerate(self.scheduled):
            start = max(each.start, world.now)
            deed = partial(self._deed, number, each.name)
            match each.name:
                case "hub-swap":
                    for hub in self._struck_homes(number, each, world):
                        yield deed(start, partial(swap_hub, old=hub))
                case "ppmid-unplugged":
                    for device in self._struck_devices(number, each, world, DeviceType.PPMID):
                        yield deed(start, partial(unplug, device=device))
                        if each.end < EVER:
                            yield Deed(each.end, number, partial(plug_in, device=device))
                case "hub-discards-image":
                    yield from self._discards(number, each, start, world)
                case "clock-skew":
                    skew = int(each.number("seconds") * SECOND)
                    for node in self._struck_devices(number, each, world, None):
                        yield deed(start, partial(skew_clock, node=node, microseconds=skew))
                        if each.end < EVER:
                            yield Deed(each.end, number, partial(skew_clock, node=node, microseconds=0))
                case _:
                    pass

    def _deed(self, number: int, name: str, at: Instant, what: Callable[[World], bool]) -> Deed:
        """Something to be done that counts, where it finds anything to do."""

        def done(world: World) -> None:
            self.acted[name] += what(world)

        return Deed(at, number, done)

    def _discards(self, number: int, each: Scheduled, start: Instant, world: World) -> Iterator[Deed]:
        """One deed that puts itself off, since the fault may last for ever."""
        every = max(1, int(each.number("every") * SECOND))
        hubs = tuple(hub for hub in world.hubs if each.concerns(hub, self._region(hub)))

        def discard(world: World) -> None:
            for hub in hubs:
                if self._stream(number, hub).chance(each.probability) and world.node(hub) is not None:
                    self.acted[each.name] += bool(world.node(hub).memory.record.held)
                    world.do(hub, lambda machine, now: machine.discard(now))
            if world.now + every < each.end:
                world.put_off(Deed(Instant(world.now + every), number, discard))

        yield Deed(start, number, discard)

    # Manufacture

    def behaviour(self, kind: str, now: Instant) -> Behaviour:
        """How firmware behaves that is built now for a type of Device."""
        for name in ("bricking-firmware", "wrong-version-firmware", "alert-storm-firmware"):
            for number, each in self._numbered.get(name, ()):
                if each.covers(now, kind) and self._stream(number, kind).chance(each.probability):
                    self.acted[name] += 1
                    match name:
                        case "bricking-firmware":
                            return Behaviour(Manner.NEVER_REPORTS)
                        case "wrong-version-firmware":
                            says = FirmwareVersion.parse(str(each.value("version")))
                            return Behaviour(Manner.WRONG_VERSION, says=says)
                        case _:
                            return Behaviour(Manner.ALERT_STORM, storm=int(each.number("alerts")))
        return Behaviour()

    def submitted(self, kind: str, image_hash: ImageHash, now: Instant) -> ImageHash:
        """The hash under which an image that is submitted now comes onto the CPL."""
        for number, each in self._numbered.get("wrong-hash", ()):
            if each.covers(now, kind) and self._stream(number, kind).chance(each.probability):
                self.acted[each.name] += 1
                return ImageHash(bytes(octet ^ 0xFF for octet in image_hash.octets))
        return image_hash

    # Dice

    def _region(self, hub: Eui64) -> str:
        return self._region_of.get(hub, "")

    def _stream(self, *labels: object) -> Stream:
        found = self._streams.get(labels)
        if found is None:
            found = self._streams[labels] = self._dice.stream("fault", *labels)
        return found

    def _struck(self, number: int, each: Scheduled, *names: object) -> bool:
        """One roll for the whole fault, the same whenever it is asked for."""
        sure = each.probability >= 1
        return sure or self._dice.stream("fault", number, *names).chance(each.probability)

    def _struck_homes(self, number: int, each: Scheduled, world: World) -> Iterator[Eui64]:
        for hub in world.hubs:
            if each.concerns(hub, self._region(hub)) and self._struck(number, each, hub):
                yield hub

    def _struck_devices(
        self, number: int, each: Scheduled, world: World, kind: DeviceType | None
    ) -> Iterator[Eui64]:
        """Devices of a kind; hubs too, where it is any."""
        for entry in world.dcc.inventory:
            if (
                (kind is None or entry.type is kind)
                and world.node(entry.device) is not None
                and each.concerns(entry.device, entry.hub, self._region(entry.hub))
                and self._struck(number, each, entry.device)
            ):
                yield entry.device


def is_alert(octets: bytes) -> bool:
    """Whether a GBCS message is an alert, by its head alone."""
    return (octets[:1], octets[2:3]) == _ALERT_HEAD


def _is_block(octets: bytes) -> bool:
    """Whether a frame of the OTA cluster is an Image Block Response that has data."""
    try:
        return isinstance(zigbee.decode(octets).command, zigbee.ImageBlock)
    except DecodeError:
        return False


def another_hub(hub: Eui64) -> Eui64:
    """The id of the hub that comes in the place of this one, and the other way round."""
    return Eui64.of(int(hub) ^ _OTHER_HUB_BIT)


def unplug(world: World, device: Eui64) -> bool:
    """Take a Device off its mains."""
    world.power_off(device)
    return True


def plug_in(world: World, device: Eui64) -> None:
    """And put it back."""
    world.power_on(device)


def skew_clock(world: World, node: Eui64, microseconds: int) -> bool:
    """Set a clock wrong, unless its hub was swapped for another meanwhile; whether it was."""
    if world.node(node) is None:
        return False
    world.skew(node, microseconds)
    return True


def swap_hub(world: World, old: Eui64) -> bool:
    """An installer's work, and whether it was done: a new hub, to which Devices join; the inventory told."""
    new = another_hub(old)
    inventory = world.dcc.inventory
    entry = inventory.find(old)
    if entry is None or old not in world.hubs:
        return False
    inventory.add(replace(entry, device=new, hub=new))
    for device in inventory.home_of(entry):
        if device.device != old:
            inventory.move(device.device, new)
    inventory.live(old, Life.TAKEN_OUT)
    world.swap_hub(old, new)
    return True
