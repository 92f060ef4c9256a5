"""Whatever is encoded is decoded to the same, and any octets end in a value or a refusal."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lamplighter.kit import DecodeError, FirmwareVersion, UsageError, VerificationError
from lamplighter.protocol import duis

from .messages import (
    DCC_XML,
    NOW,
    PPMID,
    REQUEST,
    RING,
    SIGNED_ALERT,
    SIGNED_REQUEST,
    SUPPLIER_XML,
    requests,
    responses,
)


@given(requests)
def test_a_request_is_decoded_to_what_was_encoded(request):
    assert request == duis.decode_request(duis.encode_request(request))


@given(responses)
def test_a_response_is_decoded_to_what_was_encoded(response):
    assert response == duis.decode_response(duis.encode_response(response))


@given(responses)
def test_what_was_signed_is_opened_to_what_was_encoded(response):
    signed = duis.sign(duis.encode_response(response), DCC_XML)
    assert duis.Opened(response, DCC_XML.certificate) == duis.open_response(signed, RING, now=NOW)


@given(responses)
def test_what_is_accepted_is_written_again_octet_for_octet(response):
    octets = duis.encode_response(response)
    assert octets == duis.encode_response(duis.decode_response(octets))


@given(requests)
@example(duis.Request(REQUEST.id, duis.UpdateFirmware(b"\xfb\xff", FirmwareVersion(2), (PPMID,) * 3)))
@example(duis.Request(REQUEST.id, duis.ReadFirmwareVersion()))
def test_a_request_is_signed_without_being_read_as_if_it_were(request):
    """The short way to a signed request, and the long way over any document, are one, octet for octet."""
    assert duis.sign(duis.encode_request(request), SUPPLIER_XML) == duis.sign_request(request, SUPPLIER_XML)


def _total(octets):
    for act in (
        lambda: duis.decode_request(octets),
        lambda: duis.decode_response(octets),
        lambda: duis.open_request(octets, RING, now=NOW),
        lambda: duis.open_response(octets, RING, now=None),
        lambda: duis.open_acknowledgement(octets, RING, now=None),
        lambda: duis.explain(octets),
    ):
        try:
            act()
        except (DecodeError, VerificationError) as error:
            assert str(error)


@given(st.binary())
@example(b"")
@example(b" \n ")
@example(b"\xef\xbb\xbf")
@example(b"<")
@example(b"<a xmlns:x='relative'/>")
@example(b"<Signature xmlns='http://www.w3.org/2000/09/xmldsig#'/>")
@example(b"<a xmlns='http://www.w3.org/2000/09/xmldsig#'><Signature/></a>")
def test_any_octets_end_in_a_value_or_a_refusal(octets):
    _total(octets)


@st.composite
def damaged(draw):
    octets = bytearray(draw(st.sampled_from([SIGNED_REQUEST, SIGNED_ALERT])))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(octets)))
        stop = min(len(octets), start + draw(st.integers(0, 40)))
        octets[start:stop] = draw(
            st.binary(max_size=4)
            | st.sampled_from([b"", b"</", b"<sr:A/>", b"&#0;", b"&#xD;", b"<ds:Signature/>"])
        )
    return bytes(octets)


@given(damaged())
def test_a_damaged_message_ends_in_a_value_or_a_refusal(octets):
    _total(octets)


@given(damaged())
def test_a_damaged_message_is_never_opened_to_another_value(octets):
    try:
        opened = duis.open_request(octets, RING, now=NOW)
    except (DecodeError, VerificationError):
        return
    assert REQUEST == opened.message


@pytest.mark.parametrize(
    "request_",
    [
        duis.Request(REQUEST.id, duis.UpdateFirmware(b"", None, (PPMID,))),
        duis.Request(REQUEST.id, duis.ReadFirmwareVersion(duis.CANCEL + 1)),
        duis.Request(REQUEST.id, duis.ReadInventory("00-DB-12-34-56-78-90-A4")),
        duis.Request(REQUEST.id, None),
        duis.Request(REQUEST.id, REQUEST.body, "five"),
    ],
    ids=["no version", "a fraction of a second", "text for an id", "no body", "no schema version"],
)
def test_what_could_not_be_read_is_never_written(request_):
    with pytest.raises(UsageError):
        duis.encode_request(request_)


def test_a_text_that_xml_cannot_hold_is_never_written():
    alert = duis.PreCommand("4.2\0", b"")
    response = duis.Response(None, None, "I0", NOW, duis.ResponseMessage("11.3", "11.3", alert))
    with pytest.raises(UsageError, match="XML cannot hold"):
        duis.encode_response(response)


def test_the_same_document_is_signed_once():
    with pytest.raises(UsageError, match="signed already"):
        duis.sign(SIGNED_REQUEST, SUPPLIER_XML)


@pytest.mark.parametrize("octets", [b"", b"text", b"<a/>", b"<!DOCTYPE a><a></a>"])
def test_what_is_no_document_is_not_signed(octets):
    with pytest.raises(UsageError):
        duis.sign(octets, SUPPLIER_XML)
