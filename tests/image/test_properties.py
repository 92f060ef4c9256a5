"""What holds for every image and for any octets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import DecodeError, FirmwareVersion, UsageError, VerificationError
from lamplighter.protocol import image
from lamplighter.protocol.image import Layout

from .conftest import built, key

u16 = st.integers(0, 0xFFFF)
layouts = st.sampled_from([None, *Layout])


@st.composite
def images(draw):
    low, high = sorted((draw(u16), draw(u16)))
    plain = built(
        draw(st.binary(min_size=1, max_size=300)),
        manufacturer=draw(u16),
        image_type=draw(u16),
        file_version=FirmwareVersion(draw(st.integers(0, 0xFFFFFFFF))),
        minimum_hardware=low,
        maximum_hardware=high,
        text=draw(st.binary(max_size=32)),
        stack_version=draw(u16),
    )
    if draw(st.booleans()):
        return image.sign_supplier(plain, key(7), force_replace=draw(st.booleans()))
    return plain


@given(images())
def test_decoding_undoes_encoding(built_image):
    assert built_image == image.decode(image.encode(built_image), built_image.layout)


@given(st.binary(max_size=400), layouts)
def test_any_octets_give_an_image_or_a_decode_error(octets, layout):
    refusals = []
    for read in (image.decode, image.explain):
        try:
            read(octets, layout)
        except DecodeError as refusal:
            refusals.append((refusal.field, refusal.offset))
    assert len(refusals) in {0, 2}
    assert all(field and 0 <= offset <= len(octets) for field, offset in refusals)


@given(images(), st.integers(0, 500), st.integers(0, 255), layouts)
def test_a_file_with_one_octet_changed_is_refused_or_says_exactly_what_it_holds(whole, at, octet, layout):
    changed = bytearray(image.encode(whole))
    changed[at % len(changed)] = octet
    try:
        accepted = image.decode(bytes(changed), layout)
    except DecodeError:
        return
    assert bytes(changed) == image.encode(accepted)


@given(images(), st.data())
def test_no_piece_of_a_file_passes_for_a_whole_one(whole, data):
    octets = image.encode(whole)
    piece = octets[: data.draw(st.integers(0, len(octets) - 1))]
    for layout in (None, *Layout):
        with pytest.raises(DecodeError):
            image.decode(piece, layout)


@given(st.binary(min_size=1, max_size=300))
def test_a_seal_gives_back_its_payload(payload):
    maker = key(5)
    assert payload == image.verify_seal(image.seal(payload, maker), maker.public_key)


@given(st.binary(max_size=200))
def test_any_octets_give_a_payload_or_a_named_refusal_of_the_seal(octets):
    with pytest.raises((DecodeError, VerificationError)):
        image.verify_seal(octets, key(5).public_key)


def test_an_image_does_not_change_with_the_buffer_it_was_read_from():
    buffer = bytearray(image.encode(built(b"before")))
    read = image.decode(buffer)
    buffer[60:] = b"after!"
    assert read.manufacturer_image == b"before"


def test_bare_values_that_no_file_could_hold_are_refused():
    good = built()
    for changes in (
        {"minimum_hardware": 9, "maximum_hardware": 8},
        {"maximum_hardware": 0x10000},
        {"manufacturer": -1},
        {"image_type": 0x10000},
        {"text": bytes(33)},
    ):
        with pytest.raises(UsageError):
            built(**changes)
    with pytest.raises(UsageError, match="header says 1 octets"):
        replace(good, header=replace(good.header, total_size=1))
    with pytest.raises(UsageError, match="at least one octet"):
        built(b"")
    with pytest.raises(UsageError, match="Force Replace"):
        replace(good, force_replace=True)
    with pytest.raises(UsageError, match="64 octets"):
        replace(good, signature=b"short")


def test_building_beyond_the_schema_limit_is_refused():
    limit = image.SCHEMA_MAX_OCTETS - image.HEADER_OCTETS
    whole = built(bytes(limit))
    assert whole.header.total_size == image.SCHEMA_MAX_OCTETS
    with pytest.raises(UsageError, match="larger than the schema"):
        built(bytes(limit + 1))
    with pytest.raises(UsageError, match="larger than the schema"):
        image.sign_supplier(whole, key(7))


def test_comparison_names_what_differs_and_only_that():
    first = built()
    assert image.compare(first, built()) == ()
    newer = built(file_version=FirmwareVersion(3))
    assert image.compare(first, newer) == (("file version", "00000002", "00000003"),)
    signed = image.sign_supplier(first, key(7))
    assert [difference.name for difference in image.compare(first, signed)] == [
        "layout",
        "total image size",
        "Supplier signature",
    ]
