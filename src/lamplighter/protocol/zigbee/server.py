"""The OTA server for one client: what a Communications Hub runs for each Device that it has an image for.

One offer at a time, one transfer at a time. Each offer ends in exactly one outcome: `Delivered`,
`HardwareMismatch`, `NotNeeded` or `Undelivered`. Two things slow a client down, both said by WAIT_FOR_DATA: a
minimum block period, and a hub that serves another client first (`held`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

from lamplighter.kit import Chart, DecodeError, Instant, Step
from lamplighter.kit.instant import DAY, HOUR, to_zigbee
from lamplighter.protocol.zigbee import frame
from lamplighter.protocol.zigbee.client import Nonsense
from lamplighter.protocol.zigbee.commands import (
    JITTER_MAX,
    WAIT_FOR_COMMAND,
    AbortTransfer,
    ImageBlockRequest,
    ImageId,
    ImageNotify,
    ImagePageRequest,
    NextImage,
    NoNextImage,
    QueryNextImageRequest,
    Status,
    UpgradeEndRequest,
    UpgradeEndResponse,
    WaitForData,
)
from lamplighter.protocol.zigbee.frame import Frame
from lamplighter.protocol.zigbee.upload import Upload

if TYPE_CHECKING:
    from lamplighter.protocol.zigbee.commands import Command
    from lamplighter.protocol.zigbee.exchange import Straight

LIFETIME: Final = 7 * DAY  # of an offer; our own choice
NOTIFY_PERIOD: Final = 1 * HOUR  # between notices to a client that has not asked yet; our own choice
HOLD_SECONDS: Final = 300  # that a client is told to wait while another is served; our own choice


@dataclass(frozen=True, slots=True)
class Offer:
    """An image for the client."""

    image: ImageId
    """What it is."""

    octets: bytes
    """The whole OTA file."""

    minimum_hardware: int
    """Lowest hardware version that it fits, u16."""

    maximum_hardware: int
    """Highest hardware version that it fits, u16."""

    delay: int | None
    """What the Upgrade End Response says: seconds until activation; None: wait for a command."""


class Cause(Enum):
    """Why an offer came to nothing."""

    UNASKED = "the client never asked for it"
    UNFINISHED = "the client did not finish in time"
    ABORTED = "the client aborted"
    REJECTED = "the client found the image invalid"
    EXHAUSTED = "the client kept asking without getting on"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The client has the whole image and found it good: it said so, or runs it."""

    image: ImageId
    """The image."""


@dataclass(frozen=True, slots=True)
class HardwareMismatch:
    """The client's hardware version lies outside the image's range."""

    image: ImageId
    """The image."""

    hardware: int
    """The client's hardware version."""


@dataclass(frozen=True, slots=True)
class NotNeeded:
    """The client runs this version already."""

    image: ImageId
    """The image."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The client did not get the image."""

    image: ImageId
    """The image."""

    cause: Cause
    """Why."""


ServerEvent: TypeAlias = Delivered | HardwareMismatch | NotNeeded | Undelivered | Nonsense


class State(Enum):
    """Where a server stands with its client."""

    EMPTY = auto()
    OFFERED = auto()
    SERVING = auto()
    DELIVERED = auto()


class Signal(Enum):
    """What moves it."""

    OFFER = auto()
    SERVE = auto()
    DELIVER = auto()
    CLOSE = auto()


CHART: Final = Chart(
    "OTA server",
    State.EMPTY,
    {
        (State.EMPTY, Signal.OFFER): State.OFFERED,
        (State.OFFERED, Signal.SERVE): State.SERVING,
        (State.OFFERED, Signal.CLOSE): State.EMPTY,
        (State.SERVING, Signal.SERVE): State.SERVING,
        (State.SERVING, Signal.CLOSE): State.EMPTY,
        (State.SERVING, Signal.DELIVER): State.DELIVERED,
        (State.DELIVERED, Signal.OFFER): State.OFFERED,
    },
)


