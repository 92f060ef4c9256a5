"""OTA Upgrade Image: the file that SRV 11.1 and 11.4 carry (Zigbee OTA file format, as GBCS narrows it).

    header (60, little-endian) ‖ Manufacturer Image (1..)                                              11.4
    header (60, little-endian) ‖ Manufacturer Image (1..) ‖ Force Replace (1) ‖ 40 ‖ r ‖ s (64)        11.1

Unlike Zigbee's own files, the Manufacturer Image is raw, without sub-element tags. Nothing in the file says
which of the two layouts it has; `guess_layout` says how it is guessed where the caller does not know.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from lamplighter.kit import (
    Cursor,
    Field,
    FirmwareVersion,
    ImageHash,
    TracingCursor,
    UsageError,
    VerificationError,
)
from lamplighter.protocol.image.seal import is_sealed
from lamplighter.protocol.smki import SIGNATURE_OCTETS

SCHEMA_MAX_OCTETS: Final = 10_240_000  # DUIS 5.4, FirmwareImage: the hard limit
MAX_IMAGE_OCTETS: Final = 750_000  # what networks carry in practice; public memory, so a setting of `check`

FILE_IDENTIFIER: Final = 0x0BEEF11E  # Zigbee OTA header: upgrade file identifier
HEADER_VERSION: Final = 0x0100
HEADER_OCTETS: Final = 60  # with both hardware versions and no other optional field
FIELD_CONTROL: Final = 0x0004  # bit 2: hardware versions present
TEXT_OCTETS: Final = 32
ZIGBEE_PRO: Final = 0x0002  # Zigbee stack version, as both published images have it

TRAILER_OCTETS: Final = 2 + SIGNATURE_OCTETS  # Force Replace, signature length, r ‖ s

_IMAGE: Final = "OTA Upgrade Image"
_HEADER: Final = struct.Struct("<IHHHHHIH32sIHH")
_TOTAL_SIZE_AT: Final = 52
_MINIMUM_HARDWARE_AT: Final = 56
_CONTROL_BITS: Final = ("security credential version", "device specific file")
_TRAILER_LEADS: Final = (bytes((0x00, SIGNATURE_OCTETS)), bytes((0x01, SIGNATURE_OCTETS)))


class Layout(Enum):
    """Which service request an image is for, and so whether the Supplier's trailer ends it."""

    SRV_11_1 = "11.1"
    """ESME, GSME, HCALCS: Force Replace and the Supplier's signature follow the Manufacturer Image."""

    SRV_11_4 = "11.4"
    """PPMID: the file ends with the Manufacturer Image."""


@dataclass(frozen=True, slots=True)
class OtaHeader:
    """The 60 octets before the Manufacturer Image. No signature and no hash covers them."""

    manufacturer: int
    """Zigbee manufacturer code, 16 bits."""
    image_type: int
    """Image type, 16 bits; 0x0084 in the published PPMID image, 0x0000 in the ESME's."""
    file_version: FirmwareVersion
    """The version that the Device will report once it runs this image."""
    stack_version: int
    """Zigbee stack version, 16 bits; 0x0002 is Zigbee PRO."""
    text: bytes
    """OTA header string, 32 octets as they are; free text, often without an end mark."""
    total_size: int
    """Octets of the whole file, with header and trailer, 32 bits."""
    minimum_hardware: int
    """Lowest hardware version that may run the image, 16 bits: version and revision octet."""
    maximum_hardware: int
    """Highest hardware version that may run the image, 16 bits. The hub tests the Device against both."""

    def __post_init__(self) -> None:
        if not 0 <= self.minimum_hardware <= self.maximum_hardware <= 0xFFFF:
            raise UsageError(
                "the hardware versions must satisfy 0 <= minimum <= maximum <= 65535; "
                f"they are {self.minimum_hardware} and {self.maximum_hardware}"
            )
        for name in ("manufacturer", "image_type", "stack_version"):
            if not 0 <= getattr(self, name) <= 0xFFFF:
                raise UsageError(f"{name.replace('_', ' ')} has 16 bits; {getattr(self, name)} does not fit")
        if len(self.text) != TEXT_OCTETS:
            raise UsageError(f"the header string has {TEXT_OCTETS} octets, not {len(self.text)}")

    def accepts_hardware(self, version: int) -> bool:
        """Whether a Device of this hardware version may run the image."""
        return self.minimum_hardware <= version <= self.maximum_hardware


