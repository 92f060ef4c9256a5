"""Leases: who does which work, until when.

A lease has an owner, an end, and a number that counts up whenever it changes hands: the fence. Every
transaction under a lease checks its fence (`Database.writing`). So a worker that was paused past the end of
its lease and wakes up cannot write what it had in mind: its fence has fallen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import case, or_, select, update

from lamplighter.kit import Instant
from lamplighter.store import schema as s
from lamplighter.store.database import Fence

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from lamplighter.store.database import Database


@dataclass(frozen=True, slots=True)
class Lease:
    """Who does a piece of work."""

    fence: Fence
    """The lease's name, its owner, and which taking of it this is."""
    until: Instant
    """When it ends, unless it is renewed."""


class Leases:
    """Who does which work, in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, name: str, owner: str, now: Instant, ttl: int) -> Fence | None:
        """Take a lease that nobody holds, or hold on to one's own, until `ttl` us from now.

        None: another has it, or is at this moment at work under it. `owner` is unique for each run of each
        process. One's own lease keeps its fence. A lease that ends later than twice `ttl` from now was taken
        by a clock that is far ahead, and counts as ended: all take a name with the same `ttl`. Not at once
        above `ttl`: a moment lies between reading the clock and looking at the lease, and the owner may have
        renewed it in that.
        """
        new = self._database.insert(s.lease).values(name=name, owner=owner, fence=1, until=now + ttl)
        mine = s.lease.c.owner == new.excluded.owner
        with self._database.writing() as connection:
            here = connection.execute(select(s.lease.c.owner).where(s.lease.c.name == name)).scalar()
            # A holder that hangs in the middle of a transaction must not hang whoever looks after it. One's
            # own lease is waited for: another looks at it for a moment, and must not take it from us by that.
            if here not in (None, owner) and not self._database.is_sqlite:
                free = select(s.lease.c.name).where(s.lease.c.name == name).with_for_update(skip_locked=True)
                if connection.execute(free).first() is None:
                    return None
            number = connection.execute(
                new.on_conflict_do_update(
                    index_elements=["name"],
                    set_={
                        "owner": new.excluded.owner,
                        "until": new.excluded.until,
                        "fence": s.lease.c.fence + case((mine, 0), else_=1),
                    },
                    where=or_(mine, s.lease.c.until <= now, s.lease.c.until > now + 2 * ttl),
                ).returning(s.lease.c.fence)
            ).scalar()
        return None if number is None else Fence(name, owner, number)

    def renew(self, fence: Fence, now: Instant, ttl: int) -> bool:
        """Hold a lease until `ttl` us from now; False: it is another's by now."""
        with self._database.writing() as connection:
            held = connection.execute(update(s.lease).where(*_of(fence)).values(until=now + ttl))
            return bool(held.rowcount)

    def release(self, fence: Fence) -> None:
        """Let go of a lease, so that another may take it at once; nothing happens where it is another's."""
        with self._database.writing() as connection:
            connection.execute(update(s.lease).where(*_of(fence)).values(until=0))

    def list(self) -> list[Lease]:
        """All leases that were ever taken, by name."""
        with self._database.reading() as connection:
            return [
                Lease(Fence(row.name, row.owner, row.fence), Instant(row.until))
                for row in connection.execute(select(s.lease).order_by(s.lease.c.name))
            ]


def _of(fence: Fence) -> tuple[ColumnElement[bool], ...]:
    table = s.lease.c
    return table.name == fence.name, table.owner == fence.owner, table.fence == fence.number