class OtaServer:
    """Serves one client.

    period  the minimum block period, milliseconds, 0..65535: no two blocks go out closer than that; 0: none
    """

    __slots__ = ("_due", "_offer", "_period", "_transaction", "_until", "_upload", "held", "state")

    def __init__(self, period: int = 0) -> None:
        self.state = CHART.start
        self.held = False
        """Whether blocks are held back, because another client has its turn."""
        self._period = period
        self._offer: Offer | None = None
        self._upload: Upload | None = None
        self._transaction = 0
        self._until = Instant(0)
        self._due: Instant | None = None

    @property
    def due(self) -> Instant | None:
        """When to call `wake`."""
        return self._due if self._upload is None else self._upload.due

    @property
    def busy(self) -> bool:
        """Whether an offer is open, so that `offer` would have to wait."""
        return not CHART.allows(self.state, Signal.OFFER)

    @property
    def serving(self) -> bool:
        """Whether the client is fetching the image."""
        return self.state is State.SERVING

    @property
    def reached(self) -> int:
        """Octets of the image that were served at least once, in this transfer."""
        return 0 if self._upload is None else self._upload.reached

    def lane(self) -> Straight | None:
        """The upload's own fast path: see `OtaClient.lane`; None: not now."""
        return None if self._upload is None or self.held else self._upload.straight

    def offer(self, offer: Offer, now: Instant, until: Instant | None = None) -> Step:
        """Take an image for the client, and tell it. The offer ends at `until`, or after its `LIFETIME`."""
        self._fire(Signal.OFFER)
        self._offer = offer
        self._until = Instant(now + LIFETIME) if until is None else until
        return self._notify(offer, now)

    def receive(self, octets: bytes, now: Instant) -> Step:
        """Take one frame from the client. Any octets will do."""
        upload = self._upload
        if upload is not None and not self.held:
            step = upload.straight(octets, now)
            if step is not None:
                return step
        try:
            heard = frame.decode(octets)
        except DecodeError as error:
            return Step((), (Nonsense(error),), self.due)
        match heard.command:
            case QueryNextImageRequest(current, hardware):
                return self._asked(heard.transaction, current, hardware)
            case ImageBlockRequest() | ImagePageRequest() as request:
                if upload is None:
                    return self._answer(heard.transaction, AbortTransfer())
                if self.held:
                    clock = to_zigbee(now)
                    return self._answer(
                        heard.transaction, WaitForData(clock, clock + HOLD_SECONDS, self._period)
                    )
                return self._uploaded(upload.answer(heard.transaction, request, now))
            case UpgradeEndRequest(status, image):
                return self._ended(heard.transaction, status, image, now)
            case _:
                return self._on()

    def wake(self, now: Instant) -> Step:
        """A notice, the next block of a page, or the end of the offer is due."""
        offer = self._offer
        if offer is None or self.due is None or now < self.due:
            return self._on()
        if now >= self._until:
            return self._close(Cause.UNASKED if self._upload is None else Cause.UNFINISHED)
        return self._notify(offer, now) if self._upload is None else self._uploaded(self._upload.wake(now))

    def _uploaded(self, step: Step) -> Step:
        """The transfer has one thing to report: that its budget is used up."""
        return self._close(Cause.EXHAUSTED, step.send) if step.events else step

    def _fire(self, signal: Signal) -> None:
        self.state = CHART.fire(self.state, signal)

    def _on(self) -> Step:
        return Step((), (), self.due)

    def _answer(self, transaction: int, command: Command) -> Step:
        return Step((frame.encode(Frame(transaction, command, quiet=True)),), (), self.due)

    def _notify(self, offer: Offer, now: Instant) -> Step:
        self._due = min(Instant(now + NOTIFY_PERIOD), self._until)
        self._transaction = (self._transaction + 1) & 0xFF
        image = offer.image
        return self._answer(
            self._transaction, ImageNotify(JITTER_MAX, image.manufacturer, image.image_type, image.version)
        )

    def _asked(self, transaction: int, current: ImageId, hardware: int | None) -> Step:
        """Every check that the offer is for this client, then the offer."""
        nothing = self._answer(transaction, NoNextImage(Status.NO_IMAGE_AVAILABLE))
        offer = self._offer
        if offer is None or not self.busy:
            return nothing
        image = offer.image
        if (current.manufacturer, current.image_type) != (image.manufacturer, image.image_type):
            return nothing  # a Device may ask for several image types in turn
        if hardware is not None and not offer.minimum_hardware <= hardware <= offer.maximum_hardware:
            return self._end(Signal.CLOSE, HardwareMismatch(image, hardware), nothing.send)
        if current.version == image.version:
            if self._upload is not None and self._upload.complete:  # its Upgrade End Request was lost
                return self._end(Signal.DELIVER, Delivered(image), nothing.send)
            return self._end(Signal.CLOSE, NotNeeded(image), nothing.send)
        self._fire(Signal.SERVE)
        if self._upload is None:  # else the client starts again, and the same budget goes on
            self._upload = Upload(image, offer.octets, self._until, self._period)
        return self._answer(transaction, NextImage(image, len(offer.octets)))

    def _ended(self, transaction: int, status: Status, image: ImageId, now: Instant) -> Step:
        """Believe an end only for the image on offer, and a success only for one that was served whole."""
        offer = self._offer
        if offer is None or image != offer.image:
            return self._on()
        if self.state is State.DELIVERED and status is Status.SUCCESS:  # it did not hear the first answer
            return self._answer(transaction, _upgrade(offer, now))
        if self._upload is None:
            return self._on()
        match status:
            case Status.SUCCESS if self._upload.complete:
                answer = self._answer(transaction, _upgrade(offer, now))
                return self._end(Signal.DELIVER, Delivered(image), answer.send)
            case Status.SUCCESS:
                return self._on()
            case Status.ABORT:
                return self._close(Cause.ABORTED)
            case _:
                return self._close(Cause.REJECTED)

    def _close(self, cause: Cause, send: tuple[bytes, ...] = ()) -> Step:
        assert self._offer is not None  # only an open offer is closed
        return self._end(Signal.CLOSE, Undelivered(self._offer.image, cause), send)

    def _end(self, signal: Signal, outcome: ServerEvent, send: tuple[bytes, ...]) -> Step:
        self._fire(signal)
        self._upload = None
        self._due = None
        if signal is Signal.CLOSE:
            self._offer = None
        return Step(send, (outcome,))


def _upgrade(offer: Offer, now: Instant) -> UpgradeEndResponse:
    current = to_zigbee(now)
    return UpgradeEndResponse(
        offer.image, current, WAIT_FOR_COMMAND if offer.delay is None else current + offer.delay
    )
