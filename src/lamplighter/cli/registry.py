"""`lamplighter registry`: import Devices, hubs and the CPL, show them, list what is to be replaced.

What is asked of the DCC itself is in `inquiries`.
"""

import io
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

from cyclopts import App, Parameter

from lamplighter.cli import files, inquiries, output, place, sheets, trust
from lamplighter.cli.arguments import DATABASE, Database, Eui, Force, Keys, Source, Who
from lamplighter.cli.output import Report
from lamplighter.kit import Eui64, Instant, UsageError
from lamplighter.kit.instant import from_iso
from lamplighter.protocol.smki import Ring
from lamplighter.registry import Cohort
from lamplighter.registry.columns import BadRow, Kind, device_cells
from lamplighter.service import keyfiles
from lamplighter.service.imports import Import, Imported, open_inventory
from lamplighter.service.people import Scope
from lamplighter.store.database import Database as Opened
from lamplighter.store.registry import Registry

if TYPE_CHECKING:
    from rich.console import RenderableType

app: Final = App(
    name="registry",
    help="Import and show Devices, hubs and the Central Products List.",
    help_format="markdown",
)

_SHOWN_BAD: Final = 10
_NOTED_MAX: Final = 200  # characters of a file's name, in the audit

Out = Annotated[Path | None, Parameter(alias="-o", metavar="CSV")]


@contextmanager
def opened(url: str) -> Iterator[Registry]:
    """The registry in the database at `url`."""
    database = Opened.open(url)
    try:
        yield Registry(database)
    finally:
        database.close()


@app.command(name="import")
def import_(  # the options are the command's
    *sources: Source,
    database: Database = DATABASE,
    kind: Literal["devices", "hubs", "cpl", "inventory"] | None = None,
    mapping: Annotated[list[str] | None, Parameter(name="--map", negative="", metavar="THEIRS=OURS")] = None,
    rejects: Annotated[Path | None, Parameter(metavar="CSV")] = None,
    complete: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_of: Annotated[str | None, Parameter(metavar="TIME")] = None,
    keys: Keys = None,
    acb: Eui | None = None,
    unverified: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    force: Force = False,
    by: Who = "",
) -> Report:
    """Take in what files tell; exit code 1 if any row is bad. Good rows are kept.

    Reads CSV (UTF-8, a header line, one row a line), Parquet, and the DCC's answers to SRV 8.2 (XML, one home
    a file). Titles are those of the Smart Metering Inventory in any spelling, such as DeviceID, Hub,
    DeviceType, DeviceManufacturer, DeviceModel, DeviceFirmwareVersion, DeviceStatus, CSPRegion. Of a Device
    that is known, what a file has no column for stays as it was. The very first import is kept as a whole or
    not at all, and nothing else is written meanwhile; a later one is kept as far as it came.

    Parameters
    ----------
    sources
        The files; `-` for stdin.
    kind
        What they are of. Default: an XML file is an inventory, any other one of Devices (with their hubs, if
        they are in it as CHF).
    mapping
        Which column is which, where the titles do not say, such as `--map Asset=DeviceID`; may be repeated.
    rejects
        Write all bad rows there: file, line, column, value, reason.
    complete
        The files are the whole portfolio: Devices that are in none of them have left it.
    as_of
        When the files were drawn, such as 2030-01-15T09:00:00Z: what a Device itself has said of its version
        since then holds. Default: when the file was last changed.
    acb
        EUI-64 of the DCC's Access Control Broker, where the key directory holds several.
    unverified
        Take answers to SRV 8.2 without checking that the DCC signed them.
    """
    if not sources:
        raise UsageError("no file is named: which one is to be imported?")
    if complete and kind in {"hubs", "cpl"}:
        raise UsageError(f"--complete is about Devices, not about {kind}")
    drawn = None if as_of is None else from_iso(as_of)
    words = dict(_pair(word) for word in mapping or ())
    ring = None if keys is None else keyfiles.load(keys)
    broker = None if ring is None else trust.broker(ring, acb)
    done: list[tuple[Path, str, Imported]] = []
    first_bad: list[tuple[str, BadRow]] = []
    titles = ("file", *BadRow._fields)
    with place.opened(database, make=True) as store, sheets.writing(rejects, titles, force=force) as write:
        me = place.person(store, by)
        me.require(Scope.OPERATE)
        registry = store.registry
        with registry.loading() as loading:
            for path in sources:
                name = files.name_of(path)
                loading.note(place.now(), me.name, "import begun", name[-_NOTED_MAX:])

                def reject(bad: BadRow, name: str = name) -> None:
                    if len(first_bad) < _SHOWN_BAD:
                        first_bad.append((name, bad))
                    write((name, *map(str, bad)))

                importer = Import(loading, reject, as_of=_changed(path) if drawn is None else drawn)
                with files.about(path):
                    taken = _taken(importer, path, kind, words, ring, broker, unverified=unverified)
                done.append((path, *taken))
                loading.note(place.now(), me.name, "import", name[-_NOTED_MAX:], _noted(*taken))
        left = _left(registry, [it for _, _, it in done]) if complete else None
        if left is not None:
            registry.note(place.now(), me.name, "portfolio", "complete", f"left: {left}")
    return _report(done, first_bad, rejects, left)


