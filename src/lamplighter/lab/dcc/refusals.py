"""Why the DCC refuses a request: our own named reasons, and the one table that gives them a response code.

That these codes exist is verified against the schema. What E1 to E21 mean is published; which E0802xx,
E1101xx and E1104xx stands for which reason is not, nor which code answers a forged or repeated request. Those
rows are assumptions, and code should go by the reason in the DCC's event wherever it can see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Reason(Enum):
    """Why a request is refused as a whole."""

    NOT_AUTHENTIC = auto()
    """Its XML signature is missing, wrong, moved, or not by a certificate that the DCC trusts."""
    UNKNOWN_USER = auto()
    """The signer is trusted and yet no User."""
    ROLE_NOT_PERMITTED = auto()
    """The User's roles do not admit the service."""
    USER_SUSPENDED = auto()
    """The User may not send requests now."""
    NOT_RESPONSIBLE = auto()
    """The User is not a responsible Supplier of the Device."""
    DEVICE_STATUS = auto()
    """The Device is not in a status that admits the service."""
    WRONG_DEVICE_TYPE = auto()
    """The service does not exist for this type of Device."""
    WRONG_VARIANT = auto()
    """The command variant, or the service reference, is not that of the body."""
    WRONG_SERVICE = auto()
    """The request belongs to another of the three services."""
    NO_SUCH_DEVICE = auto()
    """The target is not in the inventory."""
    NO_SUCH_PREMISES = auto()
    """SRV 8.2 alone: the inventory has no premises with this meter point, UPRN or address."""
    WRONG_TARGET = auto()
    """A Non-Device request names another target than the ACB."""
    COUNTER_NOT_ABOVE = auto()
    """The request's counter is not above the User's last: a replay."""
    NOT_TRANSFORMED = auto()
    """A signed pre-command that answers no transformed request, or one already sent."""
    PRE_COMMAND_DIFFERS = auto()
    """A signed pre-command that is not the one which the transform gave."""
    VERSION_NOT_ON_CPL = auto()
    """The CPL has no entry for this manufacturer and version."""
    VERSION_NOT_ACTIVE = auto()
    """The CPL has the version, and its entry is cancelled, expired or withdrawn."""
    HASH_NOT_ON_CPL = auto()
    """The CPL has the version under another Manufacturer Image Hash."""
    NO_VALID_DEVICE = auto()
    """Not one of the Devices listed can have the image."""
    IMAGE_MALFORMED = auto()
    """The image is no OTA Upgrade Image in the layout of the service."""
    IMAGE_TOO_LARGE = auto()
    """The image or the list of Devices is larger than the network carries."""
    VERSION_NOT_IN_IMAGE = auto()
    """The request's firmware version is not that of the OTA header."""
    SIGNATURE_MISSING = auto()
    """SRV 11.1 alone: the image ends without a Supplier signature."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One request refused."""

    reason: Reason
    """Why, in our own words."""
    detail: str
    """What exactly was wrong, for the log."""


CODES: Final = {
    Reason.NOT_AUTHENTIC: "E1",  # assumed: nobody is shown to have sent it
    Reason.UNKNOWN_USER: "E1",
    Reason.ROLE_NOT_PERMITTED: "E2",
    Reason.USER_SUSPENDED: "E3",
    Reason.NOT_RESPONSIBLE: "E4",
    Reason.DEVICE_STATUS: "E5",
    Reason.WRONG_DEVICE_TYPE: "E11",
    Reason.WRONG_VARIANT: "E12",
    Reason.WRONG_SERVICE: "E13",
    Reason.NO_SUCH_DEVICE: "E19",
    Reason.NO_SUCH_PREMISES: "E{srv}01",  # assumed
    Reason.WRONG_TARGET: "E19",  # assumed
    Reason.COUNTER_NOT_ABOVE: "E57",  # assumed
    Reason.NOT_TRANSFORMED: "E58",  # assumed
    Reason.PRE_COMMAND_DIFFERS: "E58",  # assumed
    Reason.VERSION_NOT_ON_CPL: "E{srv}01",  # assumed, as all below
    Reason.VERSION_NOT_ACTIVE: "E{srv}01",
    Reason.HASH_NOT_ON_CPL: "E{srv}02",
    Reason.NO_VALID_DEVICE: "E{srv}03",
    Reason.IMAGE_MALFORMED: "E{srv}05",
    Reason.IMAGE_TOO_LARGE: "E{srv}05",
    Reason.VERSION_NOT_IN_IMAGE: "E{srv}05",
    Reason.SIGNATURE_MISSING: "E{srv}06",
}
"""The response code of each reason; `{srv}` is 0802, 1101 or 1104."""


def code_of(reason: Reason, srv: str) -> str:
    """The response code with which a request for `srv` (such as `11.4`) is refused."""
    return CODES[reason].format(srv="".join(part.zfill(2) for part in srv.split(".")))
