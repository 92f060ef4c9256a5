"""Every codec owes: total; decode(encode(x)) == x; encode(decode(b)) == b when accepted."""

import pytest
from cryptography.hazmat import asn1
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import Cursor, DecodeError, Eui64, FirmwareVersion, ImageHash, UsageError
from lamplighter.kit.instant import Instant, from_iso, from_zigbee
from lamplighter.protocol import gbcs
from lamplighter.protocol.gbcs import der

euis = st.binary(min_size=8, max_size=8).map(Eui64)
counters = st.integers(0, 2**64 - 1)
versions = st.integers(0, 2**32 - 1).map(FirmwareVersion)
hashes = st.binary(min_size=32, max_size=32).map(ImageHash)
whole_seconds = st.integers(
    from_iso("0001-01-01T00:00:00Z") // 10**6, from_iso("9999-12-31T23:59:59Z") // 10**6
).map(lambda seconds: seconds * 10**6)
receipt_codes = st.sampled_from([gbcs.AlertCode.IMAGE_VERIFIED, gbcs.AlertCode.IMAGE_REJECTED])

payloads = st.one_of(
    st.builds(gbcs.Cs06Command, hashes, counters, st.none() | whole_seconds | st.just(gbcs.CANCELLED)),
    st.just(gbcs.Cs06Accepted()),
    st.builds(gbcs.Cs06Response, st.sampled_from(gbcs.ActivationResult), versions),
    st.builds(
        gbcs.OutcomeAlert,
        st.sampled_from([gbcs.AlertCode.FUTURE_DATED_SUCCESS, gbcs.AlertCode.FUTURE_DATED_FAILURE]),
        whole_seconds, counters, st.sampled_from(gbcs.ActivationResult), versions,
    ),
    st.builds(gbcs.ReceiptAlert, receipt_codes, st.integers(0, 2**32 - 1).map(from_zigbee), hashes),
    st.builds(
        gbcs.ReceiptAlert, receipt_codes,
        st.binary(min_size=12, max_size=12).map(gbcs.CosemDateTime), hashes, st.integers(0, 2**32 - 1),
    ),
    st.just(gbcs.Cs08Command()),
    st.builds(gbcs.Cs08Response, versions, st.sampled_from(gbcs.Outcome)),
    st.builds(
        gbcs.Cs09Alert, st.just(gbcs.AlertCode.PPMID_ACTIVATION), whole_seconds, versions,
        st.sampled_from(gbcs.Outcome),
    ),
    st.builds(
        gbcs.Ccs08Alert,
        st.sampled_from([gbcs.AlertCode.TRANSFER_SUCCEEDED, gbcs.AlertCode.TRANSFER_FAILED]),
        whole_seconds, euis, versions, st.sampled_from(gbcs.TransferResult),
    ),
)  # fmt: skip


@st.composite
def messages(draw):
    payload = draw(payloads)
    message = gbcs.compose(
        payload,
        originator=draw(euis),
        recipient=draw(euis),
        counter=draw(counters),
        supplementary=draw(st.none() | st.builds(gbcs.Supplementary, euis, counters)),
        date_time=draw(st.just(b"") | st.binary(min_size=12, max_size=12)),
        signature=draw(st.none() | st.just(b"") | st.binary(min_size=64, max_size=64)),
    )
    return gbcs.Gbcs(
        gbcs.kind_of(message), message, payload, draw(st.none() | st.binary(min_size=12, max_size=12))
    )


@given(messages())
def test_what_is_encoded_is_decoded(message):
    """Every kind, with every optional part, comes back as it was."""
    assert message == gbcs.decode(gbcs.encode(message))


@given(st.binary(max_size=300))
def test_any_octets_are_a_message_or_a_decode_error(octets):
    """The decoder is total, and what it accepts it re-encodes."""
    try:
        message = gbcs.decode(octets)
    except DecodeError as refusal:
        assert 0 <= refusal.offset <= len(octets)
    else:
        assert octets == gbcs.encode(message)


@given(messages(), st.data())
def test_a_damaged_message_is_decoded_exactly_or_refused(message, data):
    """Flip, cut or insert octets in a real message: identity on re-encoding, or a DecodeError."""
    octets = bytearray(gbcs.encode(message))
    at = data.draw(st.integers(0, len(octets) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "insert", "truncate"])):
        case "flip":
            octets[at] ^= data.draw(st.integers(1, 255))
        case "cut":
            del octets[at]
        case "insert":
            octets.insert(at, data.draw(st.integers(0, 255)))
        case _:
            del octets[at:]
    try:
        decoded = gbcs.decode(bytes(octets))
    except DecodeError:
        return
    assert bytes(octets) == gbcs.encode(decoded)


@given(messages())
def test_an_explanation_is_the_message_in_other_words(message):
    """Every octet of any message stands in exactly one field of its explanation."""
    octets = gbcs.encode(message)
    assert octets == b"".join(line.field.octets for line in gbcs.explain(octets).lines)


@given(whole_seconds.map(Instant))
def test_a_cosem_date_time_keeps_whole_seconds(instant):
    """To 12 octets and back."""
    assert instant == gbcs.CosemDateTime.of(instant).instant


@given(st.binary(min_size=12, max_size=12))
def test_any_cosem_date_time_is_an_instant_or_not_specified(octets):
    """Wildcards, and dates that do not exist, are None and never an exception."""
    assert isinstance(gbcs.CosemDateTime(octets).instant, int | None)


@given(st.integers(0, 2**70))
def test_integers_agree_with_the_librarys_der(value):
    """Our INTEGER is the DER of `cryptography.hazmat.asn1`."""
    assert asn1.encode_der(value) == der.integer(value)


@given(st.binary(max_size=12))
def test_we_accept_no_integer_that_the_library_refuses(octets):
    """Strictness is compared with a stranger: whatever we read as INTEGER, the library reads alike."""
    cursor = Cursor("test", octets)
    try:
        value = der.read_integer(cursor, "integer", 2**64)
        cursor.finish()
    except DecodeError:
        return
    assert value == asn1.decode_der(int, octets)


@pytest.mark.parametrize(
    "octets",
    ["0200", "02020001", "020180", "02810101", "0280", "02850000000001", "0301ff", "02"],
    ids=["empty", "padded", "negative", "long length", "indefinite", "too long", "tag", "cut"],
)
def test_integers_in_other_than_der_form_are_refused(octets):
    """One value has one form; anything else could hide a second meaning."""
    with pytest.raises(DecodeError):
        der.read_integer(Cursor("test", bytes.fromhex(octets)), "integer", 2**64)


def test_a_receipt_that_mixes_two_forms_cannot_be_written():
    """Zigbee time with a DLMS invoke id is a slip of ours, named as one."""
    receipt = gbcs.ReceiptAlert(
        gbcs.AlertCode.IMAGE_VERIFIED, from_zigbee(5), ImageHash(bytes(32)), invoke_id=1
    )
    with pytest.raises(UsageError, match="DLMS"):
        gbcs.compose(receipt, originator=Eui64.of(1), recipient=Eui64.of(2), counter=1)
