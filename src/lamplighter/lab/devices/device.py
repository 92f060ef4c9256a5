"""What PPMID and HCALCS have in common: power, boot, the OTA client, GBCS in and out.

A Device obeys its hub in the fetching of an image and in nothing else: what it installs is decided by the
signatures on the image, and whom it answers by those on the command. Everything it must not forget goes into
its flash before it is said aloud.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Final

from lamplighter.kit import Chart, DecodeError, Instant, Step, VerificationError
from lamplighter.kit.instant import SECOND
from lamplighter.lab.devices.flash import Flash, Order, Pending
from lamplighter.lab.wire import Cluster, HanFrame
from lamplighter.protocol import gbcs, zigbee
from lamplighter.protocol import image as images

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion, ImageHash
    from lamplighter.lab.devices.maker import Maker
    from lamplighter.protocol.smki import Ring

BOOT_TIME: Final = 30 * SECOND  # from the order to reboot until the Device speaks again; an assumption
SLOT_OCTETS: Final = 1_000_000  # of one flash bank; an assumption
BLOCK_OCTETS: Final = 40  # asked for at a time, as is usual on a HAN


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


@dataclass(frozen=True, slots=True)
class Booted:
    """The Device runs."""

    version: FirmwareVersion
    """What it runs."""


@dataclass(frozen=True, slots=True)
class Darkened:
    """No image in the active bank that boots."""

    error: DecodeError | VerificationError
    """What is wrong with it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An image passed its checks and waits for its activation."""

    version: FirmwareVersion
    """Its version."""
    hash: ImageHash
    """Its Manufacturer Image Hash."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """An image failed its checks."""

    error: DecodeError | VerificationError
    """Which one."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A new image did not boot, and the one before it runs again."""

    error: DecodeError | VerificationError
    """What is wrong with the new image."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A command was not obeyed."""

    error: DecodeError | VerificationError
    """Why."""


class Life(Enum):
    """Whether a Device lives."""

    OFF = auto()
    BOOTING = auto()
    RUNNING = auto()
    DARK = auto()


class Turn(Enum):
    """What moves it."""

    POWER = auto()
    BOOT = auto()
    REBOOT = auto()
    FAIL = auto()


CHART: Final = Chart(
    "Device",
    Life.OFF,
    {
        (Life.OFF, Turn.POWER): Life.BOOTING,
        (Life.BOOTING, Turn.BOOT): Life.RUNNING,
        (Life.BOOTING, Turn.FAIL): Life.DARK,
        (Life.RUNNING, Turn.REBOOT): Life.BOOTING,
    },
)


