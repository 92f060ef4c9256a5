"""Taking in what others know: tables (CSV, Parquet) of Devices, hubs and the CPL, and answers to SRV 8.2.

Good rows are kept whatever stands beside them; each bad cell is reported with its line, column and reason. A
line is a row: a quoted cell does not go over its end, so that no stray quote swallows its neighbours. A file
is read block by block, whatever its size. Where polars is installed (the extra `sim`), it reads what is
plainly good, whole columns at a time; the rest is read row by row, so that both ways say the same.
"""

from __future__ import annotations

import csv
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import numpy as np

from lamplighter.kit import Eui64, UsageError
from lamplighter.protocol import duis
from lamplighter.registry import columns
from lamplighter.registry.arrays import Devices, HubKind, Hubs
from lamplighter.registry.columns import BadRow, CplReader, Kind, Layout, Reader, Row
from lamplighter.registry.device import Cohort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lamplighter.kit import Instant
    from lamplighter.protocol.smki import Ring
    from lamplighter.registry import CplEntry
    from lamplighter.registry.arrays import Identifiers, Indices
    from lamplighter.store.registry import Registry

BLOCK_OCTETS: Final = 16 << 20  # read at one time
LINE_OCTETS_MAX: Final = 64 << 10  # no row of an inventory is a hundredth of it
ROWS_READ: Final = 250_000  # of Parquet, at one time
ROWS_AT_ONCE: Final = 2_000_000
"""Rows kept, 24 octets each, until they are written in the order of identifiers: else each part of a file in
no order would touch all pages of the database."""
_DELIMITERS: Final = ",;\t|"
_NOT_TABLES: Final = {
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"PK\x03\x04": "a spreadsheet or a ZIP archive; save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet; save the sheet as CSV",
    b"\x1f\x8b": "compressed (gzip); unpack it",
    b"(\xb5/\xfd": "compressed (zstd); unpack it",
}
_BOM: Final = b"\xef\xbb\xbf"

Lines: TypeAlias = "NDArray[np.uint32]"

try:
    import polars as pl
except ImportError:  # pragma: no cover # the tests' environment has it
    pl = None  # type: ignore[assignment, unused-ignore]


@dataclass(slots=True)
class Imported:
    """What became of one file."""

    rows: int = 0
    """In the file, the header not counted."""
    devices: int = 0
    """Rows of Devices taken in."""
    hubs: int = 0
    """Rows of hubs taken in."""
    entries: int = 0
    """CPL entries taken in."""
    skipped: int = 0
    """Rows of what is no Device of its own: the gas proxy of a hub."""
    bad: int = 0
    """Rows that were not taken in."""
    repeated: int = 0
    """Rows of which a later one told of the same Device: that one counts."""
    unnamed: int = 0
    """Bad rows in which not even the Device could be read."""
    passed_over: tuple[str, ...] = ()
    """Columns that say nothing to us."""
    present: list[Identifiers] = field(default_factory=list)
    """Whom the file tells of, the Devices of bad rows too."""


