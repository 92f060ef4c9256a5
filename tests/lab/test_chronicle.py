"""A trace told: every frame is decoded, nothing is left out, and nonsense is told as such."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.user import a_lab, hcalcs_image, ppmid_image
from lamplighter.kit import Eui64, Instant
from lamplighter.lab import chronicle
from lamplighter.lab.chronicle import Entry, Run
from lamplighter.lab.world import Traced

NOW = Instant(1_900_000_000_000_000)
DEVICE = Eui64.of(0x0200_0000_0000_0011)


@pytest.fixture(scope="module")
def lab():
    """One home after an update of its PPMID and its HCALCS."""
    lab, user = a_lab("chronicle")
    home = lab.homes[0]
    display, switch = ppmid_image(lab), user.signed_image(hcalcs_image(lab))
    lab.publish(display)
    lab.publish(switch)
    user.update_ppmids(display, home.ppmid)
    user.update(switch, home.hcalcs)
    user.wait()
    user.activate(home.hcalcs, switch.hash)
    user.wait()
    return lab


def told(lab, device):
    return list(chronicle.trace(lab.world, device))


def titles(entries):
    return [entry.title for entry in entries]


def traced(what, octets):
    return Traced(NOW, "DCC", str(DEVICE), (DEVICE,), what, octets)


def test_every_frame_of_a_world_is_decoded(lab):
    """No carrier is unknown, and no frame of an undisturbed world is nonsense."""
    entries = [chronicle.tell(each) for each in lab.world.trace]
    assert [] == [entry for entry in entries if entry.title in {"undecodable", "octets"}]


def test_a_device_has_its_frames_and_messages_in_order(lab):
    """The one-step procedure of a PPMID, from the request to N39, as the industry names it."""
    entries = told(lab, lab.homes[0].ppmid)
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    wanted = [
        "SRV 11.4 UpdatePPMIDFirmware",
        "I99 for SRV 11.4",
        "Image Notify",
        "Image Block Request",
        "Image Block Response",
        "Upgrade End Request",
        "Upgrade End Response",
        "N62 CommsHubAlert",
        "CS09 PPMID firmware activation, alert",
        "N39 PPMIDAlert",
    ]
    found = titles(entries)
    places = [found.index(title) for title in wanted]
    assert sorted(places) == places


def test_what_the_hub_says_of_a_device_belongs_to_it(lab):
    """CCS08 is the hub's message, and names the Device that it is about."""
    home = lab.homes[0]
    for device in (home.ppmid, home.hcalcs):
        [alert] = [entry for entry in told(lab, device) if entry.title.startswith("CCS08")]
        assert str(device) == alert.fields["target"]
        assert "8F8A image transferred to the Device" == alert.fields["alert"]


def test_a_message_in_a_message_is_decoded_too(lab):
    """The pre-command in the transform's answer, and the alert in the DeviceAlertMessage."""
    entries = {entry.title: entry for entry in told(lab, lab.homes[0].hcalcs)}
    receipt = entries["8F72 Device alert"].fields["payload"]
    signed = entries["SRV 11.3 SignedPreCommand"].fields["payload"]
    assert "8F72 image verified" == receipt["alert"]
    assert ("CS06 activate firmware, command", True) == (signed["what"], signed["signed"])


def test_facts_are_plain_json(lab):
    """One object an entry, with the same names in each."""
    for entry in told(lab, lab.homes[0].hcalcs):
        facts = chronicle.facts(entry)
        assert facts == json.loads(json.dumps(facts))
        assert ["at", "from", "to", "devices", "carrier", "what", "fields", "size"] == list(facts)


def test_folding_loses_no_frame(lab):
    """A run stands for as many entries as it counts."""
    entries = told(lab, lab.homes[0].ppmid)
    folded = list(chronicle.fold(entries))
    assert len(entries) == sum(each.count if isinstance(each, Run) else 1 for each in folded)
    assert any(isinstance(each, Run) for each in folded)
    assert [] == [each for each in folded if isinstance(each, Entry) and each.is_block]


def test_an_aborted_block_is_not_folded_away():
    """What went wrong in a transfer stays in sight."""
    abort = chronicle.tell(traced("OTA", bytes.fromhex("19 07 05 95")))
    assert ("Image Block Response", "abort", False) == (abort.title, abort.fields["status"], abort.is_block)


def test_what_hub_and_csp_tell_the_dcc_is_told_too(lab):
    """A hub's own update, a Device that left, and what could not be handed to its hub."""
    [image] = [each.octets for each in lab.world.trace if each.what == "WAN image"][:1]
    assert (
        "02000001" == chronicle.tell(traced("WAN hub firmware", bytes.fromhex("02000001"))).fields["version"]
    )
    assert "Device left the HAN" == chronicle.tell(traced("WAN device left", b"")).title
    undelivered = chronicle.tell(traced("WAN unreachable", image)).fields["undelivered"]
    assert ("OTA Upgrade Image", len(image)) == (undelivered["what"], undelivered["size"])


@pytest.mark.parametrize("what", ["OTA", "TUNNELING", "WAN image", "serviceD request", "to User"])
def test_nonsense_is_told_as_such(what):
    """With the decoder's reason, and without an exception."""
    entry = chronicle.tell(traced(what, b"nonsense"))
    assert ("undecodable", b"nonsense") == (entry.title, entry.octets)
    assert entry.fields["reason"]


CARRIERS = st.sampled_from(
    ["OTA", "TUNNELING", "ACKNOWLEDGEMENT", "WAN GBCS", "WAN image", "WAN image receipt", "to User", "else"]
    + ["WAN hub firmware", "WAN device left", "WAN unreachable"]
    + [f"service{letter} {way}" for letter in "DST" for way in ("request", "response")]
)


@given(CARRIERS, st.binary(max_size=200))
def test_telling_is_total(what, octets):
    """Any octets under any name give an entry that JSON can hold."""
    assert json.dumps(chronicle.facts(chronicle.tell(traced(what, octets))))
