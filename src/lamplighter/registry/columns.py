"""What a row of a table says of a Device, a hub or the Central Products List, and where it is wrong.

The titles are those of the Smart Metering Inventory (SRV 8.2). A header is read without regard to case,
spaces, underscores and hyphens, by the synonyms below, and by what the operator says (`--map THEIRS=OURS`).

Many rows differ only in their identifiers. What the other cells mean is found once for all rows in which they
are the same texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, LamplighterError, UsageError
from lamplighter.protocol.duis import CplStatus, CspRegion, DeviceStatus, DeviceType
from lamplighter.registry.arrays import HubKind
from lamplighter.registry.device import Cohort, Part
from lamplighter.registry.release import CplEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SHAPES_MAX: Final = 65_536
"""Rows that differ in more than their identifiers, remembered at one time."""

_SHOWN: Final = 80  # characters of a bad value
_EUI: Final = re.compile(r"(?:[0-9A-Fa-f]{2}-){7}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{16}", re.ASCII)
_HEX: Final = re.compile(r"[0-9A-Fa-f]+", re.ASCII)
_ALIKE: Final = re.compile(r"[\s_\-.]+")


class BadRow(NamedTuple):
    """Why a row, or a cell of it, was not taken in."""

    line: int
    """Of the file, from 1, the header line included; in an 8.2 answer the Device's number."""
    column: str
    """By its title in the file; empty: the row as a whole."""
    value: str
    """What stands there, at most 80 characters of it."""
    reason: str
    """What was expected."""


class BadValueError(Exception):
    """A cell that does not say what its column is for: what was expected."""


class Field(NamedTuple):
    """One column."""

    name: str
    """Of the value here."""
    title: str
    """As the Smart Metering Inventory has it, or as it would."""
    parse: Callable[[str], Any]
    """The value of a cell; raises `BadValueError`."""
    synonyms: tuple[str, ...] = ()
    """Other titles."""
    default: Any = None
    """The value of an empty cell, and where there is no such column."""
    required: bool = False
    """Whether there must be such a column, and a value in it."""
    identifies: bool = False
    """Whether nearly every row has another value here."""


class Kind(Enum):
    """What a table is of."""

    DEVICES = "devices"
    HUBS = "hubs"
    CPL = "cpl"


What: TypeAlias = "Cohort | HubKind | None"
"""What a row is of, its identifiers aside: a Device, a hub, or neither (a part of a hub)."""


class Row(NamedTuple):
    """A good row of Devices or hubs."""

    eui: int
    """The Device or hub."""
    hub: int
    """The hub of a Device; of a hub, itself."""
    what: What
    """What it is."""


# --- cells


def eui(text: str) -> int:
    """An EUI-64, in either of its forms."""
    if not _EUI.fullmatch(text):
        raise BadValueError("expected an EUI-64: 16 hex digits, or 8 pairs joined by hyphens")
    return int(text.replace("-", ""), 16)


def _digits(count: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        digits = text.removeprefix("0x").removeprefix("0X")
        if len(digits) != count or not _HEX.fullmatch(digits):
            raise BadValueError(f"expected {count} hex digits")
        return int(digits, 16)

    return parse


def _version(text: str) -> FirmwareVersion:
    digits = text.removeprefix("0x").removeprefix("0X")
    if not 1 <= len(digits) <= 8 or not _HEX.fullmatch(digits):
        raise BadValueError("expected a firmware version: 1 to 8 hex digits")
    return FirmwareVersion(int(digits, 16))


def _hash(text: str) -> ImageHash:
    try:
        return ImageHash.parse(text)
    except LamplighterError:
        raise BadValueError("expected a Manufacturer Image Hash: 64 hex digits") from None


def _words(meanings: Mapping[str, Any]) -> Callable[[str], Any]:
    """One of some words, however they are spaced and capitalised."""
    known = {_alike(word): meaning for word, meaning in meanings.items()}
    allowed = ", ".join(meanings)

    def parse(text: str) -> Any:
        try:
            return known[_alike(text)]
        except KeyError:
            raise BadValueError(f"expected one of {allowed}") from None

    return parse


def _text(longest: int) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if len(text) > longest:
            raise BadValueError(f"expected at most {longest} characters")
        if not text.isprintable():
            raise BadValueError("expected text without control characters, in UTF-8")
        return text

    return parse


def _alike(title: str) -> str:
    return _ALIKE.sub("", title).casefold()


def _members(kind: type[Enum]) -> Callable[[str], Any]:
    return _words({member.value: member for member in kind})


_YES: Final = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}
_REGION: Final = _words({member.value: member.value for member in CspRegion})