class Import:
    """Takes files into a registry.

    reject  is told each bad cell, as it is found
    as_of   when the files were drawn: what a Device itself has said since then of its version, holds
    fast    whether polars may read; None: where it is installed
    """

    def __init__(
        self,
        registry: Registry,
        reject: Callable[[BadRow], None],
        *,
        as_of: Instant | None = None,
        fast: bool | None = None,
    ) -> None:
        if fast and pl is None:
            raise UsageError(_NO_POLARS)
        self._registry = registry
        self._reject = reject
        self._as_of = as_of
        self._fast = pl is not None if fast is None else fast

    def table(self, file: BinaryIO, kind: Kind, mapping: Mapping[str, str] = {}) -> Imported:  # never changed
        """Take in a CSV file.

        Raises `UsageError` where it is no such table, or lacks a column. What was read before an error
        stays.
        """
        blocks = _blocks(file)
        _, head = next(blocks, (1, b""))
        if not head.strip():
            raise UsageError("expected CSV with a header line, found an empty file")
        for lead, what in _NOT_TABLES.items():
            if head.startswith(lead):
                raise UsageError(f"expected CSV in UTF-8, found {what}")
        title, _, rest = head.removeprefix(_BOM).partition(b"\n")
        first = 2
        while not title.strip() and rest:
            title, _, rest = rest.partition(b"\n")
            first += 1
        header, delimiter = _header(title, kind)
        layout = columns.layout(kind, header, mapping)
        done = Imported(passed_over=layout.passed_over)

        def all_blocks() -> Iterator[tuple[int, bytes]]:
            yield first, rest
            yield from blocks

        if kind is Kind.CPL:
            self._cpl(all_blocks(), CplReader(layout), delimiter, done)
            return done
        reader, sink = Reader(layout), _Sink(self._registry, layout, done, self._reject, self._as_of)
        for line, block in all_blocks():
            frame = self._frame(block, delimiter, reader.width)
            if frame is None:
                for number, cells in _rows(block, line, delimiter):
                    sink.read(reader, number, cells)
            else:
                _read_frame(reader, sink, frame, line)
            sink.settle()
        sink.end()
        return done

    def parquet(self, path: Path, kind: Kind, mapping: Mapping[str, str] = {}) -> Imported:  # never changed
        """Take in a Parquet file; a row's `line` is its number, from 1.

        Raises `UsageError` where polars is missing, or cannot read it, or a column is missing.
        """
        if pl is None:
            raise UsageError(_NO_POLARS)
        with _about_parquet():
            scan = pl.scan_parquet(path, glob=False)
            schema = scan.collect_schema()
        layout = columns.layout(kind, schema.names(), mapping)
        names, used = schema.names(), set(layout.places.values())
        for name in ("eui", "hub"):
            if name in layout.places and schema[names[layout.places[name]]].is_numeric():
                raise UsageError(
                    f"the column {layout.title(name)} holds numbers; an EUI-64 is text, 16 hex digits"
                )
        texts = scan.select(
            (pl.col(name).cast(pl.String).fill_null("") if place in used else pl.lit("")).alias(name)
            for place, name in enumerate(names)
        )
        done = Imported(passed_over=layout.passed_over)
        line = 1
        reader: Any = CplReader(layout) if kind is Kind.CPL else Reader(layout)
        sink = _Sink(self._registry, layout, done, self._reject, self._as_of)
        entries: list[CplEntry] = []
        while True:
            with _about_parquet():
                frame = texts.slice(line - 1, ROWS_READ).collect()
            if not frame.height:
                break
            if kind is Kind.CPL:
                entries += self._entries(reader, enumerate(frame.iter_rows(), line), done)
            else:
                _read_frame(reader, sink, frame, line)
                sink.settle()
            line += frame.height
        sink.end()
        if entries:
            done.entries += self._registry.put_cpl(entries)
        return done

    def answer(self, inventory: duis.DspInventory) -> Imported:
        """Take in one answer to SRV 8.2; the `line` of a row is the number of the Device in it."""
        layout = columns.layout(Kind.DEVICES, _INVENTORY_TITLES)
        done = Imported()
        reader, sink = Reader(layout), _Sink(self._registry, layout, done, self._reject, self._as_of)
        hub = next((str(it.device) for it in inventory.devices if it.type is duis.DeviceType.CHF), "")
        for number, device in enumerate(inventory.devices, 1):
            sink.read(reader, number, _inventory_cells(device, hub))
        sink.end()
        return done

    def _frame(self, block: bytes, delimiter: str, width: int) -> Any | None:
        """A block as columns of texts; None: it is to be read row by row."""
        if not self._fast or not block or b'"' in block or b"\0" in block:
            return None
        try:
            frame = pl.read_csv(
                block,
                has_header=False,
                separator=delimiter,
                quote_char=None,
                schema={str(place): pl.String for place in range(width)},
                empty_string_is_null=False,
                missing_columns="insert",
            )
        except pl.exceptions.PolarsError:
            return None
        # A short row would be filled up, and a blank one too.
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        is_even = block.count(delimiter.encode()) == (width - 1) * lines
        return frame if is_even and frame.height == lines else None

    def _cpl(
        self, blocks: Iterable[tuple[int, bytes]], reader: CplReader, delimiter: str, done: Imported
    ) -> None:
        for line, block in blocks:
            entries = self._entries(reader, _rows(block, line, delimiter), done)
            done.entries += self._registry.put_cpl(entries)

    def _entries(
        self, reader: CplReader, rows: Iterable[tuple[int, Sequence[str] | BadRow]], done: Imported
    ) -> list[CplEntry]:
        entries = []
        for line, cells in rows:
            done.rows += 1
            found = [cells] if isinstance(cells, BadRow) else reader.row(line, cells)
            if isinstance(found, list):
                done.bad += 1
                for bad in found:
                    self._reject(bad)
            else:
                entries.append(found)
        return entries


