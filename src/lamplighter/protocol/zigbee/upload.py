"""The server's half of a block transfer: a machine of its own, which answers block and page requests.

It keeps no copy and trusts no offset: each answer is cut from the image within its bounds. Asking again for
what was served already is how a client survives loss, but it is counted: a client that never moves on is
aborted, so that the transfer ends against any peer.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Chart, Step
from lamplighter.kit.instant import MILLISECOND, SECOND, Instant, to_zigbee
from lamplighter.protocol.zigbee import frame
from lamplighter.protocol.zigbee.commands import (
    AbortTransfer,
    ImageBlock,
    ImageBlockRequest,
    ImageId,
    ImagePageRequest,
    WaitForData,
)
from lamplighter.protocol.zigbee.exchange import ANSWER_HEADS, REQUEST_CONTROL, REQUEST_OCTETS
from lamplighter.protocol.zigbee.frame import Frame

if TYPE_CHECKING:
    from lamplighter.protocol.zigbee.commands import Command

BLOCK_OCTETS_MAX: Final = 64  # what one HAN frame holds without fragmentation; our own choice
REPEATS_MIN: Final = 1_000  # blocks served again before a client is aborted, beside one for each ...
OCTETS_A_REPEAT: Final = 4  # ... so many octets of the image: a dozen fresh starts; our own choice
SPACING_MIN: Final = 1 * MILLISECOND  # between the blocks of a page, so that spacing 0 is no burst

_OFFSET_AND_MAXIMUM: Final = struct.Struct("<IB")
_LENGTHS: Final = tuple(bytes((length,)) for length in range(256))


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The client asked again and again without moving on, and was aborted."""


class State(Enum):
    """Where an upload stands."""

    SERVING = auto()
    PAGING = auto()
    ABORTED = auto()


class Signal(Enum):
    """What moves it."""

    BLOCK = auto()
    PAGE = auto()
    PAGE_END = auto()
    ABORT = auto()


CHART: Final = Chart(
    "OTA upload",
    State.SERVING,
    {
        (State.SERVING, Signal.BLOCK): State.SERVING,
        (State.SERVING, Signal.PAGE): State.PAGING,
        (State.SERVING, Signal.ABORT): State.ABORTED,
        (State.PAGING, Signal.BLOCK): State.SERVING,
        (State.PAGING, Signal.PAGE): State.PAGING,
        (State.PAGING, Signal.PAGE_END): State.SERVING,
        (State.PAGING, Signal.ABORT): State.ABORTED,
    },
)


@dataclass(frozen=True, slots=True)
class _Page:
    transaction: int
    end: int
    maximum: int
    spacing: int


