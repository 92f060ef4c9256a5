"""Commands under way: what was sent to a Device and who waits for its answer."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.kit import Chart

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, Instant
    from lamplighter.protocol.duis import RequestId


class Stage(Enum):
    """How far a command has come."""

    TRANSFORMED = auto()
    """The User has the pre-command; its signature is awaited."""
    SENT = auto()
    """On its way to the Device."""
    DEFERRED = auto()
    """The Device will carry it out at the time given."""
    ENDED = auto()
    """The Device has said how it went."""
    LAPSED = auto()
    """The Device has not spoken in time."""


class Word(Enum):
    """What moves a command on."""

    SIGNED = auto()
    ANSWERED = auto()
    DEFERRED = auto()
    SUPERSEDED = auto()
    OVERDUE = auto()


CHART: Final = Chart(
    "command to a Device",
    Stage.TRANSFORMED,
    {
        (Stage.TRANSFORMED, Word.SIGNED): Stage.SENT,
        (Stage.SENT, Word.ANSWERED): Stage.ENDED,
        (Stage.SENT, Word.DEFERRED): Stage.DEFERRED,
        (Stage.SENT, Word.OVERDUE): Stage.LAPSED,
        (Stage.DEFERRED, Word.ANSWERED): Stage.ENDED,
        (Stage.DEFERRED, Word.SUPERSEDED): Stage.ENDED,
        (Stage.DEFERRED, Word.OVERDUE): Stage.LAPSED,
    },
)

_AWAITED: Final = frozenset({Stage.SENT, Stage.DEFERRED})


class CommandKey(NamedTuple):
    """What ties an answer to its command: all three stand in both."""

    device: Eui64
    user: Eui64
    counter: int


@dataclass(frozen=True, slots=True)
class Command:
    """One command and its request."""

    key: CommandKey
    """The Device, the User and the User's counter."""
    request: RequestId
    """The request that it was made from."""
    srv: str
    """The service reference, such as `11.3`."""
    pre_command: bytes
    """What the User is to sign; b"" where the ACB made the command itself."""
    stage: Stage
    """How far it has come."""
    due: Instant
    """When an answer ought to be there; without meaning while the signature is awaited."""
    execution: Instant | None = None
    """When the Device is to act, if not at once."""


class Commands:
    """All commands, found by their answers."""

    __slots__ = ("_awaited", "_commands", "_due")

    def __init__(self) -> None:
        self._commands: dict[CommandKey, Command] = {}
        self._due: list[tuple[Instant, CommandKey]] = []
        self._awaited = 0

    @property
    def open(self) -> int:
        """How many answers are awaited from Devices."""
        return self._awaited

    def begin(self, command: Command) -> None:
        """Take up a command; the counter check has seen to it that its key is new."""
        self._put(command)

    def find(self, key: CommandKey) -> Command | None:
        """The command that an answer belongs to."""
        return self._commands.get(key)

    def hear(self, command: Command, word: Word, due: Instant) -> Command | None:
        """Move a command on; None where it has already heard as much."""
        if not CHART.allows(command.stage, word):
            return None
        self._awaited -= command.stage in _AWAITED
        moved = replace(command, stage=CHART.fire(command.stage, word), due=due)
        self._put(moved)
        return moved

    def deferred(self, device: Eui64) -> tuple[Command, ...]:
        """The commands that a Device has put off."""
        return tuple(
            c for c in self._commands.values() if c.key.device == device and c.stage is Stage.DEFERRED
        )

    def overdue(self, now: Instant) -> tuple[Command, ...]:
        """Commands whose answer ought to be there, earliest first."""
        found = []
        while self._due and self._due[0][0] <= now:
            due, key = heapq.heappop(self._due)
            command = self._commands[key]
            if command.due == due and command.stage in _AWAITED:
                found.append(command)
        return tuple(found)

    @property
    def next_due(self) -> Instant | None:
        """When to look for overdue commands again."""
        return self._due[0][0] if self._due else None

    def _put(self, command: Command) -> None:
        self._commands[command.key] = command
        if command.stage in _AWAITED:
            self._awaited += 1
            heapq.heappush(self._due, (command.due, command.key))
