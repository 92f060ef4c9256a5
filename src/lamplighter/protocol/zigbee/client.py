"""The OTA client: what a Device runs to ask for an image, fetch it, and be told when to activate it.

The image itself is not this machine's business: it hands over `Fetched` and waits for `accept` or `reject`.
It believes no size before it has been compared with the slot, no image that is not of its own manufacturer
and type, and no Upgrade End Response for another image than the one it fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from lamplighter.kit import Chart, DecodeError, Instant, Step
from lamplighter.kit.instant import DAY, SECOND
from lamplighter.protocol.zigbee import frame
from lamplighter.protocol.zigbee.commands import (
    WAIT_FOR_COMMAND,
    ImageId,
    ImageNotify,
    NextImage,
    NoNextImage,
    QueryNextImageRequest,
    Status,
    UpgradeEndRequest,
    UpgradeEndResponse,
)
from lamplighter.protocol.zigbee.download import ANSWER_TIMEOUT, TRIES, Complete, Download, GaveUp, Reason
from lamplighter.protocol.zigbee.frame import Frame

if TYPE_CHECKING:
    from lamplighter.protocol.zigbee.commands import Command
    from lamplighter.protocol.zigbee.exchange import Straight

SCHEDULE_MAX: Final = 365 * DAY  # a later activation is taken for "wait for a command"; our own choice


@dataclass(frozen=True, slots=True)
class NoImage:
    """The server has nothing for this client."""

    status: Status
    """NO_IMAGE_AVAILABLE or NOT_AUTHORIZED."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole file is here; call `accept` or `reject`."""

    image: ImageId
    """What the server said it is. The file itself may say otherwise: check."""

    octets: bytes
    """The file."""


@dataclass(frozen=True, slots=True)
class Activate:
    """The server says: now."""

    image: ImageId
    """The fetched image."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The server says: wait for a command."""

    image: ImageId
    """The fetched image."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The update is over without an image."""

    reason: Reason
    """Why."""


@dataclass(frozen=True, slots=True)
class Nonsense:
    """A frame that is none; it was passed over."""

    error: DecodeError
    """What is wrong with it."""


ClientEvent: TypeAlias = NoImage | Fetched | Activate | Hold | Failed | Nonsense


class State(Enum):
    """Where a client stands."""

    IDLE = auto()
    QUERYING = auto()
    DOWNLOADING = auto()
    VERIFYING = auto()
    ENDING = auto()
    HOLDING = auto()
    SCHEDULED = auto()


class Signal(Enum):
    """What moves it."""

    QUERY = auto()
    NO_IMAGE = auto()
    OFFER = auto()
    COMPLETE = auto()
    ACCEPT = auto()
    REJECT = auto()
    HOLD = auto()
    SCHEDULE = auto()
    ACTIVATE = auto()
    GIVE_UP = auto()


CHART: Final = Chart(
    "OTA client",
    State.IDLE,
    {
        (State.IDLE, Signal.QUERY): State.QUERYING,
        (State.QUERYING, Signal.NO_IMAGE): State.IDLE,
        (State.QUERYING, Signal.OFFER): State.DOWNLOADING,
        (State.QUERYING, Signal.GIVE_UP): State.IDLE,
        (State.DOWNLOADING, Signal.COMPLETE): State.VERIFYING,
        (State.DOWNLOADING, Signal.GIVE_UP): State.IDLE,
        (State.VERIFYING, Signal.ACCEPT): State.ENDING,
        (State.VERIFYING, Signal.REJECT): State.IDLE,
        (State.ENDING, Signal.ACTIVATE): State.IDLE,
        (State.ENDING, Signal.HOLD): State.HOLDING,
        (State.ENDING, Signal.SCHEDULE): State.SCHEDULED,
        (State.ENDING, Signal.GIVE_UP): State.IDLE,
        (State.HOLDING, Signal.QUERY): State.QUERYING,
        (State.HOLDING, Signal.ACTIVATE): State.IDLE,
        (State.HOLDING, Signal.HOLD): State.HOLDING,
        (State.HOLDING, Signal.SCHEDULE): State.SCHEDULED,
        (State.SCHEDULED, Signal.ACTIVATE): State.IDLE,
        (State.SCHEDULED, Signal.HOLD): State.HOLDING,
        (State.SCHEDULED, Signal.SCHEDULE): State.SCHEDULED,
    },
)

