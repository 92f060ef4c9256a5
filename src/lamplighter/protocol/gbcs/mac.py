"""The MAC wrapping of a GBCS message, as the Access Control Broker and Devices put it on (GBCS 7.2.5).

    DD 00 00 00 00 00 00  length  11 00000000  DF...  MAC(12)

The MAC is a GMAC whose additional data is `11 00000000 00` and the whole DF... message. A command to a
Device is always MACed with the ACB's secret, even where the Supplier is its originator.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Cursor, Eui64, VerificationError
from lamplighter.protocol.gbcs import der
from lamplighter.protocol.gbcs.message import TAG, Cra
from lamplighter.protocol.smki import MAC_OCTETS, derive_key, gmac

if TYPE_CHECKING:
    from lamplighter.protocol.smki import KeyRing

WRAPPER: Final = b"\xdd"
"""The first octet of a wrapped message."""

_WHAT: Final = "GBCS MAC wrapping"
_CIPHERING_LEAD: Final = WRAPPER + bytes(6)  # six absent fields of general-ciphering
_SECURITY_HEADER: Final = bytes.fromhex("1100000000")  # authenticated only; invocation counter 0
_AUTHENTICATED_LEAD: Final = _SECURITY_HEADER + b"\x00"
_OVERHEAD: Final = len(_SECURITY_HEADER) + MAC_OCTETS
# Where the grouping header keeps what the key derivation needs; all before it is of fixed length.
_HEADER_OCTETS: Final = 29


def read_wrapping(cursor: Cursor) -> tuple[Cursor, bytes]:
    """A cursor over the DF... message inside, and the MAC."""
    cursor.exactly(_CIPHERING_LEAD, "general-ciphering header")
    at = cursor.at
    count = der.read_length(cursor, "length")
    if count < _OVERHEAD:
        cursor.fail("length", f"at least {_OVERHEAD}", f"{count}", at=at)
    cursor.exactly(_SECURITY_HEADER, "security header")
    inner = cursor.inside(count - _OVERHEAD, "GBCS message", "message")
    mac = cursor.take(MAC_OCTETS, "MAC")
    cursor.finish()
    return inner, mac


def unwrap(octets: bytes) -> tuple[bytes, bytes]:
    """The DF... message inside and its MAC, which is not checked here; total."""
    inner, mac = read_wrapping(Cursor(_WHAT, octets))
    return inner.rest(), mac


def wrap(message: bytes, secret: bytes) -> bytes:
    """The wrapped message, MACed with the pair's secret Z (32 octets)."""
    return enclose(message, mac_of(message, secret))


def enclose(message: bytes, mac: bytes) -> bytes:
    """The wrapped message with a MAC that is already known."""
    body = _SECURITY_HEADER + message + mac
    return _CIPHERING_LEAD + der.length(len(body)) + body


def mac_of(message: bytes, secret: bytes) -> bytes:
    """The MAC of a DF... message under the pair's secret; the message must be one (`decode` says so)."""
    if len(message) < _HEADER_OCTETS or message[0] != TAG:
        Cursor("GBCS message", message).fail("grouping header", "DF and 28 octets more", message[:4].hex())
    originator = Eui64(message[12:20])
    recipient = Eui64(message[21:29])
    key = derive_key(secret, originator, message[2], int.from_bytes(message[3:11], "big"), recipient)
    return gmac(key, originator, _AUTHENTICATED_LEAD + message)


def check(message: bytes, mac: bytes, ring: KeyRing, broker: Eui64) -> None:
    """Raise `VerificationError("mac")` unless `mac` is that of the DF... message.

    broker  the ACB: the party with which the Device at the other end shares the secret
    """
    if len(message) < _HEADER_OCTETS:
        Cursor("GBCS message", message).fail("grouping header", "29 octets", f"{len(message)}")
    device = Eui64(message[21:29] if message[2] == Cra.COMMAND else message[12:20])
    secrets = ring.secrets(broker, device)
    if not secrets:
        raise VerificationError(
            "mac-key", f"a secret shared by {broker} and {device}", "none in the key ring"
        )
    for secret in secrets:
        if hmac.compare_digest(mac_of(message, secret), mac):
            return
    raise VerificationError("mac", f"the MAC by {broker} and {device}", mac.hex())