@dataclass(frozen=True, slots=True)
class Image:
    """One OTA Upgrade Image. Its hash is taken once, when the value is made."""

    header: OtaHeader
    """The OTA header; its total size is that of the whole file."""
    body: memoryview = field(repr=False)
    """The Manufacturer Image, a view into the file that was read; `manufacturer_image` is a copy."""
    signature: bytes | None = None
    """The Supplier's signature r ‖ s over the Manufacturer Image; None in layout 11.4."""
    force_replace: bool = False
    """Layout 11.1 only. Every published image has 00; 01 is read as its natural opposite."""
    hash: ImageHash = field(init=False, compare=False)
    """Manufacturer Image Hash: SHA-256 of the Manufacturer Image alone."""

    def __post_init__(self) -> None:
        if not self.body.readonly or not self.body.nbytes:
            raise UsageError("a Manufacturer Image is at least one octet and never changes")
        if self.signature is None:
            if self.force_replace:
                raise UsageError("Force Replace exists in layout 11.1 only, beside a signature")
        elif len(self.signature) != SIGNATURE_OCTETS:
            raise UsageError(f"a Supplier signature has 64 octets, not {len(self.signature)}")
        size = HEADER_OCTETS + self.body.nbytes + (0 if self.signature is None else TRAILER_OCTETS)
        if self.header.total_size != size:
            raise UsageError(f"the header says {self.header.total_size} octets and the image has {size}")
        object.__setattr__(self, "hash", ImageHash(hashlib.sha256(self.body).digest()))

    @property
    def layout(self) -> Layout:
        """11.1 with a Supplier signature, 11.4 without."""
        return Layout.SRV_11_4 if self.signature is None else Layout.SRV_11_1

    @property
    def manufacturer_image(self) -> bytes:
        """The Manufacturer Image, copied out of the file."""
        return bytes(self.body)


def guess_layout(octets: bytes) -> Layout:
    """The layout that a file most likely has, for callers that were not told.

    A file that ends in a seal's mark is 11.4. Else one with `00 40` 66 octets before its end is 11.1, and any
    other 11.4. So an 11.1 image with Force Replace set must be named as such, and of unsealed 11.4 images
    whose octets look random one in 65,536 is taken for 11.1. Where it matters, say which.
    """
    return Layout.SRV_11_1 if _may_end_in_trailer(octets, _TRAILER_LEADS[:1]) else Layout.SRV_11_4


def _may_end_in_trailer(octets: bytes, leads: tuple[bytes, ...] = _TRAILER_LEADS) -> bool:
    return octets[-TRAILER_OCTETS : 2 - TRAILER_OCTETS] in leads and not is_sealed(octets)


def decode(octets: bytes, layout: Layout | None = None) -> Image:
    """Read a whole file; `layout` None means guess. The image keeps a view of `octets` and copies nothing."""
    octets = bytes(octets)  # free for bytes; a bytearray could change under the view
    return _read(Cursor(_IMAGE, memoryview(octets)), octets, layout)


def explain(octets: bytes, layout: Layout | None = None) -> tuple[tuple[Field, str], ...]:
    """Every field of a file in order, each with its meaning; refuses what `decode` refuses."""
    cursor = TracingCursor(_IMAGE, memoryview(octets))
    image = _read(cursor, octets, layout)
    return tuple((noted, _meaning(noted, image)) for noted in cursor.fields)


def encode(image: Image) -> bytes:
    """The whole file, byte for byte as it was read."""
    header = image.header
    parts: list[bytes | memoryview] = [
        _HEADER.pack(
            FILE_IDENTIFIER,
            HEADER_VERSION,
            HEADER_OCTETS,
            FIELD_CONTROL,
            header.manufacturer,
            header.image_type,
            header.file_version.number,
            header.stack_version,
            header.text,
            header.total_size,
            header.minimum_hardware,
            header.maximum_hardware,
        ),
        image.body,
    ]
    if image.signature is not None:
        parts += (bytes((image.force_replace, SIGNATURE_OCTETS)), image.signature)
    return b"".join(parts)


def build(
    manufacturer_image: bytes,
    *,
    manufacturer: int,
    image_type: int,
    file_version: FirmwareVersion,
    minimum_hardware: int,
    maximum_hardware: int,
    text: bytes = b"",
    stack_version: int = ZIGBEE_PRO,
) -> Image:
    """A new image in layout 11.4; `sign_supplier` makes it one of 11.1. `text` is padded with zeros."""
    size = HEADER_OCTETS + len(manufacturer_image)
    if size > SCHEMA_MAX_OCTETS:
        raise UsageError(f"an image of {size} octets is larger than the schema's {SCHEMA_MAX_OCTETS}")
    header = OtaHeader(
        manufacturer,
        image_type,
        file_version,
        stack_version,
        text.ljust(TEXT_OCTETS, b"\0"),
        size,
        minimum_hardware,
        maximum_hardware,
    )
    return Image(header, memoryview(bytes(manufacturer_image)))


def check(image: Image, *, layout: Layout | None = None, max_image_octets: int = MAX_IMAGE_OCTETS) -> None:
    """Refuse an image that is well formed and yet must not be sent.

    layout            what the service request demands: a signature for 11.1, none for 11.4, where what looks
                      like one is refused too, with Force Replace or without
    max_image_octets  the largest whole file that the network is known to carry
    """
    size = image.header.total_size
    if size > max_image_octets:
        raise VerificationError("image-size", f"at most {max_image_octets} octets", f"{size}")
    if layout is Layout.SRV_11_1 and image.signature is None:
        raise VerificationError("image-layout", "11.1, ending in a Supplier signature", "11.4, without one")
    if layout is Layout.SRV_11_4:
        tail = bytes(image.body[-TRAILER_OCTETS:])
        if image.signature is not None or _may_end_in_trailer(tail):
            raise VerificationError("image-layout", "11.4, without a Supplier signature", "11.1, with one")