_HUB_TITLES: Final = (
    "CHF",
    "CHFID",
    "CHID",
    "HubID",
    "CommunicationsHub",
    "CommunicationsHubID",
    "CommsHubID",
)

FIELDS: Final = {
    Kind.DEVICES: (
        Field(
            "eui",
            "DeviceID",
            eui,
            ("Device", "EUI", "EUI64", "DeviceEUI", "GUID"),
            required=True,
            identifies=True,
        ),
        # Of a hub itself it may be empty.
        Field("hub", "Hub", eui, _HUB_TITLES, required=True, identifies=True),
        Field("type", "DeviceType", _members(DeviceType), ("Type",), required=True),
        Field(
            "manufacturer",
            "DeviceManufacturer",
            _digits(4),
            ("Manufacturer", "ManufacturerCode"),
            required=True,
        ),
        Field("model", "DeviceModel", _digits(8), ("Model",), required=True),
        Field("firmware", "DeviceFirmwareVersion", _version, ("FirmwareVersion", "Firmware"), required=True),
        Field("status", "DeviceStatus", _members(DeviceStatus), ("Status", "SMIStatus"), required=True),
        Field("gbcs_version", "DeviceGBCSVersion", _text(16), ("GBCSVersion", "GBCS"), ""),
        Field("region", "CSPRegion", _REGION, ("Region",), ""),
        Field("part", "Part", _members(Part), ("Responsible", "SupplierPart"), Part.BOTH),
        Field("tag", "Tag", _text(64), ("Group",), ""),
        Field("hub_model", "HubModel", _text(32), ("CHModel",), ""),
        Field("hub_firmware", "HubFirmwareVersion", _text(8), ("HubFirmware", "CHFirmwareVersion"), ""),
        Field("hub_capable", "HubCapable", _words(_YES), (), None),
    ),
    Kind.HUBS: (
        Field("eui", "Hub", eui, ("DeviceID", "EUI", "EUI64", *_HUB_TITLES), required=True, identifies=True),
        Field("model", "HubModel", _text(32), ("DeviceModel", "Model", "CHModel"), ""),
        Field(
            "firmware",
            "HubFirmwareVersion",
            _text(8),
            ("DeviceFirmwareVersion", "HubFirmware", "FirmwareVersion", "Firmware"),
            "",
        ),
        Field("region", "CSPRegion", _REGION, ("Region",), ""),
        Field("capable", "HubCapable", _words(_YES), ("Capable",), None),
    ),
    Kind.CPL: (
        Field(
            "manufacturer",
            "DeviceManufacturer",
            _digits(4),
            ("Manufacturer", "ManufacturerCode"),
            required=True,
        ),
        Field("model", "DeviceModel", _digits(8), ("Model",), required=True),
        Field("version", "DeviceFirmwareVersion", _version, ("FirmwareVersion", "Version"), required=True),
        Field("hash", "ManufacturerImageHash", _hash, ("Hash", "ImageHash", "FirmwareHash"), required=True),
        Field("status", "CPLStatus", _members(CplStatus), ("Status",), required=True),
    ),
}
"""The columns of each kind of table."""

COHORT_FIELDS: Final = ("gbcs_version", "region", "part", "tag", "hub_model", "hub_firmware", "hub_capable")
"""What a table of Devices may leave out: of Devices that are known it then stays as it was."""

_TYPE_2: Final = frozenset({DeviceType.IHD, DeviceType.CAD})
"""Devices that the inventory knows little of: no status, and makers' words for model and version."""

_LITTLE_KNOWN: Final = {
    "manufacturer": 0,
    "model": 0,
    "firmware": FirmwareVersion(0),
    "status": DeviceStatus.COMMISSIONED,
}


# --- headers


