"""The largest messages there are, and the seeds of the fuzzer."""

from pathlib import Path

import pytest

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, UsageError, VerificationError
from lamplighter.protocol import duis

from .messages import NOW, REQUEST, RING, SUPPLIER_XML

CORPUS = Path(__file__).parent / "corpus"
DEVICES = tuple(map(Eui64.of, range(duis.MAX_DEVICES)))


@pytest.mark.parametrize("size", [750_000, duis.MAX_IMAGE_OCTETS])
def test_the_largest_request_is_signed_and_opened(size):
    request = duis.Request(REQUEST.id, duis.UpdatePpmidFirmware(bytes(size), FirmwareVersion(1), DEVICES))
    signed = duis.sign(duis.encode_request(request), SUPPLIER_XML)
    assert len(signed) < duis.MAX_OCTETS
    assert request == duis.open_request(signed, RING, now=NOW).message


@pytest.mark.parametrize(
    ("image", "devices"),
    [(bytes(duis.MAX_IMAGE_OCTETS + 1), DEVICES[:1]), (b"", (*DEVICES, DEVICES[0])), (b"", ())],
    ids=["an octet too many", "a Device too many", "no Device"],
)
def test_what_the_schema_does_not_hold_is_never_written(image, devices):
    body = duis.UpdateFirmware(image, FirmwareVersion(1), devices)
    with pytest.raises(UsageError):
        duis.encode_request(duis.Request(REQUEST.id, body))


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.stem)
def test_a_seed_is_read_by_the_decoder_it_is_named_after(path):
    octets = path.read_bytes()
    match path.stem.partition("-")[0]:
        case "request":
            assert duis.decode_request(octets)
        case "response" | "alert":
            assert duis.decode_response(octets)
        case _:
            with pytest.raises((DecodeError, VerificationError)):
                duis.decode_response(octets)
