"""The DCC's own documents: three responses of its test system and its sample requests."""

import re

import pytest
from lxml import etree

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, VerificationError
from lamplighter.kit.instant import from_iso
from lamplighter.protocol import duis
from lamplighter.protocol.smki import Ring, decode_certificate

SUPPLIER = Eui64.parse("90-B3-D5-1F-30-01-00-00")
ACB = Eui64.parse("90-B3-D5-1F-30-00-00-02")
HASH = ImageHash.parse("AA758690730934FF0685AA758690730934FF0685657788990011223344556677")
GENUINE = ["read-inventory-response-5.4.xml", "readfw-response.xml"]
PUBLISHED = [*GENUINE, "readfw-response-badsignature.xml"]
SIGNATURE = re.compile(rb"<ds:Signature .*</ds:Signature>", re.DOTALL)


@pytest.fixture(scope="module")
def vectors(shared):
    return shared / "vectors" / "duis"


@pytest.fixture(scope="module")
def dcc(vectors):
    return Ring(decode_certificate(path.read_bytes()) for path in vectors.glob("*.pem"))


@pytest.mark.parametrize("name", GENUINE)
def test_a_genuine_response_is_opened(vectors, dcc, name):
    now = from_iso("2026-01-01T00:00:00Z")
    opened = duis.open_response((vectors / name).read_bytes(), dcc, now=now, dcc=ACB)
    assert ACB == opened.signer.holder
    assert SUPPLIER == opened.message.request_id.originator


def test_a_bad_signature_is_refused(vectors, dcc):
    octets = (vectors / "readfw-response-badsignature.xml").read_bytes()
    with pytest.raises(VerificationError) as refusal:
        duis.open_response(octets, dcc, now=None)
    assert refusal.value.check == "xml-signature"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_response_is_written_again_octet_for_octet(vectors, name):
    octets = (vectors / name).read_bytes().rstrip(b"\n")
    written = duis.encode_response(duis.decode_response(octets))
    signature = SIGNATURE.search(octets)[0]
    assert octets == written.replace(b"</sr:Response>", signature + b"</sr:Response>")


def test_a_firmware_version_answer_says_what_it_should(vectors):
    response = duis.decode_response((vectors / "readfw-response.xml").read_bytes())
    assert response.request_id.swapped == response.response_id
    assert duis.ResponseMessage("11.2", "11.2", response.body.payload) == response.body
    assert response.body.payload.octets.startswith(bytes.fromhex("dd00000000000055"))


def test_an_inventory_says_what_it_should(vectors):
    response = duis.decode_response((vectors / "read-inventory-response-5.4.xml").read_bytes())
    chf, cad, gpf = response.body.payload.devices
    assert duis.DeviceType.CHF is chf.type
    assert duis.PropertyFilter("1111-111", "12334") == chf.property
    assert duis.CspRegion.CENTRAL_4G is chf.region
    assert ("GEO", "9001", None) == (cad.manufacturer, cad.model, cad.status)
    assert duis.DeviceStatus.INSTALLED_NOT_COMMISSIONED is gpf.status


REQUESTS = {
    "8.2_READ_INVENTORY": duis.ReadInventory(Eui64.parse("00-DB-12-34-56-78-90-A2")),
    "CS08_11.2_SUCCESS": duis.ReadFirmwareVersion(),
    "CS06_11.3_IMMEDIATE_SUCCESS": duis.ActivateFirmware(HASH),
    "CS06_11.3_FUTURE_DATED_SUCCESS": duis.ActivateFirmware(HASH, from_iso("2030-01-15T09:00:00Z")),
    "CS06_11.3_CANCELLATION_SUCCESS": duis.ActivateFirmware(HASH, duis.CANCEL),
}


def _content(octets):
    """A document without its signature, its white space between elements, and its idle prefixes."""
    root = etree.fromstring(octets, etree.XMLParser(remove_blank_text=True))
    for signature in root.findall("{http://www.w3.org/2000/09/xmldsig#}Signature"):
        root.remove(signature)
    etree.cleanup_namespaces(root)
    return etree.tostring(root, method="c14n")


@pytest.mark.parametrize("name", REQUESTS)
def test_a_sample_request_says_what_it_should_and_is_written_again(templates, name):
    octets = (templates / f"{name}_REQUEST_DUIS.XML").read_bytes()
    request = duis.decode_request(octets)
    assert REQUESTS[name] == request.body
    assert _content(octets) == _content(duis.encode_request(request))


@pytest.mark.parametrize(("srv", "body"), [("11.1", duis.UpdateFirmware), ("11.4", duis.UpdatePpmidFirmware)])
def test_a_sample_distribution_is_written_again(published_requests, published_images, srv, body):
    octets = published_requests[srv].read_bytes()
    request = duis.decode_request(octets)
    assert body(published_images[srv], FirmwareVersion(0), request.body.devices) == request.body
    assert _content(octets) == _content(duis.encode_request(request))


def test_a_human_sees_codes_with_their_meaning(vectors):
    lines = duis.explain((vectors / "readfw-response.xml").read_bytes())
    assert duis.Line(1, 0, "Response", "", "") == lines[0]
    assert ("@schemaVersion", "5.1") == lines[1][2:4]
    assert "read firmware version" == next(it.meaning for it in lines if it.name == "ServiceReference")
    assert "success" == next(it.meaning for it in lines if it.name == "ResponseCode")


def test_a_human_sees_a_service_that_has_no_value_here(templates):
    octets = (templates / "12.2_DEVICE_PRE_NOTIFICATION_REQUEST_DUIS.XML").read_bytes()
    assert "DevicePrenotification" in [line.name for line in duis.explain(octets)]
