"""Headers in any spelling, cells that say what is wrong with them, a Device that comes back from its row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import Eui64, FirmwareVersion, UsageError
from lamplighter.protocol.duis import CplStatus, CspRegion
from lamplighter.registry import Cohort, Device, DeviceStatus, DeviceType, Part
from lamplighter.registry.arrays import HubKind
from lamplighter.registry.columns import (
    FIELDS,
    SHAPES_MAX,
    BadRow,
    CplReader,
    Kind,
    Reader,
    Row,
    device_cells,
    layout,
)

HEADER = (
    *("DeviceID", "Hub", "DeviceType", "DeviceManufacturer", "DeviceModel"),
    *("DeviceFirmwareVersion", "DeviceStatus"),
)
GOOD = ("00DB1234567890A4", "00-DB-12-34-56-78-90-A2", "PPMID", "10D7", "00010201", "2", "Commissioned")
EUI, HUB = 0x00DB_1234_5678_90A4, 0x00DB_1234_5678_90A2
NOT_A_DEVICE = {DeviceType.CHF, DeviceType.GPF}


def read(cells, header=HEADER, kind=Kind.DEVICES):
    return Reader(layout(kind, header)).row(7, cells)


def changed(place, value):
    return (*GOOD[:place], value, *GOOD[place + 1 :])


WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N")), max_size=8)
DEVICES = st.builds(
    Device,
    st.integers(0, 2**64 - 1).map(Eui64.of),
    st.integers(0, 2**64 - 1).map(Eui64.of),
    st.builds(
        Cohort,
        st.sampled_from([kind for kind in DeviceType if kind not in NOT_A_DEVICE]),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF).map(FirmwareVersion),
        st.sampled_from(DeviceStatus),
        WORDS,
        st.sampled_from(Part),
        WORDS,
        st.sampled_from(["", *(region.value for region in CspRegion)]),
        WORDS,
        WORDS,
        st.none() | st.booleans(),
    ),
)


@given(DEVICES, st.randoms(use_true_random=False))
def test_a_device_comes_back_from_its_row(device, dice):
    """Whatever the order of the columns."""
    cells = list(device_cells(device.eui, device.hub, device.cohort).items())
    dice.shuffle(cells)
    titles, values = zip(*cells, strict=True)
    assert Row(int(device.eui), int(device.hub), device.cohort) == read(values, titles)


@given(st.lists(st.text(), max_size=20))
def test_any_cells_are_a_row_or_say_what_is_wrong(cells):
    """Reading is total: a row, or at least one bad cell with a reason."""
    found = read(cells)
    assert isinstance(found, Row) or (found and all(bad.reason for bad in found))


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, "", "16 hex digits"),
        (0, "0x00DB1234567890", "16 hex digits"),
        (0, "6.16E+16", "16 hex digits"),
        (0, "00DB12345678_0A4", "16 hex digits"),
        (0, "00-DB1234567890A4-", "16 hex digits"),
        (0, '=HYPERLINK("x")', "16 hex digits"),
        (0, "\u0660\u0660DB1234567890A4", "16 hex digits"),
        (1, "-1", "16 hex digits"),
        (2, "Toaster", "one of ESME, GSME"),
        (3, "10D", "4 hex digits"),
        (3, "-0D7", "4 hex digits"),
        (4, "0001", "8 hex digits"),
        (5, "", "a value"),
        (5, "123456789", "1 to 8 hex digits"),
        (5, "1_0", "1 to 8 hex digits"),
        (6, "Broken\0", "one of Pending"),
    ],
)
def test_a_bad_cell_is_named_with_its_reason(place, value, reason):
    """Line, column, value, and what was expected."""
    [bad] = read(changed(place, value))
    assert (7, HEADER[place], value) == bad[:3]
    assert reason in bad.reason


def test_all_bad_cells_of_a_row_are_named():
    """One report is enough to mend a row."""
    found = read(("x", "y", "z", "10D7", "00010201", "2", "Commissioned"))
    assert {"DeviceID", "DeviceType"} == {bad.column for bad in found}


@pytest.mark.parametrize("cells", [GOOD[:-1], (*GOOD, "")])
def test_a_row_of_another_width_is_bad(cells):
    """Too few cells and too many: none of them can be trusted to stand in its place."""
    assert [BadRow(7, "", "", f"expected 7 cells, as in the header; found {len(cells)}")] == read(cells)


def test_cells_are_read_whatever_stands_around_them():
    """Spaces and capitals do not matter where words are known."""
    cells = (" 00db1234567890a4 ", GOOD[1], " ppmid", "10d7 ", "0x00010201", "0X2", "COMMISSIONED")
    expected = Cohort(DeviceType.PPMID, 0x10D7, 1, 0x0201, FirmwareVersion(2), DeviceStatus.COMMISSIONED)
    assert Row(EUI, HUB, expected) == read(cells)


@pytest.mark.parametrize(
    "value",
    ["a\tb", "a\0b", "a\x1b[2Jb", "a\udcffb", "x" * 65],
    ids=["tab", "nul", "escape", "octet", "long"],
)
def test_free_text_holds_nothing_that_does_harm(value):
    """Control characters, octets that are no UTF-8, and too much of it."""
    [bad] = read((*GOOD, value), (*HEADER, "Tag"))
    assert "Tag" == bad.column
    bad.value.encode()  # what is reported can be written


def test_a_formula_is_just_text():
    """Where any text may stand, nothing is made of it."""
    found = read((*GOOD, "=1+1"), (*HEADER, "Tag"))
    assert "=1+1" == found.what.tag


def test_an_ihd_may_be_little_known():
    """The inventory has no status of it, and makers' words: it is to be replaced all the same."""
    found = read(("00DB1234567890A4", GOOD[1], "IHD", "Geo Ltd", "Trio II", "", ""))
    unknown = Cohort(DeviceType.IHD, 0, 0, 0, FirmwareVersion(0), DeviceStatus.COMMISSIONED)
    assert unknown == found.what
    assert [] != read(("00DB1234567890A4", GOOD[1], "PPMID", "Geo Ltd", "Trio II", "", ""))


