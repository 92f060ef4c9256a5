"""Batches of 100,000 alerts applied to 10 million updates, against a bare UPDATE of as many rows.

Ours: waiting statements become evidence, states and tallies move, the statements are taken away, all of it
committed. Theirs: one UPDATE sets progress and since of rows that are given by their keys, and is committed.
A round is a batch of N60, one of N62 and one of N39 (which proves, and frees the home). That the registry
then takes note of what an N39 says, and moves the Device to another cohort, is a transaction of its own and
no part of the ratio: its seconds are printed beside. Both halves of a pair have rows of their own, spread
alike over all 10 million, that no half had before: neither warms a cache for the other. Before each half the
journal is written back.

    python -m bench.apply --database sqlite --devices 100000 --batch 5000    (a smoke run)
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, text
from tests import postgres

from bench import Skipped
from lamplighter.campaign import Progress, Stage
from lamplighter.campaign.state import FIRST_STEP
from lamplighter.kit import Eui64, FirmwareVersion, Instant
from lamplighter.registry import Cohort, Device, DeviceStatus, DeviceType
from lamplighter.store import Database
from lamplighter.store import schema as s
from lamplighter.store.record import EPOCH, Record
from lamplighter.store.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

GOAL = 0.4
DEVICES: Final = 10_000_000
BATCH: Final = 100_000
ORDERS: Final = 50_000  # Devices of one 11.4 request
CELLS: Final = 60
COHORTS: Final = 50
OLD, TARGET = FirmwareVersion(0x10), FirmwareVersion(0x20)
ORDERED_AT, SAID_AT, NOW = Instant(1_000), Instant(2_000), Instant(3_000)
ACCEPTED: Final = Progress.of(FIRST_STEP, Stage.ACCEPTED)
MESSAGE_OCTETS: Final = 1_500  # about a signed N62
STRIDE: Final = 6_180_339_887  # a prime: rows in the order of k * STRIDE mod DEVICES lie anywhere
SCRAMBLE: Final = 4_294_967_291  # a prime: identifiers do not rise with the rows' keys
EUI_BASE: Final = 0x00DB_0000_0000_0000 - (1 << 63)  # as `schema.EuiColumn` holds it


@dataclass(frozen=True, slots=True)
class Kind:
    """What a batch of alerts says."""

    code: str
    fact: str
    stage: Stage
    names_request: bool
    proves: bool


KINDS: Final = (
    Kind("N60", "AT_HUB", Stage.AT_HUB, names_request=True, proves=False),
    Kind("N62", "ON_DEVICE", Stage.ON_DEVICE, names_request=False, proves=False),
    Kind("N39", "ACTIVATED", Stage.PROVEN, names_request=False, proves=True),
)


# --- the data set


def prepare(database: Database, devices: int) -> None:
    """`devices` updates in flight, each with two pieces of evidence; all of one campaign."""
    cohorts = [
        Cohort(DeviceType.PPMID, 0x1234, 1, 1, OLD, DeviceStatus.COMMISSIONED, region=str(it))
        for it in range(COHORTS)
    ]
    # One Device more in each cohort makes the cohorts.
    strangers = [Eui64.of((1 << 48) + it) for it in range(COHORTS)]
    Registry(database).put_devices(map(Device, strangers, strangers, cohorts))
    with database.writing() as connection:
        assert list(range(1, COHORTS + 1)) == sorted(connection.execute(select(s.cohort.c.id)).scalars())
        connection.execute(
            insert(s.release).values(
                id=1, name="R", procedure="11.4", manufacturer=0x1234, version=TARGET, hash=bytes(32),
                minimum_hardware=0, maximum_hardware=0xFFFF, path="", image=b"",
            )
        )  # fmt: skip
        connection.execute(
            insert(s.campaign).values(
                id=1, name="C", release=1, plan="", digest=bytes(32), salt=0, status="running",
                created_by="a", created_at=0,
            )
        )  # fmt: skip
        connection.execute(insert(s.stratum).values(id=1, campaign=1, name="all", wave=0, wave_opened_at=0))
        connection.execute(
            insert(s.cell),
            [
                {"id": it, "stratum": 1, "wave": 0, "brood": it, "region": "", "hub_model": ""}
                for it in range(1, CELLS + 1)
            ],
        )
        batches = range(1, devices // ORDERS + 2)
        connection.execute(
            insert(s.batch),
            [
                {
                    "id": it, "campaign": 1, "kind": "11.4", "step": FIRST_STEP, "devices": ORDERS,
                    "created_at": ORDERED_AT, "deadline": 0,
                }
                for it in batches
            ],
        )  # fmt: skip
        connection.execute(insert(s.request), [{"counter": it, "batch": it} for it in batches])
    with _bulk(database) as connection:
        numbers = _numbers(database, devices)
        device = f"{EUI_BASE} + n * {SCRAMBLE} % {devices}"
        home = f"{EUI_BASE} + {1 << 40} + n * {STRIDE} % {devices}"
        connection.execute(
            text(
                "INSERT INTO device (eui, hub, cohort, bucket)"
                f" SELECT {EUI_BASE} + n, {EUI_BASE} + {1 << 40} + n, 1 + n * {SCRAMBLE} % {COHORTS},"
                f" n * {SCRAMBLE} % {1 << 20} FROM {numbers}"
            )
        )
        connection.execute(
            text(
                "INSERT INTO device_update (id, campaign, device, hub, cell, batch, progress, since, busy)"
                f" SELECT n + 1, 1, {device}, {home}, 1 + n / {ORDERS} % {CELLS}, 1 + n / {ORDERS},"
                f" {ACCEPTED.number}, {ORDERED_AT}, TRUE FROM {numbers}"
            )
        )
        for pass_, fact in enumerate(("ORDERED", "ACCEPTED")):
            connection.execute(
                text(
                    "INSERT INTO evidence (epoch, device_update, step, fact, at, message, cause, detail)"
                    f" SELECT ({pass_ * devices} + n) / {EPOCH}, n + 1, {FIRST_STEP}, '{fact}',"
                    f" {ORDERED_AT}, 'I99', 0, '' FROM {numbers}"
                )
            )
        connection.execute(
            text(
                "INSERT INTO tally (cell, stage, again, devices)"
                f" SELECT cell, {int(Stage.ACCEPTED)}, FALSE, COUNT(*) FROM device_update GROUP BY cell"
            )
        )


def _numbers(database: Database, count: int) -> str:
    """0 .. count - 1 as n."""
    if not database.is_sqlite:
        return f"generate_series(0::BIGINT, {count - 1}) AS numbers (n)"
    return (
        f"(WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers LIMIT {count})"
        " SELECT n FROM numbers)"
    )


@contextmanager
def _bulk(database: Database) -> Iterator[Connection]:
    """A transaction for very many rows: the indexes are made afterwards."""
    indexes = [
        index for table in (s.device, s.device_update, s.evidence) for index in sorted(table.indexes, key=str)
    ]
    with database.engine.connect() as connection:
        if database.is_sqlite:
            driver: Any = connection.connection.driver_connection
            for pragma in ("foreign_keys = OFF", "cache_size = -2000000"):
                driver.execute(f"PRAGMA {pragma}")
        with connection.begin_nested() if connection.in_transaction() else connection.begin():
            if not database.is_sqlite:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
                connection.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
            for index in indexes:
                index.drop(connection)
            yield connection
            for index in indexes:
                index.create(connection)
            if not database.is_sqlite:
                connection.execute(
                    text(
                        "SELECT setval(pg_get_serial_sequence('device_update', 'id'),"
                        " (SELECT MAX(id) FROM device_update))"
                    )
                )
    database.engine.dispose()  # a connection that was told otherwise is not used again
    with database.engine.connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        autocommit.exec_driver_sql("PRAGMA optimize" if database.is_sqlite else "VACUUM ANALYZE")
    _settle(database)


def _settle(database: Database) -> None:
    """Write the journal back: what comes next begins without another's debts."""
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        if database.is_sqlite:
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        else:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("CHECKPOINT")


