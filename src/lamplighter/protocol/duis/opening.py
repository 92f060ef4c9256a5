"""The one door to a believed message: read, every check of the signature, decode, and who may say it.

The order is the point: nothing of the content is looked at before its signer is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from lamplighter.kit import VerificationError
from lamplighter.protocol.duis.reader import read
from lamplighter.protocol.duis.requests import Request, request_in
from lamplighter.protocol.duis.responses import Response, ResponseMessage, response_in
from lamplighter.protocol.duis.signature import is_signed, verify
from lamplighter.protocol.smki import Certificate, Role

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, Instant
    from lamplighter.protocol.smki import KeyRing

Message = TypeVar("Message", Request, Response)


@dataclass(frozen=True, slots=True)
class Opened(Generic[Message]):
    """A message that has passed every check."""

    message: Message
    """What it says."""
    signer: Certificate
    """Under which certificate it was signed."""


def open_request(octets: bytes, ring: KeyRing, *, now: Instant | None) -> Opened[Request]:
    """Open a User's request; its signer must be the party that its RequestID names as originator.

    now  when the certificate must be valid; None switches that check off
    """
    root, signer = verify(octets, ring, role=Role.XML_SIGNING, now=now)
    request = request_in(root)
    if signer.holder != request.id.originator:
        raise VerificationError("xml-signer", f"{request.id.originator}, the originator", str(signer.holder))
    return Opened(request, signer)


def open_response(
    octets: bytes, ring: KeyRing, *, now: Instant | None, dcc: Eui64 | None = None
) -> Opened[Response]:
    """Open a response or an alert; its signer must be the DCC.

    now  when the certificate must be valid; None switches that check off
    dcc  the DCC's own id; None: any holder of a certificate for ACB XML signing in the ring
    """
    root, signer = verify(octets, ring, role=Role.ACB_XML_SIGNING, now=now)
    if dcc is not None and signer.holder != dcc:
        raise VerificationError("xml-signer", f"{dcc}, the DCC", str(signer.holder))
    return Opened(response_in(root), signer)


def open_acknowledgement(
    octets: bytes, ring: KeyRing, *, now: Instant | None, dcc: Eui64 | None = None
) -> Opened[Response] | Response:
    """Open the synchronous answer to a request, which the DCC may leave unsigned.

    Only a bare acknowledgement or refusal may be unsigned: it comes back as a plain `Response` that nothing
    but the connection vouches for. Whatever bears a signature must pass `open_response`.
    """
    root = read(octets)
    if is_signed(root):
        return open_response(octets, ring, now=now, dcc=dcc)
    response = response_in(root)
    if not isinstance(response.body, ResponseMessage) or response.body.payload is not None:
        raise VerificationError("xml-unsigned", "a Signature, or a bare acknowledgement", "neither")
    return response
