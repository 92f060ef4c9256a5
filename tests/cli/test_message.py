"""`lamplighter message decode`: every field, offsets, meanings and verdicts, from any form of the octets."""

import base64

import pytest

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant, instant
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


def cs06_pre_command():
    """What the DSP makes of an activation: neither signed nor wrapped."""
    intent = gbcs.Activation(SUPPLIER, DEVICE, 9, ImageHash(bytes(range(32))), None)
    return gbcs.encode_message(gbcs.pre_command(intent))


def verdicts_of(outcome):
    return {verdict["check"]: verdict["passed"] for verdict in outcome.facts["verdicts"]}


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
    assert verdicts_of(outcome)["XML signature"] is True
    assert outcome.facts["inner"][0]["element"] == "GBCSPayload"


@pytest.mark.npm
def test_a_published_response_with_a_bad_signature_fails(run, shared, dcc_keys):
    path = shared / "vectors" / "duis" / "readfw-response-badsignature.xml"
    outcome = run("message", "decode", path, "--keys", dcc_keys)
    assert outcome.code == 1
    assert "✗  XML signature   xml-signature: expected" in outcome.out


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
        "contents",
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


@pytest.mark.parametrize(
    ("at", "octet", "expected"), [(31, 0x7F, None), (2, 0x7F, False)], ids=["another use case", "spoilt"]
)
def test_a_spoilt_message_inside_fails_and_one_of_another_use_case_is_left_alone(
    run, ring, tmp_path, at, octet, expected
):
    """Making the inside unreadable does not make its bad signature go away."""
    inner = bytearray(ppmid_alert(ring))
    inner[at] = octet
    body = duis.DeviceAlert(0x8F8B, bytes(inner))
    path = tmp_path / "alert.xml"
    path.write_bytes(duis.encode_response(duis.Response(None, None, "I0", Instant(AT), body)))
    outcome = run("message", "decode", path, "--json")
    assert verdicts_of(outcome)["inner contents"] is expected
    assert outcome.code == (expected is False)


def test_an_element_changed_after_signing_fails(run, pki, ring, tmp_path):
    path = tmp_path / "alert.xml"
    path.write_bytes(device_alert(ring).replace(b"8F8B", b"8F8A", 1))
    outcome = run("message", "decode", path, "--keys", pki)
    assert outcome.code == 1
    assert "✗  XML signature" in outcome.out


def test_a_signer_whom_the_keys_do_not_know_fails(run, ring, tmp_path):
    """Who names himself as a stranger must not do better than who forges a known name."""
    path, strangers = tmp_path / "alert.xml", tmp_path / "strangers"
    path.write_bytes(device_alert(ring))
    run(
        "keys", "init", strangers, "--supplier", "90-B3-D5-1F-30-03-00-00", "--acb", "90-B3-D5-1F-30-00-00-99"
    )
    outcome = run("message", "decode", path, "--keys", strangers, "--json")
    assert outcome.code == 1
    assert verdicts_of(outcome) == {"contents": True, "XML signature": False, "inner signature": False}


def test_an_unsigned_document_is_said_to_be_unsigned_and_fails_where_keys_are_given(run, pki, tmp_path):
    path = tmp_path / "plain.xml"
    request = duis.Request(duis.RequestId(SUPPLIER, DEVICE, 9), duis.ReadFirmwareVersion())
    path.write_bytes(duis.encode_request(request))
    outcome = run("message", "decode", path)
    assert outcome.code == 0
    assert outcome.out.endswith("·  XML signature  none\n")
    assert "DUIS, Request, 11.2 read firmware version" in outcome.out
    strict = run("message", "decode", path, "--keys", pki, "--json")
    assert (1, {"contents": True, "XML signature": False}) == (strict.code, verdicts_of(strict))


def test_a_signature_stripped_from_an_alert_fails(run, pki, ring, tmp_path):
    """Only a command can be waiting for its signature."""
    path = tmp_path / "alert.bin"
    message = gbcs.decode(ppmid_alert(ring)).message
    path.write_bytes(gbcs.encode_message(message._replace(signature=b"")))
    assert run("message", "decode", path).code == 0
    outcome = run("message", "decode", path, "--keys", pki)
    assert outcome.code == 1
    assert "✗  signature  none, and only a pre-command goes without" in outcome.out


def test_a_pre_command_is_not_signed_yet_and_does_not_fail(run, pki, tmp_path):
    path = tmp_path / "pre-command.bin"
    path.write_bytes(cs06_pre_command())
    outcome = run("message", "decode", path, "--keys", pki, "--json")
    assert (0, {"MAC": None, "signature": None}) == (outcome.code, verdicts_of(outcome))


