"""The state of one Device's update as a pure function of its evidence.

Each order for a Device is a *step* of its update: attempt 1, then activations and reads within that attempt,
then attempt 2. Each fact belongs to a step and implies a *stage*; one table says which, and how far along a
stage is. A `Progress` packs step, stage and cause into one number, so that "further" is "greater":

    final (2 bits) | attempt (4) | sub-step (4) | stage (5) | cause (5)

The state is that of the greatest number implied. A maximum does not care for order, repetition or delay; the
database takes it with the same numbers, set by set. Only a version from the Device itself proves, and a proof
is greater than everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final

from lamplighter.campaign.evidence import Cause, Fact
from lamplighter.kit import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamplighter.campaign.evidence import Evidence
    from lamplighter.kit import FirmwareVersion


class State(Enum):
    """What a person is told."""

    EXCLUDED = "excluded"
    QUEUED = "queued"
    RECALLED = "recalled"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    AT_HUB = "at hub"
    HUB_FAILED = "hub failed"
    ON_DEVICE = "on device"
    TRANSFER_FAILED = "transfer failed"
    IMAGE_VERIFIED = "image verified"
    IMAGE_REJECTED = "image rejected"
    ACTIVATION_SENT = "activation sent"
    ACTIVATION_SCHEDULED = "activation scheduled"
    ACTIVATED = "activated"
    ACTIVATION_FAILED = "activation failed"
    CALLING_OFF = "calling off"
    CALLED_OFF = "called off"
    CHECKING = "checking"
    SILENT = "silent"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WITHDRAWN = "withdrawn"
    LOST = "lost"
    PROVEN = "proven"


class Stage(IntEnum):
    """How far a step has come: where two are implied, the later one holds.

    A silence stands just above the stage in which it fell, so that a later word brings the Device back. To
    call an activation off is a step of its own; its stages stand last, for the database keeps the numbers.
    """

    QUEUED = 0
    RECALLED = 1
    SUBMITTED = 2
    ACCEPTED = 3
    REFUSED = 4
    SILENT_BEFORE_HUB = 5
    AT_HUB = 6
    HUB_FAILED = 7
    SILENT_AT_HUB = 8
    ON_DEVICE = 9
    TRANSFER_FAILED = 10
    SILENT_ON_DEVICE = 11
    IMAGE_VERIFIED = 12
    IMAGE_REJECTED = 13
    ACTIVATION_SENT = 14
    ACTIVATION_SCHEDULED = 15
    ACTIVATED = 16
    SILENT_IN_ACTIVATION = 17
    ACTIVATION_FAILED = 18
    CHECKING = 19
    SILENT_TO_READ = 20
    UNCHANGED = 21
    FAILED = 22
    CANCELLED = 23
    WITHDRAWN = 24
    LOST = 25
    PROVEN = 26
    CALLING_OFF = 27
    SILENT_IN_CALL_OFF = 28
    CALLED_OFF = 29

    __hash__ = int.__hash__  # a number's, as it equals one; and an Enum's is slow

    @property
    def state(self) -> State:
        """What a person is told."""
        return State.SILENT if self.name.startswith("SILENT_") else State[self.name]


IMPLIES: Final = {
    Fact.ORDERED: Stage.QUEUED,
    Fact.RECALLED: Stage.RECALLED,
    Fact.SUBMITTED: Stage.SUBMITTED,
    Fact.REFUSED: Stage.REFUSED,
    Fact.ACCEPTED: Stage.ACCEPTED,
    Fact.QUARANTINED: Stage.SUBMITTED,
    Fact.AT_HUB: Stage.AT_HUB,
    Fact.HUB_FAILED: Stage.HUB_FAILED,
    Fact.ON_DEVICE: Stage.ON_DEVICE,
    Fact.TRANSFER_FAILED: Stage.TRANSFER_FAILED,
    Fact.IMAGE_VERIFIED: Stage.IMAGE_VERIFIED,
    Fact.IMAGE_REJECTED: Stage.IMAGE_REJECTED,
    Fact.ACTIVATION_SENT: Stage.ACTIVATION_SENT,
    Fact.ACTIVATION_ACCEPTED: Stage.ACTIVATION_SENT,
    Fact.ACTIVATION_REFUSED: Stage.ACTIVATION_FAILED,
    Fact.ACTIVATION_SCHEDULED: Stage.ACTIVATION_SCHEDULED,
    Fact.ACTIVATED: Stage.ACTIVATED,
    Fact.ACTIVATION_FAILED: Stage.ACTIVATION_FAILED,
    Fact.CALL_OFF_ORDERED: Stage.CALLING_OFF,  # not QUEUED: the Device may activate meanwhile
    Fact.CALL_OFF_SENT: Stage.CALLING_OFF,
    Fact.CALL_OFF_REFUSED: Stage.CALLING_OFF,  # it does what it was told, and says so, or the deadline passes
    Fact.CALLED_OFF: Stage.CALLED_OFF,
    Fact.READ_ORDERED: Stage.CHECKING,  # not QUEUED: that counts as loading
    Fact.READ_SENT: Stage.CHECKING,
    Fact.READ_FAILED: Stage.SILENT_TO_READ,
    Fact.VERSION_READ: Stage.UNCHANGED,
    Fact.NO_WORD_OF_HUB: Stage.SILENT_BEFORE_HUB,
    Fact.NO_WORD_OF_TRANSFER: Stage.SILENT_AT_HUB,
    Fact.NO_WORD_OF_DEVICE: Stage.SILENT_ON_DEVICE,
    Fact.NO_WORD_OF_ACTIVATION: Stage.SILENT_IN_ACTIVATION,
    Fact.NO_WORD_OF_CALL_OFF: Stage.SILENT_IN_CALL_OFF,
    Fact.NO_ANSWER: Stage.SILENT_TO_READ,
    Fact.GIVEN_UP: Stage.FAILED,
    Fact.LOST: Stage.LOST,
    Fact.CANCELLED: Stage.CANCELLED,
    Fact.LEFT: Stage.WITHDRAWN,
}
"""The stage that each fact implies in its step; a version that is the release's implies PROVEN instead."""

