"""One Communications Hub: image slots, an OTA server for each Device, CCS08 alerts, and the relay of GBCS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, Instant, Step
from lamplighter.lab.wire import Cluster, HanFrame, WanGbcs, WanImage, WanImageReceipt
from lamplighter.protocol import gbcs, zigbee
from lamplighter.protocol import image as images
from lamplighter.protocol.gbcs import AlertCode, TransferResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamplighter.protocol.smki import Signer

SLOTS: Final = 4  # different images that a hub holds at once; an assumption


class Activation(Enum):
    """What the Upgrade End Response tells a Device, by its kind: seconds to wait, or None for a command."""

    AT_ONCE = 0
    """PPMID."""
    ON_COMMAND = None
    """HCALCS and meters."""


@dataclass(frozen=True, slots=True)
class Passed:
    """The outcome for one Device, as the CCS08 alert tells it."""

    device: Eui64
    """The Device."""
    version: FirmwareVersion
    """The image's version."""
    result: TransferResult
    """How it went."""
    why: zigbee.ServerEvent
    """What the OTA server said."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """An image from the WAN that is none; no Device gets it."""

    error: DecodeError
    """What is wrong with it."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A frame from or for somebody who is not on this HAN; it was dropped."""

    device: Eui64
    """Whom the frame names."""


HubFrame: TypeAlias = HanFrame | WanGbcs | WanImageReceipt
HubEvent: TypeAlias = Passed | Unfit | Stray | zigbee.Nonsense


class Hub:
    """One hub.

    eui64    the CHF's identifier, which is the hub's
    signer   the CHF's signing key
    acb      the Access Control Broker, who gets the alerts
    devices  the Devices that have joined its HAN
    """

    __slots__ = ("_acb", "_alerts", "_devices", "_held", "_servers", "_signer", "eui64")

    def __init__(
        self, eui64: Eui64, signer: Signer, *, acb: Eui64, devices: Mapping[Eui64, Activation]
    ) -> None:
        self.eui64 = eui64
        self._signer = signer
        self._acb = acb
        self._devices = dict(devices)
        self._servers = {device: zigbee.OtaServer() for device in devices}
        self._held: dict[Eui64, bytes] = {}  # the image in whose slot each open offer lies
        self._alerts = 0

    def start(self, now: Instant) -> Step:  # noqa: ARG002 # the shape of every node
        """Power on: nothing to do until somebody speaks."""
        return self._step()

    def receive(self, frame: HanFrame | WanImage | WanGbcs, now: Instant) -> Step:
        """Take a frame from the HAN or the WAN."""
        match frame:
            case HanFrame(source, _, cluster, octets):
                return self._from_device(source, cluster, octets, now)
            case WanGbcs(_, device, octets):
                if device not in self._devices:
                    return self._step((), (Stray(device),))
                return self._step((HanFrame(self.eui64, device, Cluster.TUNNELING, octets),))
            case WanImage():
                return self._take(frame, now)

    def wake(self, now: Instant) -> Step:
        """Let the servers that are due speak."""
        send: list[HubFrame] = []
        events: list[HubEvent] = []
        for device, server in self._servers.items():
            if server.due is not None and server.due <= now:
                said, happened = self._served(device, server.wake(now), now)
                send += said
                events += happened
        return self._step(send, events)

    def _step(self, send: Sequence[HubFrame] = (), events: Sequence[HubEvent] = ()) -> Step:
        due = min((s.due for s in self._servers.values() if s.due is not None), default=None)
        return Step(tuple(send), tuple(events), due)

    def _from_device(self, source: Eui64, cluster: Cluster, octets: bytes, now: Instant) -> Step:
        server = self._servers.get(source)
        if server is None:
            return self._step((), (Stray(source),))
        if cluster is Cluster.TUNNELING:
            return self._step((WanGbcs(self.eui64, source, octets, outbound=False),))
        return self._step(*self._served(source, server.receive(octets, now), now))

    def _take(self, frame: WanImage, now: Instant) -> Step:
        """Hold the image and offer it to each Device; a receipt for each says whether that could be done.

        It cannot where the octets are no image, all slots are taken, the Device has not joined, or another
        image is on its way to it: that one is finished first, and the DSP may try again.
        """
        send: list[HubFrame] = []
        events: list[HubEvent] = []
        try:
            header = images.decode(frame.image, images.Layout.SRV_11_4).header  # the trailer is not the hub's
        except DecodeError as error:
            header = None
            events.append(Unfit(error))
        for device in frame.devices:
            server = None if header is None else self._free(device, frame.image)
            send.append(WanImageReceipt(self.eui64, frame.transfer, device, server is not None))
            if header is not None and server is not None:
                self._held[device] = frame.image
                offer = _offer(header, frame.image, self._devices[device])
                said, happened = self._served(device, server.offer(offer, now), now)
                send += said
                events += happened
        return self._step(send, events)

    def _free(self, device: Eui64, octets: bytes) -> zigbee.OtaServer | None:
        """The Device's server, if it can take an offer of this image."""
        slots = set(self._held.values())
        server = self._servers.get(device)
        if server is None or server.busy or (octets not in slots and len(slots) >= SLOTS):
            return None
        return server

    def _served(self, device: Eui64, step: Step, now: Instant) -> tuple[list[HubFrame], list[HubEvent]]:
        """What a Device's server wants done: frames to the Device, and an alert for an outcome."""
        send: list[HubFrame] = [HanFrame(self.eui64, device, Cluster.OTA, octets) for octets in step.send]
        events: list[HubEvent] = []
        for event in step.events:
            result = _result(event)
            if result is None:
                events.append(event)
                continue
            del self._held[device]
            version = event.image.version
            send.append(self._alert(device, version, result, now))
            events.append(Passed(device, version, result, event))
        return send, events

    def _alert(
        self, device: Eui64, version: FirmwareVersion, result: TransferResult, now: Instant
    ) -> WanGbcs:
        """CCS08, signed by the CHF, under a counter never used before."""
        self._alerts += 1
        success = result is TransferResult.SUCCESS
        code = AlertCode.TRANSFER_SUCCEEDED if success else AlertCode.TRANSFER_FAILED
        message = gbcs.compose(
            gbcs.Ccs08Alert(code, now, device, version, result),
            originator=self.eui64,
            recipient=self._acb,
            counter=self._alerts,
        )
        return WanGbcs(self.eui64, self.eui64, gbcs.sign(message, self._signer), outbound=False)


def _offer(header: images.OtaHeader, octets: bytes, activation: Activation) -> zigbee.Offer:
    image = zigbee.ImageId(header.manufacturer, header.image_type, header.file_version)
    return zigbee.Offer(
        image, octets, header.minimum_hardware, header.maximum_hardware, delay=activation.value
    )


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
