"""The words that several commands share, each with its one meaning and its help."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash


def _value(parse: Callable[[str], Any], metavar: str, *, several: bool = False) -> Parameter:
    """A parameter whose words are read by `parse`, the one reader of such text in the whole house."""

    def convert(_: Any, tokens: Sequence[Token]) -> Any:
        try:
            values = [parse(token.value) for token in tokens]
        except DecodeError as cause:
            raise ValueError(f"expected {cause.expected}, found {cause.found}") from cause
        return values if several else values[0]

    return Parameter(converter=convert, n_tokens=1, accepts_keys=False, negative="", metavar=metavar)


def _version(text: str) -> FirmwareVersion:
    return FirmwareVersion.parse(text.removeprefix("0x"))


def _hex16(text: str) -> int:
    digits = text.lower().removeprefix("0x")
    if not 1 <= len(digits) <= 4 or set(digits) - set("0123456789abcdef"):
        raise DecodeError("number", "text", 0, "1 to 4 hex digits", repr(text))
    return int(digits, 16)


Source = Annotated[Path, Parameter(allow_leading_hyphen=True)]
"""A file to read, or `-` for stdin."""

Out = Annotated[Path, Parameter(alias="-o")]
"""A file to write."""

Force = Annotated[
    bool, Parameter(negative="", show_default=False, help="Replace the output file where it exists.")
]

Keys = Annotated[Path | None, Parameter(help="Key directory, to check signatures with.")]

Eui = Annotated[Eui64, _value(Eui64.parse, "EUI64")]
Euis = Annotated[list[Eui64] | None, _value(Eui64.parse, "EUI64", several=True)]
Version = Annotated[FirmwareVersion, _value(_version, "HEX")]
Hash = Annotated[ImageHash, _value(ImageHash.parse, "HEX")]
Hex16 = Annotated[int, _value(_hex16, "HEX"), Parameter(show_default="{:04X}".format)]