class Upload:
    """Serves `octets`, the whole file of `image`.

    until   what `Step.wake` says between the blocks of no page: the deadline of whoever holds this machine
    period  the minimum block period, milliseconds: a client that asks sooner is told to wait, and so learns
            of it (ZCL OTA, Rate Limiting); 0: none
    """

    __slots__ = (
        "_free_at",
        "_octets",
        "_offset",
        "_page",
        "_period",
        "_question",
        "_repeats",
        "due",
        "image",
        "reached",
        "state",
        "until",
    )

    def __init__(self, image: ImageId, octets: bytes, until: Instant, period: int = 0) -> None:
        self.image = image
        self.state = CHART.start
        self.until = until
        self.due = until
        self._octets = octets
        self.reached = 0
        """Octets served at least once, from the first on."""
        self._repeats = REPEATS_MIN + len(octets) // OCTETS_A_REPEAT
        self._page: _Page | None = None
        self._offset = 0  # of the page's next block
        self._period = period
        self._free_at = Instant(0)  # when the next block may go out, under a minimum block period
        plain = frame.encode(Frame(0, ImageBlockRequest(image, 0, 0)))
        # Command, field control, image; under a minimum block period no request goes the straight way.
        self._question = b"" if period else plain[2:12]

    @property
    def complete(self) -> bool:
        """Whether every octet was served at least once."""
        return self.reached == len(self._octets)

    def straight(self, octets: bytes, now: Instant) -> Step | None:  # noqa: ARG002 # the shape of every machine
        """Answer a plain request for the very next block; None: look closer."""
        if (
            len(octets) != REQUEST_OCTETS
            or octets[2:12] != self._question
            or octets[0] != REQUEST_CONTROL
            or self._page is not None
        ):
            return None
        offset, maximum = _OFFSET_AND_MAXIMUM.unpack_from(octets, 12)
        if offset != self.reached:
            return None
        data = self._octets[offset : offset + min(BLOCK_OCTETS_MAX, maximum)]
        length = len(data)
        if not length:
            return None
        # The arrow (SERVING, BLOCK) leads back to SERVING, so there is no state to change.
        self.reached = offset + length
        answer = b"".join((ANSWER_HEADS[octets[1]], octets[4:16], _LENGTHS[length], data))
        return Step((answer,), (), self.until)

    def answer(self, transaction: int, request: ImageBlockRequest | ImagePageRequest, now: Instant) -> Step:
        """Answer any block or page request; for another image or beyond the end, by abort."""
        page = request.page if isinstance(request, ImagePageRequest) else request.maximum
        data = self._cut(request.offset, min(request.maximum, page))
        if self.state is State.ABORTED or request.image != self.image or not data:
            return Step((_abort(transaction),), (), self.due)
        if now < self._free_at:
            clock = to_zigbee(now)
            later = clock - (now - self._free_at) // SECOND  # whole seconds, upwards
            return Step((_answer(transaction, WaitForData(clock, later, self._period)),), (), self.due)
        if isinstance(request, ImagePageRequest):
            end = min(request.offset + request.page, len(self._octets))
            spacing = max(max(request.spacing, self._period) * MILLISECOND, SPACING_MIN)
            self._page = _Page(transaction, end, request.maximum, spacing)
            self._offset = request.offset
            self._fire(Signal.PAGE)
            return self._turn(self._page, now)
        self._free_at = Instant(now + self._period * MILLISECOND)
        self._fire(Signal.BLOCK)
        return self._serve(transaction, request.offset, data)

    def wake(self, now: Instant) -> Step:
        """The next block of a page is due."""
        if self._page is None or now < self.due:
            return Step((), (), self.due)
        return self._turn(self._page, now)

    def _fire(self, signal: Signal) -> None:
        self.state = CHART.fire(self.state, signal)
        if self.state is not State.PAGING:
            self._page = None
            self.due = self.until

    def _turn(self, page: _Page, now: Instant) -> Step:
        data = self._cut(self._offset, min(page.maximum, page.end - self._offset))
        offset = self._offset
        self._offset += len(data)
        self._free_at = Instant(now + self._period * MILLISECOND)
        self.due = min(Instant(now + page.spacing), self.until)
        if self._offset >= page.end:
            self._fire(Signal.PAGE_END)
        return self._serve(page.transaction, offset, data)

    def _cut(self, offset: int, maximum: int) -> bytes:
        return self._octets[offset : offset + min(maximum, BLOCK_OCTETS_MAX)]

    def _serve(self, transaction: int, offset: int, data: bytes) -> Step:
        if offset <= self.reached < offset + len(data):
            self.reached = offset + len(data)
        else:
            self._repeats -= 1
            if not self._repeats:
                self._fire(Signal.ABORT)
                self._question = b""
                return Step((_abort(transaction),), (Exhausted(),), self.due)
        block = ImageBlock(self.image, offset, data)
        return Step((_answer(transaction, block),), (), self.due)


def _abort(transaction: int) -> bytes:
    return _answer(transaction, AbortTransfer())


def _answer(transaction: int, command: Command) -> bytes:
    return frame.encode(Frame(transaction, command, quiet=True))
