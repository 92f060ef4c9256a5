"""One Communications Hub: image slots, an OTA server for each Device, CCS08 alerts, and the relay of GBCS."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from lamplighter.kit import Chart, DecodeError, Eui64, FirmwareVersion, Instant, Step
from lamplighter.kit.instant import MINUTE, SECOND
from lamplighter.lab.hub.events import Discard, HubEvent, Passed, Rebooted, Returned, Stray, Unfit
from lamplighter.lab.hub.memory import Held, Memory, Outward, Record
from lamplighter.lab.hub.post import Post
from lamplighter.lab.hub.settings import Activation, Settings
from lamplighter.lab.wire import (
    Cluster,
    HanFrame,
    WanDeviceLeft,
    WanGbcs,
    WanHubFirmware,
    WanImage,
    WanImageReceipt,
    acknowledge,
    digest,
)
from lamplighter.protocol import gbcs, zigbee
from lamplighter.protocol import image as images
from lamplighter.protocol.gbcs import AlertCode, TransferResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.protocol.smki import Signer

BOOT_TIME: Final = 2 * MINUTE  # from the order to reboot until the hub speaks again; an assumption
FIRMWARE: Final = FirmwareVersion(0x0100_0000)  # of a hub, where nobody says otherwise
WAN_TAKES: Final = 1 * SECOND  # until what was said over the WAN is off the hub's hands; an assumption
UNBOUNDED: Final = 1 << 32  # blocks: the server's half of a lane never ends by itself
RELAYED: Final = 32  # messages of a Device that its hub knows again, and relays once


class Life(Enum):
    """Whether a hub lives."""

    OFF = auto()
    BOOTING = auto()
    RUNNING = auto()


class Turn(Enum):
    """What moves it."""

    POWER = auto()
    REBOOT = auto()
    BOOT = auto()
    CUT = auto()


CHART: Final = Chart(
    "Communications Hub",
    Life.OFF,
    {
        (Life.OFF, Turn.POWER): Life.RUNNING,
        (Life.RUNNING, Turn.REBOOT): Life.BOOTING,
        (Life.BOOTING, Turn.BOOT): Life.RUNNING,
        (Life.BOOTING, Turn.REBOOT): Life.BOOTING,
        (Life.RUNNING, Turn.CUT): Life.OFF,
        (Life.BOOTING, Turn.CUT): Life.OFF,
    },
)


class Hub:
    """One hub.

    eui64     the CHF's identifier, which is the hub's
    signer    the CHF's signing key
    acb       the Access Control Broker, who gets the alerts
    devices   the Devices that have joined its HAN
    firmware  what it leaves the factory with; not looked at beside a memory
    capable   whether that can update PPMIDs and HCALCSs; not looked at beside a memory
    settings  what kind of hub it is
    memory    what it remembers: give the same one to the machine that goes on after a power cut
    """

    __slots__ = (
        "_acb",
        "_alarm",
        "_boot_at",
        "_clear_at",
        "_devices",
        "_draft",
        "_events",
        "_post",
        "_progress",
        "_relayed",
        "_sent",
        "_served",
        "_server",
        "_servers",
        "_settings",
        "_signer",
        "eui64",
        "life",
        "memory",
    )

    def __init__(
        self,
        eui64: Eui64,
        signer: Signer,
        *,
        acb: Eui64,
        devices: Mapping[Eui64, Activation],
        firmware: FirmwareVersion = FIRMWARE,
        capable: bool = True,
        settings: Settings | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.eui64 = eui64
        self.life = CHART.start
        self.memory = memory or Memory(Record(firmware, capable))
        self._signer = signer
        self._acb = acb
        self._devices = dict(devices)
        self._settings = settings or Settings()
        self._forget()

    def _forget(self) -> None:
        """All that is not in the memory, as it is before anything has happened."""
        self._draft = self.memory.record
        self._servers = {device: self._new_server() for device in self._devices}
        self._served: Eui64 | None = None  # whose turn it is to be sent an image
        self._server: zigbee.OtaServer | None = None  # and its server
        self._progress = 0, Instant(0)  # the octets that it had been sent, and when another Device saw that
        self._post = Post(
            self.eui64, self._draft.mail, room=self._settings.mail, hold=self._settings.mail_hold
        )
        self._relayed: dict[Eui64, deque[bytes]] = {}
        self._boot_at: Instant | None = None
        self._clear_at: Instant | None = None
        self._alarm: Instant | None = None
        self._sent: list[Any] = []
        self._events: list[HubEvent] = []

    @property
    def firmware(self) -> FirmwareVersion:
        """What it runs."""
        return self.memory.record.firmware

    @property
    def capable(self) -> bool:
        """Whether it can update PPMIDs and HCALCSs."""
        return self.memory.record.capable

    # Power

    def start(self, now: Instant) -> Step:
        """Power on; nothing where it has power."""
        if self.life is Life.OFF:
            self._fire(Turn.POWER)
            self._begin(now)
        return self._step()

    def stop(self) -> Step:
        """Power off: all but the memory is gone. `start` goes on from there."""
        if self.life is not Life.OFF:
            self._fire(Turn.CUT)
        self._forget()
        return Step()

    def reboot(self, now: Instant) -> Step:
        """Be gone for `BOOT_TIME`."""
        if self.life is not Life.OFF:
            self._fire(Turn.REBOOT)
            self._forget()
            self._boot_at = Instant(now + BOOT_TIME)
        return self._step()

    def upgrade(self, version: FirmwareVersion, now: Instant) -> Step:
        """Get new firmware of its own, which can update every Device, and tell the DSP once it runs (N64)."""
        told = WanHubFirmware(self.eui64, version, capable=True)
        outbox = (*self._draft.outbox, told)
        self._draft = replace(self._draft, firmware=version, capable=True, outbox=outbox)
        self.memory.commit(self._draft)
        return self.reboot(now)

    # The HAN itself

    def join(self, device: Eui64, activation: Activation) -> Step:
        """A Device joins the HAN."""
        if device not in self._devices:
            self._devices[device] = activation
            self._servers[device] = self._new_server()
        return self._step()

    def leave(self, device: Eui64, now: Instant) -> Step:
        """A Device leaves the HAN: what lay here for it is discarded, and the DSP hears of it (N43)."""
        if self.life is Life.RUNNING and device in self._devices:
            self._discard(device, Discard.LEFT, now)
            self._tell(WanDeviceLeft(self.eui64, device), now)
        self._post.forget(device)
        for book in (self._devices, self._servers, self._relayed):
            book.pop(device, None)
        return self._step()

    def discard(self, now: Instant) -> Step:
        """Discard every image, as a hub does that runs short of room or loses its flash (CCS08 code 1)."""
        if self.life is Life.RUNNING:
            for held in self._draft.held:
                self._discard(held.device, Discard.ORDERED, now)
        return self._step()

    def receive(self, frame: HanFrame | WanImage | WanGbcs, now: Instant) -> Step:
        """Take a frame from the HAN or the WAN; nothing is heard while it does not run."""
        if self.life is not Life.RUNNING:
            return self._step()
        match frame:
            case HanFrame(source, _, cluster, octets):
                server = self._server
                if (
                    server is not None
                    and cluster is Cluster.OTA
                    and (source is self._served or source == self._served)
                    and not self._post.waiting
                ):
                    step = server.receive(octets, now)
                    if not step.events:  # the long run of blocks: nothing to remember and nothing to report
                        alarm, wake = self._alarm, step.wake
                        wake = alarm if wake is None or (alarm is not None and alarm < wake) else wake
                        return Step(
                            tuple([HanFrame(self.eui64, source, cluster, o) for o in step.send]), (), wake
                        )
                    self._after(source, server, step, now)
                else:
                    self._from_device(frame, now)
            case WanGbcs(_, device, octets):
                if device in self._devices:
                    self._post.take(device, octets, now)
                else:
                    self._events.append(Stray(device))
            case WanImage():
                self._take(frame, now)
        return self._step()

    def lane(self, device: Eui64) -> tuple[zigbee.Straight, int] | None:
        """Where the world may hand it block requests of the transfer in hand directly: `OtaServer.lane`."""
        if self._server is None or device != self._served or self._post.waiting:
            return None
        straight = self._server.lane()
        return None if straight is None else (straight, UNBOUNDED)

    def wake(self, now: Instant) -> Step:
        """Boot, or let the servers that are due speak, and knock again at Devices that sleep."""
        if self._boot_at is not None and now >= self._boot_at:
            self._boot_at = None
            self._fire(Turn.BOOT)
            self._begin(now)
        elif self.life is Life.RUNNING:
            for device, server in self._servers.items():
                if server.due is not None and server.due <= now:
                    self._after(device, server, server.wake(now), now)
            self._post.wake(now)
            if self._clear_at is not None and now >= self._clear_at:
                self._clear_at = None
                self._draft = replace(self._draft, outbox=())
        return self._step()

    def _fire(self, turn: Turn) -> None:
        self.life = CHART.fire(self.life, turn)

    def _begin(self, now: Instant) -> None:
        """Go on where the memory says."""
        if self._draft.outbox:
            self._sent += self._draft.outbox
            self._clear_at = Instant(now + WAN_TAKES)
        self._events.append(Rebooted(self.firmware))
        for held in self._draft.held:
            if held.device not in self._devices:
                self._discard(held.device, Discard.LEFT, now)
            elif not self._settings.keeps_over_reboot:
                self._discard(held.device, Discard.REBOOT, now)
            else:
                self._offer(held, now)
        self._post.start(now)

    def _step(self) -> Step:
        """Nothing leaves the hub before its memory has what it is about."""
        post = self._post
        self._sent += post.sent
        self._events += map(Returned, post.returned)
        post.sent.clear()
        post.returned.clear()
        if post.mail is not self._draft.mail:
            self._draft = replace(self._draft, mail=post.mail)
        if self._draft is not self.memory.record:
            self.memory.commit(self._draft)
        dues = [server.due for server in self._servers.values()]
        dues += [self._post.due, self._boot_at, self._clear_at]
        self._alarm = min((due for due in dues if due is not None), default=None)
        step = Step(tuple(self._sent), tuple(self._events), self._alarm)
        self._sent.clear()
        self._events.clear()
        return step

    # Devices

    def _from_device(self, frame: HanFrame, now: Instant) -> None:
        source, _, cluster, octets = frame
        server = self._servers.get(source)
        if server is None:
            self._events.append(Stray(source))
            return
        if cluster is Cluster.OTA:
            server.held = not self._may_be_served(source, now)
            self._after(source, server, server.receive(octets, now), now)
        elif cluster is Cluster.TUNNELING:
            self._relay(source, octets)
            self._sent.append(acknowledge(frame))
        else:
            self._post.acknowledged(source, octets, now)
        self._post.heard(source, now)

    def _relay(self, source: Eui64, octets: bytes) -> None:
        """Pass a Device's message on, once."""
        known = self._relayed.setdefault(source, deque(maxlen=RELAYED))
        name = digest(octets)
        if name not in known:
            known.append(name)
            self._sent.append(WanGbcs(self.eui64, source, octets, outbound=False))

    # Images

    def _take(self, frame: WanImage, now: Instant) -> None:
        """Hold the image and offer it to each Device; a receipt for each says whether that could be done.

        It cannot where the octets are no image, all slots are taken, the hub's own firmware cannot update
        such a Device, the Device has not joined, or another image is on its way to it: that one is finished
        first, and the DSP may try again.
        """
        try:
            images.decode(frame.image, images.Layout.SRV_11_4)  # the trailer is not the hub's
        except DecodeError as error:
            self._events.append(Unfit(error))
            fit = False
        else:
            fit = True
        for device in frame.devices:
            taken = fit and self._free(device, frame.image)
            self._tell(WanImageReceipt(self.eui64, frame.transfer, device, taken, now), now)
            if taken:
                held = Held(device, frame.image, Instant(now + self._settings.hold))
                self._draft = replace(self._draft, held=(*self._draft.held, held))
                self._offer(held, now)

    def _free(self, device: Eui64, octets: bytes) -> bool:
        """Whether the Device can be offered this image."""
        activation = self._devices.get(device)
        if activation is None or (activation is not Activation.METER and not self._draft.capable):
            return False
        slots = {held.octets for held in self._draft.held}
        if octets not in slots and len(slots) >= self._settings.slots:
            return False
        return not self._servers[device].busy

    def _offer(self, held: Held, now: Instant) -> None:
        header = images.decode(held.octets, images.Layout.SRV_11_4).header
        offer = zigbee.Offer(
            zigbee.ImageId(header.manufacturer, header.image_type, header.file_version),
            held.octets,
            header.minimum_hardware,
            header.maximum_hardware,
            delay=self._devices[held.device].delay,
        )
        server = self._servers[held.device]
        self._after(held.device, server, server.offer(offer, now, held.until), now)

    def _new_server(self) -> zigbee.OtaServer:
        return zigbee.OtaServer(self._settings.block_period)

    def _may_be_served(self, device: Eui64, now: Instant) -> bool:
        """One transfer at a time: whether it is this Device's turn, or nobody's."""
        if self._server is None or device == self._served:
            return True
        reached, since = self._progress
        if reached != self._server.reached:
            self._progress = self._server.reached, now
            return False
        return now - since > self._settings.stall

    def _after(self, device: Eui64, server: zigbee.OtaServer, step: Step, now: Instant) -> None:
        """What a Device's server wants done: frames to the Device, and an alert for an outcome."""
        self._sent += [HanFrame(self.eui64, device, Cluster.OTA, octets) for octets in step.send]
        for event in step.events:
            result = _result(event)
            if result is None:
                self._events.append(event)
            else:
                self._close(device, event.image.version, result, event, now)
        if server.serving and not server.held:
            if device != self._served:
                self._served, self._server, self._progress = device, server, (0, now)
        elif device == self._served:
            self._served = self._server = None

    def _discard(self, device: Eui64, rule: Discard, now: Instant) -> None:
        """Discard the image that is held for a Device, if one is."""
        for held in self._draft.held:
            if held.device == device:
                version = images.decode(held.octets, images.Layout.SRV_11_4).header.file_version
                self._close(device, version, TransferResult.IMAGE_DISCARDED, rule, now)
                self._servers[device] = self._new_server()
                if device == self._served:
                    self._served = self._server = None

    def _close(
        self,
        device: Eui64,
        version: FirmwareVersion,
        result: TransferResult,
        why: zigbee.ServerEvent | Discard,
        now: Instant,
    ) -> None:
        """Free the slot and tell the ACB (CCS08), in one write."""
        record = self._draft
        held = tuple(held for held in record.held if held.device != device)
        self._draft = replace(record, held=held, alerts=record.alerts + 1)
        success = result is TransferResult.SUCCESS
        code = AlertCode.TRANSFER_SUCCEEDED if success else AlertCode.TRANSFER_FAILED
        message = gbcs.compose(
            gbcs.Ccs08Alert(code, now, device, version, result),
            originator=self.eui64,
            recipient=self._acb,
            counter=self._draft.alerts,
        )
        alert = WanGbcs(self.eui64, self.eui64, gbcs.sign(message, self._signer), outbound=False)
        self._tell(alert, now)
        self._events.append(Passed(device, version, result, why))

    def _tell(self, frame: Outward, now: Instant) -> None:
        """Say something over the WAN, and be ready to say it again if the power fails just now."""
        self._draft = replace(self._draft, outbox=(*self._draft.outbox, frame))
        self._sent.append(frame)
        self._clear_at = Instant(now + WAN_TAKES)


def _result(event: zigbee.ServerEvent) -> TransferResult | None:
    """The outcome as CCS08 has it; None: no outcome."""
    match event:
        case zigbee.Delivered():
            return TransferResult.SUCCESS
        case zigbee.NotNeeded() | zigbee.Undelivered(cause=zigbee.Cause.UNASKED):
            return TransferResult.IMAGE_DISCARDED
        case zigbee.HardwareMismatch():
            return TransferResult.HARDWARE_VERSION_MISMATCH
        case zigbee.Undelivered():
            return TransferResult.FILE_TRANSFER_FAILURE
        case zigbee.Nonsense():
            return None
