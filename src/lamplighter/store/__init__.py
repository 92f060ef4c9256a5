"""What is remembered: one schema for SQLite and PostgreSQL, its migrations, and the statements on it.

- `schema`: the tables, with a sentence for each invariant; `migrations` brings any older database to it.
- `store`: the statements; an order and its outbox row, or a message and its evidence, commit together.
"""

from lamplighter.store.store import (
    InboxMessage,
    OpenRequest,
    Store,
    TimelineEntry,
    Update,
)

__all__ = ["InboxMessage", "OpenRequest", "Store", "TimelineEntry", "Update"]
