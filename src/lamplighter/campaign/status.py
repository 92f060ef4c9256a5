"""Where a campaign stands, and what an operator may do to it there: one chart."""

from __future__ import annotations

from enum import Enum
from typing import Final

from lamplighter.kit import Chart


class CampaignStatus(Enum):
    """Where a campaign stands."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    ABORTING = "aborting"
    ABORTED = "aborted"
    FINISHED = "finished"


class Act(Enum):
    """What is done to a campaign, by an operator or, the last two, by the reconciler."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    SETTLE = "settle"
    FINISH = "finish"


CHART: Final = Chart(
    "campaign",
    CampaignStatus.DRAFT,
    {
        (CampaignStatus.DRAFT, Act.START): CampaignStatus.RUNNING,
        (CampaignStatus.DRAFT, Act.ABORT): CampaignStatus.ABORTED,
        (CampaignStatus.RUNNING, Act.PAUSE): CampaignStatus.PAUSED,
        (CampaignStatus.RUNNING, Act.ABORT): CampaignStatus.ABORTING,
        (CampaignStatus.RUNNING, Act.FINISH): CampaignStatus.FINISHED,
        (CampaignStatus.PAUSED, Act.RESUME): CampaignStatus.RUNNING,
        (CampaignStatus.PAUSED, Act.ABORT): CampaignStatus.ABORTING,
        # What is in flight comes to its end first; then what is left is cancelled.
        (CampaignStatus.ABORTING, Act.SETTLE): CampaignStatus.ABORTED,
    },
)

EFFECTS: Final = {
    Act.START: "Devices are ordered, wave by wave, as the plan says.",
    Act.PAUSE: "No new order is made and no update is sent. What the DCC has goes on; its evidence is taken. "
    "So do activations that are dated ahead; they can be called off.",
    Act.RESUME: "Orders are made again from where they stopped.",
    Act.ABORT: "No new update is ordered. What the DCC has goes on to its end; nothing is tried again. "
    "Activations that lie far enough ahead are called off.",
}
"""What an operator is told before it is done."""
