"""`registry ask` from the command line, and over HTTP to the lab's DCC."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lab.user import NEW, a_lab, ppmid_image
from lamplighter.kit import Eui64, FirmwareVersion
from lamplighter.lab import server as lab_server
from lamplighter.lab.homes import ACB, FACTORY_VERSION, SUPPLIER
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import DeviceStatus, DeviceType
from lamplighter.registry import (
    Cohort,
    CplEntry,
    CplStatus,
    Device,
    Hub,
    Procedure,
    Release,
    Verdict,
)
from lamplighter.service.gateway import Gateway, Parties
from lamplighter.service.reconciler import Reconciler
from lamplighter.store import Store

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

STRANGER = Eui64.of(0x0000_5EEF_1000_00FF)
NOBODY = Eui64.of(0x0200_0000_FFFF_FFFF)


@pytest.fixture
def here(monkeypatch, database_url, tmp_path):
    """A working directory, and the database of the environment."""
    monkeypatch.setenv("LAMPLIGHTER_DATABASE", database_url)
    monkeypatch.setenv("LAMPLIGHTER_USER", "operator")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def store(here, database_url):  # noqa: ARG001 # the environment is set
    store = Store.open(database_url)
    yield store
    store.close()


def home(eui, hub, kind=DeviceType.PPMID, region="North"):
    cohort = Cohort(kind, 0x121D, 0x84, 0x1111, FirmwareVersion(1), DeviceStatus.COMMISSIONED, region=region)
    return Device(Eui64.of(eui), Eui64.of(hub), cohort)


@contextmanager
def sending(store, lab):
    """A reconciler whose gateway goes over HTTP to the DCC of a lab; it ticks until nothing is left to do."""
    with (
        lab_server.LabServer(lab.world, {}) as server,
        Gateway.open(
            Parties(SUPPLIER, ACB, lab.ring), server.url, lambda: lab.world.now, timeout=20
        ) as gateway,
    ):
        reconciler = Reconciler(store, gateway, lambda: lab.world.now, "one")

        def settle():
            while reconciler.tick():
                pass

        yield settle


# Against the lab, over HTTP


def verdicts(store):
    return {it.cohort.type: it.verdict for it in store.registry.verdicts("R")}


def test_what_the_dcc_says_changes_the_registry_and_who_is_eligible(run, store):
    """A display that was suspended with unknown firmware is commissioned by now: asked, told, eligible."""
    lab, _ = a_lab(homes=2)
    first, second = lab.homes
    image = ppmid_image(lab)
    lab.publish(image)
    entry = lab.world.dcc.inventory.entry(first.ppmid)
    model, header = entry.model, image.header
    stale = Cohort(
        DeviceType.PPMID, model.manufacturer, model.model, model.hardware, FirmwareVersion(0),
        DeviceStatus.SUSPENDED, region="North",
    )  # fmt: skip
    store.registry.put_hubs([Hub(first.hub, capable=True), Hub(second.hub, capable=True)])
    store.registry.put_devices([Device(first.ppmid, first.hub, stale)])
    product = (model.manufacturer, model.model, model.hardware)
    store.registry.put_cpl([CplEntry(*product, NEW, image.hash, CplStatus.ACTIVE)])
    release = Release(
        Procedure.ONE_STEP, header.manufacturer, NEW, image.hash, 0, 0xFFFF, images.encode(image)
    )
    store.registry.add_release("R", release)
    assert {DeviceType.PPMID: Verdict.NOT_COMMISSIONED} == verdicts(store)
    meter = lab.world.dcc.inventory.entry(second.esme)
    assert 0 == run("registry", "ask", first.ppmid).code
    assert 0 == run("registry", "ask", "--mpxn", meter.points.import_mpxn).code
    with sending(store, lab) as settle:
        settle()
    told = store.registry.device(first.ppmid).cohort
    assert (FACTORY_VERSION, DeviceStatus.COMMISSIONED) == (told.firmware, told.status)
    assert Verdict.ELIGIBLE is verdicts(store)[DeviceType.PPMID]
    assert second.hub == store.registry.device(second.ppmid).hub
    found = store.questions.inquiries()
    assert [(0, 1, 0), (0, 1, 0)] == [(it.open, it.told, it.failed) for it in found]


def test_refusals_of_the_dcc_are_in_the_report_and_in_a_file(run, store, here):
    """A home of another Supplier (E4), a Device and a meter point that nobody knows; the others are told."""
    lab, _ = a_lab(homes=2)
    first, second = lab.homes
    inventory = lab.world.dcc.inventory
    for entry in tuple(inventory):
        if entry.hub == second.hub:
            inventory._entries[entry.device] = replace(entry, import_supplier=STRANGER)
    ask = ("registry", "ask", first.hub, second.ppmid, NOBODY, "--mpxn", "9999999999999")
    assert 0 == run(*ask).code
    with sending(store, lab) as settle:
        settle()
    outcome = run("registry", "asked", 1, "-o", "failed.csv")
    assert (1, True) == (outcome.code, "1 of 4 homes" in outcome.out)
    rows = list(csv.DictReader((here / "failed.csv").read_text().splitlines()))
    assert [
        (str(second.ppmid), "E4", "not authorised for that Device"),
        (str(NOBODY), "E19", "no such Device"),
        ("9999999999999", "E080201", "refused by the DCC"),
    ] == [(row["premises"], row["code"], row["reason"]) for row in rows]
    assert store.registry.device(second.ppmid) is None
    assert store.registry.device(first.ppmid) is not None


# The command line


def test_homes_are_named_on_the_command_line_in_a_file_and_by_stdin(run, here):
    """One that is named twice is asked about once, and a byte order mark is passed over."""
    (here / "homes.txt").write_bytes(f"\ufeff{NOBODY}\r\n\r\n{STRANGER}\n".encode())
    facts = run(
        "--json", "registry", "ask", NOBODY, "--file", "homes.txt", "--uprn", "123", "--by", "x"
    ).facts
    assert (3, 3, "x") == (facts["homes"], facts["open"], facts["who"])
    again = run("--json", "registry", "ask", "--file", "-", stdin=str(STRANGER).encode()).facts
    assert (2, 1) == (again["inquiry"], again["homes"])


def test_homes_are_looked_for_in_the_registry(run, store):
    """By what Devices have in common, each home once; or all; or those of which nothing was heard lately."""
    store.registry.put_devices(
        [home(1, 11), home(2, 11, DeviceType.HCALCS), home(3, 13, DeviceType.HCALCS, "South"), home(5, 15)]
    )
    homes = {}
    for options in (
        "--type ppmid",
        "--type hcalcs --region South",
        "--manufacturer 121D --model 84 --hardware 1111 --firmware 1 --status commissioned",
        "--every",
        "--unheard-for 30d",
        f"--hub {Eui64.of(11)}",
    ):
        facts = run("--json", "registry", "ask", *options.split()).facts
        homes[facts["what"]] = facts["homes"]
    assert {
        "type=PPMID": 2,
        "type=HCALCS region=South": 1,
        "manufacturer=121D model=0084 hardware=1111 firmware=00000001 status=Commissioned": 3,
        "every home": 3,
        "every home, unheard for 30d": 3,
        f"hub={Eui64.of(11)}": 1,
    } == homes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nobody is named"),
        ((NOBODY, "--type", "ppmid"), "not both"),
        (("--file", "none.txt"), "cannot read none.txt"),
        (("--file", "empty.txt"), "names no Device"),
        (("--file", "bad.txt"), "bad.txt, line 2"),
        (("--mpxn", "12345678901234"), "1 to 13 characters"),
        (("--uprn", "0"), "1 to 12 digits"),
        (("--region", "Mars"), "no home fits"),
        ((NOBODY, "--per-hour", "0"), "at least one question an hour"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_cannot_be_asked_says_why(run, here, arguments, message):
    """Exit code 2, and nothing was written down."""
    (here / "empty.txt").write_text("\n")
    (here / "bad.txt").write_text(f"{NOBODY}\nx\n")
    outcome = run("registry", "ask", *arguments)
    assert 2 == outcome.code
    assert message in outcome.err.replace("\n", " ")
    assert [] == run("--json", "registry", "asked").facts["inquiries"]


def test_an_inquiry_is_listed_looked_at_and_ended(run, store):
    """Nothing of it is asked any more; that is no failure."""
    assert 0 == run("registry", "ask", NOBODY, STRANGER).code
    assert "2 named" in run("registry", "asked").out
    assert 0 == run("registry", "stop-asking", 1).code
    facts = run("--json", "registry", "asked", 1).facts
    assert (0, 2, 0, []) == (facts["open"], facts["cancelled"], facts["failed"], facts["first_failed"])
    assert not store.questions.is_any_due(store.questions.inquiry(1).at)
    for command in (("asked", 7), ("stop-asking", 7), ("asked", "-o", "x.csv")):
        assert 2 == run("registry", *command).code


def test_who_may_not_act_asks_nothing(run, store, monkeypatch):
    """It goes out in the Supplier's name: that is an operator's, and not a viewer's."""
    assert 0 == run("people", "add", "admin", "--role", "administrator", "--no-password").code
    assert 0 == run("people", "add", "viewer", "--role", "viewer", "--no-password", "--by", "admin").code
    monkeypatch.setenv("LAMPLIGHTER_USER", "viewer")
    assert 1 == run("registry", "ask", NOBODY).code
    assert [] == store.questions.inquiries()