@app.command
def show(device: Eui | None = None, /, *, database: Database = DATABASE) -> Report:
    """Show one Device, or how many there are of each type, model, firmware and region.

    Parameters
    ----------
    device
        Its EUI-64.
    """
    with opened(database) as registry:
        if device is not None:
            return _device(registry, device)
        cohorts = registry.cohorts()
    counts: Counter[tuple[str, ...]] = Counter()
    for it in cohorts:
        counts[_line(it.cohort)] += it.devices
    titles = ("type", "manufacturer", "model", "firmware", "status", "region")
    table = output.grid("Devices", *titles, right=("Devices",))
    facts = []
    for line, devices in sorted(counts.items(), key=lambda it: (-it[1], it[0])):
        table.add_row(f"{devices:,}", *line)
        facts.append({**dict(zip(titles, line, strict=True)), "devices": devices})
    total = sum(counts.values())
    return Report({"devices": total, "kinds": facts}, output.page("registry", f"{total:,} Devices", table))


app.command(inquiries.ask)
app.command(inquiries.asked)
app.command(inquiries.stop_asking)


@app.command
def stranded(
    release: str, /, *, out: Out = None, database: Database = DATABASE, force: Force = False
) -> Report:
    """Count the Devices that no waiting will bring to a release, and list them for replacement.

    Parameters
    ----------
    release
        Its name.
    out
        Write a work order for each: Device, hub, type, manufacturer, model, firmware, region, reason.
    """
    titles = (
        *("DeviceID", "Hub", "DeviceType", "DeviceManufacturer", "DeviceModel"),
        *("DeviceFirmwareVersion", "CSPRegion"),
    )
    counts: Counter[str] = Counter()
    with (
        opened(database) as registry,
        sheets.writing(out, (*titles, "Verdict", "Reason"), force=force) as write,
    ):
        for device, verdict in registry.stranded(release):
            counts[verdict.value] += 1
            cells = device_cells(device.eui, device.hub, device.cohort)
            write((*(cells[title] for title in titles), verdict.name, verdict.value))
    total = sum(counts.values())
    facts = {
        "release": release,
        "stranded": total,
        "reasons": dict(counts),
        "file": None if out is None else str(out),
    }
    table = output.grid("Devices", "reason", right=("Devices",))
    for reason, devices in counts.most_common():
        table.add_row(f"{devices:,}", reason)
    parts: list[RenderableType] = [table] if total else []
    if total and out is None:
        parts.append("--out FILE.csv writes a work order for each")
    return Report(facts, output.page(release, f"{total:,} Devices stranded", *parts))


