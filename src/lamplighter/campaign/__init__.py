"""What is decided, without I/O: what evidence says of a Device's update, and what to order next.

- `evidence`: facts and causes; `state`: the one table by which facts become a state, and its number.
- `next`: what is due for one Device; `plan`: what the operator asked for, as text and as values.
- `gates`, `windows`, `rates`: may more go out now; `decide`: the policy of a campaign as one pure function.
"""

from lamplighter.campaign.evidence import CAUSES, Cause, Evidence, Fact
from lamplighter.campaign.next import Action, Order, next_action
from lamplighter.campaign.state import END_STATES, Progress, Stage, State, fold

__all__ = [
    "CAUSES",
    "END_STATES",
    "Action",
    "Cause",
    "Evidence",
    "Fact",
    "Order",
    "Progress",
    "Stage",
    "State",
    "fold",
    "next_action",
]
