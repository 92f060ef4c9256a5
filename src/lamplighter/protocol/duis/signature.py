"""The XML signature of a DUIS document: one narrow profile of XML-DSig, signed and verified.

Enveloped in the root as its last child; one Reference to the whole document, whose only transform is the
enveloped signature, so that the digest is over inclusive C14N 1.0 of the document without the Signature;
SignedInfo in exclusive C14N; ECDSA P-256 with SHA-256 as raw r || s; KeyInfo names the certificate by issuer
and serial number, which is looked up in the key ring and never taken from the document.

The verifier compares the Signature element with the one shape that this profile allows, element by element.
Anything else, however valid as XML-DSig, is refused by name: the less is understood, the less can be forged.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lxml import etree

from lamplighter.kit import DecodeError, UsageError, VerificationError
from lamplighter.kit.instant import to_iso
from lamplighter.protocol.duis.document import DSIG, SIGNATURE
from lamplighter.protocol.duis.grammar import SPACE, escape, local
from lamplighter.protocol.duis.reader import read
from lamplighter.protocol.duis.requests import encode_request
from lamplighter.protocol.duis.simple_types import read_base64, write_base64
from lamplighter.protocol.smki import SIGNATURE_OCTETS, Use, is_signed_by

if TYPE_CHECKING:
    from lamplighter.kit import Instant
    from lamplighter.protocol.duis.requests import Request
    from lamplighter.protocol.smki import Certificate, KeyRing, Signer

_DS: Final = f"{{{DSIG}}}"
_EXCLUSIVE_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ECDSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
_ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_SHA256: Final = "http://www.w3.org/2001/04/xmlenc#sha256"
_SERIAL_DIGITS: Final = 49  # 20 octets, RFC 5280 4.1.2.2


class _Shape(NamedTuple):
    """One element of the Signature in document order: with the number of children, this is the whole tree."""

    tag: str
    children: int
    attributes: list[tuple[str, str]]
    check: str
    """The slug of a refusal because of this element."""


def _shape(name: str, children: int, check: str = "xml-signature-shape", **attributes: str) -> _Shape:
    return _Shape(_DS + name, children, list(attributes.items()), check)


_SHAPE: Final = (
    _shape("Signature", 3),
    _shape("SignedInfo", 3),
    _shape("CanonicalizationMethod", 0, "xml-canonicalization-algorithm", Algorithm=_EXCLUSIVE_C14N),
    _shape("SignatureMethod", 0, "xml-signature-algorithm", Algorithm=_ECDSA_SHA256),
    _shape("Reference", 3, "xml-reference", URI=""),
    _shape("Transforms", 1, "xml-transform"),
    _shape("Transform", 0, "xml-transform", Algorithm=_ENVELOPED),
    _shape("DigestMethod", 0, "xml-digest-algorithm", Algorithm=_SHA256),
    _shape("DigestValue", 0),
    _shape("SignatureValue", 0),
    _shape("KeyInfo", 1, "xml-keyinfo"),
    _shape("X509Data", 1, "xml-keyinfo"),
    _shape("X509IssuerSerial", 2, "xml-keyinfo"),
    _shape("X509IssuerName", 0, "xml-keyinfo"),
    _shape("X509SerialNumber", 0, "xml-keyinfo"),
)
_SIGNED_INFO, _DIGEST_VALUE, _SIGNATURE_VALUE, _ISSUER, _SERIAL = 1, 8, 9, 13, 14
_WITH_TEXT: Final = (_DIGEST_VALUE, _SIGNATURE_VALUE, _ISSUER, _SERIAL)

_SIGNED_INFO_TEXT: Final = (
    f'<ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{_EXCLUSIVE_C14N}"/>'
    f'<ds:SignatureMethod Algorithm="{_ECDSA_SHA256}"/>'
    '<ds:Reference URI=""><ds:Transforms>'
    f'<ds:Transform Algorithm="{_ENVELOPED}"/>'
    "</ds:Transforms>"
    f'<ds:DigestMethod Algorithm="{_SHA256}"/>'
    "<ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>"
)
_SIGNATURE_TEXT: Final = (
    f'<ds:Signature xmlns:ds="{DSIG}">{_SIGNED_INFO_TEXT}'
    "<ds:SignatureValue>%s</ds:SignatureValue>"
    "<ds:KeyInfo><ds:X509Data><ds:X509IssuerSerial>"
    "<ds:X509IssuerName>%s</ds:X509IssuerName><ds:X509SerialNumber>%s</ds:X509SerialNumber>"
    "</ds:X509IssuerSerial></ds:X509Data></ds:KeyInfo></ds:Signature>"
)


def _expanded(text: str) -> str:
    """Canonical XML has no empty-element tags."""
    return re.sub(r"<([\w:]+)([^<>]*)/>", r"<\1\2></\1>", text)


_CANONICAL_SIGNED_INFO: Final = _expanded(_SIGNED_INFO_TEXT).replace(">", f' xmlns:ds="{DSIG}">', 1)
_START: Final = b"<ds:Signature "
_DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>'  # which canonical XML leaves out
_LAST_TAG: Final = rb"(?=</[^<>]*>\s*\Z)"
_DIGEST: Final = "([A-Za-z0-9+/]{43}=)"
_VALUE: Final = "((?:[A-Za-z0-9+/= \t\n]|&#13;){88,120})"  # the DCC breaks it with a carriage return
_NAME: Final = "([ -%'-;=?-~]{1,200})"  # printable ASCII but for & < >
_NUMBER: Final = f"([0-9]{{1,{_SERIAL_DIGITS}}})"
_SPLICED: Final = re.compile(
    (re.escape(_SIGNATURE_TEXT) % (_DIGEST, _VALUE, _NAME, _NUMBER)).encode() + _LAST_TAG
)


class _Parts(NamedTuple):
    """What a Signature says."""

    signed_info: bytes
    """In exclusive canonical form."""
    digest: str
    """Base64."""
    value: str
    """Base64."""
    issuer: str
    """X509IssuerName."""
    serial: str
    """X509SerialNumber."""


def sign(xml: bytes, signer: Signer) -> bytes:
    """The document with a signature as last child of its root; every other octet stays as it is."""
    try:
        root = read(xml)
    except (DecodeError, VerificationError) as cause:
        raise UsageError(f"this document cannot be signed: {cause}") from cause
    if is_signed(root):
        raise UsageError("this document is signed already")
    end = xml.rfind(b"</")
    if end < 0 or not len(root):
        raise UsageError("an empty document cannot be signed")
    return _spliced(xml, end, _canonical(root), signer)


def sign_request(request: Request, signer: Signer) -> bytes:
    """A request as XML and signed: `sign(encode_request(request), signer)`, without reading it back.

    What `encode_request` writes is in canonical form already, its XML declaration apart, wherever it has
    no empty element and no reference: a request of 2 MB need not be parsed to be signed.
    """
    xml = encode_request(request)
    if not xml.startswith(_DECLARATION) or b"&" in xml or _has_empty_element(xml):
        return sign(xml, signer)
    return _spliced(xml, xml.rfind(b"</"), memoryview(xml)[len(_DECLARATION) :], signer)


def _has_empty_element(xml: bytes) -> bool:
    """Whether any tag ends in `/>`; base64 is full of the first and has none of the second octet."""
    at = xml.find(b">")
    while at >= 0:
        if xml[at - 1 : at] == b"/":
            return True
        at = xml.find(b">", at + 1)
    return False


def _spliced(xml: bytes, end: int, canonical: bytes | memoryview, signer: Signer) -> bytes:
    # Spliced as text: lxml would rename the prefix where the root binds the same namespace to another.
    digest = write_base64(hashlib.sha256(canonical).digest())
    value = write_base64(signer.sign((_CANONICAL_SIGNED_INFO % digest).encode()))
    certificate = signer.certificate
    element = _SIGNATURE_TEXT % (digest, value, escape(certificate.issuer), certificate.serial)
    return b"".join((memoryview(xml)[:end], element.encode(), memoryview(xml)[end:]))


def is_signed(root: Any) -> bool:
    """Whether there is a Signature anywhere in the document."""
    return next(root.iter(SIGNATURE), None) is not None


def verify(octets: bytes, ring: KeyRing, *, role: int, now: Instant | None) -> tuple[Any, Certificate]:
    """The root of the document without its Signature, and the certificate under which it is signed.

    role  the remote party role that may sign such a document
    now   when the certificate must be valid; None switches that check off
    """
    root, parts = _spliced_parts(octets) or _parts(read(octets))
    certificate = _certificate(parts, ring)
    _check_certificate(certificate, role, now)
    digest = _octets("DigestValue", parts.digest, hashlib.sha256().digest_size)
    value = _octets("SignatureValue", parts.value, SIGNATURE_OCTETS)
    # In this order: whoever has no signature of the certificate's holder makes us canonicalise nothing.
    if not is_signed_by(certificate.public_key, parts.signed_info, value):
        raise VerificationError("xml-signature", f"a signature by {certificate}", "one that is not")
    found = hashlib.sha256(_canonical(root)).digest()
    if found != digest:
        raise VerificationError("xml-digest", digest.hex(), found.hex())
    return root, certificate


def _spliced_parts(octets: bytes) -> tuple[Any, _Parts] | None:
    """The reverse of `sign`, for a Signature that is spelt as the DCC and `sign` spell it; else None.

    What is cut out is a whole Signature with its own namespace declaration, right before the last end tag.
    The rest must parse, and the reader admits no comment, CDATA section or instruction: so that end tag is
    the root's, and the Signature was the root's last child. This way saves a tenth of the whole; a test
    holds it against the other.
    """
    start = octets.rfind(_START)
    found = _SPLICED.match(octets, start) if start >= 0 else None
    if found is None:
        return None
    root = read(octets[:start] + octets[found.end() :])
    if is_signed(root):
        raise VerificationError("xml-signature-count", "one Signature", "another before the last")
    digest, value, issuer, serial = (text.decode() for text in found.groups())
    signed_info = (_CANONICAL_SIGNED_INFO % digest).encode()
    return root, _Parts(signed_info, digest, value.replace("&#13;", "\r"), issuer, serial)


def _parts(root: Any) -> tuple[Any, _Parts]:
    """The same for any spelling, element by element."""
    signature = _only_signature(root)
    elements = list(signature.iter())
    _check_shape(elements)
    signed_info = _canonical(elements[_SIGNED_INFO], exclusive=True)
    texts = [elements[index].text or "" for index in _WITH_TEXT]
    _take_out(signature)
    return root, _Parts(signed_info, *texts)


def _only_signature(root: Any) -> Any:
    signatures = list(root.iter(SIGNATURE))
    if not signatures:
        raise VerificationError("xml-unsigned", "a Signature", "none")
    if len(signatures) > 1:
        raise VerificationError("xml-signature-count", "one Signature", str(len(signatures)))
    signature = signatures[0]
    if signature.getparent() is not root or signature.getnext() is not None:
        place = f"elsewhere, at line {signature.sourceline}"
        raise VerificationError("xml-signature-moved", "the Signature as last child of the root", place)
    return signature


def _check_shape(elements: list[Any]) -> None:
    for index, (element, (tag, children, attributes, check)) in enumerate(
        zip(elements, _SHAPE, strict=False)
    ):
        if element.tag != tag:
            raise VerificationError(check, tag.removeprefix(_DS), local(element))
        if element.items() != attributes:
            raise VerificationError(check, _shown(attributes), _shown(element.items()))
        if len(element) != children:
            raise VerificationError(check, f"{children} inside {local(element)}", str(len(element)))
        if index not in _WITH_TEXT and (text := element.text) and text.strip(SPACE):
            raise VerificationError(check, f"no text in {local(element)}", repr(text[:40]))
        if index and (text := element.tail) and text.strip(SPACE):
            raise VerificationError(check, f"no text after {local(element)}", repr(text[:40]))


def _certificate(parts: _Parts, ring: KeyRing) -> Certificate:
    issuer, serial = parts.issuer, parts.serial
    if not (serial.isascii() and serial.isdigit() and len(serial) <= _SERIAL_DIGITS):
        raise VerificationError("xml-keyinfo", "a serial number", repr(serial[:60]))
    certificate = ring.by_serial(issuer, int(serial))
    if certificate is None:
        named = f"{issuer[:60]}, {serial}"
        raise VerificationError("xml-certificate-unknown", "a certificate of the key ring", named)
    return certificate


def _check_certificate(certificate: Certificate, role: int, now: Instant | None) -> None:
    if certificate.use is not Use.DIGITAL_SIGNATURE:
        raise VerificationError("xml-certificate-use", "digital signature", certificate.use.name)
    if certificate.role != role:
        raise VerificationError("xml-certificate-role", f"role {role:02X}", str(certificate))
    if now is not None and not certificate.not_before <= now <= certificate.not_after:
        span = f"{to_iso(certificate.not_before)} to {to_iso(certificate.not_after)}"
        raise VerificationError("xml-certificate-expired", f"a time from {span}", to_iso(now))


def _octets(name: str, text: str, count: int) -> bytes:
    try:
        octets = read_base64(text)
    except ValueError:
        raise VerificationError("xml-signature-shape", f"base64 in {name}", repr(text[:40])) from None
    if len(octets) != count:
        raise VerificationError("xml-signature-shape", f"{count} octets in {name}", f"{len(octets)} octets")
    return octets


def _take_out(signature: Any) -> None:
    """The enveloped-signature transform: the element goes, the white space behind it stays."""
    root, before, tail = signature.getparent(), signature.getprevious(), signature.tail or ""
    if before is None:
        root.text = (root.text or "") + tail
    else:
        before.tail = (before.tail or "") + tail
    root.remove(signature)


def _canonical(element: Any, *, exclusive: bool = False) -> bytes:
    try:
        return bytes(
            etree.tostring(element, method="c14n", exclusive=exclusive, with_comments=False, with_tail=False)
        )
    except etree.C14NError as cause:
        raise DecodeError("XML", "document", 0, "a document with a canonical form", str(cause)) from cause


def _shown(attributes: list[tuple[str, str]]) -> str:
    return ", ".join(f'{name[:40]}="{value[:80]}"' for name, value in attributes[:5]) or "no attribute"
