"""A fleet's import, eligibility and wave assignment, against INSERT ... SELECT of the same rows.

Ours: Parquet files of hubs and Devices (identifiers as text, in no order) are read, checked and put into an
empty registry; a release's verdict on all Devices is found; a campaign of three waves is started, which gives
each its wave. Theirs: the loaded tables are copied by INSERT INTO ... SELECT; columns, key and indexes the
same. Each half is committed. The figure is the lower one of SQLite and PostgreSQL. Ours runs in a process of
its own, whose peak of memory is printed.

    python -m bench.registry_load --devices 200000 --database sqlite    (a smoke run; --csv: row by row)
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from sqlalchemy import text
from tests import postgres

from bench import Skipped
from lamplighter.campaign.plan import Plan, Wave
from lamplighter.campaign.status import Act
from lamplighter.kit import FirmwareVersion, ImageHash, Instant
from lamplighter.registry import CplEntry, CplStatus, Procedure, Release, Verdict
from lamplighter.registry.columns import BadRow, Kind
from lamplighter.service.imports import Import
from lamplighter.store.campaigns import Campaigns
from lamplighter.store.database import Database
from lamplighter.store.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "import, verdicts and waves of 10 million Devices vs INSERT ... SELECT"
GOAL: Final = 0.3

DEVICES: Final = 10_000_000
DATABASES: Final = ("sqlite", "postgresql")
PER_HOME: Final = 2
SCRAMBLE: Final = 0x9E37_79B9_7F4A_7C15  # odd: an identifier's digits, as good as any
NOW: Final = Instant(1_900_000_000_000_000)
NEW: Final = FirmwareVersion(0x20)
SETTINGS: Final = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
CHUNK: Final = 1_000_000

_TYPES: Final = np.array(["PPMID", "HCALCS"])
_MODELS: Final = np.array(["00010201", "00020201", "00030101", "00030202", "00040201"])
_FIRMWARE: Final = np.array(["00000010", "00000011", "00000020"])
_REGIONS: Final = np.array(["North", "Central", "South"])
_HUB_MODELS: Final = np.array(["H1", "H2", "H3", "H4"])


def write_files(folder: Path, devices: int, *, as_csv: bool) -> tuple[Path, Path]:
    """The files of hubs and of Devices."""
    suffix = "csv" if as_csv else "parquet"
    hubs, fleet = folder / f"hubs.{suffix}", folder / f"devices.{suffix}"
    homes = devices // PER_HOME
    _write(hubs, (_hubs(start, min(start + CHUNK, homes)) for start in range(0, homes, CHUNK)))
    _write(fleet, (_devices(start, min(start + CHUNK, devices)) for start in range(0, devices, CHUNK)))
    return hubs, fleet


def _write(path: Path, frames: Iterator[pl.DataFrame]) -> None:
    if path.suffix == ".csv":
        with path.open("wb") as file:
            for place, frame in enumerate(frames):
                frame.write_csv(file, include_header=not place)
        return
    parts = []
    for place, frame in enumerate(frames):
        parts.append(path.with_suffix(f".{place}.part"))
        frame.write_parquet(parts[-1])
    pl.scan_parquet(parts).sink_parquet(path)
    for part in parts:
        part.unlink()


def _numbers(start: int, stop: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.arange(start, stop, dtype=np.uint64)


def _text(numbers: np.ndarray[Any, np.dtype[np.uint64]]) -> pl.Series:
    return pl.Series([f"{number:016X}" for number in (numbers * np.uint64(SCRAMBLE)).tolist()])


def _hubs(start: int, stop: int) -> pl.DataFrame:
    numbers = _numbers(start, stop)
    return pl.DataFrame(
        {
            "Hub": _text(numbers + np.uint64(1 << 40)),
            "HubModel": _HUB_MODELS[numbers % np.uint64(4)],
            "HubFirmwareVersion": np.array(["0102", "0103"])[numbers // np.uint64(7) % np.uint64(2)],
            "CSPRegion": _REGIONS[numbers % np.uint64(3)],
        }
    )


def _devices(start: int, stop: int) -> pl.DataFrame:
    numbers = _numbers(start, stop)
    return pl.DataFrame(
        {
            "DeviceID": _text(numbers),
            "Hub": _text(numbers // np.uint64(PER_HOME) + np.uint64(1 << 40)),
            "DeviceType": _TYPES[numbers % np.uint64(2)],
            "DeviceManufacturer": np.full(len(numbers), "10D7"),
            "DeviceModel": _MODELS[numbers // np.uint64(11) % np.uint64(5)],
            "DeviceFirmwareVersion": _FIRMWARE[numbers // np.uint64(5) % np.uint64(3)],
            "DeviceStatus": np.full(len(numbers), "Commissioned"),
        }
    )


def ours(url: str, hubs: Path, fleet: Path, devices: int) -> dict[str, float]:
    """Seconds of each part, and the most memory in MiB."""
    bad: list[BadRow] = []
    database = Database.open(url)
    registry, campaigns = Registry(database), Campaigns(database)
    image = ImageHash(bytes(32))
    registry.put_cpl(
        CplEntry(0x10D7, int(model[:4], 16), int(model[4:], 16), NEW, image, CplStatus.ACTIVE)
        for model in _MODELS.tolist()
    )
    registry.add_release("R", Release(Procedure.ONE_STEP, 0x10D7, NEW, image, 0x0200, 0x02FF, b"image"))
    clock = [perf_counter()]
    with registry.loading() as loading:
        importer = Import(loading, bad.append, fast=fleet.suffix != ".csv")
        for path, kind in ((hubs, Kind.HUBS), (fleet, Kind.DEVICES)):
            if path.suffix == ".csv":
                with path.open("rb") as file:
                    done = importer.table(file, kind)
            else:
                done = importer.parquet(path, kind)
            clock.append(perf_counter())
    clock.append(perf_counter())
    assert (devices, 0, []) == (done.devices, done.repeated, bad)
    judged = registry.verdicts("R")
    clock.append(perf_counter())
    assert sum(it.devices for it in judged) == devices
    plan = Plan("C", (Wave("canary", 0.01), Wave("first", 0.2), Wave("all", 1.0)), approvals=0)
    campaigns.act(campaigns.create(plan, 1, "bench", NOW), Act.START, "bench", NOW)
    clock.append(perf_counter())
    eligible = sum(it.devices for it in judged if it.verdict is Verdict.ELIGIBLE)
    assert campaigns.verdicts(1)[Verdict.ELIGIBLE] == eligible
    database.close()
    parts = [later - earlier for earlier, later in pairwise(clock)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    names = ("read hubs", "read devices", "write", "verdicts", "waves")
    return dict(zip(names, parts, strict=True)) | {"all": sum(parts), "peak": peak}


def theirs(url: str) -> float:
    """Seconds to copy the loaded tables."""
    database = Database.open(url)
    with database.writing() as connection:
        for table in ("hub", "device"):
            columns = (
                "eui INTEGER NOT NULL PRIMARY KEY"
                if database.is_sqlite
                else "eui BIGINT NOT NULL PRIMARY KEY"
            )
            wide = "INTEGER" if database.is_sqlite else "BIGINT"
            columns += {
                "hub": ", model VARCHAR(32) NOT NULL, firmware VARCHAR(8) NOT NULL,"
                " region VARCHAR(16) NOT NULL, capable BOOLEAN",
                "device": f", hub {wide} NOT NULL, cohort INTEGER NOT NULL, bucket INTEGER NOT NULL",
            }[table]
            connection.execute(text(f"CREATE TABLE {table}_copy ({columns})"))
        connection.execute(text("CREATE INDEX device_copy_cohort ON device_copy (cohort, bucket)"))
        connection.execute(text("CREATE INDEX device_copy_hub ON device_copy (hub)"))
    _settle(database)
    start = perf_counter()
    with database.writing() as connection:
        # Columns by name: with SELECT * SQLite clones the trees of table and indexes, which is no insertion.
        for table, columns in (
            ("hub", "eui, model, firmware, region, capable"),
            ("device", "eui, hub, cohort, bucket"),
        ):
            connection.execute(text(f"INSERT INTO {table}_copy ({columns}) SELECT {columns} FROM {table}"))
    seconds = perf_counter() - start
    database.close()
    return seconds


def _settle(database: Database) -> None:
    """Write the journal back: what comes next begins without another's debts."""
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        if database.is_sqlite:
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        else:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("CHECKPOINT")


