"""Messages for Devices: one at a time for each, in order, and again until the Device acknowledges it.

A Device that does not answer is taken to sleep. Its messages wait, and the oldest is sent as soon as the
Device is heard, whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, SECOND
from lamplighter.lab.hub.memory import Letter
from lamplighter.lab.wire import Cluster, HanFrame, digest

if TYPE_CHECKING:
    from lamplighter.kit import Eui64

KNOCK_AFTER: Final = 5 * SECOND  # a message that its Device has not acknowledged is sent again, ...
KNOCKS: Final = 5  # ... so often; after that the Device is taken to sleep, ...
KNOCK_SELDOM: Final = 1 * HOUR  # ... and tried so often, or as soon as it is heard; assumptions
MAIL: Final = 16  # messages that are kept for one Device; an assumption
MAIL_HOLD: Final = 7 * DAY  # for which one is kept; an assumption


@dataclass(slots=True)
class _Knock:
    """How it goes with the oldest message for one Device."""

    tries: int
    due: Instant


class Post:
    """The hub's post office.

    hub   who sends
    mail  what waits, as the memory has it
    room  messages that are kept for one Device
    hold  microseconds for which one is kept
    """

    __slots__ = ("_hold", "_hub", "_knocks", "_room", "mail", "returned", "sent", "waiting")

    def __init__(self, hub: Eui64, mail: tuple[Letter, ...], *, room: int, hold: int) -> None:
        self.mail = mail
        """What waits; the hub writes it down."""
        self.sent: list[HanFrame] = []
        """What is to be sent; the hub empties it."""
        self.returned: list[Eui64] = []
        """For whom a message was dropped; the hub empties it."""
        self.waiting: set[Eui64] = set()
        """Devices that are taken to sleep while messages wait for them."""
        self._hub = hub
        self._room = room
        self._hold = hold
        self._knocks: dict[Eui64, _Knock] = {}

    @property
    def due(self) -> Instant | None:
        """When to call `wake`."""
        return min((knock.due for knock in self._knocks.values()), default=None)

    def start(self, now: Instant) -> None:
        """Try everybody for whom something waits."""
        for device in dict.fromkeys(letter.device for letter in self.mail):
            self._knock(device, now)

    def take(self, device: Eui64, octets: bytes, now: Instant) -> None:
        """A message for a Device; it comes back at once where there is no room for it."""
        if sum(letter.device == device for letter in self.mail) >= self._room:
            self.returned.append(device)
            return
        self.mail = (*self.mail, Letter(device, octets, Instant(now + self._hold)))
        if device not in self._knocks:
            self._knock(device, now)

    def acknowledged(self, device: Eui64, name: bytes, now: Instant) -> None:
        """A Device has the message of this digest: the next, if there is one."""
        oldest = self._oldest(device)
        if oldest is not None and digest(oldest.octets) == name:
            self._drop(oldest, now)

    def heard(self, device: Eui64, now: Instant) -> None:
        """A Device is awake."""
        if device in self.waiting:
            self.waiting.discard(device)
            del self._knocks[device]
            self._knock(device, now)

    def forget(self, device: Eui64) -> None:
        """A Device has gone for good."""
        self.mail = tuple(letter for letter in self.mail if letter.device != device)
        self._knocks.pop(device, None)
        self.waiting.discard(device)

    def wake(self, now: Instant) -> None:
        """Knock again, and throw away what nobody came for."""
        for letter in self.mail:
            if letter.until <= now:
                self.returned.append(letter.device)
                self._drop(letter, now)
        for device in [device for device, knock in self._knocks.items() if knock.due <= now]:
            self._knock(device, now)

    def _oldest(self, device: Eui64) -> Letter | None:
        return next((letter for letter in self.mail if letter.device == device), None)

    def _knock(self, device: Eui64, now: Instant) -> None:
        """Send the oldest message for a Device, if one is left, and see when to send it again."""
        oldest = self._oldest(device)
        if oldest is None:
            return
        knock = self._knocks.setdefault(device, _Knock(0, now))
        knock.tries += 1
        sleeps = knock.tries >= KNOCKS
        knock.due = Instant(now + (KNOCK_SELDOM if sleeps else KNOCK_AFTER))
        if sleeps:
            self.waiting.add(device)
        self.sent.append(HanFrame(self._hub, device, Cluster.TUNNELING, oldest.octets))

    def _drop(self, letter: Letter, now: Instant) -> None:
        self.mail = tuple(other for other in self.mail if other is not letter)
        self._knocks.pop(letter.device, None)
        self.waiting.discard(letter.device)
        self._knock(letter.device, now)
