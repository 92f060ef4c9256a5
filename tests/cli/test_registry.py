"""`registry` from the command line: import what is good, report what is not, show, list what is stranded."""

from __future__ import annotations

import csv
import json

import pytest
from tests.service.test_imports import HEADER, answer, line

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash
from lamplighter.registry import CplEntry, CplStatus, DeviceType, Part, Procedure, Release
from lamplighter.store.database import Database
from lamplighter.store.registry import Registry

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def here(monkeypatch, database_url, tmp_path):
    """A working directory, and the database of the environment."""
    monkeypatch.setenv("LAMPLIGHTER_DATABASE", database_url)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def registry(here, database_url):  # noqa: ARG001 # the environment is set
    database = Database.open(database_url)
    yield Registry(database)
    database.close()


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_import_keeps_the_good_and_lists_the_bad(run, here, registry):
    """Exit code 1, the first bad rows in the report, and all of them in the file of rejects."""
    devices = write(here / "devices.csv", HEADER + line(1) + line(2).replace("PPMID", "=cmd()") + "x\n")
    outcome = run("registry", "import", devices, "--rejects", "bad.csv")
    assert 1 == outcome.code, outcome.err
    assert "1 rows taken in, 2 bad" in outcome.out
    assert registry.device(Eui64.of(1)) is not None
    rows = read(here / "bad.csv")
    assert [("3", "DeviceType", "'=cmd()"), ("4", "", "")] == [
        (row["line"], row["column"], row["value"]) for row in rows
    ]
    facts = run("--json", "registry", "import", devices).facts
    assert (2, None, 2) == (facts["bad"], facts["rejects"], len(facts["first_bad"]))


def test_the_file_of_rejects_is_not_replaced_unasked(run, here):
    """Before anything is taken in."""
    devices = write(here / "devices.csv", HEADER + line(1))
    write(here / "bad.csv", "mine")
    outcome = run("registry", "import", devices, "--rejects", "bad.csv")
    assert (2, "mine") == (outcome.code, (here / "bad.csv").read_text())
    assert 0 == run("registry", "import", devices, "--rejects", "bad.csv", "--force").code
    assert "file,line,column,value,reason\n" == (here / "bad.csv").read_text()
    assert ["bad.csv", "devices.csv"] == sorted(
        path.name for path in here.iterdir() if path.suffix in {".csv", ".part"}
    )


def test_import_of_several_files_and_kinds(run, here, registry):
    """Hubs, the CPL, a mapping of the operator's, and stdin."""
    hubs = write(here / "hubs.csv", f"CHF,Hub Model\n{line(1).split(',')[1]},M1\n")
    cpl = write(
        here / "cpl.csv", f"Manufacturer,Model,Version,Hash,Status\n10D7,00010201,2,{'ab' * 32},Active\n"
    )
    devices = (HEADER.replace("DeviceID", "Asset") + line(1)).encode()
    assert 0 == run("registry", "import", "--kind", "hubs", hubs).code
    assert 0 == run("registry", "import", "--kind", "cpl", cpl).code
    assert 0 == run("registry", "import", "-", "--map", "Asset=DeviceID", stdin=devices).code
    assert "M1" == registry.device(Eui64.of(1)).cohort.hub_model
    assert 1 == len(registry.cpl())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no file is named"),
        (("nowhere.csv",), "nowhere.csv: cannot read it"),
        (("devices.csv", "--map", "Asset"), "--map Asset: expected THEIRS=OURS"),
        (("devices.csv", "--kind", "cpl"), "devices.csv: the file has no column"),
        (("devices.csv", "--kind", "cpl", "--complete"), "--complete is about Devices"),
        (("devices.csv", "--as-of", "yesterday"), "yesterday"),
        (("home.xml",), "home.xml: an answer to SRV 8.2 is believed for its signature"),
        (("home.xml", "--kind", "devices"), "home.xml: the file has no column"),
    ],
)
def test_what_cannot_be_imported_says_why(run, here, arguments, message):
    """In one line that names the file."""
    write(here / "devices.csv", HEADER + line(1))
    write(here / "home.xml", answer())
    outcome = run("registry", "import", *arguments)
    assert 0 != outcome.code
    assert message in outcome.err
    assert 1 == outcome.err.count("\n")


def test_an_answer_to_8_2_is_imported_unverified_only_if_asked(run, here, registry, pki):
    """With the wrong keys nothing is taken in; without, only where the operator says so."""
    home = write(here / "home.xml", answer())
    assert 1 == run("registry", "import", home, "--keys", pki).code
    assert registry.device(Eui64.of(1)) is None
    outcome = run("--json", "registry", "import", home, "--unverified")
    assert "inventory" == outcome.facts["files"][0]["kind"]
    assert registry.device(Eui64.of(1)) is not None