@contextmanager
def _server(kind: str, folder: Path) -> Iterator[Any]:
    """A function that makes new databases."""
    if kind == "sqlite":
        yield lambda place: f"sqlite:///{folder / f'{place}.db'}"
        return
    try:
        with postgres.server(settings=SETTINGS) as server:
            yield lambda _: server.create_database()
    except postgres.UnavailableError as reason:
        raise Skipped(str(reason)) from reason


def rounds_on(kind: str, count: int, devices: int = DEVICES, *, as_csv: bool = False) -> list[float]:
    """`count` ratios on "sqlite" or "postgresql"; each round is printed to standard error."""
    ratios = []
    with tempfile.TemporaryDirectory(prefix="lamplighter-bench-") as name:
        folder = Path(name)
        hubs, fleet = write_files(folder, devices, as_csv=as_csv)
        with _server(kind, folder) as create:
            for place in range(count):
                url = create(place)
                command = [sys.executable, "-m", "bench.registry_load", "--ours", url, str(hubs), str(fleet)]
                run = subprocess.run(
                    [*command, "--devices", str(devices)], capture_output=True, text=True, check=False
                )
                if run.returncode:
                    raise RuntimeError(run.stderr)
                mine = json.loads(run.stdout)
                bare = theirs(url)
                ratios.append(bare / mine["all"])
                told = ", ".join(f"{name} {value:.1f}" for name, value in mine.items() if name != "peak")
                print(
                    f"  {kind}: copy {bare:.1f} s; ours {told} s, {mine['peak']:.0f} MiB; {ratios[-1]:.2f}",
                    file=sys.stderr,
                    flush=True,
                )
                for path in folder.glob(f"{place}.db*"):
                    path.unlink()
    return ratios


def rounds(count: int) -> list[float]:
    """Ratios of the database that is the slower one."""
    return min((rounds_on(kind, count) for kind in DATABASES), key=statistics.median)


def main() -> None:
    """One database, any size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", choices=DATABASES, action="append")
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--csv", action="store_true", help="from CSV, read row by row")
    parser.add_argument("--ours", nargs=3, metavar=("URL", "HUBS", "FLEET"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        url, hubs, fleet = given.ours
        print(json.dumps(ours(url, Path(hubs), Path(fleet), given.devices)))
        return
    for kind in given.database or DATABASES:
        ratios = rounds_on(kind, given.rounds, given.devices, as_csv=given.csv)
        print(f"{kind}: {statistics.median(ratios):.2f} (goal {GOAL})")


if __name__ == "__main__":
    main()
