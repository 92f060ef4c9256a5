"""What must hold of any octets.

They are decoded or refused by one of the two errors for it; what is accepted is written back the same; and
with the key ring at hand nothing is believed but what its holders signed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from fuzz.seeds import ALERT, BROKER, CORPUS, DEVICE_KEY, FIRMWARE, REQUEST, RESPONSE, RING
from lamplighter.kit import DecodeError, VerificationError
from lamplighter.protocol import duis, gbcs, image, smki, zigbee

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CORPUS", "TARGETS"]

Value = TypeVar("Value")


def images(octets: bytes) -> None:
    """An OTA Upgrade Image in either layout or a guessed one; a sealed Manufacturer Image."""
    for layout in (None, *image.Layout):
        decoded = _unless_refused(partial(image.decode, octets, layout))
        if decoded is not None:
            assert octets == image.encode(decoded)
            assert octets == b"".join(field.octets for field, _ in image.explain(octets, layout))
    payload = _unless_refused(lambda: image.verify_seal(octets, DEVICE_KEY.certificate.public_key))
    assert payload in (None, FIRMWARE)


def gbcs_messages(octets: bytes) -> None:
    """A GBCS message, with or without a MAC; only the one that was signed is believed."""
    decoded = _unless_refused(lambda: gbcs.decode(octets))
    explained = _unless_refused(lambda: gbcs.explain(octets, RING, BROKER))
    assert (decoded is None) == (explained is None)
    if decoded is not None:
        assert octets == gbcs.encode(decoded)
    opened = _unless_refused(lambda: gbcs.open_message(octets, RING, broker=BROKER))
    assert opened is None or octets == ALERT


def zigbee_frames(octets: bytes) -> None:
    """A ZCL frame of the OTA cluster."""
    frame = _unless_refused(lambda: zigbee.decode(octets))
    assert frame is None or octets == zigbee.encode(frame)


def certificates(octets: bytes) -> None:
    """A certificate in PEM or DER."""
    certificate = _unless_refused(lambda: smki.decode_certificate(octets))
    if certificate is not None:
        assert certificate == smki.decode_certificate(certificate.der)
        assert certificate == smki.decode_certificate(certificate.pem)


def duis_requests(octets: bytes) -> None:
    """A service request; only the one that was signed is believed."""
    decoded = _unless_refused(lambda: duis.decode_request(octets))
    assert decoded is None or decoded == duis.decode_request(duis.encode_request(decoded))
    opened = _unless_refused(lambda: duis.open_request(octets, RING, now=None))
    assert opened is None or opened.message == REQUEST
    _unless_refused(lambda: duis.explain(octets))


def duis_responses(octets: bytes) -> None:
    """A response or an alert; only the one that was signed is believed."""
    decoded = _unless_refused(lambda: duis.decode_response(octets))
    assert decoded is None or decoded == duis.decode_response(duis.encode_response(decoded))
    opened = _unless_refused(lambda: duis.open_response(octets, RING, now=None))
    assert opened is None or opened.message == RESPONSE
    _unless_refused(lambda: duis.open_acknowledgement(octets, RING, now=None))


def _unless_refused(act: Callable[[], Value]) -> Value | None:
    """What `act` gives; None for either of the two refusals; anything else it raises is a finding."""
    try:
        return act()
    except (DecodeError, VerificationError):
        return None


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "image": images,
    "gbcs": gbcs_messages,
    "zigbee": zigbee_frames,
    "smki": certificates,
    "duis_request": duis_requests,
    "duis_response": duis_responses,
}
