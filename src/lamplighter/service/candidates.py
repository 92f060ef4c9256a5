"""Images that somebody would make a release of: read out of whatever carries them, and checked one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.kit import FirmwareVersion, UsageError, VerificationError
from lamplighter.protocol import duis, image
from lamplighter.protocol.image import Image, Layout
from lamplighter.protocol.smki import Role, Use
from lamplighter.registry import CplStatus, Procedure, Release

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamplighter.kit import Eui64
    from lamplighter.protocol.smki import Certificate, Ring
    from lamplighter.registry import CplEntry

NAME_MAX: Final = 64
SECURITY_MAX: Final = 64
_PROCEDURES: Final = {Layout.SRV_11_4: Procedure.ONE_STEP, Layout.SRV_11_1: Procedure.TWO_STEP}


class Check(NamedTuple):
    """One check and how it went: True passed, False failed, None could not be made."""

    check: str
    passed: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image, as somebody gave it."""

    octets: bytes
    """The OTA file."""
    layout: Layout | None
    """What it was said to be; None: nothing was said, and it was guessed."""
    image: Image
    """What is in it."""
    origin: str
    """What carried it, for people."""

    def release(self, after: Iterable[FirmwareVersion] = ()) -> Release:
        """The release that it would be; raises `UsageError` where it may follow itself."""
        header = self.image.header
        release = Release(
            _PROCEDURES[self.image.layout],
            header.manufacturer,
            header.file_version,
            self.image.hash,
            header.minimum_hardware,
            header.maximum_hardware,
            self.octets,
            frozenset(after),
        )
        if release.version in release.path:
            raise UsageError(
                f"{release.version} cannot follow itself: that is the version of the image itself"
            )
        return release


def read(octets: bytes, srv: str | None = None) -> Candidate:
    """An image out of an OTA file, or out of the DUIS request that carries one.

    srv  11.1 or 11.4, where somebody said which; a request that says otherwise is refused

    Raises `DecodeError` where it is neither, and `UsageError` where the request carries no image.
    """
    layout = None if srv is None else Layout(srv)
    origin = "OTA file"
    if octets.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
        octets, carried, origin = _from_request(octets)
        if layout is not None and layout is not carried:
            raise UsageError(f"SRV {srv} contradicts the request, which is {carried.value}")
        layout = carried
    return Candidate(octets, layout, image.decode(octets, layout), origin)


def checks(
    candidate: Candidate,
    release: Release,
    entries: Sequence[CplEntry],
    ring: Ring | None = None,
    max_octets: int = image.MAX_IMAGE_OCTETS,
) -> list[Check]:
    """All that is checked before an image becomes a release; `entries` are the CPL's of its version."""
    found = candidate.image
    signed = [signature(found, ring)] if found.layout is Layout.SRV_11_1 else []
    return [size(found, max_octets), *signed, listed(release, entries)]


def check_name(name: str) -> None:
    """Raise `UsageError` for what no release can be called."""
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable() or name != name.strip():
        raise UsageError(
            f"a release's name: expected 1 to {NAME_MAX} printable characters, found {name[:80]!r}"
        )
    if name.isdecimal():
        raise UsageError(f"a release's name: {name!r} is of digits alone, and could be another one's number")


def check_security(reference: str) -> None:
    """Raise `UsageError` for what names nothing that a release could cure."""
    if (
        not 1 <= len(reference) <= SECURITY_MAX
        or not reference.isprintable()
        or reference != reference.strip()
    ):
        raise UsageError(
            f"a security reference, such as CVE-2026-1234: expected 1 to {SECURITY_MAX} printable "
            f"characters, found {reference[:80]!r}"
        )


def size(found: Image, limit: int) -> Check:
    """Whether the network carries it."""
    octets = found.header.total_size
    try:
        image.check(found, max_image_octets=limit)
    except VerificationError as refusal:
        return Check("size", False, f"expected {refusal.expected}, found {refusal.found}")
    return Check("size", True, f"{octets} octets, limit {limit}")


def signature(subject: Image, ring: Ring | None, supplier: Eui64 | None = None) -> Check:
    """Whether the Supplier's signature on an image is good, as far as the keys can tell."""
    check = "Supplier signature"
    if subject.signature is None:
        return Check(check, None if supplier is None else False, "none: an 11.4 image bears none")
    if ring is None:
        return Check(check, None, "present, not checked: no --keys were given")
    candidates = supplier_certificates(ring, supplier)
    if not candidates:
        whose = "a Supplier" if supplier is None else f"the Supplier {supplier}"
        return Check(check, False, f"by nobody known: the keys hold no signing certificate of {whose}")
    for certificate in candidates:
        try:
            image.verify_supplier(subject, certificate.public_key)
        except VerificationError:
            continue
        return Check(check, True, f"by {certificate}")
    holders = ", ".join(dict.fromkeys(str(certificate.holder) for certificate in candidates))
    return Check(check, False, f"by none of the Suppliers known: {holders}")


def supplier_certificates(ring: Ring, supplier: Eui64 | None) -> tuple[Certificate, ...]:
    """The certificates under which a Supplier may have signed an image."""
    return tuple(
        certificate
        for certificate in ring
        if certificate.role == Role.SUPPLIER
        and certificate.use is Use.DIGITAL_SIGNATURE
        and supplier in {None, certificate.holder}
    )


def listed(release: Release, entries: Iterable[CplEntry]) -> Check:
    """What the Central Products List says of an image."""
    ours = [it for it in entries if it.manufacturer == release.manufacturer]
    ours = [it for it in ours if release.minimum_hardware <= it.hardware <= release.maximum_hardware]
    other = sorted({str(it.hash) for it in ours if it.hash != release.hash})
    active = [it for it in ours if it.hash == release.hash and it.status is CplStatus.ACTIVE]
    if other and not active:  # where it is listed, another hash of the version is another model's
        return Check("CPL", False, f"expected the hash {release.hash}, found {', '.join(other)}")
    if not active:
        return Check("CPL", None, "no active entry has this version and hash yet: no Device is eligible")
    models = ", ".join(sorted(f"{it.model:04X}{it.hardware:04X}" for it in active))
    return Check("CPL", True, f"active for {models}")


def _from_request(octets: bytes) -> tuple[bytes, Layout, str]:
    request = duis.decode_request(octets)
    match request.body:
        case duis.UpdateFirmware(image=carried):
            layout = Layout.SRV_11_1
        case duis.UpdatePpmidFirmware(image=carried):
            layout = Layout.SRV_11_4
        case other:
            raise UsageError(
                f"expected a request that carries an image (11.1, 11.4), found {type(other).__name__}"
            )
    return carried, layout, f"image in the {layout.value} request {request.id}"
