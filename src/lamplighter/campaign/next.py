"""What is due for one Device: SRV 11.4 in one step, 11.1 then 11.3 in two, 11.2 before anything is resent.

An activation that is dated ahead can be called off: by SRV 11.3 once more, with a time that never comes. The
Device keeps the image then, and is told to activate it again; it is not sent again because of that.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.campaign.evidence import CAUSES, Cause, Fact
from lamplighter.campaign.state import ATTEMPTS_MAX, FLYING, READY, SUBS, Stage
from lamplighter.registry import Procedure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.campaign.state import Progress


class Order(Enum):
    """What the gateway can be told to do for a Device."""

    UPDATE_PPMID_FIRMWARE = "11.4"
    UPDATE_FIRMWARE = "11.1"
    ACTIVATE_FIRMWARE = "11.3"
    READ_FIRMWARE_VERSION = "11.2"
    CALL_OFF_ACTIVATION = "11.3 off"

    @property
    def srv(self) -> str:
        """The service reference of its request."""
        return self.value.partition(" ")[0]

    @classmethod
    def update(cls, procedure: Procedure) -> Order:
        """The order that distributes an image."""
        return cls(procedure.value)

    @property
    def fact(self) -> Fact:
        """What it is evidence of that the order stands in the outbox."""
        return _ORDERED.get(self, Fact.ORDERED)


_ORDERED: Final = {
    Order.READ_FIRMWARE_VERSION: Fact.READ_ORDERED,
    Order.CALL_OFF_ACTIVATION: Fact.CALL_OFF_ORDERED,
}

QUIET: Final = frozenset({Order.READ_FIRMWARE_VERSION, Order.CALL_OFF_ACTIVATION})
"""Orders that move nothing: they may go to a home that is busy, and count against no cap but the day's."""


class Action(Enum):
    """What to do about a Device that is not in flight."""

    WAIT = "wait"
    UPDATE = "order the update"
    ACTIVATE = "order the activation"
    CALL_OFF = "call the activation off"
    READ = "ask for the version"
    GIVE_UP = "give up"
    WRITE_OFF = "call it lost"


class Retries(NamedTuple):
    """How often, and how long between."""

    attempts: int
    """Updates of one Device at most, 1..15."""
    checks: int
    """Activations and reads within one attempt at most, 1..15."""
    first: int
    """Pause before the second try, microseconds; each next is `factor` times as long."""
    factor: float
    """1.0 or more."""
    longest: int
    """No pause is longer, microseconds."""
    retryable: Mapping[Cause, bool]
    """Where the plan overrules `evidence.CAUSES`."""


class Due(NamedTuple):
    """An action, and how long after the last change it is due, microseconds."""

    action: Action
    after: int


RECALLS_MAX: Final = SUBS - 4
"""Orders of one attempt that are taken back unsent: later steps have room for an activation and two reads."""

CALL_OFF_FIRST: Final = SUBS // 2
"""The lowest sub-step that calls an activation off: an attempt's later half follows it, and so it is known of
each step there that the Device holds the image, if it has not activated it."""

CALL_OFF_LAST: Final = RECALLS_MAX
"""The highest such sub-step: later steps have room for an activation and two reads."""

_CHECK: Final = frozenset(
    {
        Stage.SILENT_BEFORE_HUB,
        Stage.SILENT_AT_HUB,
        Stage.SILENT_ON_DEVICE,
        Stage.SILENT_IN_ACTIVATION,
        Stage.SILENT_IN_CALL_OFF,
        Stage.SILENT_TO_READ,
    }
)
"""Silence: the version is read before anything is sent again."""

_AGAIN: Final = frozenset(
    {
        Stage.REFUSED,
        Stage.HUB_FAILED,
        Stage.TRANSFER_FAILED,
        Stage.IMAGE_REJECTED,
        Stage.ACTIVATION_FAILED,
        Stage.UNCHANGED,
    }
)
"""Failure: another attempt, where the cause allows one."""