def _read(cursor: Cursor, octets: bytes, layout: Layout | None) -> Image:
    size = len(octets)
    if size > SCHEMA_MAX_OCTETS:
        cursor.fail("size", f"at most {SCHEMA_MAX_OCTETS} octets", f"{size}")
    header = _read_header(cursor, size)
    if layout is None:
        layout = guess_layout(octets)
    stop = size if layout is Layout.SRV_11_4 else size - TRAILER_OCTETS
    if stop <= HEADER_OCTETS:
        shape = f"at least 1 octet in layout {layout.value}"
        cursor.fail("Manufacturer Image", shape, f"{stop - HEADER_OCTETS}")
    body = _skip(cursor, octets, stop, "Manufacturer Image")
    if layout is Layout.SRV_11_4:
        return Image(header, body)
    at = cursor.at
    force_replace = cursor.u8("Force Replace")
    if force_replace > 1:
        cursor.fail("Force Replace", "0x00 or 0x01", f"0x{force_replace:02X}", at=at)
    _constant(cursor, 1, "signature length", SIGNATURE_OCTETS)
    return Image(header, body, cursor.take(SIGNATURE_OCTETS, "Supplier signature"), bool(force_replace))


def _read_header(cursor: Cursor, size: int) -> OtaHeader:
    _constant(cursor, 4, "upgrade file identifier", FILE_IDENTIFIER)
    _constant(cursor, 2, "header version", HEADER_VERSION)
    _constant(cursor, 2, "header length", HEADER_OCTETS)
    at = cursor.at
    control = cursor.little(2, "field control")
    if control != FIELD_CONTROL:
        _refuse_control(cursor, control, at)
    manufacturer = cursor.little(2, "manufacturer code")
    image_type = cursor.little(2, "image type")
    file_version = FirmwareVersion(cursor.little(4, "file version"))
    stack_version = cursor.little(2, "Zigbee stack version")
    text = cursor.take(TEXT_OCTETS, "header string")
    total = cursor.little(4, "total image size")
    if total != size:
        whole = f"{size}, the file's size"
        shape = f"at least the header's {HEADER_OCTETS}" if total < HEADER_OCTETS else whole
        cursor.fail("total image size", shape, f"{total}", at=_TOTAL_SIZE_AT)
    minimum = cursor.little(2, "minimum hardware version")
    maximum = cursor.little(2, "maximum hardware version")
    if minimum > maximum:
        shape = f"at most the maximum, 0x{maximum:04X}"
        cursor.fail("minimum hardware version", shape, f"0x{minimum:04X}", at=_MINIMUM_HARDWARE_AT)
    return OtaHeader(manufacturer, image_type, file_version, stack_version, text, total, minimum, maximum)


def _constant(cursor: Cursor, count: int, name: str, expected: int) -> None:
    at = cursor.at
    found = cursor.little(count, name)
    if found != expected:
        digits = 2 * count
        cursor.fail(name, f"0x{expected:0{digits}X}", f"0x{found:0{digits}X}", at=at)


def _refuse_control(cursor: Cursor, control: int, at: int) -> None:
    shape = f"0x{FIELD_CONTROL:04X}, hardware versions present and nothing else"
    for bit, name in enumerate(_CONTROL_BITS):
        if control >> bit & 1:
            shape = f"bit {bit} ({name}) clear"
    cursor.fail("field control", shape, f"0x{control:04X}", at=at)


def _skip(cursor: Cursor, octets: bytes, stop: int, name: str) -> memoryview:
    """Pass over octets too many to copy; a tracing cursor notes them as any other field."""
    start = cursor.at
    if isinstance(cursor, TracingCursor):
        cursor.take(stop - start, name)
    cursor.at = stop
    return memoryview(octets)[start:stop]


def _meaning(noted: Field, image: Image) -> str:
    number = int.from_bytes(noted.octets, "little") if len(noted.octets) <= 4 else 0
    match noted.name:
        case "upgrade file identifier":
            return "an OTA upgrade file"
        case "header version":
            return f"{number >> 8}.{number & 0xFF}"
        case "field control":
            return "hardware versions present"
        case "file version":
            return str(image.header.file_version)
        case "Zigbee stack version":
            return "Zigbee PRO" if number == ZIGBEE_PRO else f"0x{number:04X}"
        case "header string":
            return repr(noted.octets.rstrip(b"\0").decode("ascii", "backslashreplace"))[1:-1]
        case "minimum hardware version" | "maximum hardware version":
            return f"0x{number:04X}: version {number >> 8}, revision {number & 0xFF}"
        case "manufacturer code" | "image type":
            return f"0x{number:04X}"
        case "Manufacturer Image":
            digest = str(image.hash)
            sealed = ", ends in a seal" if is_sealed(noted.octets) else ""
            return f"hash {digest[:8]}…{digest[-4:]}{sealed}"
        case "Force Replace":
            return "yes" if image.force_replace else "no"
        case "Supplier signature":
            return "ECDSA P-256/SHA-256 over the Manufacturer Image, r ‖ s"
        case _:
            return f"{number} octets"
