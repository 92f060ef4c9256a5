"""`release` from the command line: what may be sent is registered, checked against the CPL, and withdrawn."""

from __future__ import annotations

import pytest

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash
from lamplighter.protocol import image
from lamplighter.registry import (
    Cohort,
    CplEntry,
    CplStatus,
    Device,
    DeviceStatus,
    DeviceType,
    Procedure,
)  # fmt: skip
from lamplighter.store.database import Database
from lamplighter.store.registry import Registry

# `registry` sets the environment, too.
# ruff: noqa: ARG001
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PPMID = Cohort(DeviceType.PPMID, 0x121D, 1, 0x0101, FirmwareVersion(1), DeviceStatus.COMMISSIONED)


@pytest.fixture
def registry(monkeypatch, database_url):
    monkeypatch.setenv("LAMPLIGHTER_DATABASE", database_url)
    database = Database.open(database_url)
    yield Registry(database)
    database.close()


def listed(path, *, status=CplStatus.ACTIVE, hashed=None):
    found = image.decode(path.read_bytes(), None)
    return CplEntry(0x121D, 1, 0x0101, FirmwareVersion(2), hashed or found.hash, status)


def test_add_registers_what_the_header_says(run, built, registry):
    """Procedure, versions and hash come from the image; the CPL's word is in the report."""
    registry.put_cpl([listed(built)])
    outcome = run("--json", "release", "add", built, "--name", "summer", "--after", "1", "--after", "0x03")
    assert 0 == outcome.code, outcome.err
    assert {"size": True, "CPL": True} == {it["check"]: it["passed"] for it in outcome.facts["verdicts"]}
    release = registry.release("summer")
    assert (Procedure.ONE_STEP, 0x121D, FirmwareVersion(2), 0x0100, 0x01FF, built.read_bytes()) == (
        release.procedure, release.manufacturer, release.version, release.minimum_hardware,
        release.maximum_hardware, release.image,
    )  # fmt: skip
    assert frozenset({FirmwareVersion(1), FirmwareVersion(3)}) == release.path


def test_an_image_that_is_not_listed_yet_is_registered(run, built, registry):
    """The CPL may come later; until then no Device is eligible, and the report says so."""
    outcome = run("release", "add", built, "--name", "summer")
    assert (0, True) == (outcome.code, "no active entry" in outcome.out)
    assert 1 == len(registry.releases())


def test_an_image_other_than_the_listed_one_is_not_registered(run, built, registry):
    """A swapped image: same version, another hash. Exit code 1."""
    registry.put_cpl([listed(built, hashed=ImageHash(bytes(32)))])
    outcome = run("release", "add", built, "--name", "summer")
    assert (1, True) == (outcome.code, "not registered" in outcome.out)
    assert [] == registry.releases()


def test_an_image_that_is_too_large_is_not_registered(run, built, registry):
    """The network would not carry it."""
    assert 1 == run("release", "add", built, "--name", "summer", "--max-octets", "100").code
    assert [] == registry.releases()


def test_a_signed_image_is_registered_for_11_1(run, built, pki, registry, tmp_path):
    """Its signature is checked where there are keys; a broken one is not registered."""
    signed = tmp_path / "signed.ota"
    assert 0 == run("image", "sign", built, "--keys", pki, "-o", signed).code
    broken = tmp_path / "broken.ota"
    broken.write_bytes(signed.read_bytes()[:-1] + b"\xff")
    assert 1 == run("release", "add", broken, "--name", "b", "--keys", pki, "--srv", "11.1").code
    assert 0 == run("release", "add", signed, "--name", "summer", "--keys", pki).code
    assert ["summer"] == [it.name for it in registry.releases()]
    assert Procedure.TWO_STEP is registry.release("summer").procedure


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", ""), "1 to 64 printable characters"),
        (("--name", "x" * 65), "1 to 64 printable characters"),
        (("--name", "summer", "--after", "xyz"), "1 to 8 hex digits"),
        (("--name", "summer", "--after", "2"), "the version of the image itself"),
    ],
)
def test_what_cannot_be_registered_says_why(run, built, registry, arguments, message):
    """In one line, and nothing is registered."""
    outcome = run("release", "add", built, *arguments)
    assert 0 != outcome.code
    assert message in outcome.err
    assert [] == registry.releases()


def test_a_name_is_taken_once(run, built, registry):
    """The same image under another name is an error that tells the first."""
    run("release", "add", built, "--name", "summer")
    outcome = run("release", "add", built, "--name", "autumn")
    assert (2, True) == (outcome.code, "as the release 'summer'" in outcome.err)


def test_a_release_is_marked_with_what_it_cures(run, built, registry):
    """From the start, later, or not any more; listed by its reference, in text and JSON."""
    added = run("--json", "release", "add", built, "--name", "summer", "--security", "CVE-2026-1234")
    assert (0, "CVE-2026-1234") == (added.code, added.facts["security"])
    assert "GG-7" == run("--json", "release", "mark", "summer", "--security", "GG-7").facts["security"]
    assert "GG-7" in run("release", "list").out
    assert "a security release: GG-7" in run("release", "mark", "summer", "--security", "GG-7").out
    assert None is run("--json", "release", "unmark", "summer").facts["security"]
    assert "GG-7" not in run("release", "list").out
    assert 2 == run("release", "mark", "winter", "--security", "GG-7").code
    assert 2 == run("release", "unmark", "winter").code


@pytest.mark.parametrize(
    "reference", ["", " ", "x" * 65, "CVE\n2026", "\x1b[2J", "CVE\x00", "\u202e4321-6202-EVC", " CVE-2026-1"]
)
def test_threat_control_characters_in_a_security_reference(run, built, registry, reference):
    """No terminal is cleared, no line broken, no text turned round by what somebody calls a reference."""
    outcome = run("release", "add", built, "--name", "summer", "--security", reference)
    assert (2, True) == (outcome.code, "1 to 64 printable characters" in outcome.err)
    assert [] == registry.releases()
    run("release", "add", built, "--name", "summer")
    outcome = run("release", "mark", "summer", "--security", reference)
    assert (2, True) == (outcome.code, "1 to 64 printable characters" in outcome.err)
    assert None is registry.listed("summer").security


def test_list_and_withdraw(run, built, registry):
    """A release that is withdrawn stays listed, with the time."""
    assert 0 == run("release", "list").code
    run("release", "add", built, "--name", "summer")
    assert "any lower" in run("release", "list").out
    first = run("--json", "release", "withdraw", "summer").facts["withdrawn_at"]
    assert first == run("--json", "release", "list").facts["withdrawn_at"]
    assert 2 == run("release", "withdraw", "winter").code


def test_check_counts_devices_by_verdict(run, built, registry):
    """Every Device once."""
    registry.put_devices(Device(Eui64.of(n), Eui64.of(9), PPMID) for n in range(3))
    registry.put_cpl([listed(built)])
    run("release", "add", built, "--name", "summer")
    facts = run("--json", "release", "check", "summer").facts
    assert (3, {"eligible": 3}) == (facts["devices"], facts["verdicts"])
    assert [("PPMID", "eligible", 3)] == [
        (it["type"], it["verdict"], it["devices"]) for it in facts["cohorts"]
    ]
    assert "3 of 3 Devices are eligible" in run("release", "check", "summer").out
    run("release", "withdraw", "summer")
    assert {"release_withdrawn": 3} == run("--json", "release", "check", "summer").facts["verdicts"]
