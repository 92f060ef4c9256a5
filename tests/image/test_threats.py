"""Files that lie, and seals that are moved: each refused by name."""

import struct

import pytest

from lamplighter.kit import DecodeError, VerificationError
from lamplighter.protocol import image
from lamplighter.protocol.image import Layout


def patched(octets, at, patch):
    return octets[:at] + patch + octets[at + len(patch) :]


HEADER_LIES = {
    "not an OTA file": (0, b"\x7fELF", "upgrade file identifier", 0, "0x0BEEF11E", "0x464C457F"),
    "a newer header": (4, b"\x01\x01", "header version", 4, "0x0100", "0x0101"),
    "a longer header": (6, b"\x3d\x00", "header length", 6, "0x003C", "0x003D"),
    "a header of no octets": (6, b"\x00\x00", "header length", 6, "0x003C", "0x0000"),
    "hidden credential field": (8, b"\x05\x00", "field control", 8, "bit 0", "0x0005"),
    "hidden destination field": (8, b"\x06\x00", "field control", 8, "bit 1", "0x0006"),
    "no hardware range": (8, b"\x00\x00", "field control", 8, "hardware versions", "0x0000"),
    "an unknown control bit": (8, b"\x04\x80", "field control", 8, "hardware versions", "0x8004"),
    "image_size < header_length": (52, b"\x3b\x00\x00\x00", "total image size", 52, "at least", "59"),
    "image_size of nothing": (52, bytes(4), "total image size", 52, "at least", "0"),
    "image_size of 4 GiB": (52, b"\xff" * 4, "total image size", 52, "68", "4294967295"),
    "hardware range upside down": (56, b"\x04\x02", "minimum hardware version", 56, "0x0203", "0x0204"),
}


@pytest.mark.parametrize("lie", HEADER_LIES)
def test_a_header_that_lies_is_refused_with_field_offset_expected_and_found(build, lie):
    at, patch, field, offset, expected, found = HEADER_LIES[lie]
    octets = patched(image.encode(build()), at, patch)
    with pytest.raises(DecodeError) as refusal:
        image.decode(octets, Layout.SRV_11_4)
    assert field == refusal.value.field
    assert offset == refusal.value.offset
    assert expected in refusal.value.expected
    assert found in refusal.value.found


def test_octets_after_the_end_are_refused(build):
    with pytest.raises(DecodeError, match="total image size at 52: expected 69, the file's size, found 68"):
        image.decode(image.encode(build()) + b"\0")


def test_a_header_without_firmware_is_refused_in_either_layout(build):
    bare = patched(image.encode(build())[:60], 52, struct.pack("<I", 60))
    with pytest.raises(DecodeError, match=r"Manufacturer Image at 60: .* layout 11.4, found 0"):
        image.decode(bare, Layout.SRV_11_4)
    with pytest.raises(DecodeError, match=r"Manufacturer Image at 60: .* layout 11.1, found -66"):
        image.decode(bare, Layout.SRV_11_1)


def test_a_file_beyond_the_schema_limit_is_refused_before_it_is_read():
    with pytest.raises(DecodeError, match="size at 0: expected at most 10240000 octets, found 10240001"):
        image.decode(bytes(10_240_001))


def test_an_unsigned_image_cannot_pass_as_signed(build):
    octets = image.encode(build(b"x" * 100))
    with pytest.raises(DecodeError, match="Force Replace at 94: expected 0x00 or 0x01, found 0x78"):
        image.decode(octets, Layout.SRV_11_1)


def test_a_signature_of_another_length_is_refused(build, keys):
    octets = image.encode(image.sign_supplier(build(), keys.ours))
    with pytest.raises(DecodeError, match="signature length at 69: expected 0x40, found 0x3F"):
        image.decode(patched(octets, 69, b"\x3f"), Layout.SRV_11_1)


def test_firmware_swapped_under_a_supplier_signature_is_refused(build, keys):
    signed = image.sign_supplier(build(b"good"), keys.ours)
    image.verify_supplier(signed, keys.ours.public_key)
    forged = image.decode(patched(image.encode(signed), 60, b"evil"), Layout.SRV_11_1)
    with pytest.raises(VerificationError, match="supplier-signature"):
        image.verify_supplier(forged, keys.ours.public_key)


def test_a_signature_by_another_supplier_is_refused(build, keys):
    signed = image.sign_supplier(build(), keys.theirs)
    with pytest.raises(VerificationError, match="supplier-signature"):
        image.verify_supplier(signed, keys.ours.public_key)


