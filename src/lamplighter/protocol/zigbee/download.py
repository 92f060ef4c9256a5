"""The client's half of a block transfer: a machine of its own, from the first request to the last octet.

It asks for one block (or one page) at a time, in order, and keeps only what it asked for: the right image, at
the right offset, no longer than asked. Anything else is passed over and does not move the deadline, so that
only progress buys time and the transfer ends against any peer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from lamplighter.kit import Chart, Step
from lamplighter.kit.instant import HOUR, MILLISECOND, SECOND, Instant
from lamplighter.protocol.zigbee import frame
from lamplighter.protocol.zigbee.commands import (
    AbortTransfer,
    Command,
    ImageBlock,
    ImageBlockRequest,
    ImageId,
    ImagePageRequest,
    WaitForData,
)
from lamplighter.protocol.zigbee.exchange import (
    ANSWER_HEADS,
    ANSWER_OCTETS,
    REQUEST,
    REQUEST_CONTROL,
    REQUEST_ID,
)
from lamplighter.protocol.zigbee.frame import Frame

ANSWER_TIMEOUT: Final = 5 * SECOND  # our own choice; the ZCL leaves it to the client
TRIES: Final = 10  # the same question, before the peer is taken for gone; our own choice
WAITS: Final = 60  # WAIT_FOR_DATA in a row without a block between them; our own choice
WAIT_MAX: Final = 24 * HOUR  # the longest that one WAIT_FOR_DATA may ask for; our own choice


class Reason(Enum):
    """Why a client gave a transfer up."""

    NO_ANSWER = "the server did not answer"
    ABORTED_BY_SERVER = "the server aborted"
    ABORTED = "this side aborted"
    OTHER_IMAGE = "the server answered with another image"
    TOO_LARGE = "the image does not fit"
    SAME_VERSION = "the offered version runs already"
    ENDLESS_WAIT = "the server kept saying WAIT_FOR_DATA"
    REJECTED = "the image failed its checks"


@dataclass(frozen=True, slots=True)
class Complete:
    """Every octet is here."""

    octets: bytes
    """The whole file."""


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The transfer is over without an image."""

    reason: Reason
    """Why."""


class State(Enum):
    """Where a download stands."""

    ASKING = auto()
    PAUSED = auto()
    COMPLETE = auto()
    GIVEN_UP = auto()


class Signal(Enum):
    """What moves it."""

    BLOCK = auto()
    PAUSE = auto()
    ASK = auto()
    LAST = auto()
    GIVE_UP = auto()


CHART: Final = Chart(
    "OTA download",
    State.ASKING,
    {
        (State.ASKING, Signal.BLOCK): State.ASKING,
        (State.ASKING, Signal.ASK): State.ASKING,
        (State.ASKING, Signal.PAUSE): State.PAUSED,
        (State.ASKING, Signal.LAST): State.COMPLETE,
        (State.ASKING, Signal.GIVE_UP): State.GIVEN_UP,
        (State.PAUSED, Signal.ASK): State.ASKING,
        (State.PAUSED, Signal.GIVE_UP): State.GIVEN_UP,
    },
)


