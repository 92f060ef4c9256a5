"""Evidence: one thing that is known to have happened to one Device's update, and how we know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lamplighter.kit import FirmwareVersion, Instant


class Fact(Enum):
    """What a piece of evidence says. The order of the members means nothing; `state.IMPLIES` does."""

    ORDERED = "an order stands in the outbox"
    RECALLED = "the order was taken back before it was sent"
    SUBMITTED = "the update request was handed to the DCC"
    REFUSED = "the DCC refused the request, or this Device in it"
    ACCEPTED = "the DCC accepted the request for this Device"
    QUARANTINED = "N46 to N48: anomaly detection holds the request back"
    AT_HUB = "N60: the image lies at the Communications Hub"
    HUB_FAILED = "N61 or N18 to N23: the image did not reach the hub"
    ON_DEVICE = "N62: the hub has passed the image to the Device"
    TRANSFER_FAILED = "N62: the hub could not pass the image on"
    IMAGE_VERIFIED = "8F72: the Device has verified the Supplier's signature"
    IMAGE_REJECTED = "8F1C: the Device has discarded the image"
    ACTIVATION_SENT = "the signed activation was handed to the DCC"
    ACTIVATION_ACCEPTED = "the DCC accepted the activation, and sends it to the Device"
    ACTIVATION_REFUSED = "the DCC refused the activation"
    ACTIVATION_SCHEDULED = "the Device has accepted a future-dated activation"
    ACTIVATED = "the Device says that it has activated the image"
    ACTIVATION_FAILED = "the Device says that it could not activate the image"
    CALL_OFF_ORDERED = "an order to call the activation off stands in the outbox"
    CALL_OFF_SENT = "the order to call the activation off was handed to the DCC"
    CALL_OFF_REFUSED = "the order to call the activation off was refused, or came too late to be sent"
    CALLED_OFF = "the activation is called off: taken back unsent, or dropped by the Device before its time"
    READ_ORDERED = "a read of its version stands in the outbox"
    READ_SENT = "the Device is asked for its version"
    READ_FAILED = "the DCC could not ask the Device for its version"
    VERSION_READ = "the Device says which version it runs"
    NO_WORD_OF_HUB = "by the deadline nobody had said that the image lies at the hub"
    NO_WORD_OF_TRANSFER = "by the deadline nobody had said that the Device has the image"
    NO_WORD_OF_DEVICE = "by the deadline the Device had said nothing of the image"
    NO_WORD_OF_ACTIVATION = "by the deadline the Device had said nothing of its activation"
    NO_WORD_OF_CALL_OFF = "by the deadline the Device had not said that it dropped its activation"
    NO_ANSWER = "by the deadline the Device had not said which version it runs"
    GIVEN_UP = "the cause is final, or the attempts are used up"
    LOST = "nothing was heard of the Device, whatever was asked"
    CANCELLED = "the campaign was aborted before anything was ordered, or after what was ordered failed"
    LEFT = "the Device has left: removed, suspended, decommissioned, or another Supplier's"


class Cause(IntEnum):
    """Why a Device is where it is: at most 32, for it shares a number with the stage (`state.Progress`)."""

    NONE = 0
    INVALID = 1
    NOT_COMMISSIONED = 2
    NOT_APPLICABLE = 3
    OTHER_REQUEST = 4
    GBCS_VERSION = 5
    ACCESS = 6
    REQUEST = 7
    UNREACHABLE = 8
    UNBELIEVABLE = 9
    DISTRIBUTION = 10
    DISCARDED = 11
    HARDWARE = 12
    TRANSFER = 13
    SIGNATURE = 14
    NO_IMAGE = 15
    HASH = 16
    ACTIVATION = 17
    OTHER_VERSION = 18
    SILENCE = 19
    QUARANTINE = 20
    REMOVED = 21
    SUPPLIER = 22
    SUSPENDED = 23
    DECOMMISSIONED = 24
    OPERATOR = 25
    WITHDRAWN_RELEASE = 26
    TOO_LATE = 27


CAUSES: Final = {
    # What it says to a person, and whether another attempt can mend it.
    Cause.NONE: ("", True),
    Cause.INVALID: ("the DCC: no valid Device for this request", False),
    Cause.NOT_COMMISSIONED: ("the DCC: not commissioned", False),
    Cause.NOT_APPLICABLE: ("the DCC: the firmware is not for this model", False),
    Cause.OTHER_REQUEST: ("the DCC: another update is in progress", True),
    Cause.GBCS_VERSION: ("the DCC: Device or hub of a GBCS version without this update", False),
    Cause.ACCESS: ("the DCC: not authorised for this Device or service", False),
    Cause.REQUEST: ("the DCC refused the request as a whole", False),
    Cause.UNREACHABLE: ("the DCC could not reach the Device", True),
    Cause.UNBELIEVABLE: ("an answer that could not be believed; nothing more was sent", False),
    Cause.DISTRIBUTION: ("the image did not reach the hub", True),
    Cause.DISCARDED: ("the hub discarded the image", True),
    Cause.HARDWARE: ("the hub: hardware version mismatch", False),
    Cause.TRANSFER: ("the hub could not transfer the image", True),
    Cause.SIGNATURE: ("the Device rejected the image", False),
    Cause.NO_IMAGE: ("the Device holds no image to activate", True),
    Cause.HASH: ("the Device holds another image", True),
    Cause.ACTIVATION: ("the Device could not activate the image", False),
    Cause.OTHER_VERSION: ("the Device called another version a success", False),
    Cause.SILENCE: ("nothing was heard by the deadline", True),
    Cause.QUARANTINE: ("anomaly detection held the request back", True),
    Cause.REMOVED: ("the Device left its HAN", False),
    Cause.SUPPLIER: ("another Supplier has the Device now", False),
    Cause.SUSPENDED: ("the Device is suspended", False),
    Cause.DECOMMISSIONED: ("the Device is decommissioned", False),
    Cause.OPERATOR: ("the campaign was aborted", False),
    Cause.WITHDRAWN_RELEASE: ("the release was withdrawn", False),
    Cause.TOO_LATE: ("the activation fell due before it could be called off", True),
}
"""Each cause: what to say, and whether it may be retried; a plan may overrule the second."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One fact with its source."""

    fact: Fact
    """What happened."""
    at: Instant
    """When, by the clock of whoever says so."""
    message: str
    """The message that says so, in the industry's words: "N62", "8F72", "I99", "SRV 11.4"."""
    cause: Cause = Cause.NONE
    """Why, where the fact is a failure."""
    detail: str = ""
    """The message's own reason: a response code, a transfer response code."""
    version: FirmwareVersion | None = None
    """The version that the Device itself reports to run; no one else's word goes in here."""