_LISTENS_FOR_END: Final = frozenset((State.ENDING, State.HOLDING, State.SCHEDULED))


class OtaClient:
    """One Device's OTA client.

    current   manufacturer and image type of the Device, and the version that runs
    hardware  its hardware version, sent with each query; None: not sent
    slot      octets that its flash slot holds: no larger file is fetched
    block     octets to ask for at a time
    page      octets to ask for with one Image Page Request; 0: block by block
    """

    __slots__ = (
        "_block",
        "_download",
        "_due",
        "_image",
        "_page",
        "_request",
        "_transaction",
        "_tries",
        "current",
        "hardware",
        "slot",
        "state",
    )

    def __init__(
        self, current: ImageId, hardware: int | None, *, slot: int, block: int = 64, page: int = 0
    ) -> None:
        self.current = current
        self.hardware = hardware
        self.slot = slot
        self.state = CHART.start
        self._due: Instant | None = None
        self._block = block
        self._page = page
        self._transaction = 0
        self._request = b""
        self._tries = 0
        self._download: Download | None = None
        self._image: ImageId | None = None

    @property
    def due(self) -> Instant | None:
        """When to call `wake`."""
        return self._due if self._download is None else self._download.due

    @property
    def idle(self) -> bool:
        """Whether `query` would ask now, rather than wait for the update in hand."""
        return CHART.allows(self.state, Signal.QUERY)

    def lane(self) -> tuple[Straight, int] | None:
        """The download's own fast path, and for how many blocks it is sure to ask for another; None: not now.

        For whoever carries frames and knows that nothing comes between: it may hand them over there instead
        of to `receive`, for so many blocks, and nothing else needs to be asked or told.
        """
        download = self._download
        if download is None or not (blocks := download.sure):
            return None
        return download.straight, blocks

    def query(self, now: Instant) -> Step:
        """Ask the server for an image; nothing while an update is in hand."""
        if not self.idle:
            return self._on()
        self._fire(Signal.QUERY)
        return self._ask(QueryNextImageRequest(self.current, self.hardware), now)

    def accept(self, now: Instant) -> Step:
        """The fetched file passed its checks: tell the server, and wait for its word."""
        self._fire(Signal.ACCEPT)
        return self._ask(UpgradeEndRequest(Status.SUCCESS, self._fetched), now)

    def reject(self) -> Step:
        """The fetched file failed its checks. The ZCL answers this with no Upgrade End Response."""
        image = self._fetched
        self._fire(Signal.REJECT)
        farewell = self._say(UpgradeEndRequest(Status.INVALID_IMAGE, image))
        return Step((farewell,), (Failed(Reason.REJECTED),), self._due)

    def abort(self) -> Step:
        """Give the download up, of this side's own accord; nothing in any other state."""
        if self._download is None:
            return self._on()
        return self._after(self._download, self._download.give_up(Reason.ABORTED))

    def receive(self, octets: bytes, now: Instant) -> Step:
        """Take one frame from the server. Any octets will do."""
        download = self._download
        if download is not None:
            step = download.straight(octets, now)
            if step is not None:
                return step if not step.events else self._after(download, step)
        try:
            heard = frame.decode(octets)
        except DecodeError as error:
            return Step((), (Nonsense(error),), self.due)
        if download is not None:
            return self._after(download, download.answer(heard, now))
        match heard.command:
            case ImageNotify() as notice if self.idle and self._concerns(notice):
                return self.query(now)
            case NextImage(image, size) if self._answers_query(heard):
                return self._offered(image, size, now)
            case NoNextImage(status) if self._answers_query(heard):
                self._fire(Signal.NO_IMAGE)
                return Step((), (NoImage(status),))
            case UpgradeEndResponse(image, current, upgrade) if (
                self.state in _LISTENS_FOR_END and image == self._image
            ):
                return self._told(image, current, upgrade, now)
            case _:
                return self._on()

    def wake(self, now: Instant) -> Step:
        """A timeout, a pause or an activation time has come."""
        download = self._download
        if download is not None:
            return self._after(download, download.wake(now))
        if self._due is None or now < self._due:
            return self._on()
        if self.state is State.SCHEDULED:
            return self._activate()
        self._tries -= 1
        if not self._tries:
            return self._give_up(Reason.NO_ANSWER)
        self._due = Instant(now + ANSWER_TIMEOUT)
        return Step((self._request,), (), self._due)  # the same transaction, so that a late answer counts

    @property
    def _fetched(self) -> ImageId:
        assert self._image is not None  # from OFFER on there is one
        return self._image

    def _fire(self, signal: Signal) -> None:
        self.state = CHART.fire(self.state, signal)
        self._due = None

    def _on(self) -> Step:
        return Step((), (), self.due)

    def _say(self, command: Command) -> bytes:
        self._transaction = (self._transaction + 1) & 0xFF
        return frame.encode(Frame(self._transaction, command))

    def _ask(self, question: Command, now: Instant) -> Step:
        self._request = self._say(question)
        self._tries = TRIES
        self._due = Instant(now + ANSWER_TIMEOUT)
        return Step((self._request,), (), self._due)

    def _answers_query(self, heard: Frame) -> bool:
        return self.state is State.QUERYING and heard.transaction == self._transaction

    def _concerns(self, notice: ImageNotify) -> bool:
        """Whether a notice is for this client; the jitter is for broadcasts only (ZCL OTA, Image Notify)."""
        return (
            notice.manufacturer in (None, self.current.manufacturer)
            and notice.image_type in (None, self.current.image_type)
            and notice.version != self.current.version
        )

    def _offered(self, image: ImageId, size: int, now: Instant) -> Step:
        if (image.manufacturer, image.image_type) != (self.current.manufacturer, self.current.image_type):
            return self._give_up(Reason.OTHER_IMAGE)
        if image.version == self.current.version:
            return self._give_up(Reason.SAME_VERSION)
        if not 0 < size <= self.slot:
            return self._give_up(Reason.TOO_LARGE)
        self._fire(Signal.OFFER)
        self._image = image
        self._download = Download(image, size, self._transaction, block=self._block, page=self._page)
        return self._download.start(now)

    def _after(self, download: Download, step: Step) -> Step:
        """Carry on after the download said something."""
        if not step.events:
            return step
        self._transaction = download.transaction
        self._download = None
        match step.events[0]:
            case Complete(octets):
                self._fire(Signal.COMPLETE)
                return Step((), (Fetched(download.image, octets),))
            case GaveUp(Reason.ABORTED_BY_SERVER as reason):
                return self._give_up(reason)
            case GaveUp(reason):
                farewell = self._say(UpgradeEndRequest(Status.ABORT, download.image))
                return self._give_up(reason)._replace(send=(farewell,))
            case other:
                assert_never(other)

    def _told(self, image: ImageId, current: int, upgrade: int, now: Instant) -> Step:
        """When to activate: on command only, at a time told by the server's own clock, or now."""
        delay = (upgrade - current) * SECOND
        if upgrade == WAIT_FOR_COMMAND or delay > SCHEDULE_MAX:
            self._fire(Signal.HOLD)
            return Step((), (Hold(image),))
        if delay <= 0:
            return self._activate()
        self._fire(Signal.SCHEDULE)
        self._due = Instant(now + delay)
        return self._on()

    def _activate(self) -> Step:
        self._fire(Signal.ACTIVATE)
        return Step((), (Activate(self._fetched),))

    def _give_up(self, reason: Reason) -> Step:
        self._fire(Signal.GIVE_UP)
        return Step((), (Failed(reason),))
