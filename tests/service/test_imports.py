"""Files as they come: good rows are kept, bad ones reported, and both ways of reading say the same."""

from __future__ import annotations

import io
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, UsageError, VerificationError
from lamplighter.kit.instant import from_iso
from lamplighter.lab.pki import Pki
from lamplighter.protocol import duis
from lamplighter.protocol.smki import Role
from lamplighter.registry import Cohort, CplEntry, CplStatus, Device, DeviceStatus, DeviceType, Hub, Part
from lamplighter.registry.columns import Kind, device_cells
from lamplighter.service import imports
from lamplighter.service.imports import Import, open_inventory
from lamplighter.store.database import Database
from lamplighter.store.registry import Registry

HEADER = "DeviceID,Hub,DeviceType,DeviceManufacturer,DeviceModel,DeviceFirmwareVersion,DeviceStatus,Tag\n"
PPMID = Cohort(DeviceType.PPMID, 0x10D7, 1, 0x0201, FirmwareVersion(2), DeviceStatus.COMMISSIONED)
HUB = Eui64.of(0x00DB_1234_5678_90A2)
TAIL = "00-DB-12-34-56-78-90-A2,PPMID,10D7,00010201,00000002,Commissioned,"


def line(number: int, tag: str = "") -> str:
    return f"{number:016X},{TAIL}{tag}\n"


class Taken:
    """A registry, what a file put into it, and what was rejected."""

    def __init__(self, url, *, fast):
        self.database = Database.open(url)
        self.registry = Registry(self.database)
        self.bad = []
        self.importer = Import(self.registry, self.bad.append, fast=fast)

    def __call__(self, octets, kind=Kind.DEVICES, mapping={}):  # noqa: B006
        self.bad.clear()
        octets = octets.encode() if isinstance(octets, str) else octets
        return self.importer.table(io.BytesIO(octets), kind, mapping)

    def device(self, number):
        return self.registry.device(Eui64.of(number))


@pytest.fixture(params=[False, True], ids=["plain", "polars"])
def take(request, database_url):
    taken = Taken(database_url, fast=request.param)
    yield taken
    taken.database.close()


def test_good_rows_are_kept_and_bad_ones_reported(take):
    """Line, column, value and reason of each bad cell; the neighbours are there."""
    done = take(HEADER + line(1) + line(2).replace("PPMID", "Toaster") + "x" + line(3) + line(4))
    assert (4, 2, 2, 1) == (done.rows, done.devices, done.bad, done.unnamed)
    assert [(3, "DeviceType", "Toaster"), (4, "DeviceID", "x0000000000000003")] == [
        bad[:3] for bad in take.bad
    ]
    assert [True, False, False, True] == [take.device(n) is not None for n in (1, 2, 3, 4)]
    assert Device(Eui64.of(4), HUB, PPMID) == take.device(4)


@pytest.mark.parametrize(
    "eui", ["00:DB:12:34:56:78:90:A4", "0-DB-12-34-56-78-90-A4-", "00DB1234567890AG", "+0DB1234567890A4"]
)
def test_an_identifier_in_no_known_form_is_bad(take, eui):
    """Both ways of reading take the two forms and no other."""
    assert (0, 1, 1) == ((done := take(HEADER + eui + line(1)[16:])).devices, done.bad, done.unnamed)