# --- the two halves


def choose(database: Database, devices: int, batch: int, half: int) -> None:
    """The table `chosen`: the rows of a half, which no other half has, in the order of their keys."""
    first = half * batch
    if first + batch > devices:
        raise ValueError(f"{devices} Devices are too few for {half + 1} batches of {batch}")
    with database.writing() as connection:
        connection.execute(text("DROP TABLE IF EXISTS chosen"))
        connection.execute(
            text(
                f"CREATE TABLE chosen AS SELECT 1 + (n + {first}) * {STRIDE} % {devices} AS id"
                f" FROM {_numbers(database, batch)} ORDER BY 1"
            )
        )
        if not database.is_sqlite:
            connection.execute(text("ANALYZE chosen"))


def deliver(database: Database, devices: int, kind: Kind) -> None:
    """The alerts about the chosen rows, as the receive service leaves them, in any order."""
    with database.writing() as connection:
        start = connection.execute(text("SELECT COALESCE(MAX(id), 0) FROM inbox")).scalar_one()
        digest, octets = "randomblob(32)", f"zeroblob({MESSAGE_OCTETS})"
        if not database.is_sqlite:
            digest = "sha256(CAST(CAST(place AS TEXT) AS BYTEA))"
            octets = f"CAST(repeat('.', {MESSAGE_OCTETS}) AS BYTEA)"
        connection.execute(text("DROP TABLE IF EXISTS arriving"))
        # By the formulas that `prepare` has: to read the rows would warm the cache for ours.
        device = f"{EUI_BASE} + (id - 1) * {SCRAMBLE} % {devices}"
        connection.execute(
            text(
                "CREATE TABLE arriving AS"
                f" SELECT {start} + ROW_NUMBER() OVER (ORDER BY id * {STRIDE} % 99991) AS place,"
                f" {device} AS device, 1 + (id - 1) / {ORDERS} AS batch FROM chosen"
            )
        )
        connection.execute(
            text(
                "INSERT INTO inbox (id, digest, octets, received_at, code, device, weight)"
                f" SELECT place, {digest}, {octets}, {SAID_AT}, '{kind.code}', device, 1"
                " FROM arriving ORDER BY place"
            )
        )
        version = str(TARGET.number) if kind.proves else "NULL"
        about = "NULL" if kind.proves else str(TARGET.number)
        connection.execute(
            text(
                "INSERT INTO statement"
                " (inbox, device, fact, at, message, cause, detail, version, about_version, request)"
                f" SELECT place, device, '{kind.fact}', {SAID_AT}, '{kind.code}', 0, '', {version}, {about},"
                f" {'batch' if kind.names_request else 'NULL'} FROM arriving ORDER BY place"
            )
        )