class _Sink:
    """Gathers good rows until there are enough for a transaction, and counts."""

    def __init__(
        self,
        registry: Registry,
        layout: Layout,
        done: Imported,
        reject: Callable[[BadRow], None],
        as_of: Instant | None,
    ) -> None:
        self._registry = registry
        self._as_of = as_of
        self._layout = layout
        self._done = done
        self._reject = reject
        self._told: list[Cohort | HubKind | None] = []
        self._codes: dict[int, int] = {}  # by id(): `_told` keeps them alive
        self._rows: list[tuple[int, int, int, int]] = []
        self._parts: list[tuple[Lines, Identifiers, Identifiers, Indices]] = []
        self._gathered = 0
        self._seen: list[tuple[Lines, Identifiers]] = []

    def read(self, reader: Reader, line: int, cells: Sequence[str] | BadRow) -> None:
        """Take one row, good or bad."""
        self._done.rows += 1
        found = [cells] if isinstance(cells, BadRow) else reader.row(line, cells)
        if isinstance(found, Row):
            self._rows.append((line, found.eui, found.hub, self.code(found.what)))
            return
        self._done.bad += 1
        for bad in found:
            self._reject(bad)
        named = None if isinstance(cells, BadRow) else reader.eui_of(cells)
        if named is None:
            self._done.unnamed += 1
        else:
            self._done.present.append(np.array([named], np.uint64))

    def read_many(self, lines: Lines, euis: Identifiers, hubs: Identifiers, codes: Indices) -> None:
        """Take many good rows."""
        self._done.rows += len(lines)
        self._gather()
        self._parts.append((lines.astype(np.uint32), euis, hubs, codes.astype(np.int32)))
        self._gathered += len(lines)

    def settle(self) -> None:
        """At the end of a block of rows: write them, if they are enough."""
        self._gather()
        if self._gathered >= ROWS_AT_ONCE:
            self._flush()

    def code(self, what: Cohort | HubKind | None) -> int:
        """The number of what a row is of, until the next flush."""
        found = self._codes.get(id(what))
        if found is None:
            found = self._codes[id(what)] = len(self._told)
            self._told.append(what)
        return found

    def end(self) -> None:
        """Write what is left, and report the rows that a later one overrules."""
        self._flush()
        if not self._seen:
            return
        lines, euis = (np.concatenate(part) for part in zip(*self._seen, strict=True))
        self._seen = []
        self._done.present.append(euis)
        ordered = np.sort(euis)
        if not (ordered[1:] == ordered[:-1]).any():
            return
        order = np.argsort(euis, kind="stable")
        again = np.flatnonzero(euis[order[1:]] == euis[order[:-1]])
        self._done.repeated += len(again)
        title = self._layout.title("eui")
        for place in again.tolist():
            line, later = int(lines[order[place]]), int(lines[order[place + 1]])
            eui = Eui64.of(int(euis[order[place]]))
            self._reject(BadRow(line, title, str(eui), f"line {later} tells of it again: that one counts"))

    def _gather(self) -> None:
        if self._rows:
            lines, euis, hubs, codes = zip(*self._rows, strict=True)
            self._rows = []
            self._parts.append(
                (
                    np.array(lines, np.uint32),
                    np.array(euis, np.uint64),
                    np.array(hubs, np.uint64),
                    np.array(codes, np.int32),
                )
            )
            self._gathered += len(lines)

    def _flush(self) -> None:
        self._gather()
        if not self._parts:
            return
        lines, euis, hubs, codes = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        told, done = self._told, self._done
        self._parts, self._gathered, self._told, self._codes = [], 0, [], {}
        if (lines[1:] < lines[:-1]).any():  # of a Device that comes twice, the later line counts
            order = np.argsort(lines, kind="stable")
            lines, euis, hubs, codes = lines[order], euis[order], hubs[order], codes[order]
            del order
        self._seen.append((lines, euis))
        hub_kinds = [it for it in told if isinstance(it, HubKind)]
        cohorts = [it for it in told if isinstance(it, Cohort)]
        taken, of_hubs = 0, 0
        if hub_kinds:
            rows, kinds = _only(HubKind, told, codes)
            of_hubs = len(kinds)
            self._registry.put_hub_arrays(Hubs(euis[rows], kinds, hub_kinds))
        if cohorts:
            rows, kinds = _only(Cohort, told, codes)
            taken = len(kinds)
            devices = Devices(euis[rows], hubs[rows], kinds, cohorts)
            del hubs, codes, rows
            self._registry.put_arrays(devices, keep=self._layout.absent, as_of=self._as_of)
        done.devices += taken
        done.hubs += of_hubs
        done.skipped += len(euis) - taken - of_hubs


