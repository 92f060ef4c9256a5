"""What all Devices with firmware have in common: power, boot, the OTA client, GBCS in and out.

A Device obeys its hub in the fetching of an image and in nothing else: what it installs is decided by the
signatures on the image, and whom it answers by those on the command. All that one input changes goes into
the flash in one write, before anything is said aloud; and what is said is said again until the hub
acknowledges it, over any number of power cuts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from lamplighter.kit import Chart, DecodeError, Instant, Step, VerificationError
from lamplighter.kit.instant import HOUR, MINUTE, SECOND
from lamplighter.lab.devices.events import (
    Booted,
    Darkened,
    Discarded,
    Forgotten,
    Hung,
    Kept,
    Refused,
    RolledBack,
)
from lamplighter.lab.devices.firmware import Behaviour, Manner
from lamplighter.lab.devices.flash import OUTBOX_MAX, Flash, Order, Pending
from lamplighter.lab.wire import Cluster, HanFrame, acknowledge
from lamplighter.protocol import gbcs, zigbee
from lamplighter.protocol import image as images

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion
    from lamplighter.lab.devices.maker import Maker
    from lamplighter.lab.devices.schedule import Schedule
    from lamplighter.protocol.smki import Ring

BOOT_TIME: Final = 30 * SECOND  # from the order to reboot until the Device speaks again; an assumption
SLOT_OCTETS: Final = 1_000_000  # of one flash bank; an assumption
BLOCK_OCTETS: Final = 40  # asked for at a time, as is usual on a HAN
REPEAT_AFTER: Final = 1 * MINUTE  # a message that is not acknowledged; doubled each time, up to ...
REPEAT_MAX: Final = 6 * HOUR  # ... this; assumptions
STORM_PERIOD: Final = 1 * SECOND  # between the needless alerts of a storm; an assumption


@dataclass(frozen=True, slots=True)
class Nameplate:
    """What a Device is, whatever runs on it."""

    eui64: Eui64
    """Its identifier."""
    manufacturer: int
    """Zigbee manufacturer code, u16."""
    image_type: int
    """OTA image type, u16."""
    hardware: int
    """Hardware version and revision, u16."""


class Life(Enum):
    """Whether a Device lives."""

    OFF = auto()
    BOOTING = auto()
    RUNNING = auto()
    HUNG = auto()
    DARK = auto()


class Turn(Enum):
    """What moves it."""

    POWER = auto()
    BOOT = auto()
    HANG = auto()
    REBOOT = auto()
    FAIL = auto()
    CUT = auto()


CHART: Final = Chart(
    "Device",
    Life.OFF,
    {
        (Life.OFF, Turn.POWER): Life.BOOTING,
        (Life.BOOTING, Turn.BOOT): Life.RUNNING,
        (Life.BOOTING, Turn.HANG): Life.HUNG,
        (Life.BOOTING, Turn.FAIL): Life.DARK,
        (Life.RUNNING, Turn.REBOOT): Life.BOOTING,
        (Life.BOOTING, Turn.CUT): Life.OFF,
        (Life.RUNNING, Turn.CUT): Life.OFF,
        (Life.HUNG, Turn.CUT): Life.OFF,
        (Life.DARK, Turn.CUT): Life.OFF,
    },
)


class _Firmware(NamedTuple):
    """An image that boots."""

    image: images.Image
    behaviour: Behaviour


class Device(ABC):
    """One Device on a HAN.

    plate  what it is
    flash  what it remembers; give the same one to the machine that goes on after a power cut
    maker  how it knows its manufacturer's firmware
    ring   its own keys and the certificates that it trusts
    hub    its Communications Hub
    acb    the Access Control Broker
    awake  when its radio is on, if it sleeps; it stays awake for as long as it has business with the hub
    """

    POLL: ClassVar[int | None]
    """How often it asks for an image beside each boot and waking; None: it hears every Image Notify."""

    def __init__(
        self,
        plate: Nameplate,
        flash: Flash,
        maker: Maker,
        ring: Ring,
        *,
        hub: Eui64,
        acb: Eui64,
        awake: Schedule | None = None,
    ) -> None:
        self.plate = plate
        self.flash = flash
        self.life = CHART.start
        self.version: FirmwareVersion | None = None
        """What its firmware says that it is, once it runs."""
        self._eui64 = plate.eui64
        self._maker = maker
        self._ring = ring
        self._hub = hub
        self._acb = acb
        self._awake = awake
        self._forget()

    def _forget(self) -> None:
        """All that is not in the flash, as it is before anything has happened."""
        self._draft = self.flash.record
        self._client: zigbee.OtaClient | None = None
        self._running: _Firmware | None = None
        self._boot_at: Instant | None = None
        self._poll_at: Instant | None = None
        self._repeat_at: Instant | None = None
        self._repeats = 0
        self._storm_at: Instant | None = None
        self._storm_left = 0
        self._alarm: Instant | None = None
        self._sent: list[HanFrame] = []
        self._events: list[Any] = []

    def start(self, now: Instant) -> Step:
        """Power on; nothing where it has power."""
        if self.life is Life.OFF:
            self._fire(Turn.POWER)
            self._boot(now)
        return self._step()

    def stop(self) -> Step:
        """Power off: all but the flash is gone. `start` goes on from there."""
        if self.life is not Life.OFF:
            self._fire(Turn.CUT)
        self._forget()
        return Step()

    def join(self, hub: Eui64, now: Instant) -> Step:
        """Belong to another hub: ask it for an image, and say there what the old one did not hear."""
        self._hub = hub
        if self._client is not None:
            self._connect(now)
            if self._boot_at is None and self._draft.outbox:
                self._repeat(now)
        return self._step()

    def receive(self, frame: HanFrame, now: Instant) -> Step:
        """Take a frame from the hub; any octets will do. Nothing is heard while it does not run."""
        source, destination, cluster, octets = frame
        client = self._client
        if (
            client is None
            or (destination is not self._eui64 and destination != self._eui64)
            or (source is not self._hub and source != self._hub)
            or (self._awake is not None and not self._listens(self._awake, client, now))
        ):
            return self._step()
        if cluster is Cluster.OTA:
            step = client.receive(octets, now)
            if (
                not step.events
            ):  # the long run of blocks: nothing to remember, and no alarm but the client's own
                alarm, wake = self._alarm, step.wake
                wake = alarm if wake is None or (alarm is not None and alarm < wake) else wake
                return Step(
                    tuple([HanFrame(self._eui64, self._hub, cluster, o) for o in step.send]), (), wake
                )
            self._ota(step, now)
        elif cluster is Cluster.TUNNELING:
            self._hear(octets, now)
            self._sent.append(acknowledge(frame))
        else:
            self._acknowledged(octets)
        return self._step()

    def lane(self, hub: Eui64) -> tuple[zigbee.Straight, int] | None:
        """Where the world may hand it blocks of its transfer directly, and how many: `OtaClient.lane`."""
        return None if self._client is None or hub != self._hub else self._client.lane()

    def wake(self, now: Instant) -> Step:
        """Boot, ask, say again, or do what was ordered for this time."""
        if self._boot_at is not None and now >= self._boot_at:
            self._boot(now)
        elif self._client is not None:
            self._alarms(self._client, now)
        return self._step()

    @abstractmethod
    def _take(self, image: images.Image, client: zigbee.OtaClient, now: Instant) -> None:
        """Deal with a fetched image that is well formed and for this Device; raise to have it refused."""

    @abstractmethod
    def _read(self, octets: bytes) -> images.Image:
        """Read a fetched file in the layout that this Device is sent."""

    @abstractmethod
    def _told_to_activate(self, now: Instant) -> None:
        """The hub says: now."""

    @abstractmethod
    def _obey(self, opened: gbcs.Opened, now: Instant) -> None:
        """Carry out a command other than CS08; raise to refuse it."""

    @abstractmethod
    def _rave(self, image: images.Image, now: Instant) -> None:
        """Raise an alert for no reason, as firmware that storms does."""

    @abstractmethod
    def _report(self, order: Order, result: gbcs.ActivationResult, now: Instant) -> None:
        """Tell whoever ordered an activation how it went."""

    def _alarms(self, client: zigbee.OtaClient, now: Instant) -> None:
        """What is due while it runs."""
        self._ota(client.wake(now), now)
        if self._poll_at is not None and now >= self._poll_at:
            self._ask(client, now)
        if self._repeat_at is not None and now >= self._repeat_at:
            self._repeat(now)
        if self._storm_at is not None and now >= self._storm_at:
            self._storm(now)

    def _due(self) -> tuple[Instant | None, ...]:
        """When it wants to be woken, for each reason but its OTA client."""
        return (self._boot_at, self._poll_at, self._repeat_at, self._storm_at)

    def _listens(self, schedule: Schedule, client: zigbee.OtaClient, now: Instant) -> bool:
        """Whether the radio is on: in a window, and for as long as there is business."""
        return bool(self._draft.outbox) or not client.idle or schedule.awake(now)

    def _fire(self, turn: Turn) -> None:
        self.life = CHART.fire(self.life, turn)

    def _settle(self) -> None:
        """Write down what has changed, in one write."""
        if self._draft is not self.flash.record:
            self.flash.commit(self._draft)

    def _step(self) -> Step:
        """Nothing leaves the Device before the flash has what it is about."""
        self._settle()
        self._alarm = min((due for due in self._due() if due is not None), default=None)
        wake = None if self._client is None else self._client.due
        if wake is None or (self._alarm is not None and self._alarm < wake):
            wake = self._alarm
        step = Step(tuple(self._sent), tuple(self._events), wake)
        self._sent.clear()
        self._events.clear()
        return step

    # Boot

    def _activate(self, order: Order, now: Instant) -> None:
        """Change over to the pending image, and reboot."""
        self._draft = self._draft.swap(order)
        self._fire(Turn.REBOOT)
        self._client = None
        self._poll_at = self._repeat_at = self._storm_at = None
        self._boot_at = Instant(now + BOOT_TIME)

    def _boot(self, now: Instant) -> None:
        self._boot_at = None
        record = self._draft
        result = gbcs.ActivationResult.SUCCESS
        firmware = self._bootable()
        if record.pending is Pending.TRIAL:
            if isinstance(firmware, _Firmware):
                self._draft = record.confirm()
            else:
                result = gbcs.ActivationResult.ACTIVATION_FAILURE
                self._draft = record.roll_back()
                self._events.append(RolledBack(firmware))
                firmware = self._bootable()
        if not isinstance(firmware, _Firmware):
            self._fire(Turn.FAIL)
            self._events.append(Darkened(firmware))
            return
        self._run(firmware)
        if self.life is Life.HUNG:
            return
        if self._draft.outbox:
            self._repeat(now)
        if record.pending is Pending.TRIAL and record.order is not None:
            self._report(record.order, result, now)
        if firmware.behaviour.storm:
            self._storm_left = firmware.behaviour.storm
            self._storm_at = Instant(now + STORM_PERIOD)
        self._connect(now)

    def _bootable(self) -> _Firmware | DecodeError | VerificationError:
        """The image in the active bank, or why it does not boot."""
        try:
            image = images.decode(self.flash.banks[self._draft.active], images.Layout.SRV_11_4)
            self._maker.verify(image)
            behaviour = Behaviour.read(image.body).at(self.plate.hardware)
        except (DecodeError, VerificationError) as error:
            return error
        if behaviour.manner is Manner.NEVER_BOOTS:
            return VerificationError("firmware-starts", "firmware that starts", behaviour.manner.value)
        return _Firmware(image, behaviour)

    def _run(self, firmware: _Firmware) -> None:
        """Hand over to the firmware."""
        version = firmware.image.header.file_version
        self.version = firmware.behaviour.says or version
        self._running = firmware
        hangs = firmware.behaviour.manner is Manner.NEVER_REPORTS
        self._fire(Turn.HANG if hangs else Turn.BOOT)
        self._events.append(Hung(version) if hangs else Booted(version))

    def _connect(self, now: Instant) -> None:
        """A new OTA client, and its first question."""
        current = zigbee.ImageId(self.plate.manufacturer, self.plate.image_type, self._version)
        self._client = zigbee.OtaClient(current, self.plate.hardware, slot=SLOT_OCTETS, block=BLOCK_OCTETS)
        self._ask(self._client, now)

    def _storm(self, now: Instant) -> None:
        """One more needless alert, unless too many wait already."""
        assert self._running is not None  # only firmware storms
        if len(self._draft.outbox) < OUTBOX_MAX // 2:
            self._storm_left -= 1
            self._rave(self._running.image, now)
        self._storm_at = Instant(now + STORM_PERIOD) if self._storm_left else None

    # The OTA cluster

    def _ask(self, client: zigbee.OtaClient, now: Instant) -> None:
        if self._awake is not None:
            self._poll_at = self._awake.following(now)
        elif self.POLL is not None:
            self._poll_at = Instant(now + self.POLL)
        self._ota(client.query(now), now)

    def _ota(self, step: Step, now: Instant) -> None:
        self._sent += [self._frame(Cluster.OTA, octets) for octets in step.send]
        for event in step.events:
            match event:
                case zigbee.Fetched():
                    self._fetched(event, now)
                case zigbee.Activate():
                    self._told_to_activate(now)
                case _:
                    self._events.append(event)

    def _fetched(self, fetched: zigbee.Fetched, now: Instant) -> None:
        client = self._client
        assert client is not None  # a client fetched it
        try:
            image = self._read(fetched.octets)
            self._match(image.header, fetched.image)
            self._take(image, client, now)
        except (DecodeError, VerificationError) as error:
            self._events.append(Discarded(error))
            self._ota(client.reject(), now)

    def _match(self, header: images.OtaHeader, offered: zigbee.ImageId) -> None:
        """The file must be what the hub said, and fit this hardware, which the hub may have got wrong."""
        said = (header.manufacturer, header.image_type, header.file_version)
        if said != (offered.manufacturer, offered.image_type, offered.version):
            raise VerificationError("image-offered", str(offered), str(said))
        if not header.accepts_hardware(self.plate.hardware):
            allowed = f"{header.minimum_hardware:04X} to {header.maximum_hardware:04X}"
            raise VerificationError("image-hardware", allowed, f"{self.plate.hardware:04X}")

    def _keep(self, image: images.Image) -> None:
        """Hold the image, without the Supplier's trailer, which has done its work."""
        header = replace(image.header, total_size=images.HEADER_OCTETS + image.body.nbytes)
        self._draft = self._draft.discard()
        self._settle()
        self.flash.write(images.encode(images.Image(header, image.body)))
        self._draft = self._draft.keep()
        self._events.append(Kept(header.file_version, image.hash))

    # GBCS

    def _hear(self, octets: bytes, now: Instant) -> None:
        try:
            opened = gbcs.open_message(octets, self._ring, broker=self._acb)
            if isinstance(opened.payload, gbcs.Cs08Command):
                self._admit(opened.message, self._acb)
                self._tell_version(opened.message, now)
            else:
                self._obey(opened, now)
        except (DecodeError, VerificationError) as error:
            self._events.append(Refused(error))

    def _admit(self, message: gbcs.Message, party: Eui64) -> None:
        """The last checks: from whom this Device takes it, for itself, and not heard before."""
        if message.originator != party:
            raise VerificationError("command-originator", str(party), str(message.originator))
        if message.recipient != self._eui64:
            raise VerificationError("command-recipient", str(self._eui64), str(message.recipient))
        last = self._draft.last_heard(party)
        if message.counter <= last:
            raise VerificationError("command-counter", f"above {last}", str(message.counter))
        self._draft = self._draft.hear(party, message.counter)

    def _tell_version(self, command: gbcs.Message, now: Instant) -> None:
        """CS08: the answer bears no signature but a MAC. What would not boot again is told as a failure."""
        sound = isinstance(self._bootable(), _Firmware)
        answer = gbcs.compose(
            gbcs.Cs08Response(self._version, gbcs.Outcome.SUCCESS if sound else gbcs.Outcome.FAILURE),
            originator=self._eui64,
            recipient=command.originator,
            counter=command.counter,
            supplementary=command.supplementary,
        )
        secret = self._ring.secrets(self._acb, self._eui64)[0]
        self._say(gbcs.mac.wrap(gbcs.encode_message(answer), secret), now)

    def _answer(self, payload: gbcs.Payload, party: Eui64, counter: int, now: Instant) -> None:
        """A signed response to the command of this counter."""
        self._sign(payload, party, counter, now, gbcs.CosemDateTime.of(now).octets)

    def _alert(self, payload: gbcs.Payload, party: Eui64, now: Instant) -> None:
        """A signed alert under the next counter."""
        counter = self._draft.alerts + 1
        self._draft = replace(self._draft, alerts=counter)
        self._sign(payload, party, counter, now)

    def _sign(
        self, payload: gbcs.Payload, party: Eui64, counter: int, now: Instant, date_time: bytes = b""
    ) -> None:
        message = gbcs.compose(
            payload,
            originator=self._eui64,
            recipient=party,
            counter=counter,
            date_time=date_time,
        )
        self._say(gbcs.sign(message, self._ring.signer(self._eui64)), now)

    def _say(self, octets: bytes, now: Instant) -> None:
        """Say it, and keep it until the hub has it."""
        if len(self._draft.outbox) >= OUTBOX_MAX:
            self._events.append(Forgotten(self._draft.outbox[0]))
        self._draft = self._draft.say(octets)
        self._sent.append(self._frame(Cluster.TUNNELING, octets))
        if self._repeat_at is None:
            self._repeat_at = Instant(now + REPEAT_AFTER)

    def _repeat(self, now: Instant) -> None:
        """Say again all that the hub has not acknowledged, ever more seldom."""
        self._sent += [self._frame(Cluster.TUNNELING, octets) for octets in self._draft.outbox]
        self._repeats += 1
        self._repeat_at = Instant(now + min(REPEAT_AFTER << min(self._repeats, 16), REPEAT_MAX))

    def _acknowledged(self, octets: bytes) -> None:
        self._draft = self._draft.said(octets)
        if not self._draft.outbox:
            self._repeat_at = None
            self._repeats = 0

    def _frame(self, cluster: Cluster, octets: bytes) -> HanFrame:
        return HanFrame(self._eui64, self._hub, cluster, octets)

    @property
    def _version(self) -> FirmwareVersion:
        assert self.version is not None  # only a Device that runs speaks
        return self.version