@dataclass(frozen=True, slots=True)
class Layout:
    """Which cell of a row is which value."""

    kind: Kind
    """What the table is of."""
    header: tuple[str, ...]
    """The titles as they stand there."""
    places: Mapping[str, int]
    """The cell of each field that there is a column for."""

    @property
    def absent(self) -> frozenset[str]:
        """Fields of `Cohort` that the table does not tell."""
        return frozenset(COHORT_FIELDS) - self.places.keys()

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Columns that say nothing to us."""
        used = set(self.places.values())
        return tuple(title for place, title in enumerate(self.header) if place not in used)

    def title(self, name: str) -> str:
        """What the column of a field is called: in the table, or where it has none, by us."""
        if name in self.places:
            return self.header[self.places[name]]
        return next(field.title for field in FIELDS[self.kind] if field.name == name)


def layout(kind: Kind, header: Sequence[str], mapping: Mapping[str, str] = {}) -> Layout:  # never changed
    """Find the columns of a table by its header line; `mapping` is the operator's, from their titles to ours.

    Raises `UsageError` where a required column is missing, two would be the same one, or the mapping names
    what is not there.
    """
    header = tuple(title.strip() for title in header)
    titles = [_alike(title) for title in header]
    ours = {_alike(word): field.name for field in FIELDS[kind] for word in (field.title, field.name)}
    places: dict[str, int] = {}
    for theirs, wanted in mapping.items():
        name = ours.get(_alike(wanted))
        if name is None:
            known = ", ".join(field.title for field in FIELDS[kind])
            raise UsageError(f"--map {theirs}={wanted}: {kind.value} have no {wanted!r}; there are {known}")
        if _alike(theirs) not in titles:
            raise UsageError(f"--map {theirs}={wanted}: the file has no such column; {_found(header)}")
        places[name] = _only(theirs, titles)
    for field in FIELDS[kind]:
        if field.name in places:
            continue
        for word in (field.title, field.name, *field.synonyms):
            at = [place for place, title in enumerate(titles) if title == _alike(word)]
            at = [place for place in at if place not in places.values()]
            if len(at) > 1:
                raise UsageError(
                    f"the file has the column {header[at[0]]!r} {len(at)} times: rename all but one"
                )
            if at:
                places[field.name] = at[0]
                break
    missing = [field.title for field in FIELDS[kind] if field.required and field.name not in places]
    if missing:
        raise UsageError(
            f"the file has no column {', '.join(missing)} ({_found(header)}); "
            f"--map THEIRS={missing[0]} says which it is"
        )
    return Layout(kind, header, places)


def _only(theirs: str, titles: Sequence[str]) -> int:
    if titles.count(_alike(theirs)) > 1:
        raise UsageError(f"--map {theirs}: the file has more than one such column")
    return titles.index(_alike(theirs))


def _found(header: Sequence[str]) -> str:
    return f"found {', '.join(title[:_SHOWN] for title in header[:40])}" if header else "found no header line"


def known_titles(kind: Kind, header: Sequence[str]) -> int:
    """How many titles of a header line say something to us: the right delimiter finds the most."""
    words = {_alike(word) for field in FIELDS[kind] for word in (field.title, field.name, *field.synonyms)}
    return sum(_alike(title) in words for title in header)


# --- rows


class Reader:
    """Reads the rows of one table of Devices or hubs."""

    def __init__(self, found: Layout) -> None:
        self.layout = found
        self.width = len(found.header)
        fields = FIELDS[found.kind]
        self._shape = tuple(field for field in fields if not field.identifies)
        self._places = tuple(found.places.get(field.name) for field in self._shape)
        self._eui = found.places.get("eui", -1)
        self._hub = found.places.get("hub", -1)
        self._shapes: dict[tuple[str, ...], tuple[What, tuple[tuple[str, str, str], ...]]] = {}

    @property
    def shape_places(self) -> tuple[int, ...]:
        """The cells that many rows share."""
        return tuple(place for place in self._places if place is not None)

    def row(self, line: int, cells: Sequence[str]) -> Row | list[BadRow]:
        """What a row says, or all that is wrong with it."""
        if len(cells) != self.width:
            return [
                BadRow(line, "", "", f"expected {self.width} cells, as in the header; found {len(cells)}")
            ]
        what, wrong = self.what(cells)
        bad = [BadRow(line, *each) for each in wrong]
        try:
            device = eui(cells[self._eui].strip())
        except BadValueError as reason:
            bad.append(self._bad(line, "eui", cells[self._eui], reason))
            return bad
        hub = device
        if isinstance(what, Cohort):
            try:
                hub = eui(cells[self._hub].strip())
            except BadValueError as reason:
                bad.append(self._bad(line, "hub", cells[self._hub], reason))
        return bad or Row(device, hub, what)

    def eui_of(self, cells: Sequence[str]) -> int | None:
        """Whom a row is of, if that much can be read."""
        try:
            return eui(cells[self._eui].strip())
        except (BadValueError, IndexError):
            return None

    def what(self, cells: Sequence[str]) -> tuple[What, tuple[tuple[str, str, str], ...]]:
        """What a row is of, its identifiers aside; and column, value, reason of each bad cell."""
        shape = tuple("" if place is None else cells[place] for place in self._places)
        found = self._shapes.get(shape)
        if found is None:
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
            found = self._shapes[shape] = self._read(shape)
        return found

    def _read(self, shape: Sequence[str]) -> tuple[What, tuple[tuple[str, str, str], ...]]:
        values: dict[str, Any] = {}
        wrong = {}
        for field, cell in zip(self._shape, shape, strict=True):
            text = cell.strip()
            if not text and not field.required:
                values[field.name] = field.default
                continue
            try:
                if not text:
                    raise BadValueError("expected a value")  # one place says what is wrong
                values[field.name] = field.parse(text)
            except BadValueError as reason:
                wrong[field.name] = (self.layout.title(field.name), shown(cell), str(reason))
        if self.layout.kind is Kind.HUBS:
            return (None if wrong else HubKind(**values)), tuple(wrong.values())
        return _device(values, wrong, dict(zip((field.name for field in self._shape), shape, strict=True)))

    def _bad(self, line: int, name: str, cell: str, reason: BadValueError) -> BadRow:
        return BadRow(line, self.layout.title(name), shown(cell), str(reason))


def _device(
    values: dict[str, Any], wrong: dict[str, tuple[str, str, str]], cells: Mapping[str, str]
) -> tuple[What, tuple[tuple[str, str, str], ...]]:
    """A Device, or a hub in the inventory's words."""
    match values.get("type"):
        case DeviceType.GPF:
            return None, ()  # a part of its hub, which takes no firmware of its own
        case DeviceType.CHF:
            model = f"{cells['manufacturer'].strip()} {cells['model'].strip()}".strip()
            firmware = cells["firmware"].strip()
            spoilt = [wrong[name] for name in ("region",) if name in wrong]
            for name, text, longest in (("model", model, 32), ("firmware", firmware, 8)):
                try:
                    _text(longest)(text)
                except BadValueError as reason:
                    spoilt.append((name, shown(text), str(reason)))
            if spoilt:
                return None, tuple(spoilt)
            return HubKind(model, firmware, values["region"], values.get("hub_capable")), ()
        case DeviceType.IHD | DeviceType.CAD:
            for name in wrong.keys() & _LITTLE_KNOWN.keys():
                values[name] = _LITTLE_KNOWN[name]
                del wrong[name]
    if wrong:
        return None, tuple(wrong.values())
    model, hardware = divmod(values.pop("model"), 1 << 16)
    return Cohort(model=model, hardware=hardware, **values), ()


