"""A GBCS message as a whole: decode, encode, and believe only after every check that is due.

`decode` reads and believes nothing. `open_message` also checks what its kind must bear, in one order:
well-formed, known, MAC, signature. There is no other way to an `Opened`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lamplighter.kit import Cursor, Eui64, VerificationError
from lamplighter.protocol.gbcs import mac as macs
from lamplighter.protocol.gbcs import message as messages
from lamplighter.protocol.gbcs.catalogue import kind_for, kind_of, read_payload
from lamplighter.protocol.gbcs.message import Message
from lamplighter.protocol.smki import SIGNATURE_OCTETS, is_signed_by

if TYPE_CHECKING:
    from lamplighter.protocol.gbcs.catalogue import Kind
    from lamplighter.protocol.gbcs.message import Supplementary
    from lamplighter.protocol.gbcs.use_cases import Payload
    from lamplighter.protocol.smki import Certificate, KeyRing, Signer


class Gbcs(NamedTuple):
    """A message, its kind, what its content says, and its MAC if it came wrapped."""

    kind: Kind
    message: Message
    payload: Payload
    mac: bytes | None = None
    """12 octets; None: not wrapped."""


class Opened(NamedTuple):
    """A message that passed every check that its kind calls for."""

    message: Message
    payload: Payload
    signer: Certificate | None
    """The certificate that its signature verified under; None where the kind bears none."""


def decode(octets: bytes) -> Gbcs:
    """Read a message, wrapped or not; total. Believes nothing: see `open_message`."""
    return Gbcs(*_decode(octets)[1:])


def _decode(octets: bytes) -> tuple[bytes, Kind, Message, Payload, bytes | None]:
    """The octets without the wrapping, and what they say."""
    inner, mac = macs.unwrap(octets) if octets[:1] == macs.WRAPPER else (octets, None)
    base = len(octets) - len(inner) - (0 if mac is None else len(mac))
    message = messages.read(Cursor("GBCS message", inner, base))
    kind = kind_of(message, base)
    content_at = base + messages.content_offset(message, len(inner))
    payload = read_payload(kind, Cursor(kind.name, message.content, content_at))
    return inner, kind, message, payload, mac


def encode(gbcs: Gbcs) -> bytes:
    """The octets from which `decode` reads the same."""
    inner = messages.encode(gbcs.message)
    return inner if gbcs.mac is None else macs.enclose(inner, gbcs.mac)


def compose(
    payload: Payload,
    *,
    originator: Eui64,
    recipient: Eui64,
    counter: int,
    supplementary: Supplementary | None = None,
    date_time: bytes = b"",
    signature: bytes | None = b"",
) -> Message:
    """The unsigned message that carries `payload`."""
    kind = kind_for(payload)
    return Message(
        kind.cra,
        counter,
        originator,
        recipient,
        kind.code,
        kind.write(payload),
        signature,
        supplementary,
        date_time,
    )


def sign(message: Message, signer: Signer) -> bytes:
    """The encoded message, signed."""
    signed = messages.encode_signed(message)
    signature = signer.sign(signed)
    return b"".join((bytes((messages.TAG,)), signed, bytes((len(signature),)), signature))


def open_message(octets: bytes, ring: KeyRing, *, broker: Eui64) -> Opened:
    """Decode a message and check all that its kind must bear.

    broker  the ACB, with which Devices share the secret behind the MAC

    Raises `DecodeError` for nonsense; `VerificationError` "mac-missing", "mac-unexpected", "mac-key", "mac",
    "signature-missing", "signature-unexpected", "signature-key" or "signature".
    """
    inner, kind, message, payload, mac = _decode(octets)
    if kind.maced:
        if mac is None:
            raise VerificationError("mac-missing", f"a MAC on {kind.name}", "none")
        macs.check(inner, mac, ring, broker)
    elif mac is not None:
        raise VerificationError("mac-unexpected", f"no MAC on {kind.name}", mac.hex())
    signer = None
    if kind.signed:
        signer = verify_signature(inner, message, ring)
    elif message.signature:
        raise VerificationError("signature-unexpected", f"no signature on {kind.name}", "one")
    return Opened(message, payload, signer)


def verify_signature(inner: bytes, message: Message, ring: KeyRing) -> Certificate:
    """The certificate of its originator under which `message`, encoded as `inner`, is signed."""
    if not message.signature:
        raise VerificationError("signature-missing", f"a signature by {message.originator}", "none")
    candidates = ring.message_signers(message.originator)
    if not candidates:
        raise VerificationError(
            "signature-key", f"a trusted signing certificate of {message.originator}", "none in the key ring"
        )
    signed = inner[1 : -1 - SIGNATURE_OCTETS]
    for certificate in candidates:
        if is_signed_by(certificate.public_key, signed, message.signature):
            return certificate
    raise VerificationError("signature", f"a signature by {message.originator}", "octets that are not one")
