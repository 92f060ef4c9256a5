"""What is decided, without I/O: what evidence says of a Device's update, and what to order next.

A Device's record in a campaign is a *set* of evidence; its state is a pure function of that set (`fold`), so
that messages which come twice, late or out of order cannot corrupt it. Waves, gates and rates will live here.
"""

from lamplighter.campaign.evidence import Evidence, Fact
from lamplighter.campaign.procedure import Order, next_order
from lamplighter.campaign.state import END_STATES, State, fold

__all__ = ["END_STATES", "Evidence", "Fact", "Order", "State", "fold", "next_order"]