def next_action(procedure: Procedure, progress: Progress, retries: Retries) -> Due:
    """What is due for a Device, and how long after its last change."""
    stage = progress.stage
    if stage not in READY:
        return Due(Action.WAIT, 0)
    if stage is Stage.RECALLED:
        used_up = progress.sub >= RECALLS_MAX and progress.attempt >= min(retries.attempts, ATTEMPTS_MAX)
        return Due(Action.GIVE_UP if used_up else Action.UPDATE, 0)
    if progress.sub == SUBS - 1 and stage not in _AGAIN:
        return Due(Action.WRITE_OFF, 0)  # the next step would be another attempt's
    if stage in {Stage.IMAGE_VERIFIED, Stage.CALLED_OFF}:
        if procedure is Procedure.TWO_STEP:
            return Due(Action.ACTIVATE, 0)
        # A PPMID that says so activates by itself, and says that too; or else it is asked.
        return Due(Action.READ, retries.longest)
    if procedure is Procedure.TWO_STEP and stage in {Stage.SILENT_AT_HUB, Stage.SILENT_ON_DEVICE}:
        # Only updates have these deadlines. The Device may hold the verified image, its 8F72 lost: the
        # activation names the image by its hash: it does no harm where another one or none is held, and the
        # answer says which.
        return Due(Action.ACTIVATE, 0)
    if (
        procedure is Procedure.TWO_STEP
        and stage is Stage.UNCHANGED
        and (progress.sub == 1 or CALL_OFF_FIRST < progress.sub < SUBS - 1)
    ):
        # It was asked before anything was heard of the image, and may hold it verified by now; or its
        # activation was called off, and it holds it still.
        return Due(Action.ACTIVATE, 0)
    if stage in _CHECK:
        # An order that fell silent is asked about once in any case, however often it was recalled before.
        asked = progress.sub
        last = SUBS - 1
        if procedure is Procedure.TWO_STEP:
            if asked >= CALL_OFF_FIRST > retries.checks:
                asked -= CALL_OFF_FIRST  # from where an activation was called off, questions count anew
            last -= (
                1  # whoever says the old version at the last step gets the image: not before an activation
            )
        if stage is Stage.SILENT_TO_READ and (asked >= retries.checks or progress.sub >= last):
            return Due(Action.WRITE_OFF, 0)
        return Due(Action.READ, 0 if asked == 0 else _pause(retries, asked))
    assert stage in _AGAIN
    may = retries.retryable.get(progress.cause, CAUSES[progress.cause][1])
    if not may or progress.attempt >= min(retries.attempts, ATTEMPTS_MAX):
        return Due(Action.GIVE_UP, 0)
    return Due(Action.UPDATE, _pause(retries, progress.attempt))


def next_step(progress: Progress, action: Action) -> int:
    """The step that an order begins: a new attempt for an update, else the next one of this attempt."""
    if action is Action.UPDATE and not (progress.stage is Stage.RECALLED and progress.sub < RECALLS_MAX):
        return (progress.attempt + 1) * SUBS
    if action is Action.CALL_OFF:
        return progress.attempt * SUBS + max(progress.sub + 1, CALL_OFF_FIRST)
    return progress.step + 1  # what was recalled was no attempt


def may_call_off(progress: Progress) -> bool:
    """Whether the attempt has steps left to call an activation off, and to go on from there."""
    return progress.sub < CALL_OFF_LAST


def _pause(retries: Retries, tries: int) -> int:
    """The pause after so many tries."""
    return int(min(retries.longest, retries.first * retries.factor ** (tries - 1)))


_ACTIVATING: Final = frozenset({Stage.ACTIVATION_SENT, Stage.ACTIVATION_SCHEDULED, Stage.ACTIVATED})

_CALLING_OFF: Final = {Stage.CALLING_OFF: Fact.NO_WORD_OF_CALL_OFF}

DEADLINES: Final = {
    "hub": dict.fromkeys((Stage.QUEUED, Stage.SUBMITTED, Stage.ACCEPTED), Fact.NO_WORD_OF_HUB),
    "device": {Stage.AT_HUB: Fact.NO_WORD_OF_TRANSFER},
    # Some stages do not belong into a step; but what has no deadline would wait for ever.
    "proof": {Stage.ON_DEVICE: Fact.NO_WORD_OF_DEVICE, Stage.CHECKING: Fact.NO_ANSWER}
    | dict.fromkeys(_ACTIVATING, Fact.NO_WORD_OF_ACTIVATION)
    | _CALLING_OFF,
    "activation": dict.fromkeys(FLYING, Fact.NO_WORD_OF_ACTIVATION)
    | {Stage.CHECKING: Fact.NO_ANSWER}
    | _CALLING_OFF,
    "read": dict.fromkeys(FLYING, Fact.NO_ANSWER) | _CALLING_OFF,
}
"""At each deadline of an order: the stages that are too early by then, and what that is evidence of.

A deadline includes those before it: after the last one, nothing of the order is in flight.
"""

DEADLINES_OF: Final = {
    Order.UPDATE_PPMID_FIRMWARE: ("hub", "device", "proof"),
    Order.UPDATE_FIRMWARE: ("hub", "device", "proof"),
    Order.ACTIVATE_FIRMWARE: ("activation",),
    Order.READ_FIRMWARE_VERSION: ("read",),
    # Until the activation's own time is past for certain: only then says a version what has come of it.
    Order.CALL_OFF_ACTIVATION: ("activation",),
}
"""The deadlines of each order, in their order; a deadline counts from when the order was made."""