def ours(database: Database, devices: int, batch: int, half: int, kind: Kind) -> tuple[float, float]:
    """Seconds to apply a batch that waits, and then for the registry to take note of it."""
    choose(database, devices, batch, half)
    deliver(database, devices, kind)
    _settle(database)
    record = Record(database)
    start = perf_counter()
    applied = record.apply(None, NOW, batch)
    seconds = perf_counter() - start
    assert applied == batch
    start = perf_counter()
    noted = record.catch_up(None)
    caught_up = perf_counter() - start
    assert noted == (batch if kind.proves else 0)
    return seconds, caught_up


def bare(database: Database, devices: int, batch: int, half: int, kind: Kind) -> float:
    """Seconds to set progress and since of as many rows."""
    choose(database, devices, batch, half)
    _settle(database)
    number = Progress.of(FIRST_STEP, kind.stage).number
    start = perf_counter()
    with database.writing() as connection:
        connection.execute(
            text(
                f"UPDATE device_update SET progress = {number}, since = {NOW} FROM chosen"
                " WHERE device_update.id = chosen.id"
            )
        )
    return perf_counter() - start


def pair(database: Database, devices: int, batch: int, turn: int, kind: Kind) -> tuple[float, float, float]:
    """Seconds of (bare, ours, the registry's after ours) for one batch."""
    if turn % 2:
        mine = ours(database, devices, batch, 2 * turn, kind)
        return bare(database, devices, batch, 2 * turn + 1, kind), *mine
    theirs = bare(database, devices, batch, 2 * turn, kind)
    return theirs, *ours(database, devices, batch, 2 * turn + 1, kind)


def rounds_on(kind: str, count: int, devices: int = DEVICES, batch: int = BATCH) -> list[float]:
    """`count` ratios on "sqlite" or "postgresql"; each round is printed to standard error."""
    with (
        tempfile.TemporaryDirectory(prefix="lamplighter-bench-") as folder,
        _opened(kind, folder) as database,
    ):
        started = perf_counter()
        prepare(database, devices)
        print(f"  {kind}: {devices:,} updates made in {perf_counter() - started:.0f} s", file=sys.stderr)
        return measure(database, count, devices, batch)


def measure(database: Database, count: int, devices: int, batch: int, first: int = 0) -> list[float]:
    """`count` ratios on a prepared database."""
    ratios = []
    for turn in range(first, first + count):
        pairs = [
            pair(database, devices, batch, turn * len(KINDS) + at, kind) for at, kind in enumerate(KINDS)
        ]
        ratios.append(sum(theirs for theirs, _, _ in pairs) / sum(mine for _, mine, _ in pairs))
        told = ", ".join(
            f"{kind.code} {theirs:.2f} / {mine:.2f} s = {theirs / mine:.2f}"
            for kind, (theirs, mine, _) in zip(KINDS, pairs, strict=True)
        )
        beside = f"(then the registry took {sum(noted for _, _, noted in pairs):.2f} s)"
        print(f"  {turn}: {told}; {ratios[-1]:.2f} {beside}", file=sys.stderr, flush=True)
    return ratios


@contextmanager
def _opened(kind: str, folder: str) -> Iterator[Database]:
    if kind == "sqlite":
        database = Database.open(f"sqlite:///{Path(folder) / 'bench.db'}")
        yield database
        database.close()
        return
    try:
        with postgres.server(settings=SETTINGS) as server:
            database = Database.open(server.create_database())
            yield database
            database.close()
    except postgres.UnavailableError as reason:
        raise Skipped(str(reason)) from reason


SETTINGS: Final = {
    # As one sets them for such a fleet on a fast disk (deploy/postgresql); for both halves.
    "shared_buffers": "4GB",
    "max_wal_size": "8GB",
    "jit": "off",
    "work_mem": "64MB",
    "random_page_cost": "1.1",
}


def main() -> None:
    """Measure on one database."""
    parser = argparse.ArgumentParser(prog="bench.apply")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), required=True)
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    ratios = rounds_on(given.database, given.rounds, given.devices, given.batch)
    print(f"median {statistics.median(ratios):.3f} of {', '.join(f'{it:.2f}' for it in ratios)}; goal {GOAL}")


if __name__ == "__main__":
    main()