def _taken(
    importer: Import,
    path: Path,
    kind: str | None,
    mapping: dict[str, str],
    ring: Ring | None,
    broker: Eui64 | None,
    *,
    unverified: bool,
) -> tuple[str, Imported]:
    with _reading(path) as file:
        lead = file.peek(16)
        if kind == "inventory" or (kind is None and files.is_xml(lead[:16])):
            if ring is None and not unverified:
                raise UsageError(
                    "an answer to SRV 8.2 is believed for its signature: --keys to check it, or --unverified"
                )
            octets = file.read(files.MAX_INPUT_OCTETS)
            now = Instant(time.time_ns() // 1000)
            inventory = open_inventory(octets, None if unverified else ring, now=now, dcc=broker)
            return "inventory", importer.answer(inventory)
        of = Kind.DEVICES if kind is None else Kind(kind)
        if lead.startswith(b"PAR1"):
            if str(path) == files.STDIN:
                raise UsageError("Parquet is not read from stdin: name a file")
            return of.value, importer.parquet(path, of, mapping)
        return of.value, importer.table(file, of, mapping)


@contextmanager
def _reading(path: Path) -> "Iterator[io.BufferedReader[Any]]":
    try:
        if str(path) == files.STDIN:
            file: io.BufferedReader[Any] = io.BufferedReader(cast("io.RawIOBase", sys.stdin.buffer))
            yield file
            file.detach()  # stdin is not ours to close
            return
        with path.open("rb") as file:
            yield file
    except OSError as cause:
        raise UsageError(f"cannot read it: {cause.strerror}") from cause


def _changed(path: Path) -> Instant:
    try:
        return Instant((path.stat().st_mtime_ns if str(path) != files.STDIN else time.time_ns()) // 1000)
    except OSError:
        return Instant(0)  # it will not be read either


def _pair(word: str) -> tuple[str, str]:
    theirs, is_pair, ours = word.partition("=")
    if not is_pair:
        raise UsageError(f"--map {word}: expected THEIRS=OURS, such as Asset=DeviceID")
    return theirs, ours


def _noted(kind: str, taken: Imported) -> str:
    """What the audit says of a file that was taken in."""
    counts = {name: getattr(taken, name) for name in ("devices", "hubs", "entries", "bad")}
    return f"{kind}: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _left(registry: Registry, done: list[Imported]) -> int | str:
    """How many have left, or why that cannot be said."""
    import numpy as np  # noqa: PLC0415 # start-up time

    if any(it.unnamed for it in done):
        return "rows without a readable Device: it is not known who is absent, so nobody was marked as left"
    present = [part for it in done for part in it.present]
    if not present:
        return "no Device was read, so nobody was marked as left"
    return registry.leave(np.concatenate(present))


def _report(
    done: list[tuple[Path, str, Imported]],
    first_bad: list[tuple[str, BadRow]],
    rejects: Path | None,
    left: int | str | None,
) -> Report:
    names = ("rows", "devices", "hubs", "entries", "skipped", "repeated", "bad")
    table = output.grid(*names, "kind", "file", right=names)
    facts = []
    for path, kind, it in done:
        counts = {name: getattr(it, name) for name in names}
        table.add_row(*(f"{count:,}" for count in counts.values()), kind, files.name_of(path))
        facts.append(
            {"file": files.name_of(path), "kind": kind, **counts, "passed_over": list(it.passed_over)}
        )
    parts: list[RenderableType] = [table]
    bad_table = output.grid("file", "line", "column", "value", "reason", right=("line",), folded=2)
    for name, bad in first_bad:
        bad_table.add_row(name, str(bad.line), bad.column, bad.value, bad.reason)
    wrong = sum(it.bad for _, _, it in done)
    if first_bad:
        parts.append(bad_table)
        if rejects is None:
            parts.append("--rejects FILE.csv lists every bad row")
    for path, _, it in done:
        if it.passed_over:
            parts.append(f"{files.name_of(path)}: passed over: {', '.join(it.passed_over)}")
    if left is not None:
        parts.append(left if isinstance(left, str) else f"{left:,} Devices have left the portfolio")
    whole = {
        "files": facts,
        "bad": wrong,
        "first_bad": [{"file": name, **it._asdict()} for name, it in first_bad],
        "rejects": None if rejects is None else str(rejects),
        "left": left,
    }
    taken = sum(it.devices + it.hubs + it.entries for _, _, it in done)
    view = output.page("import", f"{taken:,} rows taken in, {wrong:,} bad", *parts)
    return Report(whole, view, passed=not wrong and not isinstance(left, str))


def _device(registry: Registry, eui: Eui64) -> Report:
    found = registry.device(eui)
    if found is None:
        hub = registry.hub(eui)
        if hub is None:
            raise UsageError(f"the registry knows no Device and no hub {eui}")
        capable = {None: "unknown", True: "yes", False: "no"}[hub.capable]
        rows = {"model": hub.model, "firmware": hub.firmware, "region": hub.region, "capable": capable}
        view = output.page(str(eui), "Communications Hub", output.pairs(rows.items()))
        return Report({"hub": str(eui), **rows}, view)
    cells = device_cells(found.eui, found.hub, found.cohort)
    return Report(dict(cells), output.page(str(eui), found.cohort.type.value, output.pairs(cells.items())))


def _line(cohort: Cohort) -> tuple[str, ...]:
    return (
        cohort.type.value,
        f"{cohort.manufacturer:04X}",
        f"{cohort.model:04X}{cohort.hardware:04X}",
        str(cohort.firmware),
        cohort.status.value,
        cohort.region,
    )