def test_a_hub_among_devices_is_a_hub():
    """Its hub's cell may be empty; region and version are taken, whatever their form."""
    header = (*HEADER, "CSPRegion")
    hub = ("00DB1234567890A2", "", "CHF", "WNC", "CH-4G", "01.02.03", "Commissioned", "North")
    assert Row(HUB, HUB, HubKind("WNC CH-4G", "01.02.03", "North")) == read(hub, header)
    assert Row(HUB, HUB, None) == read((hub[0], "", "GPF", *hub[3:]), header)
    assert ["CSPRegion"] == [bad.column for bad in read((*hub[:-1], "Atlantis"), header)]


def test_a_table_of_hubs():
    """Only the identifier is needed."""
    header = ("CHF ID", "Hub Model", "firmware", "Capable")
    assert Row(HUB, HUB, HubKind("M1", "0102", "", False)) == read(
        (GOOD[1], "M1", "0102", "no"), header, Kind.HUBS
    )
    assert Row(HUB, HUB, HubKind()) == read((GOOD[1],), ("CHF",), Kind.HUBS)


def test_a_table_of_the_cpl():
    """Each cell is checked, and each bad one named."""
    header = [field.title for field in FIELDS[Kind.CPL]]
    reader = CplReader(layout(Kind.CPL, header))
    found = reader.row(2, ("10D7", "00010201", "2", "ab" * 32, "active"))
    assert (0x10D7, 1, 0x0201, 2, CplStatus.ACTIVE) == (
        found.manufacturer, found.model, found.hardware, found.version.number, found.status,
    )  # fmt: skip
    assert ["ManufacturerImageHash", "CPLStatus"] == [
        bad.column for bad in reader.row(3, ("10D7", "00010201", "2", "ab", "gone"))
    ]
    assert [4] == [bad.line for bad in reader.row(4, ("10D7",))]


@pytest.mark.parametrize(
    "title", ["DeviceID", "device_id", " Device ID ", "DEVICE-ID", "eui64", "GUID", "Device.Id"]
)
def test_titles_are_read_in_any_spelling(title):
    """Case, spaces, underscores and synonyms."""
    assert 0 == layout(Kind.DEVICES, (title, *HEADER[1:])).places["eui"]


def test_the_operator_says_which_column_is_which():
    """A mapping overrules the titles; what nothing is known of is passed over, and named."""
    header = ("Asset", "Device", *HEADER[1:], "Notes")
    found = layout(Kind.DEVICES, header, {"asset": "DeviceID", "Notes": "tag"})
    assert (0, 8) == (found.places["eui"], found.places["tag"])
    assert ("Device",) == found.passed_over
    assert {"gbcs_version", "region", "part", "hub_model", "hub_firmware", "hub_capable"} == found.absent


@pytest.mark.parametrize(
    ("header", "mapping", "message"),
    [
        (HEADER[1:], {}, r"no column DeviceID \(found Hub, .*--map THEIRS=DeviceID"),
        ((), {}, "found no header line"),
        ((*HEADER, "device id"), {}, "'DeviceID' 2 times"),
        (HEADER, {"Hub": "Moon"}, "--map Hub=Moon: devices have no 'Moon'; there are DeviceID"),
        (HEADER, {"Moon": "Hub"}, "--map Moon=Hub: the file has no such column; found DeviceID"),
        ((*HEADER, "HUB"), {"Hub": "Hub"}, "more than one"),
    ],
)
def test_a_header_that_cannot_be_read_says_why(header, mapping, message):
    """Missing, ambiguous, and mappings to or from nothing."""
    with pytest.raises(UsageError, match=message):
        layout(Kind.DEVICES, header, mapping)


def test_memory_of_shapes_is_bounded():
    """Rows that all differ do not fill the memory."""
    reader = Reader(layout(Kind.DEVICES, (*HEADER, "Tag")))
    for number in range(SHAPES_MAX + 10):
        reader.what((*GOOD, f"{number}"))
    assert len(reader._shapes) <= SHAPES_MAX