def test_a_command_wrapped_without_its_signature_fails(run, pki, ring, tmp_path):
    """What bears the ACB's MAC has been past the Supplier: it is no pre-command."""
    path = tmp_path / "command.bin"
    path.write_bytes(gbcs.mac.wrap(cs06_pre_command(), ring.secrets(ACB, DEVICE)[0]))
    outcome = run("message", "decode", path, "--keys", pki, "--json")
    assert (1, {"MAC": True, "signature": False}) == (outcome.code, verdicts_of(outcome))


@pytest.mark.parametrize("held", ["acb-ka", "device-ka", "neither"])
def test_a_mac_of_strangers_fails_for_keys_that_could_check_a_mac(run, pki, ring, tmp_path, held):
    """Naming another Device does not make a MAC uncheckable; holding neither private key does."""
    path, keys = tmp_path / "command.bin", tmp_path / "few"
    octets = bytearray(gbcs.mac.wrap(cs06_pre_command(), ring.secrets(ACB, DEVICE)[0]))
    at = octets.index(DEVICE.octets)
    octets[at + 7] ^= 1
    path.write_bytes(octets)
    for file in sorted(pki.glob("*.pem")):
        text = file.read_text()
        mine = held in file.name
        target = tmp_path / file.name
        target.write_text(text if mine else text[: text.index("-----BEGIN PRIVATE")])
        target.chmod(0o600)
        assert run("keys", "import", keys, target).code == 0
    outcome = run("message", "decode", path, "--keys", keys, "--json")
    assert outcome.code == 1  # the signature is missing in any case
    assert verdicts_of(outcome)["MAC"] is (None if held == "neither" else False)


def test_keys_without_a_broker_cannot_check_a_mac_and_say_so(run, pki, ring, tmp_path):
    path, keys = tmp_path / "command.bin", tmp_path / "device"
    path.write_bytes(gbcs.mac.wrap(cs06_pre_command(), ring.secrets(ACB, DEVICE)[0]))
    run("keys", "import", keys, *pki.glob("*-device-*.pem"))
    outcome = run("message", "decode", path, "--keys", keys)
    assert "·  MAC        not checked: no certificate of the ACB among the keys" in outcome.out


def test_contents_that_no_schema_allows_fail_without_any_keys(run, tmp_path):
    """A document that only looks like DUIS is not passed off as explained."""
    path = tmp_path / "odd.xml"
    request = duis.Request(duis.RequestId(SUPPLIER, DEVICE, 9), duis.ReadFirmwareVersion())
    good = duis.encode_request(request)
    path.write_bytes(good.replace(b"<sr:CommandVariant>1", b"<sr:CommandVariant>8"))
    outcome = run("message", "decode", path)
    assert outcome.code == 1
    assert "✗  contents       Request: Header at 1: expected variant 1, service 11.2" in outcome.out
    path.write_bytes(good.replace(b">11.2<", b">4.1.1<"))
    other = run("message", "decode", path)
    assert other.code == 0
    assert "·  contents       no decoder here for service 4.1.1" in other.out


def test_an_unread_service_with_a_good_signature_is_neither_passed_nor_failed(run, pki, ring, tmp_path):
    """Who may say it, only its contents could tell; an altered one has failed all the same."""
    path = tmp_path / "other.xml"
    request = duis.Request(duis.RequestId(SUPPLIER, DEVICE, 9), duis.ReadFirmwareVersion())
    other = duis.encode_request(request).replace(b">11.2<", b">4.1.1<")
    signed = duis.sign(other, ring.signer(SUPPLIER, Role.XML_SIGNING))
    path.write_bytes(signed)
    outcome = run("message", "decode", path, "--keys", pki, "--json")
    assert (0, {"contents": None, "XML signature": None}) == (outcome.code, verdicts_of(outcome))
    path.write_bytes(signed.replace(b">4.1.1<", b">4.1.2<", 1))
    altered = run("message", "decode", path, "--keys", pki, "--json")
    assert (1, {"contents": None, "XML signature": False}) == (altered.code, verdicts_of(altered))


@pytest.mark.parametrize(
    "octets",
    [b"<Request/>", b'<Request xmlns="urn:other"/>', b"<html/>"],
    ids=["no namespace", "another namespace", "another root"],
)
def test_a_root_that_is_not_duis_is_refused_by_name(run, octets):
    outcome = run("message", "decode", "-", stdin=octets)
    assert (1, "") == (outcome.code, outcome.out)
    assert "DUIS: root at 1: expected <Request> or <Response> in the namespace" in outcome.err


def test_fields_are_placed_by_line_in_xml_and_by_offset_in_octets(run, ring, tmp_path):
    path = tmp_path / "alert.xml"
    path.write_bytes(device_alert(ring))
    facts = run("message", "decode", path, "--json").facts
    assert {"line", "depth", "name", "text", "meaning"} == set(facts["fields"][0])
    assert all("offset" in field for field in facts["inner"][0]["fields"])


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
