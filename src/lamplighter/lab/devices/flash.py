"""What a Device remembers without power: two banks for images, and one small record that is replaced whole.

One bank holds the active image, the other the pending one. Only the record says which is which and whether
the other bank counts, so that the single write of the record is what makes a change happen: before it the old
state holds, after it the new one. What a Device does because of one input is one such write: that it heard a
command, what it did, and what it has to say about it, which stays in the outbox until the hub has it. The
active bank is never erased, and the bank that was active before an activation is kept until the new image has
booted, so that there is an image to boot at any instant.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

from lamplighter.kit import Chart
from lamplighter.lab.wire import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamplighter.kit import Eui64, ImageHash, Instant


OUTBOX_MAX: Final = 64  # messages that a Device keeps for its hub; an assumption


class Pending(Enum):
    """What the bank that is not active is."""

    EMPTY = auto()
    """Nothing that counts."""
    HELD = auto()
    """A complete image, waiting for its activation."""
    TRIAL = auto()
    """The image that was active until now: the banks have changed places, and the new one has yet to boot."""


class Change(Enum):
    """What moves it."""

    DISCARD = auto()
    KEEP = auto()
    SWAP = auto()
    CONFIRM = auto()
    ROLL_BACK = auto()


CHART: Final = Chart(
    "pending image",
    Pending.EMPTY,
    {
        (Pending.EMPTY, Change.DISCARD): Pending.EMPTY,
        (Pending.EMPTY, Change.KEEP): Pending.HELD,
        (Pending.HELD, Change.DISCARD): Pending.EMPTY,
        (Pending.HELD, Change.SWAP): Pending.TRIAL,
        (Pending.TRIAL, Change.CONFIRM): Pending.EMPTY,
        (Pending.TRIAL, Change.ROLL_BACK): Pending.EMPTY,
    },
)


@dataclass(frozen=True, slots=True)
class ByHub:
    """The hub's Upgrade End Response said: activate now."""


@dataclass(frozen=True, slots=True)
class ByCommand:
    """A CS06 command said so."""

    supplier: Eui64
    """Who gave it, and gets the answer."""
    counter: int
    """Its originator counter, which the answer repeats."""
    hash: ImageHash
    """Manufacturer Image Hash of the image that it means."""
    execution: Instant | None
    """When; None: at once."""


Order: TypeAlias = ByHub | ByCommand
"""On whose word an image is activated, and so who is told how it went."""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that must survive a power cut, but for the images."""

    active: int = 0
    """The bank that boots, 0 or 1."""
    pending: Pending = CHART.start
    """What the other bank is."""
    order: Order | None = None
    """An activation that is to come, or, in a trial, is under way."""
    alerts: int = 0
    """Originator counter of the latest alert; the next one takes the next."""
    heard: tuple[tuple[Eui64, int], ...] = ()
    """For each party the counter of its latest command: nothing at or below it is obeyed."""

    outbox: tuple[bytes, ...] = ()
    """GBCS messages that the hub has not acknowledged yet, oldest first."""

    def last_heard(self, party: Eui64) -> int:
        """The counter of the party's latest command; -1: none."""
        return dict(self.heard).get(party, -1)

    def hear(self, party: Eui64, counter: int) -> Record:
        """The record after a command of this counter."""
        return replace(self, heard=tuple({**dict(self.heard), party: counter}.items()))

    def discard(self) -> Record:
        """Whatever waits for its activation no longer counts."""
        return self._after(Change.DISCARD)

    def keep(self) -> Record:
        """What was written to the other bank is complete."""
        return self._after(Change.KEEP)

    def swap(self, order: Order) -> Record:
        """The pending image is the one to boot next, on trial."""
        return replace(self._after(Change.SWAP), active=1 - self.active, order=order)

    def confirm(self) -> Record:
        """The image on trial has booted: it stays, and the one before it no longer counts."""
        return replace(self._after(Change.CONFIRM), order=None)

    def roll_back(self) -> Record:
        """The image on trial does not boot: back to the one before it."""
        return replace(self._after(Change.ROLL_BACK), active=1 - self.active, order=None)

    def say(self, octets: bytes) -> Record:
        """One more message for the hub; where there are too many, the oldest is forgotten."""
        return replace(self, outbox=(*self.outbox, octets)[-OUTBOX_MAX:])

    def said(self, acknowledged: bytes) -> Record:
        """The hub has the message of this digest."""
        kept = tuple(octets for octets in self.outbox if digest(octets) != acknowledged)
        return self if len(kept) == len(self.outbox) else replace(self, outbox=kept)

    def _after(self, change: Change) -> Record:
        return replace(self, pending=CHART.fire(self.pending, change))


@dataclass(slots=True)
class Flash:
    """The memory itself; it outlives the machine that runs on it."""

    banks: list[bytes]
    """The images, two; b"" where erased."""
    record: Record = Record()
    """The record."""
    before_write: Callable[[], None] = field(default=lambda: None, repr=False)
    """Called before each primitive write. What it raises leaves that write undone: a power cut."""

    @classmethod
    def factory(cls, octets: bytes) -> Flash:
        """A new Device's memory, with the image that it left the factory with."""
        return cls([octets, b""])

    @property
    def active(self) -> bytes:
        """The file in the active bank."""
        return self.banks[self.record.active]

    @property
    def held(self) -> bytes | None:
        """The complete file that waits for its activation, if one does."""
        return self.banks[1 - self.record.active] if self.record.pending is Pending.HELD else None

    def write(self, octets: bytes) -> None:
        """Write the bank that is not active, of which the record must say that it does not count."""
        other = 1 - self.record.active
        self._write(other, b"")
        self._write(other, octets)

    def commit(self, record: Record) -> None:
        """Replace the record, in one write."""
        self.before_write()
        self.record = record

    def _write(self, bank: int, octets: bytes) -> None:
        self.before_write()
        self.banks[bank] = octets
