"""HAN frames in a packet capture: read back octet for octet here, and by tshark where it is installed."""

import shutil
import struct
import subprocess

import pytest

from lab.user import a_lab, hcalcs_image, ppmid_image
from lamplighter.lab import capture

TSHARK_SECONDS = 60


@pytest.fixture(scope="module")
def world():
    lab, user = a_lab("capture")
    display, switch = ppmid_image(lab), user.signed_image(hcalcs_image(lab))
    lab.publish(display)
    lab.publish(switch)
    user.update_ppmids(display, lab.homes[0].ppmid)
    user.update(switch, lab.homes[0].hcalcs)
    user.wait()
    return lab.world


@pytest.fixture(scope="module")
def octets(world):
    return b"".join(capture.pcap(world.trace))


def records(octets):
    """(instant, frame) of each record of a classic pcap file."""
    magic, major, minor, _, _, _, link = struct.unpack_from("<IHHiIII", octets)
    assert (0xA1B2C3D4, 2, 4, 230) == (magic, major, minor, link)
    at = 24
    while at < len(octets):
        seconds, micros, length, original = struct.unpack_from("<IIII", octets, at)
        assert length == original
        yield seconds * 1_000_000 + micros, octets[at + 16 : at + 16 + length]
        at += 16 + length


def test_every_ota_frame_is_in_it_at_its_time(world, octets):
    """The octets of the ZCL frame end a frame of the capture, in the order of the trace."""
    sent = [(traced.at, traced.octets) for traced in world.trace if traced.what == "OTA"]
    found = [(at, frame[41:]) for at, frame in records(octets) if frame[35:37] == b"\x19\x00"]
    assert sent == found


def test_no_frame_is_longer_than_the_radio_allows(octets):
    """A GBCS message is cut into APS fragments; 125 octets and a check sequence make 127."""
    assert all(len(frame) <= capture.FRAME_OCTETS_MAX for _, frame in records(octets))


def test_what_is_not_on_the_han_is_not_in_it(world):
    """Requests, alerts and the WAN have no frame."""
    elsewhere = [traced for traced in world.trace if traced.what.startswith(("WAN", "service", "to "))]
    assert elsewhere
    assert 24 == len(b"".join(capture.pcap(elsewhere)))


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_dissects_it(tmp_path, world, octets):
    """A stranger reads every OTA frame as one, puts the fragments together, and calls nothing malformed."""
    path = tmp_path / "han.pcap"
    path.write_bytes(octets)
    ask = ["tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.protocols", "-e", "_ws.malformed"]
    ask += ["-e", "zbee_zcl_general.ota.cmd.srv_tx.id", "-e", "zbee_zcl_general.ota.cmd.srv_rx.id"]
    done = subprocess.run(ask, capture_output=True, text=True, check=True, timeout=TSHARK_SECONDS)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    ids = [int(sent or received, 16) for _, _, sent, received in rows if sent or received]
    assert [traced.octets[2] for traced in world.trace if traced.what == "OTA"] == ids
    assert set() == {malformed for _, malformed, _, _ in rows} - {""}
    assert any("zbee_zcl" in protocols and "gbcs" in protocols for protocols, *_ in rows)
