"""What is remembered: one schema for SQLite and PostgreSQL, its migrations, and the statements on it.

- `schema`: the tables, with a sentence for each invariant; `migrations` brings any older database to it.
- `database`: transactions, fences, bulk loads; `leases`: who does which work, until when.
- `registry`: Devices, hubs, CPL, releases; `campaigns`: plans, pools, strata, tallies.
- `orders`: what a decision makes, all in one transaction; `outbox`: what is sent, and what was answered.
- `questions`: what the DCC's inventory is asked, in the same lane and behind all orders.
- `inbox`: messages as they came; `record`: evidence, and the states and tallies that follow from it.
- `webhooks`: whom we tell, and what they were told; `answers`: acts that are done once.
"""

from lamplighter.store.database import Database, Fence, LeaseLostError
from lamplighter.store.store import Store

__all__ = ["Database", "Fence", "LeaseLostError", "Store"]
