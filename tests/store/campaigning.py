"""A registry of made-up Devices, a release for them, and campaigns of it, for tests of the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select, text, update

from lamplighter.campaign import Cause, Evidence, Fact, Progress, Stage
from lamplighter.campaign.decide import Decision, Make, Place, calls_off, decide
from lamplighter.campaign.plan import Plan, Wave
from lamplighter.campaign.status import Act
from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant
from lamplighter.kit.instant import HOUR, SECOND
from lamplighter.registry import (
    Cohort,
    CplEntry,
    CplStatus,
    Device,
    DeviceStatus,
    DeviceType,
    Procedure,
    Release,
)
from lamplighter.store import Database
from lamplighter.store import schema as s
from lamplighter.store.campaigns import Campaign, Campaigns
from lamplighter.store.leases import Leases
from lamplighter.store.orders import Orders
from lamplighter.store.record import Record, append_items
from lamplighter.store.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable

OLD, TARGET = FirmwareVersion(0x10), FirmwareVersion(0x20)
START = Instant(1_900_000_000 * SECOND)
PPMIDS = Cohort(DeviceType.PPMID, 0x1234, 1, 1, OLD, DeviceStatus.COMMISSIONED, region="North", hub_model="A")
SWITCHES = replace(PPMIDS, type=DeviceType.HCALCS)
ONE_WAVE = Plan("C", (Wave("all", 1.0),), approvals=0)


def eui(number: int) -> Eui64:
    """Device `number`; every other has its highest bit set, which no signed column holds as it is."""
    return Eui64.of((number % 2) << 63 | 0xDB_0000_0000_0000 + number)


def hub(number: int) -> Eui64:
    """Hub `number`."""
    return Eui64.of(0xCF_0000_0000_0000 + number)


class Fleet:
    """A database with Devices, a release on the CPL, and whatever campaigns a test makes of it."""

    def __init__(self, url: str, procedure: Procedure = Procedure.ONE_STEP) -> None:
        self.join(url)
        release = Release(procedure, 0x1234, TARGET, ImageHash(bytes(32)), 0, 0xFFFF, b"image")
        self.release = self.registry.add_release("R", release)
        self.registry.put_cpl(
            CplEntry(0x1234, model, 1, TARGET, ImageHash(bytes(32)), CplStatus.ACTIVE)
            for model in range(1, 9)
        )

    def join(self, url: str) -> None:
        """Open the database, as one more process would."""
        self.url = url
        self.database = Database.open(url)
        self.registry = Registry(self.database)
        self.campaigns = Campaigns(self.database)
        self.orders = Orders(self.database)
        self.leases = Leases(self.database)
        self.record = Record(self.database)

    def close(self) -> None:
        """Let go of it."""
        self.database.close()

    def devices(self, numbers: Iterable[int], cohort: Cohort = PPMIDS, *, homes: int | None = None) -> None:
        """Take in Devices: each in a home of its own, or in so many homes."""
        self.registry.put_devices(
            Device(eui(it), hub(it if homes is None else it % homes), cohort) for it in numbers
        )

    def start(self, plan: Plan = ONE_WAVE, now: Instant = START) -> Campaign:
        """A campaign that runs."""
        number = self.campaigns.create(plan, self.release, "operator", now)
        self.campaigns.act(number, Act.START, "operator", now)
        return self.campaigns.find(number)

    def decide(self, campaign: Campaign, decision: Decision, now: Instant = START, fence=None) -> int:
        """Commit a decision of the test's own."""
        view = self.campaigns.view(campaign, now)
        ready = self.orders.ready(campaign, now)
        return self.orders.commit(fence, campaign, view, decision, ready, now)

    def make(self, campaign: Campaign, devices: int, wave: int = 0, now: Instant = START) -> int:
        """First orders for so many Devices of each stratum."""
        pools = self.campaigns.pools(campaign.id)
        places = sorted({pool.place for pool in pools if pool.place.wave == wave})
        return self.decide(campaign, Decision(makes=tuple(Make(it, 0, devices) for it in places)), now)

    def tick(self, campaign: Campaign, now: Instant) -> int:
        """What a reconciler does for a campaign, once."""
        campaign = self.campaigns.find(campaign.id)
        done = int(self.campaigns.refresh(None, campaign, now))
        done += self.orders.expire(None, campaign, now)
        view = self.campaigns.view(campaign, now)
        ready = self.orders.ready(campaign, now)
        dated = self.orders.dated(campaign, calls_off(campaign.plan, view, now), now)
        decision = decide(campaign.plan, view, ready, now, dated)
        return done + self.orders.commit(None, campaign, view, decision, ready, now, dated)

    def ordered(self, campaign: Campaign) -> set[Eui64]:
        """The Devices that have been ordered."""
        with self.database.reading() as connection:
            query = select(s.device_update.c.device).where(s.device_update.c.campaign == campaign.id)
            return set(connection.execute(query).scalars())

    def progress(self, campaign: Campaign, device: Eui64) -> Progress:
        """How far one has come."""
        with self.database.reading() as connection:
            query = select(s.device_update.c.progress).where(
                s.device_update.c.campaign == campaign.id, s.device_update.c.device == device
            )
            return Progress(connection.execute(query).scalar_one())

    def hear(
        self,
        campaign: Campaign,
        device: Eui64,
        fact: Fact,
        at: Instant,
        cause: Cause = Cause.NONE,
        version=None,
    ) -> None:
        """Evidence of a Device's present step."""
        with self.database.writing() as connection:
            row = connection.execute(
                select(s.device_update.c.id, s.device_update.c.progress).where(
                    s.device_update.c.campaign == campaign.id, s.device_update.c.device == device
                )
            ).one()
            item = Evidence(fact, at, "test", cause, "", version)
            append_items(self.database, connection, [(row.id, Progress(row.progress).step, item, None)], at)

    def answer(self, now: Instant, code: str = "I99") -> int:
        """The DCC answers all that is open."""
        with self.database.writing() as connection:
            return connection.execute(
                update(s.request)
                .where(s.request.c.answered_at.is_(None))
                .values(attempted_at=now, answered_at=now, response_code=code)
            ).rowcount

    def rows(self, sql: str, **values) -> list[tuple]:
        """What a query says."""
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]

    def stages(self, campaign: Campaign) -> dict[Stage, int]:
        """How many are in each stage, by the tallies."""
        found: dict[Stage, int] = {}
        for count in self.campaigns.view(campaign, START).counts:
            found[count.stage] = found.get(count.stage, 0) + count.devices
        return found


__all__ = [
    "HOUR", "OLD", "ONE_WAVE", "PPMIDS", "START", "SWITCHES", "TARGET",
    "Fleet", "Place", "Plan", "Wave", "eui", "hub",
]  # fmt: skip
