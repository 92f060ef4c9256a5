"""The two images that the DCC publishes, and zigpy's opinion of their headers."""

import pytest

from lamplighter.kit import Eui64, VerificationError
from lamplighter.protocol import image
from lamplighter.protocol.image import Layout

pytestmark = pytest.mark.npm

HASH = "7542f475e3f12eae887d81e32c46d313741d67076b13caec2f82e00ba5e1bb36"
SUPPLIER = Eui64.parse("90-B3-D5-1F-30-01-00-00")


@pytest.fixture(params=["11.1", "11.4"])
def published(request, published_images):
    return request.param, published_images[request.param]


def test_published_image_is_recognised_without_being_told_its_layout(published):
    srv, octets = published
    assert Layout(srv) == image.guess_layout(octets) == image.decode(octets).layout


def test_published_image_encodes_to_the_octets_it_was_read_from(published):
    srv, octets = published
    assert octets == image.encode(image.decode(octets, Layout(srv)))


def test_published_image_has_the_published_hash_in_either_layout(published):
    assert str(image.decode(published[1]).hash) == HASH


def test_header_fields_of_the_published_ppmid_image(published_images):
    header = image.decode(published_images["11.4"]).header
    assert header.manufacturer == 0x121D
    assert header.image_type == 0x0084
    assert str(header.file_version) == "ACDCACDC"
    assert header.stack_version == 2
    assert header.text == b"I am a GFI PPMID firmware image "
    assert header.total_size == 295
    assert (header.minimum_hardware, header.maximum_hardware) == (0x1111, 0x1211)


def test_published_esme_image_is_signed_by_the_first_test_supplier(published_images, keystore):
    esme = image.decode(published_images["11.1"])
    verdicts = []
    for certificate in keystore.message_signers(SUPPLIER):
        try:
            image.verify_supplier(esme, certificate.public_key)
        except VerificationError:
            continue
        verdicts.append(certificate.serial)
    # Z1-supplier-ds; its neighbour Z1b-supplier-ds has the same holder and role, and did not sign.
    assert verdicts == [105986833131214866166891566273223584671]


def test_zigpy_reads_the_same_header(published):
    from zigpy.ota.image import OTAImageHeader

    srv, octets = published
    theirs, rest = OTAImageHeader.deserialize(octets)
    ours = image.decode(octets, Layout(srv)).header
    assert rest == octets[image.HEADER_OCTETS :]
    assert theirs.manufacturer_id == ours.manufacturer
    assert theirs.image_type == ours.image_type
    assert theirs.file_version == ours.file_version.number
    assert theirs.stack_version == ours.stack_version
    assert bytes(theirs.header_string) == ours.text
    assert theirs.image_size == ours.total_size
    assert theirs.minimum_hardware_version == ours.minimum_hardware
    assert theirs.maximum_hardware_version == ours.maximum_hardware


def test_explanation_covers_every_octet_of_a_published_image_once_and_in_order(published):
    _, octets = published
    fields = [field for field, _ in image.explain(octets)]
    assert b"".join(field.octets for field in fields) == octets
    assert [field.offset for field in fields] == [
        sum(len(before.octets) for before in fields[:index]) for index in range(len(fields))
    ]