ROWS = st.lists(
    st.tuples(
        st.integers(1, 30),
        st.sampled_from(["", "pilot", '"a, b"', " padded "]),
        st.none()
        | st.sampled_from(
            [
                "",
                "\n",
                ",,,\n",
                '"',
                'x"y,z\n',
                "=1+1\n",
                "\0\n",
                "\r\n",
                ",\n",
                "0" * 100_000 + "\n",
                '"\n',
                "\xff\n",
            ]
        )
        | st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=30).map("{}\n".format),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(rows=ROWS, block=st.sampled_from([200_000, 1 << 24]))
def test_good_rows_survive_any_neighbours(take, monkeypatch, rows, block):
    """Whatever stands between them, each good row is taken in, the last of a Device; bad ones are counted."""
    monkeypatch.setattr(imports, "BLOCK_OCTETS", block)
    text, last, bad = HEADER, {}, 0
    for number, tag, junk in rows:
        text += line(number, tag)
        last[number] = tag.strip('"').strip()
        if junk is not None:
            between = junk.removesuffix("\n") + "\n"
            text += between
            bad += between not in {"\n", "\r\n"}
    done = take(text)
    assert len(rows) == done.devices
    assert bad == done.bad
    for number, tag in last.items():
        assert tag == take.device(number).cohort.tag


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.text(max_size=18) | st.sampled_from(line(1).strip().split(",")), min_size=1, max_size=9),
        max_size=6,
    )
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_both_ways_of_reading_say_the_same(database_url, rows):
    """Any table at all: the same counts, and the same bad cells."""
    octets = (HEADER + line(7) + "".join(",".join(row) + "\n" for row in rows)).encode(
        "utf-8", "surrogatepass"
    )
    said = []
    for fast in (False, True):
        taken = Taken(database_url, fast=fast)
        done = taken(octets)
        said.append(
            (done.rows, done.devices, done.hubs, done.bad, done.unnamed, done.repeated, sorted(taken.bad))
        )
        taken.database.close()
    assert said[0] == said[1]


def test_importing_a_file_twice_is_importing_it_once(take):
    """The second time changes nothing."""
    text = HEADER + "".join(line(n, f"t{n % 3}") for n in range(50))
    take(text)
    before = [take.device(n) for n in range(50)], take.registry.cohorts()
    take(text)
    assert before == ([take.device(n) for n in range(50)], take.registry.cohorts())


def test_a_device_comes_back_from_its_file(take):
    """Registry to CSV to registry, all of its properties."""
    cohort = Cohort(
        DeviceType.HCALCS, 0x1234, 0xFFFF, 0, FirmwareVersion(0xFFFFFFFF), DeviceStatus.SUSPENDED, "4.2",
        Part.IMPORT, "a tag", "4G North", "CH 1", "0102", hub_capable=False,
    )  # fmt: skip
    cells = device_cells(Eui64.of(5), HUB, cohort)
    take(",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
    assert Device(Eui64.of(5), HUB, cohort) == take.device(5)


def test_what_a_second_file_does_not_tell_stays(take):
    """Firmware moves on, the tag of the first file stays: the second has no such column."""
    take(HEADER + line(1, "pilot"))
    take(
        (HEADER + line(1))
        .replace(",Tag", "")
        .replace("Commissioned,", "Commissioned")
        .replace("00000002", "3")
    )
    assert replace(PPMID, tag="pilot", firmware=FirmwareVersion(3)) == take.device(1).cohort


def test_a_device_that_comes_twice_is_reported(take):
    """The last row counts, also over the borders of blocks; the report names both lines."""
    done = take(HEADER + line(1, "first") + line(2) + line(1, "second") + line(1, " third "))
    assert (4, 2, 0) == (done.devices, done.repeated, done.bad)
    assert [(2, "line 4"), (4, "line 5")] == [(bad.line, bad.reason[:6]) for bad in take.bad]
    assert "third" == take.device(1).cohort.tag


def test_hubs_among_the_devices(take):
    """A CHF is a hub, and its Devices stand behind it; a GPF is a part of it."""
    hub = line(int(HUB)).replace("PPMID", "CHF")
    done = take(HEADER + line(1) + hub + line(3).replace("PPMID", "GPF"))
    assert (1, 1, 1) == (done.devices, done.hubs, done.skipped)
    assert "10D7 00010201" == take.device(1).cohort.hub_model


def test_a_table_of_hubs(take):
    """And what is wrong in it."""
    done = take("CHF;Hub Model;CSP Region\n0000000000000001;M1;North\n2;M2;North\n", Kind.HUBS)
    assert (1, 1) == (done.hubs, done.bad)
    assert Hub(Eui64.of(1), "M1", "", "North") == take.registry.hub(Eui64.of(1))


def test_a_table_of_the_cpl(take):
    """And what is wrong in it."""
    text = f"Manufacturer\tModel\tVersion\tHash\tStatus\n10D7\t00010201\t2\t{'ab' * 32}\tActive\nx\n"
    done = take(text, Kind.CPL)
    assert (2, 1, 1) == (done.rows, done.entries, done.bad)
    hashed = ImageHash(b"\xab" * 32)
    assert [CplEntry(0x10D7, 1, 0x0201, FirmwareVersion(2), hashed, CplStatus.ACTIVE)] == take.registry.cpl()


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"", "an empty file"),
        (b"\n \n", "an empty file"),
        ((HEADER + line(1)).encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"PK\x03\x04....", "a spreadsheet or a ZIP"),
        (b"\x1f\x8b....", "gzip"),
        (b"\0" * 100, "no text"),
        (b"a" * 1_000_000, "a line without end"),
        (b"Device\xff\n", "header line is not UTF-8"),
        (b'"Device\n', "a quote that does not end"),
        (b"one,two\n", "no column DeviceID"),
    ],
)
def test_what_is_no_table_is_refused(take, octets, message):
    """Each with what was found, before anything is taken in."""
    with pytest.raises(UsageError, match=message):
        take(octets)