def _only(kind: type, told: Sequence[Any], codes: Indices) -> tuple[Any, Indices]:
    """The rows of one kind, and for each the place of what it is among what is told of that kind."""
    is_kind = np.array([isinstance(it, kind) for it in told])
    if is_kind.all():  # as in most files: nothing is copied
        return slice(None), codes
    rows = is_kind[codes]
    return rows, (np.cumsum(is_kind) - 1).astype(np.int32)[codes[rows]]


# --- CSV


def _header(line: bytes, kind: Kind) -> tuple[list[str], str]:
    """The titles, and the delimiter: the one by which the most titles are known."""
    if len(line) > LINE_OCTETS_MAX or b"\0" in line:
        raise UsageError(
            "expected CSV with a header line, found something else: no text, or a line without end"
        )
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError("the header line is not UTF-8; save the file as UTF-8") from None
    headers = {delimiter: _cells(text, delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda it: columns.known_titles(kind, headers[it] or ()))
    header = headers[best]
    if header is None:
        raise UsageError(f"the header line has a quote that does not end: {columns.shown(text)!r}")
    return header, best


def _blocks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The file in blocks of whole lines, each with the number of its first line.

    A line that is too long comes as its first octets alone, and a mark that makes it too long still.
    """
    line, rest, skipping = 1, b"", False
    while octets := file.read(BLOCK_OCTETS):
        if skipping:
            _, found, octets = octets.partition(b"\n")
            skipping = not found
            if skipping:
                continue
        data = rest + octets
        cut = data.rfind(b"\n") + 1
        block, rest = data[:cut], data[cut:]
        if len(rest) > LINE_OCTETS_MAX:
            block, rest, skipping = block + rest[: LINE_OCTETS_MAX + 1] + b"\n", b"", True
        if block:
            yield line, block
            line += block.count(b"\n")
    if rest:
        yield line, rest


def _rows(block: bytes, line: int, delimiter: str) -> Iterator[tuple[int, list[str] | BadRow]]:
    """The cells of each line that is not blank, with its number; or why it has none."""
    for number, octets in enumerate(block.split(b"\n"), line):
        octets = octets.removesuffix(b"\r")  # noqa: PLW2901 # the same line
        if not octets:
            continue
        text = octets[: LINE_OCTETS_MAX + 1].decode("utf-8", "surrogateescape")
        if len(octets) > LINE_OCTETS_MAX:
            reason = f"expected a line of at most {LINE_OCTETS_MAX} octets"
            yield number, BadRow(number, "", columns.shown(text), reason)
            continue
        cells = text.split(delimiter) if '"' not in text else _cells(text, delimiter)
        if cells is None:
            reason = "expected each quote to end in its line, before a delimiter"
            yield number, BadRow(number, "", columns.shown(text), reason)
        else:
            yield number, cells


def _cells(text: str, delimiter: str) -> list[str] | None:
    """The cells of a line; None: its quotes do not match."""
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


# --- whole columns


def _read_frame(reader: Reader, sink: _Sink, frame: Any, first: int) -> None:
    """Take a block of rows as columns of texts; whatever is not plainly good is read row by row."""
    if not frame.height:
        return
    places = reader.layout.places
    shapes, of = _shapes(frame, reader.shape_places)
    told = [reader.what(frame.row(int(row))) for row in shapes]
    good = np.array([not wrong for _, wrong in told])[of]
    is_device = np.array([isinstance(what, Cohort) for what, _ in told])[of]
    euis, is_eui = _euis(frame.to_series(places["eui"]))
    good &= is_eui
    hubs = euis
    if "hub" in places:
        hubs, is_hub_eui = _euis(frame.to_series(places["hub"]))
        good &= is_hub_eui | ~is_device
        hubs = np.where(is_device, hubs, euis)
    codes = np.array([0 if wrong else sink.code(what) for what, wrong in told], np.int64)[of]
    lines = np.arange(first, first + frame.height, dtype=np.uint32)
    sink.read_many(lines[good], euis[good], hubs[good], codes[good])
    for row in np.flatnonzero(~good).tolist():
        sink.read(reader, first + row, frame.row(row))


def _shapes(frame: Any, places: Sequence[int]) -> tuple[Indices, Indices]:
    """The first row of each combination of texts in these columns, and each row's combination."""
    code, size = np.zeros(frame.height, np.int64), 1
    for place in places:
        texts = frame.to_series(place).cast(pl.Categorical).to_physical().to_numpy().astype(np.int64)
        code, size = code * (int(texts.max()) + 1) + texts, size * (int(texts.max()) + 1)
        if size > _CODES_MAX:
            used, code = np.unique(code, return_inverse=True)
            size = len(used)
    first = np.full(size, -1, np.int64)
    first[code[::-1]] = np.arange(frame.height - 1, -1, -1)
    used = np.flatnonzero(first >= 0)
    place_of = np.zeros(size, np.int64)
    place_of[used] = np.arange(len(used))
    return first[used], place_of[code]


def _euis(texts: Any) -> tuple[Identifiers, Any]:
    """The EUI-64s in a column of texts, and which rows hold one in plain form."""
    values, known = np.zeros(len(texts), np.uint64), np.zeros(len(texts), bool)
    widths = texts.str.len_bytes().to_numpy()
    for width, digits, hyphens in _FORMS:
        at = np.flatnonzero(widths == width)
        if not len(at):
            continue
        some = texts if len(at) == len(texts) else texts.gather(at)
        if not hyphens:  # the same, in a tenth of the time; but a sign is a digit to it
            numbers = some.str.to_integer(base=16, dtype=pl.UInt64, strict=False)
            known[at] = (numbers.is_not_null() & ~some.str.starts_with("+")).to_numpy()
            values[at] = numbers.fill_null(0).to_numpy()
            continue
        shape = pl.Array(pl.UInt8, width)
        octets = some.cast(pl.Binary).bin.reinterpret(dtype=shape, endianness="little").to_numpy()
        nibbles = _NIBBLES[octets[:, digits]]
        is_good = (nibbles < 16).all(axis=1) & (octets[:, hyphens] == ord("-")).all(axis=1)
        pairs = np.ascontiguousarray(nibbles[:, 0::2] << 4 | nibbles[:, 1::2])
        values[at] = pairs.view(">u8").ravel()
        known[at] = is_good
    return values, known


def _nibbles() -> Any:
    table = np.full(256, 0xFF, np.uint8)
    for digit in "0123456789abcdefABCDEF":
        table[ord(digit)] = int(digit, 16)
    return table


_NIBBLES: Final = _nibbles()
_FORMS: Final[tuple[tuple[int, list[int], list[int]], ...]] = (
    # How long the text is, where its digits are, where its hyphens.
    (16, list(range(16)), []),
    (23, [place for place in range(23) if place % 3 != 2], list(range(2, 23, 3))),
)
_CODES_MAX: Final = 1 << 22  # an array of as many numbers is made
_NO_POLARS: Final = "Parquet is read by polars, which is not installed: pip install 'lamplighter[sim]'"


@contextmanager
def _about_parquet() -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as cause:
        raise UsageError(f"cannot read it as Parquet: {' '.join(str(cause).split())[:200]}") from cause


# --- answers to SRV 8.2


def open_inventory(
    octets: bytes, ring: Ring | None, *, now: Instant | None, dcc: Eui64 | None = None
) -> duis.DspInventory:
    """The inventory in an answer to SRV 8.2, its signature verified where there is a `ring`.

    Raises `DecodeError` where it is no such answer, `VerificationError` where the DCC did not sign it.
    """
    if ring is None:
        response = duis.decode_response(octets)
    else:
        response = duis.open_response(octets, ring, now=now, dcc=dcc).message
    match response.body:
        case duis.ResponseMessage(payload=duis.DspInventory() as inventory):
            return inventory
        case duis.ResponseMessage():
            raise UsageError(f"expected an answer with an inventory, found {response.code} without one")
        case _:
            raise UsageError(f"expected an answer to SRV 8.2, found {response.code}")


_INVENTORY_TITLES: Final = (
    "DeviceID",
    "Hub",
    "DeviceType",
    "DeviceManufacturer",
    "DeviceModel",
    "DeviceFirmwareVersion",
    "DeviceStatus",
    "DeviceGBCSVersion",
    "CSPRegion",
)


def _inventory_cells(device: duis.InventoryDevice, hub: str) -> tuple[str, ...]:
    """A Device of the inventory as a row: read like any other."""
    return (
        str(device.device),
        hub,
        device.type.value,
        device.manufacturer,
        device.model,
        device.firmware_version or "",
        "" if device.status is None else device.status.value,
        device.gbcs_version or "",
        "" if device.region is None else device.region.value,
    )
