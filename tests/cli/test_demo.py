"""The whole walk, Supplier and lab over real HTTP: two Devices proven, and refusals seen from our side."""

from dataclasses import replace

import pytest

from lamplighter.campaign import Fact, State
from lamplighter.cli import demo as walk
from lamplighter.kit import Eui64, FirmwareVersion, UsageError
from lamplighter.lab import homes
from lamplighter.protocol import duis
from lamplighter.protocol import image as images
from lamplighter.protocol.smki import Role, Use
from lamplighter.service import keyfiles
from lamplighter.store import Store

NEW = FirmwareVersion(0x0200_0000)
NEWER = FirmwareVersion(0x0200_0001)
PATIENCE = 30.0  # seconds; each walk takes one or two


@pytest.fixture
def store(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


@pytest.fixture
def lab():
    return homes.build_world("walk tests")


def built(lab, kind, version=NEW):
    return homes.build_firmware(lab.pki, kind, version, b"new firmware of a " + kind.value.encode())


def journeys_of(lab, store):
    return {j.device.type.value: j for j in walk._run(lab, store, PATIENCE)}


def facts_of(journey):
    return [(e.evidence.fact, e.evidence.message) for e in journey.timeline]


def ppmid_and_hcalcs(lab):
    signer = lab.ring.signer(homes.SUPPLIER, Role.SUPPLIER)
    hcalcs = images.sign_supplier(built(lab, duis.DeviceType.HCALCS, NEWER), signer)
    return built(lab, duis.DeviceType.PPMID), hcalcs


def test_the_demo_proves_both_devices_and_says_so(run):
    """Exit code 0, and for machines every stage with its message, time and the version that proves it."""
    result = run("demo", "--json")
    assert (0, True) == (result.code, result.facts["proven"])
    devices = {device["type"]: device for device in result.facts["devices"]}
    messages = {kind: sorted(t["message"] for t in d["timeline"]) for kind, d in devices.items()}
    assert sorted(["SRV 11.4", "I99", "N60", "N62", "N39"]) == messages["PPMID"]
    hcalcs = ["SRV 11.1", "I99", "N60", "N62", "8F72", "SRV 11.3", "I99", "CS06"]
    assert sorted(hcalcs) == messages["HCALCS"]
    for device in devices.values():
        assert ["proven", device["version"]] == [device["state"], device["timeline"][-1]["version"]]


def test_the_demo_takes_the_published_image(run, templates):
    """The DCC's own PPMID image, out of its sample request, ends up running."""
    [template] = templates.glob("11.4_*.XML")
    result = run("demo", "--json", "--ppmid-image", template)
    assert result.code == 0
    [ppmid] = [d for d in result.facts["devices"] if d["type"] == "PPMID"]
    assert ["ACDCACDC", "proven"] == [ppmid["timeline"][-1]["version"], ppmid["state"]]
    assert ppmid["hash"] == "7542f475e3f12eae887d81e32c46d313741d67076b13caec2f82e00ba5e1bb36"


def test_what_the_demo_leaves_behind_can_be_decoded(run, tmp_path):
    """All that was sent and received is believed again with the kept certificates; no private key is kept."""
    kept = tmp_path / "kept"
    assert run("demo", "--keep", kept).code == 0
    messages = sorted((kept / "messages").iterdir())
    assert {"ppmid", "hcalcs"} == {path.name.split("-")[0] for path in messages}
    requests = sorted((kept / "requests").iterdir())
    assert {"11.4-CV8", "11.1-CV8", "11.3-CV4", "11.3-CV5"} == {
        path.stem.split("-", 1)[1] for path in requests
    }
    for path in messages + requests:
        outcome = run("message", "decode", path, "--keys", kept / "keys")
        assert (0, 2) == (outcome.code, outcome.out.count("✓  contents") + outcome.out.count("✓  XML"))
    assert not any(entry.private for entry in keyfiles.entries(kept / "keys"))


def test_the_demo_overwrites_nothing(run, tmp_path):
    """--keep wants a new directory."""
    result = run("demo", "--keep", tmp_path)
    assert (2, True) == (result.code, "exists already" in result.err)


def test_a_demo_that_runs_out_of_time_fails_and_says_so(run):
    """Not proven is exit code 1, with the state that was reached; it is no verdict on the Device."""
    result = run("demo", "--json", "--timeout", "0.001")
    assert (1, False, True) == (result.code, result.facts["proven"], result.facts["timed_out"])
    assert ["queued", "queued"] == [device["state"] for device in result.facts["devices"]]
    told = " ".join(run("demo", "--timeout", "0.001").out.split())
    assert "gave up after 0.001 s (--timeout)" in told
    assert 2 == told.count("✗ not proven, last: queued")


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf"])
def test_a_demo_without_an_end_or_a_beginning_is_refused(run, timeout):
    """A time-out is a number of seconds."""
    result = run("demo", "--timeout", timeout)
    assert (2, True) == (result.code, "--timeout takes a number of seconds above 0" in result.err)


def test_the_demo_leaves_nothing_on_stderr_that_is_no_terminal(run):
    """Progress is for who watches; a log gets none, not even an empty line."""
    result = run("demo", "--json")
    assert (0, "", False) == (result.code, result.err, result.facts["timed_out"])


def test_states_are_spelt_for_machines_as_facts_are():
    """One spelling in JSON: `at_hub`."""
    assert all(state.name.lower() == state.value.replace(" ", "_") for state in State)


def test_a_version_that_is_not_on_the_cpl_is_refused(lab, store):
    """The manufacturer never submitted it: the Device keeps its firmware, the other one is updated."""
    ppmid, hcalcs = ppmid_and_hcalcs(lab)
    lab.publish(hcalcs)
    walk._register(store, lab.homes[0], ppmid, hcalcs)
    journeys = journeys_of(lab, store)
    assert (Fact.REFUSED, "E110401") in facts_of(journeys["PPMID"])
    assert homes.FACTORY_VERSION == journeys["PPMID"].device.firmware
    assert [State.REFUSED, State.PROVEN] == [journeys[k].update.state for k in ("PPMID", "HCALCS")]


def test_an_image_whose_hash_differs_from_the_cpl_is_refused(lab, store):
    """The version is on the CPL, with the hash of other firmware."""
    ppmid, hcalcs = ppmid_and_hcalcs(lab)
    lab.publish(homes.build_firmware(lab.pki, duis.DeviceType.PPMID, NEW, b"other firmware"))
    lab.publish(hcalcs)
    walk._register(store, lab.homes[0], ppmid, hcalcs)
    journeys = journeys_of(lab, store)
    assert (Fact.REFUSED, "E110402") in facts_of(journeys["PPMID"])
    assert State.REFUSED is journeys["PPMID"].update.state


def test_an_unknown_device_is_refused(lab, store):
    """A Device that is not in the inventory, alone in its request: nothing is accepted."""
    ppmid, hcalcs = ppmid_and_hcalcs(lab)
    lab.publish(ppmid)
    lab.publish(hcalcs)
    stranger = replace(lab.homes[0], ppmid=Eui64.of(0x0200_0000_0000_FFFF))
    walk._register(store, stranger, ppmid, hcalcs)
    journeys = journeys_of(lab, store)
    assert (Fact.REFUSED, "E110403") in facts_of(journeys["PPMID"])
    assert State.PROVEN is journeys["HCALCS"].update.state


def test_a_bad_supplier_signature_is_reported_by_the_device(lab, store):
    """The image is signed by another Supplier: the HCALCS discards it and says 8F1C."""
    other = lab.pki.issued(homes.GAS_SUPPLIER, Role.SUPPLIER, Use.DIGITAL_SIGNATURE)
    ppmid, _ = ppmid_and_hcalcs(lab)
    hcalcs = images.sign_supplier(built(lab, duis.DeviceType.HCALCS), other)
    lab.publish(ppmid)
    lab.publish(hcalcs)
    walk._register(store, lab.homes[0], ppmid, hcalcs)
    journeys = journeys_of(lab, store)
    assert (Fact.IMAGE_REJECTED, "8F1C") in facts_of(journeys["HCALCS"])
    assert State.IMAGE_REJECTED is journeys["HCALCS"].update.state
    assert homes.FACTORY_VERSION == journeys["HCALCS"].device.firmware


def test_an_image_for_other_hardware_never_leaves_the_house(lab, store):
    """The registry holds the hardware version against the image's range before anything is sent."""
    ppmid, hcalcs = ppmid_and_hcalcs(lab)
    header = replace(ppmid.header, minimum_hardware=0x2222, maximum_hardware=0x2222)
    with pytest.raises(UsageError, match="hardware version"):
        walk._register(store, lab.homes[0], replace(ppmid, header=header), hcalcs)
    assert [] == store.updates()