def test_byte_order_mark_line_ends_and_blank_lines_do_not_matter(take):
    """A file as Windows writes it, with no line feed at its end."""
    text = "\r\n" + (HEADER + line(1) + "\n" + line(2)).replace("\n", "\r\n").removesuffix("\r\n")
    done = take(b"\xef\xbb\xbf" + text.encode())
    assert (2, 2, 0) == (done.rows, done.devices, done.bad)


def test_a_gigabyte_without_a_line_feed_is_one_bad_row(take):
    """It is not held in memory, and the rows around it are kept."""

    class Huge(io.RawIOBase):
        def __init__(self):
            tail = ("\n" + line(2)).encode()
            self.parts = iter([(HEADER + line(1)).encode(), *[b"x" * (1 << 24)] * 64, tail])

        def read(self, _size=-1):
            return next(self.parts, b"")

    done = take.importer.table(Huge(), Kind.DEVICES)
    assert (3, 2, 1) == (done.rows, done.devices, done.bad)
    assert (3, "expected a line of at most 65536 octets") == (take.bad[0].line, take.bad[0].reason)
    assert 80 == len(take.bad[0].value)


def test_blocks_do_not_matter(take, monkeypatch):
    """Cut anywhere, with transactions of three rows, the file says the same, line numbers too."""
    text = HEADER + "".join(line(n) for n in range(20)) + "bad\n" + line(20)
    for size in (64, 129, 1000):
        monkeypatch.setattr(imports, "BLOCK_OCTETS", size)
        monkeypatch.setattr(imports, "ROWS_AT_ONCE", 3)
        done = take(text)
        assert (22, 21, [22]) == (done.rows, done.devices, [bad.line for bad in take.bad])


def test_parquet(take, tmp_path):
    """The same rows from Parquet; numbers of rows instead of lines, nulls as empty cells."""
    path = tmp_path / "devices.parquet"
    titles = HEADER.strip().split(",")
    rows = [line(n).strip().split(",") for n in range(5)] + [["x", *line(9).strip().split(",")[1:]]]
    rows[3][7] = None
    pl.DataFrame(rows, titles, orient="row").with_columns(pl.lit(1).alias("Other")).write_parquet(path)
    done = take.importer.parquet(path, Kind.DEVICES)
    assert (6, 5, 1, ("Other",)) == (done.rows, done.devices, done.bad, done.passed_over)
    assert [(6, "DeviceID", "x")] == [bad[:3] for bad in take.bad]
    assert Device(Eui64.of(3), HUB, PPMID) == take.device(3)


