"""What differs between two images, field by field, as a release manager asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lamplighter.protocol.image.ota import Image


class Difference(NamedTuple):
    """One field in which two images differ.

    name    the field, in the words of the specification
    first   what the first image has
    second  what the second has
    """

    name: str
    first: str
    second: str


def compare(first: Image, second: Image) -> tuple[Difference, ...]:
    """The differences in the order of the file; none means that both encode to the same octets.

    Two images with one hash and different headers are the same firmware in different wrapping.
    """
    pairs = zip(_facts(first), _facts(second), strict=True)
    return tuple(Difference(name, one, other) for (name, one), (_, other) in pairs if one != other)


def _facts(image: Image) -> tuple[tuple[str, str], ...]:
    header = image.header
    return (
        ("layout", image.layout.value),
        ("manufacturer code", f"0x{header.manufacturer:04X}"),
        ("image type", f"0x{header.image_type:04X}"),
        ("file version", str(header.file_version)),
        ("Zigbee stack version", f"0x{header.stack_version:04X}"),
        ("header string", repr(header.text)[2:-1]),
        ("total image size", str(header.total_size)),
        ("minimum hardware version", f"0x{header.minimum_hardware:04X}"),
        ("maximum hardware version", f"0x{header.maximum_hardware:04X}"),
        ("Manufacturer Image Hash", str(image.hash)),
        ("Force Replace", "yes" if image.force_replace else "no"),
        ("Supplier signature", "none" if image.signature is None else image.signature.hex()),
    )
