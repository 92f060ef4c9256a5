"""Commands under way: what was sent to a Device and who waits for its answer."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.kit import Chart, Instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamplighter.kit import Eui64, ImageHash
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
    RETURNED = auto()
    """It never got to the Device, and the User was told why."""


class Word(Enum):
    """What moves a command on."""

    SIGNED = auto()
    ANSWERED = auto()
    DEFERRED = auto()
    SUPERSEDED = auto()
    OVERDUE = auto()
    RETURNED = auto()


CHART: Final = Chart(
    "command to a Device",
    Stage.TRANSFORMED,
    {
        (Stage.TRANSFORMED, Word.SIGNED): Stage.SENT,
        (Stage.SENT, Word.ANSWERED): Stage.ENDED,
        (Stage.SENT, Word.DEFERRED): Stage.DEFERRED,
        (Stage.SENT, Word.OVERDUE): Stage.LAPSED,
        (Stage.SENT, Word.RETURNED): Stage.RETURNED,
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
    """When an answer ought to be there; where none is awaited, since when not."""
    execution: Instant | None = None
    """When the Device is to act, if not at once."""
    hash: ImageHash | None = None
    """SRV 11.3: the Manufacturer Image Hash of what is to be activated."""


class Commands:
    """All commands, found by their answers.

    A command that no answer is awaited to, because it has ended or was never signed, is forgotten after
    `memory_period`; until then its repetitions are known for what they are.
    """

    __slots__ = ("_awaited", "_commands", "_deferred", "_due", "_memory_period", "_past")

    def __init__(self, memory_period: int) -> None:
        self._memory_period = memory_period
        self._commands: dict[CommandKey, Command] = {}
        self._deferred: dict[Eui64, dict[CommandKey, None]] = {}
        self._due: list[tuple[Instant, CommandKey]] = []
        self._past: list[tuple[Instant, CommandKey]] = []
        self._awaited = 0

    def __len__(self) -> int:
        return len(self._commands)

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

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
        return tuple(self._commands[key] for key in self._deferred.get(device, ()))

    def forget(self, now: Instant) -> None:
        """Forget what has been over for long enough."""
        while self._past and self._past[0][0] <= now:
            at, key = heapq.heappop(self._past)
            command = self._commands.get(key)
            if command and command.stage not in _AWAITED and command.due + self._memory_period == at:
                del self._commands[key]

    def overdue(self, now: Instant) -> tuple[Command, ...]:
        """Commands whose answer ought to be there, earliest first."""
        found = []
        while self._due and self._due[0][0] <= now:
            due, key = heapq.heappop(self._due)
            command = self._commands.get(key)
            if command and command.due == due and command.stage in _AWAITED:
                found.append(command)
        return tuple(found)

    @property
    def next_due(self) -> Instant | None:
        """When to look for overdue commands again."""
        return self._due[0][0] if self._due else None

    def _put(self, command: Command) -> None:
        key = command.key
        self._commands[key] = command
        if command.stage is Stage.DEFERRED:
            self._deferred.setdefault(key.device, {})[key] = None
        elif (put_off := self._deferred.get(key.device)) is not None and key in put_off:
            del put_off[key]
            if not put_off:
                del self._deferred[key.device]
        if command.stage in _AWAITED:
            self._awaited += 1
            heapq.heappush(self._due, (command.due, key))
        else:
            heapq.heappush(self._past, (Instant(command.due + self._memory_period), key))