class Device(ABC):
    """One Device on a HAN.

    plate  what it is
    flash  what it remembers; give the same one to the machine that goes on after a power cut
    maker  how it knows its manufacturer's firmware
    ring   its own keys and the certificates that it trusts
    hub    its Communications Hub
    acb    the Access Control Broker
    """

    POLL: ClassVar[int | None]
    """How often it asks for an image beside each boot; None: it hears every Image Notify."""

    def __init__(
        self, plate: Nameplate, flash: Flash, maker: Maker, ring: Ring, *, hub: Eui64, acb: Eui64
    ) -> None:
        self.plate = plate
        self.flash = flash
        self.life = CHART.start
        self.version: FirmwareVersion | None = None
        """What runs, once it runs."""
        self._maker = maker
        self._ring = ring
        self._hub = hub
        self._acb = acb
        self._client: zigbee.OtaClient | None = None
        self._boot_at: Instant | None = None
        self._poll_at: Instant | None = None
        self._sent: list[HanFrame] = []
        self._events: list[Any] = []

    def start(self, now: Instant) -> Step:
        """Power on."""
        self._fire(Turn.POWER)
        self._boot(now)
        return self._step()

    def receive(self, frame: HanFrame, now: Instant) -> Step:
        """Take a frame from the hub; any octets will do. Nothing is heard while it does not run."""
        client = self._client
        if client is not None and frame.source == self._hub and frame.destination == self.plate.eui64:
            if frame.cluster is Cluster.OTA:
                self._ota(client.receive(frame.octets, now), now)
            else:
                self._hear(frame.octets, now)
        return self._step()

    def wake(self, now: Instant) -> Step:
        """Boot, ask, or do what was ordered for this time."""
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
    def _report(self, order: Order, result: gbcs.ActivationResult, now: Instant) -> None:
        """Tell whoever ordered an activation how it went."""

    def _alarms(self, client: zigbee.OtaClient, now: Instant) -> None:
        """What is due while it runs."""
        self._ota(client.wake(now), now)
        if self._poll_at is not None and now >= self._poll_at:
            self._ask(client, now)

    def _due(self) -> tuple[Instant | None, ...]:
        """When it wants to be woken, for each reason."""
        return (self._boot_at, self._poll_at, None if self._client is None else self._client.due)

    def _fire(self, turn: Turn) -> None:
        self.life = CHART.fire(self.life, turn)

    def _step(self) -> Step:
        step = Step(
            tuple(self._sent),
            tuple(self._events),
            min((due for due in self._due() if due is not None), default=None),
        )
        self._sent.clear()
        self._events.clear()
        return step

    # Boot

    def _activate(self, order: Order, now: Instant) -> None:
        """Change over to the pending image, and reboot."""
        self.flash.swap(order)
        self._fire(Turn.REBOOT)
        self._client = None
        self._poll_at = None
        self._boot_at = Instant(now + BOOT_TIME)

    def _boot(self, now: Instant) -> None:
        self._boot_at = None
        record = self.flash.record
        result = gbcs.ActivationResult.SUCCESS
        image = self._bootable()
        if record.pending is Pending.TRIAL:
            if isinstance(image, images.Image):
                self.flash.confirm()
            else:
                result = gbcs.ActivationResult.ACTIVATION_FAILURE
                self.flash.roll_back()
                self._events.append(RolledBack(image))
                image = self._bootable()
        if not isinstance(image, images.Image):
            self._fire(Turn.FAIL)
            self._events.append(Darkened(image))
            return
        self._fire(Turn.BOOT)
        self.version = image.header.file_version
        self._events.append(Booted(self.version))
        if record.pending is Pending.TRIAL and record.order is not None:
            self._report(record.order, result, now)
        current = zigbee.ImageId(self.plate.manufacturer, self.plate.image_type, self.version)
        self._client = zigbee.OtaClient(current, self.plate.hardware, slot=SLOT_OCTETS, block=BLOCK_OCTETS)
        self._ask(self._client, now)

    def _bootable(self) -> images.Image | DecodeError | VerificationError:
        """The image in the active bank, or why it does not boot."""
        try:
            image = images.decode(self.flash.active, images.Layout.SRV_11_4)
            self._maker.verify(image)
        except (DecodeError, VerificationError) as error:
            return error
        return image

    # The OTA cluster

    def _ask(self, client: zigbee.OtaClient, now: Instant) -> None:
        self._poll_at = None if self.POLL is None else Instant(now + self.POLL)
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
        self.flash.keep(images.encode(images.Image(header, image.body)))
        self._events.append(Kept(header.file_version, image.hash))

    # GBCS

    def _hear(self, octets: bytes, now: Instant) -> None:
        try:
            opened = gbcs.open_message(octets, self._ring, broker=self._acb)
            if isinstance(opened.payload, gbcs.Cs08Command):
                self._admit(opened.message, self._acb)
                self._tell_version(opened.message)
            else:
                self._obey(opened, now)
        except (DecodeError, VerificationError) as error:
            self._events.append(Refused(error))

    def _admit(self, message: gbcs.Message, party: Eui64) -> None:
        """The last checks: from whom this Device takes it, for itself, and not heard before."""
        if message.originator != party:
            raise VerificationError("command-originator", str(party), str(message.originator))
        if message.recipient != self.plate.eui64:
            raise VerificationError("command-recipient", str(self.plate.eui64), str(message.recipient))
        last = self.flash.record.last_heard(party)
        if message.counter <= last:
            raise VerificationError("command-counter", f"above {last}", str(message.counter))
        self.flash.commit(self.flash.record.hear(party, message.counter))

    def _tell_version(self, command: gbcs.Message) -> None:
        """CS08: the answer bears no signature but a MAC."""
        answer = gbcs.compose(
            gbcs.Cs08Response(self._running, gbcs.Outcome.SUCCESS),
            originator=self.plate.eui64,
            recipient=command.originator,
            counter=command.counter,
            supplementary=command.supplementary,
        )
        secret = self._ring.secrets(self._acb, self.plate.eui64)[0]
        self._say(gbcs.mac.wrap(gbcs.encode_message(answer), secret))

    def _answer(self, payload: gbcs.Payload, party: Eui64, counter: int, now: Instant) -> None:
        """A signed response to the command of this counter."""
        self._sign(payload, party, counter, gbcs.CosemDateTime.of(now).octets)

    def _alert(self, payload: gbcs.Payload, party: Eui64) -> None:
        """A signed alert under the next counter, which is used up before it is said."""
        record = self.flash.record
        counter = record.alerts + 1
        self.flash.commit(replace(record, alerts=counter))
        self._sign(payload, party, counter, b"")

    def _sign(self, payload: gbcs.Payload, party: Eui64, counter: int, date_time: bytes) -> None:
        message = gbcs.compose(
            payload,
            originator=self.plate.eui64,
            recipient=party,
            counter=counter,
            date_time=date_time,
        )
        self._say(gbcs.sign(message, self._ring.signer(self.plate.eui64)))

    def _say(self, octets: bytes) -> None:
        self._sent.append(self._frame(Cluster.TUNNELING, octets))

    def _frame(self, cluster: Cluster, octets: bytes) -> HanFrame:
        return HanFrame(self.plate.eui64, self._hub, cluster, octets)

    @property
    def _running(self) -> FirmwareVersion:
        assert self.version is not None  # only a Device that runs speaks
        return self.version
