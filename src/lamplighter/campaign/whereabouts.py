"""Where one Device's update is, whom it waits for, and what comes next by when: for a person who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.campaign.decide import DATED, can_be_called_off
from lamplighter.campaign.evidence import CAUSES
from lamplighter.campaign.next import DEADLINES, DEADLINES_OF, Action, may_call_off, next_action
from lamplighter.campaign.state import FINAL, FLYING, IMPLIES, Progress, Stage
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.campaign.next import Order
    from lamplighter.campaign.plan import Plan
    from lamplighter.registry import Procedure


class Next(NamedTuple):
    """Something that will happen."""

    at: Instant | None
    """When; None: that depends."""
    what: str


@dataclass(frozen=True, slots=True)
class Ordered:
    """What is known of the latest order for a Device."""

    kind: Order
    """Which."""
    at: Instant
    """When it was made."""
    ready_at: Instant | None
    """When we look at the Device next; None: the world has to move, or all is over."""
    status: CampaignStatus
    """Where the campaign stands."""
    held: str | None
    """Why the Device's stratum is held; None: it is not."""
    execution: Instant | None = None
    """When the Device is to activate, by this order or the one that it calls off; None: at once, or not."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where one Device's update is."""

    where: str
    """Where the image, or the order, is."""
    waits: str
    """Whom it waits for, and why."""
    next: tuple[Next, ...]
    """What comes next."""


_WHERE: Final[Mapping[Stage, tuple[str, str]]] = {
    Stage.QUEUED: ("in our outbox", "us: the request is sent as soon as the DCC takes it"),
    Stage.RECALLED: ("nowhere: the order was taken back before it was sent", "us"),
    Stage.SUBMITTED: ("at the DCC", "the DCC: it has not said yet whether it accepts the request"),
    Stage.ACCEPTED: (
        "at the DCC, on its way to the hub",
        "the DCC: it distributes the image to the hub (N60)",
    ),
    Stage.REFUSED: ("nowhere: the DCC refused it", "us"),
    Stage.SILENT_BEFORE_HUB: ("not known: nobody has said that it reached the hub", "us"),
    Stage.AT_HUB: ("at the Communications Hub", "the hub: it passes the image on when the Device asks (N62)"),
    Stage.HUB_FAILED: ("nowhere: it did not reach the hub", "us"),
    Stage.SILENT_AT_HUB: ("at the hub, as far as we know", "us"),
    Stage.ON_DEVICE: ("on the Device", "the Device: it verifies the image, or says what it runs"),
    Stage.TRANSFER_FAILED: ("at the hub: it did not get through to the Device", "us"),
    Stage.SILENT_ON_DEVICE: ("on the Device, as far as we know", "us"),
    Stage.IMAGE_VERIFIED: ("on the Device, and verified", "us"),
    Stage.IMAGE_REJECTED: ("nowhere: the Device discarded it", "us"),
    Stage.ACTIVATION_SENT: ("on the Device", "the Device: it was told to activate, and has not answered"),
    Stage.ACTIVATION_SCHEDULED: ("on the Device", "the Device: it activates at the time that it was told"),
    Stage.ACTIVATED: ("activated, says the Device", "the Device: it has not said yet which version it runs"),
    Stage.SILENT_IN_ACTIVATION: ("on the Device; whether it runs is not known", "us"),
    Stage.ACTIVATION_FAILED: ("on the Device, and not activated", "us"),
    Stage.CALLING_OFF: (
        "on the Device",
        "the Device: it was told to drop the activation that it holds for later, and has not answered",
    ),
    Stage.SILENT_IN_CALL_OFF: ("on the Device; whether it activated is not known", "us"),
    Stage.CALLED_OFF: ("on the Device, its activation called off", "us"),
    Stage.CHECKING: ("being asked about", "the Device: it was asked which version it runs (SRV 11.2)"),
    Stage.SILENT_TO_READ: ("not known: the Device did not answer when it was asked", "us"),
    Stage.UNCHANGED: ("nowhere: the Device still runs another version", "us"),
    Stage.FAILED: ("given up", "nobody: it is over"),
    Stage.CANCELLED: ("cancelled", "nobody: it is over"),
    Stage.WITHDRAWN: ("of no concern: the Device has left", "nobody: it is over"),
    Stage.LOST: ("not known, whatever was asked", "nobody: it is over"),
    Stage.PROVEN: ("running: the Device itself said so", "nobody: it is done"),
}
"""By stage: where the image is, and whom it waits for."""