def test_a_signature_taken_off_is_missed(build, keys):
    with pytest.raises(VerificationError, match=r"found none: the image has layout 11\.4"):
        image.verify_supplier(build(), keys.ours.public_key)


def test_signing_again_replaces_the_signature(build, keys):
    once = image.sign_supplier(build(), keys.theirs, force_replace=True)
    again = image.sign_supplier(once, keys.ours)
    assert image.sign_supplier(build(), keys.ours) == again


def test_check_refuses_an_image_that_the_network_is_not_known_to_carry(build):
    whole = build(bytes(100))
    image.check(whole, max_image_octets=160)
    with pytest.raises(VerificationError, match="image-size: expected at most 159 octets, found 160"):
        image.check(whole, max_image_octets=159)


def test_check_refuses_the_wrong_layout_for_a_service_request(build, keys):
    plain, signed = build(), image.sign_supplier(build(), keys.ours)
    image.check(plain, layout=Layout.SRV_11_4)
    image.check(signed, layout=Layout.SRV_11_1)
    with pytest.raises(VerificationError, match="image-layout"):
        image.check(plain, layout=Layout.SRV_11_1)
    with pytest.raises(VerificationError, match="image-layout"):
        image.check(signed, layout=Layout.SRV_11_4)


@pytest.mark.parametrize("force_replace", [False, True])
def test_a_signed_image_read_as_unsigned_is_caught_by_check(build, keys, force_replace):
    octets = image.encode(image.sign_supplier(build(), keys.ours, force_replace=force_replace))
    mistaken = image.decode(octets, Layout.SRV_11_4)
    with pytest.raises(VerificationError, match="image-layout"):
        image.check(mistaken, layout=Layout.SRV_11_4)


def test_a_sealed_image_is_never_taken_for_a_signed_one(build, keys):
    ambiguous = image.seal(b"firmware", keys.ours)
    ambiguous = ambiguous[:-66] + b"\x00\x40" + ambiguous[-64:]
    assert image.guess_layout(image.encode(build(ambiguous))) == Layout.SRV_11_4


def test_firmware_swapped_under_a_seal_is_refused(keys):
    sealed = image.seal(b"good", keys.ours)
    with pytest.raises(VerificationError, match="manufacturer-seal"):
        image.verify_seal(patched(sealed, 0, b"evil"), keys.ours.public_key)


def test_a_seal_by_another_manufacturer_is_refused(keys):
    with pytest.raises(VerificationError, match="manufacturer-seal"):
        image.verify_seal(image.seal(b"good", keys.theirs), keys.ours.public_key)


def test_a_seal_taken_off_is_missed(keys):
    with pytest.raises(DecodeError, match="format and mark"):
        image.verify_seal(image.seal(b"good" * 50, keys.ours)[: -image.SEAL_OCTETS], keys.ours.public_key)
    with pytest.raises(DecodeError, match="at least 1 octet of payload"):
        image.verify_seal(b"good", keys.ours.public_key)


def test_an_embedded_seal_does_not_pass_as_a_detached_one_nor_the_other_way_round(keys):
    payload = b"good"
    sealed = image.seal(payload, keys.ours)
    embedded, mark = sealed[len(payload) : len(payload) + 64], sealed[len(payload) + 64 :]
    detached = image.seal_detached(payload, keys.ours)
    image.verify_detached_seal(payload, detached, keys.ours.public_key)
    with pytest.raises(VerificationError, match="manufacturer-seal"):
        image.verify_detached_seal(payload, embedded, keys.ours.public_key)
    with pytest.raises(VerificationError, match="manufacturer-seal"):
        image.verify_seal(payload + detached + mark, keys.ours.public_key)


def test_a_supplier_signature_does_not_pass_as_a_seal_nor_the_other_way_round(build, keys):
    whole = build()
    signed = image.sign_supplier(whole, keys.ours)
    with pytest.raises(VerificationError, match="manufacturer-seal"):
        image.verify_detached_seal(whole.manufacturer_image, signed.signature, keys.ours.public_key)
    detached = image.seal_detached(whole.manufacturer_image, keys.ours)
    forged = image.decode(image.encode(signed)[:-64] + detached, Layout.SRV_11_1)
    with pytest.raises(VerificationError, match="supplier-signature"):
        image.verify_supplier(forged, keys.ours.public_key)


def test_a_detached_seal_of_another_length_is_refused(keys):
    with pytest.raises(VerificationError, match="manufacturer-seal"):
        image.verify_detached_seal(b"good", b"", keys.ours.public_key)
