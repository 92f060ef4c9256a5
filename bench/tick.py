"""One tick of a campaign with 100,000 Devices in its target, against one with 10 million, all else equal.

A tick is all that a reconciler does for a campaign when it looks at it: verdicts, deadlines, view, decision,
and what was decided committed. In each, 1,000 Devices are ordered for the first time, 200 are ordered once
more after a failure, and as many batches are in the air. What a tick costs must not depend on how many
Devices wait for their turn. The ratio is seconds of a tick, small / large, on SQLite or on PostgreSQL,
whichever is the lower; a scan of all Devices in it would make that 1/100.

`python -m bench.tick growth [sizes]` shows the seconds of a tick, and of a start up to the first batch in the
outbox with the peak memory of its process, on both databases, for 0.1, 1 and 10 million Devices or the given.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.schema import CreateIndex, DropIndex
from tests import postgres

from bench import Skipped
from lamplighter.campaign import Cause, Evidence, Fact
from lamplighter.campaign.decide import decide
from lamplighter.campaign.gates import Gate
from lamplighter.campaign.plan import Deadlines, Plan, Wave
from lamplighter.campaign.rates import Rate
from lamplighter.campaign.state import FIRST_STEP
from lamplighter.campaign.status import Act
from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant
from lamplighter.kit.instant import DAY, HOUR, SECOND
from lamplighter.registry import (
    BUCKETS,
    Cohort,
    CplEntry,
    CplStatus,
    Device,
    DeviceStatus,
    DeviceType,
    Procedure,
    Release,
)
from lamplighter.store import Database, record
from lamplighter.store import schema as s
from lamplighter.store.campaigns import Campaign, Campaigns
from lamplighter.store.orders import Orders
from lamplighter.store.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "tick of a campaign, 100,000 Devices in the target vs 10 million"
GOAL: Final = 0.5

SIZES: Final = (100_000, 1_000_000, 10_000_000)
ORDERED: Final = 1_000  # for the first time, in a tick
AGAIN: Final = 200  # once more, in a tick
TICKS: Final = 5  # of which the median counts
_WARM_UP: Final = 3  # ticks before; then there are batches in the air
_COHORTS: Final = 20
_STRATA: Final = 4
_SETTINGS: Final = {"shared_buffers": "256MB", "maintenance_work_mem": "256MB", "max_wal_size": "4GB"}
_START: Final = Instant(1_900_000_000 * SECOND)
_OLD, _NEW = FirmwareVersion(0x10), FirmwareVersion(0x20)


class Estate:
    """A database with so many Devices, and a campaign for them."""

    def __init__(self, url: str) -> None:
        self.database = Database.open(url)
        self.campaigns = Campaigns(self.database)
        self.orders = Orders(self.database)
        self.now = _START

    @classmethod
    def build(cls, url: str, devices: int) -> Estate:
        """With so many Devices, of 20 kinds, and a release for them."""
        self = cls(url)
        registry = Registry(self.database)
        cohorts = [
            Cohort(
                DeviceType.PPMID, 0x1234, 1 + n % 5, 1, _OLD, DeviceStatus.COMMISSIONED,
                hub_model=f"H{n % _STRATA}", region="North" if n % 2 else "South",
            )
            for n in range(_COHORTS)
        ]  # fmt: skip
        registry.put_devices(Device(Eui64.of(1 + n), Eui64.of(1 + n), it) for n, it in enumerate(cohorts))
        image = ImageHash(bytes(32))
        registry.put_cpl(CplEntry(0x1234, model, 1, _NEW, image, CplStatus.ACTIVE) for model in range(1, 6))
        release = Release(Procedure.ONE_STEP, 0x1234, _NEW, image, 0, 0xFFFF, b"image")
        registry.add_release("R", release)
        self._fill(devices)
        return self

    def _fill(self, devices: int) -> None:
        """All Devices by one statement; their indexes afterwards, and what is known of them up to date."""
        numbers = (
            f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {devices - 1})"
            if self.database.is_sqlite
            else f"WITH n(i) AS (SELECT * FROM generate_series(0::bigint, {devices - 1}))"
        )
        with self.database.writing() as connection:
            connection.execute(text("DELETE FROM device"))
            for index in s.device.indexes:
                connection.execute(DropIndex(index))
            connection.execute(
                text(
                    f"{numbers} INSERT INTO device (eui, hub, cohort, bucket)"
                    f" SELECT i, i, c.id, (i * 2654435761 % 4294967296) / {(1 << 32) // BUCKETS}"
                    f" FROM n JOIN (SELECT id, ROW_NUMBER() OVER (ORDER BY id) - 1 AS nth FROM cohort) AS c"
                    f" ON c.nth = i % {_COHORTS}"
                    if not self.database.is_sqlite
                    else f"{numbers} INSERT INTO device (eui, hub, cohort, bucket)"
                    f" SELECT i, i, (SELECT MIN(id) FROM cohort) + i % {_COHORTS},"
                    f" (i * 2654435761 % 4294967296) / {(1 << 32) // BUCKETS} FROM n"
                )
            )
            for index in s.device.indexes:
                connection.execute(CreateIndex(index))
        if not self.database.is_sqlite:
            with self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE device"))

    def start(self) -> tuple[Campaign, float]:
        """A campaign that has made its first batch, and how many seconds that took from the word to start."""
        plan = Plan(
            "C", (Wave("canary", 0.5, gated=False), Wave("all", 1.0)), stratify=("hub_model",),
            gate=Gate(acceptable_failure_rate=0.98, max_failure_rate=0.99),  # nothing is held
            deadlines=Deadlines(50 * DAY, 51 * DAY, 52 * DAY),
            rate=Rate(per_hour=ORDERED + AGAIN), approvals=0,
        )  # fmt: skip
        release = Registry(self.database).registered("R").id
        number = self.campaigns.create(plan, release, "bench", self.now)
        began = perf_counter()
        self.campaigns.act(number, Act.START, "bench", self.now)
        campaign = self.campaigns.find(number)
        self._look(campaign)
        seconds = perf_counter() - began
        assert self._ordered() == ORDERED + AGAIN, "the first tick orders what an hour allows"
        return campaign, seconds

    def tick(self, campaign: Campaign) -> float:
        """Seconds of a tick, an hour after the last; what the world does before it is not counted."""
        self.now = Instant(self.now + HOUR)
        before = self._ordered()
        with self.database.writing() as connection:
            connection.execute(
                text("UPDATE request SET attempted_at = :now, answered_at = :now, response_code = 'I99'"
                     " WHERE answered_at IS NULL"), {"now": self.now}
            )  # fmt: skip
            failed = connection.execute(
                text("SELECT id FROM device_update WHERE busy AND batch ="
                     f" (SELECT MAX(id) FROM batch WHERE step = :step) LIMIT {AGAIN}"), {"step": FIRST_STEP}
            ).scalars().all()  # fmt: skip
            item = Evidence(Fact.HUB_FAILED, Instant(self.now - 2 * HOUR), "N61", Cause.DISTRIBUTION)
            record.append_items(
                self.database, connection, [(it, FIRST_STEP, item, None) for it in failed],
                Instant(self.now - 2 * HOUR),
            )  # fmt: skip
        began = perf_counter()
        self._look(campaign)
        seconds = perf_counter() - began
        assert self._ordered() - before == ORDERED, (
            f"{self._ordered() - before}, and not what the rate leaves"
        )
        return seconds

    def _look(self, campaign: Campaign) -> None:
        self.campaigns.refresh(None, campaign, self.now)
        self.orders.expire(None, campaign, self.now)
        view = self.campaigns.view(campaign, self.now)
        ready = self.orders.ready(campaign, self.now)
        decision = decide(campaign.plan, view, ready, self.now)
        self.orders.commit(None, campaign, view, decision, ready, self.now)

    def _ordered(self) -> int:
        with self.database.reading() as connection:
            return int(connection.execute(text("SELECT COUNT(*) FROM device_update")).scalar_one())


@contextmanager
def urls() -> Iterator[dict[str, str]]:
    """An empty database of each kind."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lamplighter-tick-")))
        try:
            server = stack.enter_context(postgres.server(parent=Path("/tmp"), settings=_SETTINGS))
        except postgres.UnavailableError as reason:
            raise Skipped(str(reason)) from reason
        yield {"sqlite": f"sqlite:///{folder / 'tick.db'}", "postgresql": server.create_database()}