_DOES: Final[Mapping[Action, str]] = {
    Action.WAIT: "nothing",
    Action.UPDATE: "the image is ordered again",
    Action.ACTIVATE: "the activation is ordered (SRV 11.3)",
    Action.CALL_OFF: "the activation is called off (SRV 11.3)",
    Action.READ: "the Device is asked for its version (SRV 11.2)",
    Action.GIVE_UP: "it is given up, and counts as failed",
    Action.WRITE_OFF: "it is written off as lost, and counts as failed",
}

_STOPS: Final[Mapping[CampaignStatus, str]] = {
    CampaignStatus.PAUSED: "the campaign is paused: nothing is ordered until it is resumed",
    CampaignStatus.ABORTING: "the campaign is being aborted: nothing new is ordered",
}


def whereabouts(
    procedure: Procedure, plan: Plan, progress: Progress, ordered: Ordered, now: Instant
) -> Whereabouts:
    """Where an update is at `now`, seen from its plan and its latest order."""
    stage = progress.stage
    where, waits = _WHERE[stage]
    why = CAUSES[progress.cause][0]
    if stage in FINAL:
        return Whereabouts(where, f"{waits}; {why}" if why and stage is not Stage.PROVEN else waits, ())
    if stage in FLYING:
        if stage is Stage.CALLING_OFF and why:
            waits = f"{waits}; {why}"
        coming = [*_execution(plan, progress, ordered, now), *_deadline(procedure, plan, progress, ordered)]
        return Whereabouts(where, waits, tuple(coming))
    due = next_action(procedure, progress, plan.retries)
    waits = f"us, because {why}" if why else "us"
    stop = _STOPS.get(ordered.status)
    if ordered.held is not None:
        stop = f"its stratum is held: {ordered.held}"
    if stop is not None and due.action not in {Action.GIVE_UP, Action.WRITE_OFF}:
        waits = f"{waits}; and {stop}"
    return Whereabouts(where, waits, (Next(ordered.ready_at, _DOES[due.action]),))


def _execution(plan: Plan, progress: Progress, ordered: Ordered, now: Instant) -> list[Next]:
    """What comes of an activation that is dated ahead."""
    at = ordered.execution
    if at is None or at <= now:
        return []
    if progress.stage is Stage.CALLING_OFF:
        return [Next(at, "it activates, unless it is told in time not to")]
    if progress.stage not in DATED:
        return []
    unwanted = ordered.held is not None or ordered.status is CampaignStatus.ABORTING
    if not can_be_called_off(plan, at, now):
        return [Next(at, "it activates; that is too near to be called off" if unwanted else "it activates")]
    if not may_call_off(progress):
        return [Next(at, "it activates; its activations were called off as often as an attempt has room for")]
    if unwanted:
        return [Next(None, _DOES[Action.CALL_OFF])]
    until = Instant(at - plan.call_off_ahead)
    return [Next(until, "until then the activation can be called off"), Next(at, "it activates")]


def _deadline(procedure: Procedure, plan: Plan, progress: Progress, ordered: Ordered) -> list[Next]:
    """Until when silence is patience, and what it is then."""
    for name in DEADLINES_OF[ordered.kind]:
        fact = DEADLINES[name].get(progress.stage)
        if fact is None:
            continue
        at = Instant(ordered.at + plan.deadlines.of(name))
        silent = Progress.of(progress.step, IMPLIES[fact])
        then = _DOES[next_action(procedure, silent, plan.retries).action]
        return [Next(None, "word comes, and it goes on"), Next(at, f"if none has come: silence, and {then}")]
    return [Next(None, "word comes, and it goes on")]
