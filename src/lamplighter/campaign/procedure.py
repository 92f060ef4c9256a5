"""What to order next for a Device: SRV 11.4 in one step, 11.1 then 11.3 in two, as a table."""

from __future__ import annotations

from enum import Enum
from typing import Final

from lamplighter.campaign.state import State
from lamplighter.registry import Procedure


class Order(Enum):
    """What the gateway can be told to do for a Device."""

    UPDATE_PPMID_FIRMWARE = "11.4"
    UPDATE_FIRMWARE = "11.1"
    ACTIVATE_FIRMWARE = "11.3"


_NEXT: Final = {
    (Procedure.ONE_STEP, State.QUEUED): Order.UPDATE_PPMID_FIRMWARE,
    (Procedure.TWO_STEP, State.QUEUED): Order.UPDATE_FIRMWARE,
    (Procedure.TWO_STEP, State.IMAGE_VERIFIED): Order.ACTIVATE_FIRMWARE,
}


def next_order(procedure: Procedure, state: State) -> Order | None:
    """The order that is due in `state`; None: wait, or nothing more to do."""
    return _NEXT.get((procedure, state))