def measure(url: str, ticks: int) -> tuple[list[float], float]:
    """Seconds of each tick, and of the start."""
    estate = Estate(url)
    campaign, start = estate.start()
    for _ in range(_WARM_UP):
        estate.tick(campaign)
    seconds = [estate.tick(campaign) for _ in range(ticks)]
    estate.database.close()
    return seconds, start


def rounds(count: int) -> list[float]:
    """Ratios, one a round: the databases are made once, and each round is `TICKS` ticks of each."""
    with ExitStack() as stack:
        pairs = []
        small, large = (stack.enter_context(urls()) for _ in range(2))
        for kind in small:
            estates = [Estate.build(small[kind], SIZES[0]), Estate.build(large[kind], SIZES[-1])]
            pairs.append([(it, it.start()[0]) for it in estates])
        for pair in pairs:
            for estate, campaign in pair:
                for _ in range(_WARM_UP):
                    estate.tick(campaign)
        ratios = []
        for _ in range(count):
            found = []
            for pair in pairs:
                seconds: list[list[float]] = [[], []]
                for _ in range(TICKS):
                    for (estate, campaign), its in zip(pair, seconds, strict=True):
                        its.append(estate.tick(campaign))
                found.append(statistics.median(seconds[0]) / statistics.median(seconds[1]))
            ratios.append(min(found))
        return ratios


def growth(sizes: tuple[int, ...]) -> None:
    """One line for each size and database, each in a process of its own, so that its peak is its own."""
    head = ("database", "Devices", "tick s", "min .. max", "first batch s", "peak MiB")
    print(" ".join(f"{name:>15}" for name in head))
    for size in sizes:
        with urls() as found:
            for kind, url in found.items():
                told = [
                    subprocess.run(
                        [sys.executable, "-m", "bench.tick", step, url, str(size)],
                        capture_output=True, text=True, check=True,
                    ).stdout
                    for step in ("build", "measure")
                ]  # fmt: skip
                ticks, start, peak = json.loads(told[-1])
                middle, spread = statistics.median(ticks), f"{min(ticks):.3f} .. {max(ticks):.3f}"
                row = (kind, f"{size:,}", f"{middle:.3f}", spread, f"{start:.2f}", f"{peak:.0f}")
                print(" ".join(f"{figure:>15}" for figure in row), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["build", url, size]:
            Estate.build(url, int(size))
        case ["measure", url, _]:
            figures = measure(url, TICKS)
            peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(json.dumps([*figures, peak_kib / 1024]))
        case ["growth", *sizes]:
            growth(tuple(map(int, sizes)) or SIZES)
        case _:
            sys.exit(__doc__)
