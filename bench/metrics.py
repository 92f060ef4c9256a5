"""Operational metrics of a campaign: all of them / the bare reading of the rows they are made of, SQLite.

A campaign of 200,000 updates (1,000,000 with `python -m bench.metrics`, which prints seconds) with six pieces
of evidence each, as they come: mixed. The bare reading fetches of each update what is grouped by and of each
piece of evidence whose, what and when, by the same driver, and does nothing with it.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lamplighter.campaign import Cause, Progress, Stage
from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import HOUR, SECOND
from lamplighter.planning.metrics import measure
from lamplighter.store import Database
from lamplighter.store import schema as s
from lamplighter.store.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

NAME = "metrics of 200,000 updates, SQLite / bare reading of their rows"
GOAL = 0.5

UPDATES = 200_000
FULL = 1_000_000
START = Instant(1_900_000_000 * SECOND)
AS_OF = Instant(START + 500 * HOUR)
VERSION = FirmwareVersion(0x20)
SIGN = 1 << 63
REGIONS, HUBS, WAVES = ("North", "Central", "South"), ("A", "B"), 3
FACTS = ("ORDERED", "SUBMITTED", "ACCEPTED", "AT_HUB", "ON_DEVICE", "ACTIVATED")


def rounds(count: int) -> list[float]:
    """`count` ratios of (time of the bare reading / time of all metrics)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "metrics.db")
        database = Database.open(f"sqlite:///{path}")
        build(database, UPDATES)
        ratios = []
        for _ in range(count):
            bare = _timed(lambda: read(path))
            ratios.append(bare / _timed(lambda: ours(database)))
        database.close()
    return ratios


def ours(database: Database) -> int:
    """All metrics, by four dimensions."""
    return measure(Metrics(database).updates([1]), AS_OF).total.counts.proven


def read(path: Path) -> None:
    """The rows, and nothing else."""
    connection = sqlite3.connect(path)
    for query in (
        "SELECT u.id, u.cell, d.cohort, u.progress FROM device_update u JOIN device d ON d.eui = u.device",
        "SELECT device_update, fact, at FROM evidence",
    ):
        cursor = connection.execute(query)
        while cursor.fetchmany(20_000):
            pass
    connection.close()


def build(database: Database, updates: int) -> None:
    """A campaign in which 95 % are proven."""
    with database.writing() as connection:
        cells = _frame(connection)
        dice = np.random.default_rng(1)
        proven = dice.random(updates) < 0.95
        of_cell = dice.integers(0, len(cells), updates).tolist()
        hub = SIGN // 2
        database.load(
            connection, s.device, ("eui", "hub", "cohort", "bucket"),
            ((it - SIGN, it - hub, 1, it % (1 << 20)) for it in range(updates)),
        )  # fmt: skip
        ends = [Progress.of(16, Stage.FAILED, Cause.TRANSFER).number, Progress.of(16, Stage.PROVEN).number]
        end_of = np.where(proven, ends[1], ends[0]).tolist()
        database.load(
            connection, s.device_update,
            ("id", "campaign", "device", "hub", "cell", "batch", "progress", "since", "busy"),
            (
                (it + 1, 1, it - SIGN, it - hub, cells[of_cell[it]], 1, end_of[it], AS_OF, False)
                for it in range(updates)
            ),
        )  # fmt: skip
        database.load(
            connection, s.evidence,
            ("epoch", "device_update", "step", "fact", "at", "message", "cause", "detail", "version"),
            _evidence(updates, proven, dice),
        )  # fmt: skip


def _evidence(updates: int, proven: np.ndarray, dice: np.random.Generator) -> Iterator[tuple[object, ...]]:
    at = START + np.arange(updates) // 5_000 * 60 * SECOND
    times = [at]
    for _ in FACTS[1:]:
        times.append(times[-1] + dice.exponential(HOUR, updates).astype(np.int64))
    order = np.argsort(np.concatenate(times), kind="stable").tolist()
    said = np.concatenate(times).tolist()
    for place, index in enumerate(order):
        fact, update = divmod(index, updates)
        if fact < 4 or proven[update]:
            version = VERSION.number if fact == 5 else None
            yield place >> 20, update + 1, 16, FACTS[fact], said[index], "N60", 0, "", version


def _frame(connection: Connection) -> list[int]:
    """What stands around the updates; the cells' ids."""
    connection.execute(s.cohort.insert().values(
        id=1, type="PPMID", manufacturer=1, model=1, hardware=1, firmware=VERSION, status="Commissioned",
        gbcs_version="", part="both", tag="", region="", hub_model="", hub_firmware="", digest=bytes(32),
    ))  # fmt: skip
    connection.execute(s.release.insert().values(
        id=1, name="R", procedure="11.4", manufacturer=1, version=VERSION, hash=bytes(32),
        minimum_hardware=0, maximum_hardware=9, path="", image=b"",
    ))  # fmt: skip
    connection.execute(s.campaign.insert().values(
        id=1, name="C", release=1, plan="{}", digest=bytes(32), salt=0, status="running", created_by="b",
        created_at=START, started_at=START,
    ))  # fmt: skip
    connection.execute(s.stratum.insert().values(id=1, campaign=1, name="all", wave=0, wave_opened_at=START))
    connection.execute(
        s.batch.insert().values(
            id=1, campaign=1, kind="11.4", step=16, devices=1, created_at=START, deadline=0
        )
    )
    places = [(wave, region, hub) for wave in range(WAVES) for region in REGIONS for hub in HUBS]
    for number, (wave, region, hub) in enumerate(places, 1):
        connection.execute(
            s.cell.insert().values(id=number, stratum=1, wave=wave, brood=0, region=region, hub_model=hub)
        )
    return list(range(1, len(places) + 1))


def _timed(work: object) -> float:
    began = time.process_time()  # one thread, and whoever else is at work on the machine does not count
    work()  # type: ignore[operator] # a function of no arguments
    return time.process_time() - began


def main() -> None:
    """Seconds for a million updates."""
    updates = int(sys.argv[1]) if len(sys.argv) > 1 else FULL
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "metrics.db")
        database = Database.open(f"sqlite:///{path}")
        build(database, updates)
        for _ in range(3):
            bare, whole = _timed(lambda: read(path)), _timed(lambda: ours(database))
            print(f"{updates:,} updates: {whole:.1f} s of CPU for all metrics, {bare:.1f} s to read the rows")
        database.close()


if __name__ == "__main__":
    main()
