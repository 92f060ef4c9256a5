"""`lamplighter message decode`: every field, offsets, meanings and verdicts, from any form of the octets."""

import base64

import pytest

from lamplighter.kit import Eui64, FirmwareVersion, Instant, instant
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.smki import Role
from lamplighter.service import keyfiles

SUPPLIER = Eui64.parse("90-B3-D5-1F-30-01-00-00")
ACB = Eui64.parse("90-B3-D5-1F-30-00-00-02")
DEVICE = Eui64.parse("00-DB-12-34-56-78-90-A4")
AT = instant.from_iso("2026-01-15T09:00:00Z")

CCS08 = """\
CCS08_NA_NA_ALERT_GBCS.HEX  GBCS, CCS08 firmware transfer, alert

offset  octets            field                     meaning
     0  df                tag
     1  09                transaction id length     9 octets
     2  03                CRA flag                  Alert
     3  0000000000000fa0  originator counter        4000
    11  08                originator length         8 octets
    12  00db1234567890a2  originator                00-DB-12-34-56-78-90-A2
    20  08                recipient length          8 octets
    21  90b3d51f30000002  recipient                 90-B3-D5-1F-30-00-00-02
    29  00                date-time length          0 octets
    30  02                other information length  2 octets
    31  0128              message code              CCS08 firmware transfer,
                                                    alert
"""


@pytest.fixture
def dcc_keys(tmp_path, run, keystore_json, shared):
    directory = tmp_path / "dcc"
    devices = sorted((shared / "vectors" / "devices").glob("*.pem"))
    signers = sorted((shared / "vectors" / "duis").glob("*.pem"))
    assert run("keys", "import", directory, keystore_json, *devices, *signers).code == 0
    return directory


@pytest.fixture
def vectors(shared):
    return shared / "vectors" / "gbcs"


@pytest.fixture
def ring(pki):
    return keyfiles.load(pki)


def ppmid_alert(ring):
    """The CS09 alert by which a PPMID proves its new version."""
    payload = gbcs.Cs09Alert(
        gbcs.AlertCode.PPMID_ACTIVATION, AT, FirmwareVersion(0x0123ABCD), gbcs.Outcome.SUCCESS
    )
    message = gbcs.compose(payload, originator=DEVICE, recipient=ACB, counter=7)
    return gbcs.sign(message, ring.signer(DEVICE))


def device_alert(ring):
    """That alert as the DCC would pass it on: GBCS inside signed DUIS."""
    body = duis.DeviceAlert(0x8F8B, ppmid_alert(ring))
    response = duis.Response(None, None, "I0", Instant(AT), body)
    return duis.sign(duis.encode_response(response), ring.signer(ACB, Role.ACB_XML_SIGNING))


@pytest.mark.npm
def test_every_published_gbcs_message_is_explained_and_its_signature_and_mac_are_good(run, vectors, dcc_keys):
    for path in sorted(vectors.glob("*.HEX")):
        outcome = run("message", "decode", path, "--keys", dcc_keys, "--json")
        assert outcome.code == 0, (path.name, outcome)
        verdicts = {verdict["check"]: verdict["passed"] for verdict in outcome.facts["verdicts"]}
        expected = None if "PRECOMMAND" in path.name else True
        assert set(verdicts.values()) == {expected}, path.name


def test_the_fields_of_a_published_message_cover_it_without_gap_or_overlap(run, vectors):
    for path in sorted(vectors.glob("*.HEX")):
        fields = run("message", "decode", path, "--json").facts["fields"]
        octets = bytes.fromhex(path.read_text())
        at = 0
        for field in fields:
            assert field["offset"] == at, (path.name, field)
            at += len(field["octets"]) // 2
        assert bytes.fromhex("".join(field["octets"] for field in fields)) == octets


def test_a_published_message_is_shown_for_people(run, vectors, monkeypatch):
    monkeypatch.chdir(vectors)
    outcome = run("message", "decode", "CCS08_NA_NA_ALERT_GBCS.HEX")
    assert outcome.code == 0
    assert outcome.out.startswith(CCS08)
    assert outcome.out.endswith("·  signature  no keys were given\n")


def test_raw_hex_and_base64_say_the_same(run, vectors):
    octets = bytes.fromhex((vectors / "CS09_NA_8F8B_ALERT_GBCS.HEX").read_text())
    armoured = base64.b64encode(octets)
    forms = [
        octets,
        octets.hex().encode(),
        octets.hex(" ").upper().encode() + b"\r\n",
        armoured,
        armoured[:40] + b"&#13;\n" + armoured[40:],
    ]
    outcomes = {run("message", "decode", "-", stdin=form) for form in forms}
    assert len(outcomes) == 1
    assert outcomes.pop().code == 0


@pytest.mark.npm
def test_a_published_response_is_explained_and_its_signature_is_good(run, shared, dcc_keys):
    path = shared / "vectors" / "duis" / "readfw-response.xml"
    outcome = run("message", "decode", path, "--keys", dcc_keys, "--json")
    assert outcome.code == 0
    assert outcome.facts["kind"] == "Response, I0 success"
    assert outcome.facts["verdicts"][0]["passed"] is True
    assert outcome.facts["inner"][0]["element"] == "GBCSPayload"


