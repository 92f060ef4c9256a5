"""One Supplier's database with all that can be done to it, noun by noun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamplighter.store.answers import Answers
from lamplighter.store.audit import Audit
from lamplighter.store.campaigns import Campaigns
from lamplighter.store.database import Database
from lamplighter.store.fleet import Fleet
from lamplighter.store.forecasts import Forecasts
from lamplighter.store.inbox import Inbox
from lamplighter.store.leases import Leases
from lamplighter.store.metrics import Metrics
from lamplighter.store.orders import Orders
from lamplighter.store.outbox import Outbox
from lamplighter.store.people import People
from lamplighter.store.questions import Questions
from lamplighter.store.record import Record
from lamplighter.store.registry import Registry
from lamplighter.store.standings import Standings
from lamplighter.store.storms import Storms
from lamplighter.store.webhooks import Webhooks

if TYPE_CHECKING:
    from typing import Self


class Store:
    """The nouns of one database. Safe to share between threads, not between processes."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.inbox = Inbox(database)
        self.registry = Registry(database)
        self.fleet = Fleet(database)
        self.record = Record(database)
        self.outbox = Outbox(database)
        self.questions = Questions(database)
        self.orders = Orders(database)
        self.leases = Leases(database)
        self.campaigns = Campaigns(database)
        self.standings = Standings(database)
        self.webhooks = Webhooks(database)
        self.answers = Answers(database)
        self.forecasts = Forecasts(database)
        self.storms = Storms(database)
        self.metrics = Metrics(database)
        self.audit = Audit(database)
        self.people = People(database)

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the database at `url`, and bring it up to date; see `Database.open`."""
        return cls(Database.open(url))

    def close(self) -> None:
        """Let go of all connections."""
        self.database.close()
