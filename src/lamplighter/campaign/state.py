"""The state of one Device's update as a pure function of its evidence.

One table says which state each fact implies and how far along that is; the state is the furthest one implied.
Duplicates, reordering and delay cannot change the furthest, and only a version from the Device itself proves.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from lamplighter.campaign.evidence import Fact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamplighter.campaign.evidence import Evidence
    from lamplighter.kit import FirmwareVersion


class State(Enum):
    """States of a Device's update, the earliest first: where two are implied, the later one holds."""

    QUEUED = "queued"
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
    PROVEN = "proven"


IMPLIES: Final = {
    Fact.SUBMITTED: State.SUBMITTED,
    Fact.REFUSED: State.REFUSED,
    Fact.ACCEPTED: State.ACCEPTED,
    Fact.AT_HUB: State.AT_HUB,
    Fact.HUB_FAILED: State.HUB_FAILED,
    Fact.ON_DEVICE: State.ON_DEVICE,
    Fact.TRANSFER_FAILED: State.TRANSFER_FAILED,
    Fact.IMAGE_VERIFIED: State.IMAGE_VERIFIED,
    Fact.IMAGE_REJECTED: State.IMAGE_REJECTED,
    Fact.ACTIVATION_SENT: State.ACTIVATION_SENT,
    Fact.ACTIVATION_ACCEPTED: State.ACTIVATION_SENT,
    Fact.ACTIVATION_REFUSED: State.ACTIVATION_FAILED,
    Fact.ACTIVATION_SCHEDULED: State.ACTIVATION_SCHEDULED,
    Fact.ACTIVATED: State.ACTIVATED,
    Fact.ACTIVATION_FAILED: State.ACTIVATION_FAILED,
}

END_STATES: Final = frozenset(
    {
        State.REFUSED,
        State.HUB_FAILED,
        State.TRANSFER_FAILED,
        State.IMAGE_REJECTED,
        State.ACTIVATION_FAILED,
        State.PROVEN,
    }
)
"""Where nothing more is ordered; `ACTIVATED` is not among them, for it still lacks the proof."""

_RANK: Final = {state: rank for rank, state in enumerate(State)}


def fold(evidence: Iterable[Evidence], target: FirmwareVersion) -> State:
    """The state that a set of evidence means for an update to `target`."""
    furthest = State.QUEUED
    for item in evidence:
        implied = _implied(item, target)
        if _RANK[implied] > _RANK[furthest]:
            furthest = implied
    return furthest


def _implied(item: Evidence, target: FirmwareVersion) -> State:
    if item.version is None:
        return IMPLIES[item.fact]
    if item.version == target:
        return State.PROVEN
    # A Device that calls another version a success has not activated what it was sent.
    return State.ACTIVATION_FAILED if item.fact is Fact.ACTIVATED else IMPLIES[item.fact]
