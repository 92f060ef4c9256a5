"""One Supplier's database with all that can be done to it, noun by noun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamplighter.store.campaigns import Campaigns
from lamplighter.store.database import Database
from lamplighter.store.inbox import Inbox
from lamplighter.store.leases import Leases
from lamplighter.store.orders import Orders
from lamplighter.store.outbox import Outbox
from lamplighter.store.record import Record
from lamplighter.store.registry import Registry

if TYPE_CHECKING:
    from typing import Self


class Store:
    """The nouns of one database. Safe to share between threads, not between processes."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.inbox = Inbox(database)
        self.registry = Registry(database)
        self.record = Record(database)
        self.outbox = Outbox(database)
        self.orders = Orders(database)
        self.leases = Leases(database)
        self.campaigns = Campaigns(database)

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the database at `url`, and bring it up to date; see `Database.open`."""
        return cls(Database.open(url))

    def close(self) -> None:
        """Let go of all connections."""
        self.database.close()