def test_what_is_no_parquet_is_refused(take, tmp_path):
    """A file of anything else, and identifiers that are numbers."""
    path = tmp_path / "devices.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(UsageError, match="cannot read it as Parquet"):
        take.importer.parquet(path, Kind.DEVICES)
    titles = HEADER.strip().split(",")
    pl.DataFrame({title: [1] for title in titles}).write_parquet(path)
    with pytest.raises(UsageError, match="DeviceID holds numbers"):
        take.importer.parquet(path, Kind.DEVICES)


# --- SRV 8.2

NOW = from_iso("2026-11-23T10:00:00Z")
SUPPLIER, BROKER = Eui64.of(0x90B3_D51F_3001_0000), Eui64.of(0x90B3_D51F_3000_0002)
PKI = Pki("import tests")
RING = PKI.supplier(SUPPLIER, BROKER, [])
DSP = PKI.acb(BROKER, [SUPPLIER], []).signer(BROKER, Role.ACB_XML_SIGNING)
COMMISSIONED = DeviceStatus.COMMISSIONED
HOME = duis.DspInventory(
    (
        duis.InventoryDevice(HUB, DeviceType.CHF, COMMISSIONED, "WNC", "CH-4G", firmware_version="0102"),
        duis.InventoryDevice(
            Eui64.of(1), DeviceType.PPMID, COMMISSIONED, "10D7", "00010201", firmware_version="2",
            region=duis.CspRegion.NORTH, gbcs_version="4.2",
        ),
        duis.InventoryDevice(Eui64.of(2), DeviceType.IHD, None, "Geo", "Trio"),
        duis.InventoryDevice(Eui64.of(3), DeviceType.HCALCS, COMMISSIONED, "Maker", "00010201"),
    )
)  # fmt: skip


def answer(payload=HOME):
    request = duis.RequestId(SUPPLIER, BROKER, 1)
    body = duis.ResponseMessage("8.2", "8.2", payload)
    return duis.encode_response(duis.Response(request, None, "I0", NOW, body))


def test_an_answer_to_8_2_is_a_home(take):
    """The hub, and the Devices behind it; what cannot be a Device of ours is reported by its number."""
    done = take.importer.answer(open_inventory(answer(), None, now=None))
    assert (2, 1, 1) == (done.devices, done.hubs, done.bad)
    assert {(4, "DeviceManufacturer"), (4, "DeviceFirmwareVersion")} == {bad[:2] for bad in take.bad}
    expected = replace(PPMID, gbcs_version="4.2", region="North", hub_model="WNC CH-4G", hub_firmware="0102")
    assert Device(Eui64.of(1), HUB, expected) == take.device(1)


def test_a_home_without_a_hub_is_reported(take):
    """Its Devices could not be reached."""
    done = take.importer.answer(duis.DspInventory(HOME.devices[1:2]))
    assert (0, "Hub") == (done.devices, take.bad[0].column)


def test_an_answer_is_verified_where_there_are_keys():
    """The DCC's signature is believed; none at all, and a changed one, are not."""
    signed = duis.sign(answer(), DSP)
    assert HOME == open_inventory(signed, RING, now=NOW, dcc=BROKER)
    with pytest.raises(VerificationError):
        open_inventory(answer(), RING, now=NOW, dcc=BROKER)
    with pytest.raises(VerificationError):
        open_inventory(signed.replace(b"10D7", b"10D8"), RING, now=NOW, dcc=BROKER)


def test_another_answer_is_refused():
    """A refusal of the DCC's, and a request."""
    with pytest.raises(UsageError, match="found I0 without one"):
        open_inventory(answer(None), None, now=None)