FINAL: Final = {
    Stage.FAILED: 1,
    Stage.CANCELLED: 1,
    Stage.WITHDRAWN: 1,
    Stage.LOST: 1,
    Stage.PROVEN: 2,
}
"""Stages that no later step takes back; a proof overrules even these."""

END_STATES: Final = frozenset(stage.state for stage in FINAL)
"""Where nothing more is ordered."""

FLYING: Final = frozenset(
    {
        Stage.QUEUED,  # of a step that is ordered and not yet handed over
        Stage.SUBMITTED,
        Stage.ACCEPTED,
        Stage.AT_HUB,
        Stage.ON_DEVICE,
        Stage.ACTIVATION_SENT,
        Stage.ACTIVATION_SCHEDULED,
        Stage.ACTIVATED,
        Stage.CALLING_OFF,
        Stage.CHECKING,
    }
)
"""Stages in which the world has to move: an order is out, and the home is busy with it."""

READY: Final = frozenset(Stage) - FLYING - frozenset(FINAL)
"""Stages in which we have to move: `next.next_action` says what is due."""

CAUSE_BITS: Final = 5
STAGE_BITS: Final = 5
STEP_BITS: Final = 8
STAGE_SHIFT: Final = CAUSE_BITS
STEP_SHIFT: Final = CAUSE_BITS + STAGE_BITS
FINAL_SHIFT: Final = STEP_SHIFT + STEP_BITS
SUBS: Final = 16  # steps in an attempt
ATTEMPTS_MAX: Final = 15
FIRST_STEP: Final = SUBS  # attempt 1, sub-step 0


@dataclass(frozen=True, slots=True, order=True)
class Progress:
    """How far an update has come."""

    number: int
    """As the database holds it; the greater is the further."""

    @classmethod
    def of(cls, step: int, stage: Stage, cause: Cause = Cause.NONE) -> Progress:
        """Pack; `step` is attempt * 16 + sub-step, 16..255 (0: nothing was ordered yet)."""
        if not 0 <= step < 1 << STEP_BITS:
            raise UsageError(f"a step is 0..255, not {step}")
        return cls(FINAL.get(stage, 0) << FINAL_SHIFT | step << STEP_SHIFT | stage << STAGE_SHIFT | cause)

    @property
    def step(self) -> int:
        """Attempt * 16 + sub-step."""
        return self.number >> STEP_SHIFT & (1 << STEP_BITS) - 1

    @property
    def attempt(self) -> int:
        """The attempt, from 1; 0: nothing was ordered yet."""
        return self.step // SUBS

    @property
    def sub(self) -> int:
        """The order within the attempt: 0 the update itself, then activations and reads."""
        return self.step % SUBS

    @property
    def stage(self) -> Stage:
        """How far the step has come."""
        return Stage(self.number >> STAGE_SHIFT & (1 << STAGE_BITS) - 1)

    @property
    def cause(self) -> Cause:
        """Why, where it is a failure."""
        return Cause(self.number & (1 << CAUSE_BITS) - 1)

    @property
    def state(self) -> State:
        """What a person is told."""
        return self.stage.state


QUEUED: Final = Progress(0)


def implied(step: int, item: Evidence, target: FirmwareVersion) -> Progress:
    """What one piece of evidence in one step means for an update to `target`."""
    if item.version is not None and item.version == target:
        return Progress.of(step, Stage.PROVEN)
    if item.version is not None and item.fact is Fact.ACTIVATED:
        # A Device that calls another version a success has not activated what it was sent.
        return Progress.of(step, Stage.ACTIVATION_FAILED, Cause.OTHER_VERSION)
    return Progress.of(step, IMPLIES[item.fact], item.cause)


def fold(evidence: Iterable[tuple[int, Evidence]], target: FirmwareVersion) -> Progress:
    """How far a set of evidence, each with its step, has brought an update to `target`."""
    return max((implied(step, item, target) for step, item in evidence), default=QUEUED)