class CplReader:
    """Reads the rows of a table of the Central Products List."""

    def __init__(self, found: Layout) -> None:
        self.layout = found
        self.width = len(found.header)

    def row(self, line: int, cells: Sequence[str]) -> CplEntry | list[BadRow]:
        """What a row says, or all that is wrong with it."""
        if len(cells) != self.width:
            return [
                BadRow(line, "", "", f"expected {self.width} cells, as in the header; found {len(cells)}")
            ]
        values: dict[str, Any] = {}
        bad = []
        for field in FIELDS[Kind.CPL]:
            cell = cells[self.layout.places[field.name]]
            try:
                values[field.name] = field.parse(cell.strip())
            except BadValueError as reason:
                bad.append(BadRow(line, self.layout.title(field.name), shown(cell), str(reason)))
        if bad:
            return bad
        model, hardware = divmod(values.pop("model"), 1 << 16)
        return CplEntry(model=model, hardware=hardware, **values)


def shown(cell: str) -> str:
    """As much of a cell as a report holds, in characters that every file can."""
    return cell[:_SHOWN].encode("utf-8", "backslashreplace").decode()


def device_cells(eui64: Eui64, hub: Eui64, cohort: Cohort) -> dict[str, str]:
    """A Device as the row of a table, by title: what `Reader` reads back."""
    return {
        "DeviceID": str(eui64),
        "Hub": str(hub),
        "DeviceType": cohort.type.value,
        "DeviceManufacturer": f"{cohort.manufacturer:04X}",
        "DeviceModel": f"{cohort.model:04X}{cohort.hardware:04X}",
        "DeviceFirmwareVersion": str(cohort.firmware),
        "DeviceStatus": cohort.status.value,
        "DeviceGBCSVersion": cohort.gbcs_version,
        "CSPRegion": cohort.region,
        "Part": cohort.part.value,
        "Tag": cohort.tag,
        "HubModel": cohort.hub_model,
        "HubFirmwareVersion": cohort.hub_firmware,
        "HubCapable": {None: "", True: "yes", False: "no"}[cohort.hub_capable],
    }
