"""Evidence: one thing that is known to have happened to one Device's update, and how we know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamplighter.kit import FirmwareVersion, Instant


class Fact(Enum):
    """What a piece of evidence says. The order of the members means nothing; `state.IMPLIES` does."""

    SUBMITTED = "the update request was handed to the DCC"
    REFUSED = "the DCC refused the request, or this Device in it"
    ACCEPTED = "the DCC accepted the request for this Device"
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


@dataclass(frozen=True, slots=True)
class Evidence:
    """One fact with its source."""

    fact: Fact
    """What happened."""
    at: Instant
    """When, by the clock of whoever says so."""
    message: str
    """The message that says so, in the industry's words: "N62", "8F72", "I99", "SRV 11.4"."""
    detail: str = ""
    """The message's own reason: a response code, a transfer response code."""
    version: FirmwareVersion | None = None
    """The version that the Device itself reports to run; no one else's word goes in here."""