class Download:
    """Fetches `size` octets of `image`.

    transaction  of the latest question; the next one takes the next
    block        octets to ask for at a time, 1..255 (40 to 64 fit a HAN frame)
    page         octets to ask for with one Image Page Request; 0: block by block
    """

    __slots__ = (
        "_answer",
        "_block",
        "_image_of",
        "_page",
        "_page_end",
        "_period",
        "_received",
        "_request",
        "_size",
        "_tries",
        "_waits",
        "_want",
        "due",
        "image",
        "state",
        "transaction",
    )

    def __init__(self, image: ImageId, size: int, transaction: int, *, block: int, page: int = 0) -> None:
        self.image = image
        self.transaction = transaction
        self.state = CHART.start
        self.due: Instant | None = None
        self._image_of = (image.manufacturer, image.image_type, image.version.number)
        self._size = size
        self._block = block
        self._page = page
        self._page_end = 0
        self._received = bytearray()
        self._period = 0
        self._tries = TRIES
        self._waits = WAITS
        self._want = 0
        self._request = b""
        self._answer = b""

    @property
    def offset(self) -> int:
        """Octets received so far: the File Offset of the next."""
        return len(self._received)

    @property
    def sure(self) -> int:
        """Blocks for which `straight` is sure to ask for another, if they are what was asked for."""
        if self._period or self._page or self.state is not State.ASKING:
            return 0
        return max(self._size - self.offset - 1, 0) // self._block

    def start(self, now: Instant) -> Step:
        """The first request."""
        return self._ask(now)

    def straight(self, octets: bytes, now: Instant) -> Step | None:
        """Take exactly the block that was asked for, and ask for the next; None: look closer."""
        length = len(octets) - ANSWER_OCTETS
        if not 0 < length <= self._want or octets[:16] != self._answer or octets[16] != length:
            return None
        received = self._received
        received += octets[ANSWER_OCTETS:]
        offset = len(received)
        left = self._size - offset
        if not left or self._period:
            return self._stored(now)
        # The arrow (ASKING, BLOCK) leads back to ASKING, so there is no state to change.
        self.transaction = transaction = (self.transaction + 1) & 0xFF
        self._want = want = min(left, self._block)
        self._request = request = REQUEST.pack(
            REQUEST_CONTROL, transaction, REQUEST_ID, 0, *self._image_of, offset, want
        )
        self._answer = ANSWER_HEADS[transaction] + request[4:16]
        self._tries = TRIES
        self._waits = WAITS
        self.due = due = Instant(now + ANSWER_TIMEOUT)
        return Step((request,), (), due)

    def answer(self, heard: Frame, now: Instant) -> Step:
        """Take any frame."""
        if self.state is not State.ASKING or heard.transaction != self.transaction:
            return self._on()
        match heard.command:
            case ImageBlock(image) if image != self.image:
                return self.give_up(Reason.OTHER_IMAGE)
            case ImageBlock(_, offset, data) if offset == self.offset and 0 < len(data) <= self._want:
                self._received += data
                return self._stored(now)
            case WaitForData(current, request, period):
                return self._wait(current, request, period, now)
            case AbortTransfer():
                return self.give_up(Reason.ABORTED_BY_SERVER)
            case _:
                return self._on()

    def wake(self, now: Instant) -> Step:
        """The pause is over, or nobody answered."""
        if self.due is None or now < self.due:
            return self._on()
        if self.state is State.PAUSED:
            return self._ask(now)
        self._tries -= 1
        if not self._tries:
            return self.give_up(Reason.NO_ANSWER)
        if self._page:
            return self._ask(now)  # a page may have come in part: the question is no longer the same
        self._fire(Signal.ASK)
        self.due = Instant(now + ANSWER_TIMEOUT)
        return Step((self._request,), (), self.due)  # the same transaction, so that a late answer counts

    def give_up(self, reason: Reason) -> Step:
        """End without an image."""
        self._fire(Signal.GIVE_UP)
        self._received.clear()
        return Step((), (GaveUp(reason),))

    def _fire(self, signal: Signal) -> None:
        self.state = CHART.fire(self.state, signal)
        if self.state is not State.ASKING:
            self._answer = b""  # nothing is awaited, so nothing compares equal
            self.due = None

    def _on(self) -> Step:
        return Step((), (), self.due)

    def _ask(self, now: Instant) -> Step:
        self._fire(Signal.ASK)
        offset = self.offset
        self.transaction = (self.transaction + 1) & 0xFF
        self._want = min(self._block, self._size - offset)
        question: Command
        if self._page:
            length = min(self._page, self._size - offset)
            self._page_end = offset + length
            question = ImagePageRequest(self.image, offset, self._want, length, self._period)
            self._request = frame.encode(Frame(self.transaction, question))
        else:
            question = ImageBlockRequest(self.image, offset, self._want, None, self._period or None)
            self._request = frame.encode(Frame(self.transaction, question))
            self._answer = ANSWER_HEADS[self.transaction] + self._request[4:16]
        self.due = Instant(now + ANSWER_TIMEOUT)
        return Step((self._request,), (), self.due)

    def _stored(self, now: Instant) -> Step:
        self._tries = TRIES
        self._waits = WAITS
        offset = self.offset
        if offset == self._size:
            self._fire(Signal.LAST)
            return Step((), (Complete(bytes(self._received)),))
        if offset < self._page_end:
            self._fire(Signal.BLOCK)
            self._want = min(self._block, self._page_end - offset)
            self.due = Instant(now + ANSWER_TIMEOUT + self._period * MILLISECOND)
            return self._on()
        if self._period:
            return self._pause(self._period * MILLISECOND, now)
        return self._ask(now)

    def _wait(self, current: int, request: int, period: int, now: Instant) -> Step:
        self._waits -= 1
        delay = max(request - current, 0) * SECOND
        if not self._waits or delay > WAIT_MAX:
            return self.give_up(Reason.ENDLESS_WAIT)
        self._period = period
        self._tries = TRIES
        return self._pause(max(delay, period * MILLISECOND), now)

    def _pause(self, delay: int, now: Instant) -> Step:
        self._fire(Signal.PAUSE)
        self.due = Instant(now + delay)
        return self._on()
