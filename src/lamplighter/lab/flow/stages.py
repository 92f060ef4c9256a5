"""Where a Device stands in flow mode: the stages of both procedures, and how an update ends."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Final


class Stage(IntEnum):
    """What the Supplier hears of, in the order of both procedures. Its instant is that of the hearing."""

    ACCEPTED = 0
    """The DCC's synchronous answer to SRV 11.1 or 11.4."""
    AT_HUB = auto()
    """N60, or N61 or N18 where it failed here."""
    ON_DEVICE = auto()
    """N62, whatever it says."""
    VERIFIED = auto()
    """8F72, or 8F1C where it failed here. None with SRV 11.4."""
    ACTIVATION = auto()
    """The DCC's synchronous answer to the signed pre-command of SRV 11.3. None with SRV 11.4."""
    PROVEN = auto()
    """N39, the answer to CS06, 8F66 or 8F67, whatever they say; E21 where no answer came."""


STAGES: Final = len(Stage)


class Outcome(IntEnum):
    """How far an update came, in truth: what the Supplier has heard of it is another matter."""

    IDLE = 0
    """Nothing was ordered."""
    UNDER_WAY = auto()
    """Ordered, and not at its end."""
    HELD = auto()
    """An image lies verified on the Device, and waits for SRV 11.3."""
    UPDATED = auto()
    """The new version runs, and says so."""
    REFUSED = auto()
    """The DCC did not accept the Device: it is in one of the warning's lists."""
    UNREACHED = auto()
    """Nothing was heard of the image, since the hub was replaced: N18 after the DCC's wait."""
    UNDELIVERED = auto()
    """The WAN could not bring it to the hub, which is out of coverage: N61 after the CSP's wait."""
    DISCARDED = auto()
    """CCS08 code 1: the Device runs it already, never asked for it, or the hub dropped it."""
    HARDWARE_MISMATCH = auto()
    """CCS08 code 2."""
    TRANSFER_FAILED = auto()
    """CCS08 code 3."""
    REJECTED = auto()
    """The Supplier's signature is not good: 8F1C."""
    ROLLED_BACK = auto()
    """The new image did not boot, and the one before it runs: activation failure."""
    OTHER_VERSION = auto()
    """The new image runs and says that it is another version."""
    MUTE = auto()
    """The new image runs and never speaks: bricked, to all who can tell."""
    VANISHED = auto()
    """The hub was replaced, and the image went with it: no message tells of it."""


ENDED: Final = frozenset(Outcome) - {Outcome.IDLE, Outcome.UNDER_WAY, Outcome.HELD}
"""From these a Device may be ordered anew."""

FAILS_AT: Final = {
    Outcome.REFUSED: Stage.ACCEPTED,
    Outcome.UNREACHED: Stage.AT_HUB,
    Outcome.UNDELIVERED: Stage.AT_HUB,
    Outcome.DISCARDED: Stage.ON_DEVICE,
    Outcome.HARDWARE_MISMATCH: Stage.ON_DEVICE,
    Outcome.TRANSFER_FAILED: Stage.ON_DEVICE,
    Outcome.REJECTED: Stage.VERIFIED,
    Outcome.ROLLED_BACK: Stage.PROVEN,
    Outcome.OTHER_VERSION: Stage.PROVEN,
    Outcome.MUTE: Stage.PROVEN,
    Outcome.VANISHED: Stage.ON_DEVICE,
}
"""The stage whose message tells of it; every stage before it went well."""
