"""Against the official schema: what is written here it accepts, and what it refuses is refused here."""

import copy

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from lxml import etree

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, VerificationError
from lamplighter.protocol import duis
from lamplighter.protocol.duis.grammar import SR

from .messages import ACB, NOW, SUPPLIER, requests, responses


@pytest.fixture(scope="module")
def schema(shared):
    return etree.XMLSchema(etree.parse(shared / "spec" / "duis-5.4.xsd"))


@given(message=requests.map(duis.encode_request) | responses.map(duis.encode_response))
def test_the_schema_accepts_every_message_that_is_written(schema, message):
    schema.assertValid(etree.fromstring(message))


NAMES = st.sampled_from(
    [
        *(
            "Header",
            "Body",
            "RequestID",
            "ResponseID",
            "DeviceID",
            "DeviceType",
            "Device",
            "DCCAlert",
            "AlertCode",
        ),
        *(
            "FirmwareVersion",
            "GBCSPayload",
            "TimeStamp",
            "Timestamp",
            "ExecutionDateTime",
            "ThrottledAlertCount",
        ),
        *("ServiceReference", "CommandVariant", "Nonsense"),
    ]
)
TEXTS = st.one_of(
    st.text("0123456789ABCDEFabcdefgG:-+.,/= \t\n\rTZéx", max_size=30),
    st.sampled_from(
        [
            "2030-01-15T09:00:00Z",
            "2030-01-15T09:00:00+14:00",
            "2030-01-15T09:00:00+14:30",
            "2030-01-15T24:00:00Z",
            "2030-13-15T09:00:00Z",
            "0000-01-15T09:00:00Z",
            "2030-02-29Z",
            "8F72",
            "8f66",
            "I0",
            "E060606",
            "N32",
            "11.3",
            "PPMID",
            "Success",
            "success",
            "65536",
            "4294967296",
            "18446744073709551616",
            "00-DB-12-34-56-78-90-A4",
            "00DB1234567890A4",
            "00-DB-12-34-56-78-90-A4,",
            "QQ==",
            "QR==",
            "Q Q = =",
            "QQ=",
            "000000000000",
        ]
    ),
)


def _at(draw, root, *, inner=False):
    elements = [e for e in root.iter() if e is not root or not inner]
    return draw(st.sampled_from(elements))


@st.composite
def mutants(draw):
    message = draw(requests.map(duis.encode_request) | responses.map(duis.encode_response))
    root = etree.fromstring(message)
    for _ in range(draw(st.integers(1, 2))):
        element = _at(draw, root, inner=True)
        parent = element.getparent()
        match draw(
            st.sampled_from(
                ["drop", "twice", "swap", "rename", "text", "splice", "attribute", "stray", "add"]
            )
        ):
            case "drop" if parent is not root:
                parent.remove(element)
            case "twice":
                element.addnext(copy.deepcopy(element))
            case "swap" if element.getnext() is not None:
                element.addprevious(element.getnext())
            case "rename":
                element.tag = SR + draw(NAMES) if draw(st.booleans()) else draw(NAMES)
            case "text":
                element.text = draw(TEXTS)
            case "splice":
                text = element.text or ""
                at = draw(st.integers(0, len(text)))
                element.text = text[:at] + draw(TEXTS)[:3] + text[at + draw(st.integers(0, 3)) :]
            case "attribute":
                element.set(draw(st.sampled_from(["Id", "schemaVersion", "{urn:x}y"])), "1")
            case "stray":
                element.tail = draw(st.sampled_from([" ", "\n", "x", "\xa0"]))
            case "add":
                child = etree.SubElement(element, SR + draw(NAMES))
                child.text = draw(TEXTS)
            case _:
                root.set("schemaVersion", draw(TEXTS))
    return etree.tostring(root)


@settings(max_examples=600)
@given(mutant=mutants())
def test_what_the_schema_refuses_is_refused(schema, mutant):
    decode = duis.decode_request if b"<sr:Request " in mutant else duis.decode_response
    try:
        decode(mutant)
    except (DecodeError, VerificationError):
        event("refused")
        return
    event("accepted")
    schema.assertValid(etree.fromstring(mutant))


ONE_TEXT = {
    "EUI": (duis.ReadInventory(ACB), "DeviceID"),
    "dateTime": (duis.ReadFirmwareVersion(NOW), "ExecutionDateTime"),
    "base64Binary": (duis.SignedPreCommand(b"x"), "GBCSPayload"),
    "hexBinary": (duis.ActivateFirmware(ImageHash(bytes(32))), "FirmwareHash"),
}


@pytest.mark.parametrize("kind", ONE_TEXT)
@given(text=TEXTS)
def test_a_text_that_the_schema_refuses_is_refused(schema, kind, text):
    body, name = ONE_TEXT[kind]
    root = etree.fromstring(duis.encode_request(duis.Request(duis.RequestId(SUPPLIER, ACB, 1), body)))
    next(root.iter(SR + name)).text = text
    try:
        duis.decode_request(etree.tostring(root))
    except DecodeError:
        return
    schema.assertValid(root)


@pytest.mark.parametrize("counter", [0, 9, 10**19, 2**63, 2**64 - 1])
def test_every_counter_of_64_bits_is_a_counter_to_the_schema(schema, counter):
    request = duis.Request(duis.RequestId(SUPPLIER, ACB, counter), duis.ReadInventory(ACB))
    schema.assertValid(etree.fromstring(duis.encode_request(request)))


def test_fifty_thousand_devices_fit_the_schema_and_one_more_does_not(schema):
    devices = tuple(map(Eui64.of, range(duis.MAX_DEVICES)))
    body = duis.UpdatePpmidFirmware(bytes(1000), FirmwareVersion(1), devices)
    written = duis.encode_request(duis.Request(duis.RequestId(SUPPLIER, ACB, 1), body))
    schema.assertValid(etree.fromstring(written))
    longer = written.replace(b"</sr:DeviceIDList>", b",00-00-00-00-00-00-00-00</sr:DeviceIDList>")
    with pytest.raises(etree.DocumentInvalid):
        schema.assertValid(etree.fromstring(longer))
    with pytest.raises(DecodeError, match="at most 50000"):
        duis.decode_request(longer)
