"""The Postman: brings messages to Users' Receive Response services, and loses none.

A User's messages go out in the order in which they were offered and one at a time: the next waits until the
one before it was taken (204) or refused (400). An endpoint that does neither is tried again after a pause,
each twice as long as the last up to a cap, for as long as it takes: nothing is ever given up. A refusal
settles a message, because the User has seen it and said no.

A rehearsal may ask for worse than that: messages that come twice, and messages that overtake others.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import HOUR, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamplighter.kit import Eui64
    from lamplighter.lab.wire import ToUser

_AT_ONCE: Final = Instant(0)


class Outcome(Enum):
    """What became of one try."""

    TAKEN = "taken"
    """204: the User has it, durably."""
    REFUSED = "refused"
    """400: the User has seen it and will not have it."""
    UNREACHABLE = "unreachable"
    """Anything else, silence among it: it is to be tried again."""


class Dice(Protocol):
    """Where mischief comes from."""

    def chance(self, probability: float, /) -> bool:
        """Whether something of this probability happens."""

    def integer(self, low: int, high: int, /) -> int:
        """A number from `low` to `high`, both included."""


@dataclass(frozen=True, slots=True)
class PostmanSettings:
    """How the post is run. The DCC's own pauses are not published: these are assumptions."""

    first_pause: int = 10 * SECOND
    """Microseconds after the first failed try; each next pause is twice as long."""
    longest_pause: int = HOUR
    """Microseconds, and no pause is longer."""
    duplicate: float = 0.0
    """Probability that a message which was taken comes once more, after those that wait by then."""
    reorder: float = 0.0
    """Probability that a message overtakes some of those that wait."""
    reorder_most: int = 8
    """How many it may overtake."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message on its way to a User."""

    number: int
    """Its place in the order of offering; a copy has its original's."""
    mail: ToUser
    """The message, and whose it is."""
    copy: bool = False
    """Whether it is a copy made on purpose."""


@dataclass(slots=True)
class _Box:
    """What one User has not had yet."""

    waiting: deque[Letter] = field(default_factory=deque)
    trying: Letter | None = None
    pause: int = 0
    due: Instant = _AT_ONCE


class Postman:
    """Everybody's undelivered messages; sans-IO.

    settings  how often to try, and how much mischief to make
    dice      needed for mischief only
    """

    __slots__ = ("_boxes", "_dice", "_numbers", "_settings", "refused", "taken")

    def __init__(self, settings: PostmanSettings | None = None, dice: Dice | None = None) -> None:
        self._settings = settings or PostmanSettings()
        if dice is None and (self._settings.duplicate or self._settings.reorder):
            raise UsageError("a Postman that duplicates or reorders needs dice")
        self._dice = dice
        self._boxes: dict[Eui64, _Box] = {}
        self._numbers = 0
        self.taken = 0
        """Messages taken, copies among them."""
        self.refused = 0
        """Messages refused."""

    @property
    def waiting(self) -> int:
        """Messages that are neither taken nor refused, those being tried among them."""
        return sum(len(box.waiting) + (box.trying is not None) for box in self._boxes.values())

    @property
    def next_at(self) -> Instant | None:
        """When to ask for an attempt; None: nothing waits, or all that could be tried is being tried."""
        ready = (box.due for box in self._boxes.values() if box.waiting and box.trying is None)
        return min(ready, default=None)

    def offer(self, mail: ToUser, now: Instant) -> None:
        """Take a message in; from here on it is not lost."""
        box = self._boxes.setdefault(mail.user, _Box())
        if not box.waiting and box.trying is None:
            box.due = max(box.due, now)
        self._numbers += 1
        letter = Letter(self._numbers, mail)
        overtakes = 0
        if box.waiting and self._happens(self._settings.reorder) and self._dice is not None:
            overtakes = self._dice.integer(1, min(len(box.waiting), self._settings.reorder_most))
        box.waiting.insert(len(box.waiting) - overtakes, letter)

    def attempt(self, now: Instant) -> tuple[Letter, ...]:
        """The messages to try now, at most one for each User; each owes an `outcome`."""
        return tuple(self._tries(now))

    def outcome(self, letter: Letter, outcome: Outcome, now: Instant) -> None:
        """Learn what became of a try."""
        box = self._boxes.get(letter.mail.user)
        if box is None or box.trying != letter:
            raise UsageError(f"message {letter.number} for {letter.mail.user} is not being tried")
        box.trying = None
        if outcome is Outcome.UNREACHABLE:
            box.waiting.appendleft(letter)
            twice = 2 * box.pause or self._settings.first_pause
            box.pause = min(twice, self._settings.longest_pause)
            box.due = Instant(now + box.pause)
            return
        box.pause, box.due = 0, now
        if outcome is Outcome.REFUSED:
            self.refused += 1
            return
        self.taken += 1
        # A copy is not copied again, so that even certain duplication ends.
        if not letter.copy and self._happens(self._settings.duplicate):
            box.waiting.append(replace(letter, copy=True))

    def _tries(self, now: Instant) -> Iterable[Letter]:
        for box in self._boxes.values():
            if box.waiting and box.trying is None and box.due <= now:
                box.trying = box.waiting.popleft()
                yield box.trying

    def _happens(self, probability: float) -> bool:
        return self._dice is not None and probability > 0 and self._dice.chance(probability)