@pytest.mark.npm
def test_a_published_response_with_a_bad_signature_fails(run, shared, dcc_keys):
    path = shared / "vectors" / "duis" / "readfw-response-badsignature.xml"
    outcome = run("message", "decode", path, "--keys", dcc_keys)
    assert outcome.code == 1
    assert "✗  XML signature  xml-signature: expected" in outcome.out


@pytest.mark.npm
@pytest.mark.parametrize("srv", ["11.1", "11.4"])
def test_the_image_in_a_request_is_explained_too(run, published_requests, srv):
    outcome = run("message", "decode", published_requests[srv], "--json")
    assert outcome.code == 0
    (inner,) = outcome.facts["inner"]
    assert (inner["format"], inner["layout"], inner["file_version"]) == ("image", srv, "ACDCACDC")


def test_gbcs_inside_duis_is_decoded_and_every_signature_checked(run, pki, ring, tmp_path):
    path = tmp_path / "alert.xml"
    path.write_bytes(device_alert(ring))
    outcome = run("message", "decode", path, "--keys", pki)
    assert outcome.code == 0, outcome
    assert "GBCS, CS09 PPMID firmware activation, alert" in outcome.out
    assert "0123ABCD" in outcome.out
    assert [line.split("  ")[1] for line in outcome.out.splitlines() if line.startswith("✓")] == [
        "XML signature",
        "certificate",
        "inner signature",
    ]


def test_a_forged_gbcs_signature_inside_good_xml_fails(run, pki, ring, tmp_path):
    good = ppmid_alert(ring)
    body = duis.DeviceAlert(0x8F8B, good[:-1] + bytes((good[-1] ^ 1,)))
    xml = duis.encode_response(duis.Response(None, None, "I0", Instant(AT), body))
    path = tmp_path / "alert.xml"
    path.write_bytes(duis.sign(xml, ring.signer(ACB, Role.ACB_XML_SIGNING)))
    outcome = run("message", "decode", path, "--keys", pki, "--json")
    assert outcome.code == 1
    failed = [verdict["check"] for verdict in outcome.facts["verdicts"] if verdict["passed"] is False]
    assert failed == ["inner signature"]


def test_an_element_changed_after_signing_fails(run, pki, ring, tmp_path):
    path = tmp_path / "alert.xml"
    path.write_bytes(device_alert(ring).replace(b"8F8B", b"8F8A", 1))
    outcome = run("message", "decode", path, "--keys", pki)
    assert outcome.code == 1
    assert "✗  XML signature" in outcome.out


def test_keys_that_know_no_party_give_no_verdict_rather_than_a_false_one(run, ring, tmp_path):
    path, strangers = tmp_path / "alert.xml", tmp_path / "strangers"
    path.write_bytes(device_alert(ring))
    run(
        "keys", "init", strangers, "--supplier", "90-B3-D5-1F-30-03-00-00", "--acb", "90-B3-D5-1F-30-00-00-99"
    )
    outcome = run("message", "decode", path, "--keys", strangers, "--json")
    assert outcome.code == 0
    assert {verdict["passed"] for verdict in outcome.facts["verdicts"]} == {None}


def test_an_unsigned_document_is_said_to_be_unsigned(run, tmp_path):
    path = tmp_path / "plain.xml"
    request = duis.Request(duis.RequestId(SUPPLIER, DEVICE, 9), duis.ReadFirmwareVersion())
    path.write_bytes(duis.encode_request(request))
    outcome = run("message", "decode", path)
    assert outcome.code == 0
    assert outcome.out.endswith("·  XML signature  none\n")
    assert "DUIS, Request, 11.2 read firmware version" in outcome.out


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"", "message: format at 0: expected DUIS XML, or GBCS as octets, hex or base64, found nothing"),
        (b"hello, world", "found 'hello, world'"),
        (b"\x00\x01\x02", "message: format at 0"),
        (b"DF00", "GBCS message: CRA flag at 2: expected 1 octet, found the end"),
        (b"<Request>", "XML: document"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "xml-doctype"),
    ],
    ids=["empty", "text", "binary", "cut off", "broken XML", "DOCTYPE"],
)
def test_what_is_no_message_is_refused_by_name(run, octets, message):
    outcome = run("message", "decode", "-", stdin=octets)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("lamplighter: stdin: ")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_the_inside_of_the_signature_is_shown_on_demand(run, ring, tmp_path):
    path = tmp_path / "alert.xml"
    path.write_bytes(device_alert(ring))
    assert "DigestValue" not in run("message", "decode", path).out
    assert "DigestValue" in run("message", "decode", path, "--all").out


def test_several_brokers_in_one_directory_must_be_told_apart(run, pki, ring, tmp_path):
    path, other = tmp_path / "alert.bin", tmp_path / "other"
    path.write_bytes(ppmid_alert(ring))
    run("keys", "init", other, "--acb", "90-B3-D5-1F-30-00-00-99")
    for stranger in other.glob("*-acb-*.pem"):
        (pki / stranger.name).write_bytes(stranger.read_bytes())
        (pki / stranger.name).chmod(0o600)
    outcome = run("message", "decode", path, "--keys", pki)
    assert outcome.code == 2
    assert "name one with --acb" in outcome.err
    assert run("message", "decode", path, "--keys", pki, "--acb", str(ACB)).code == 0