def test_a_complete_import_marks_who_is_absent(run, here, registry):
    """A Device in none of the files has left; one whose row is bad has not."""
    both = write(here / "both.csv", HEADER + line(1) + line(2) + line(3))
    now = write(here / "now.csv", HEADER + line(1) + line(3).replace("PPMID", "?"))
    run("registry", "import", both)
    outcome = run("--json", "registry", "import", now, "--complete")
    assert (1, 1) == (outcome.facts["left"], outcome.facts["bad"])
    parts = [registry.device(Eui64.of(n)).cohort.part for n in (1, 2, 3)]
    assert [Part.BOTH, Part.NONE, Part.BOTH] == parts


@pytest.mark.parametrize(
    ("rows", "why"), [("x" + line(1), "not known who is absent"), ("", "no Device was read")]
)
def test_a_complete_import_that_is_not_complete_marks_nobody(run, here, registry, rows, why):
    """Where a row does not even say which Device it is of, and where there is none."""
    run("registry", "import", write(here / "both.csv", HEADER + line(1) + line(2)))
    outcome = run("registry", "import", write(here / "now.csv", HEADER + rows), "--complete")
    assert 1 == outcome.code
    assert why in outcome.out
    assert Part.BOTH is registry.device(Eui64.of(2)).cohort.part


def test_show_counts_what_is_there(run, here):
    """By type, model, firmware and region; nothing at all is a report too."""
    assert "0 Devices" in run("registry", "show").out
    devices = HEADER + line(1) + line(2) + line(3).replace("PPMID", "HCALCS")
    run("registry", "import", write(here / "devices.csv", devices))
    facts = run("--json", "registry", "show").facts
    assert 3 == facts["devices"]
    assert [("PPMID", 2), ("HCALCS", 1)] == [(it["type"], it["devices"]) for it in facts["kinds"]]


def test_show_tells_of_one_device_or_hub(run, here):
    """All that is known, by the inventory's names; what is not known is an error."""
    hub = line(int(Eui64.parse("00-DB-12-34-56-78-90-A2"))).replace("PPMID", "CHF")
    run("registry", "import", write(here / "devices.csv", HEADER + line(1, "pilot") + hub))
    facts = run("--json", "registry", "show", "0000000000000001").facts
    assert ("pilot", "10D7 00010201") == (facts["Tag"], facts["HubModel"])
    assert "Communications Hub" in run("registry", "show", "00-DB-12-34-56-78-90-A2").out
    outcome = run("registry", "show", "0000000000000009")
    assert (2, True) == (outcome.code, "knows no Device and no hub" in outcome.err)


def test_stranded_devices_become_work_orders(run, here, registry):
    """One line each, with where it is and why; the counts are in the report."""
    devices = HEADER + line(1) + line(2).replace("PPMID", "IHD") + line(3).replace("00010201", "00010901")
    run("registry", "import", write(here / "devices.csv", devices))
    hashed = ImageHash(bytes(32))
    registry.add_release(
        "R", Release(Procedure.ONE_STEP, 0x10D7, FirmwareVersion(9), hashed, 0x200, 0x2FF, b"i")
    )
    registry.put_cpl([CplEntry(0x10D7, 1, 0x0201, FirmwareVersion(9), hashed, CplStatus.ACTIVE)])
    outcome = run("registry", "stranded", "R")
    assert "2 Devices stranded" in outcome.out
    assert "--out" in outcome.out
    facts = run("--json", "registry", "stranded", "R", "--out", "orders.csv").facts
    assert (2, "orders.csv") == (facts["stranded"], facts["file"])
    rows = read(here / "orders.csv")
    assert [
        ("00-00-00-00-00-00-00-02", "IHD", "NO_SERVICE_REQUEST"),
        ("00-00-00-00-00-00-00-03", "PPMID", "HARDWARE_MISMATCH"),
    ] == sorted((row["DeviceID"], row["DeviceType"], row["Verdict"]) for row in rows)
    assert {"00-DB-12-34-56-78-90-A2"} == {row["Hub"] for row in rows}
    assert DeviceType.IHD.value in json.dumps(rows)


def test_stranded_of_an_unknown_release_leaves_no_file(run, here):
    """An error, and nothing half-written."""
    outcome = run("registry", "stranded", "R", "--out", "orders.csv")
    assert (2, True) == (outcome.code, "no release 'R'" in outcome.err)
    assert [] == list(here.glob("*orders*"))
