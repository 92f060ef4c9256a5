"""The words that several commands share, each with its one meaning and its help."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, Self

from cyclopts import Parameter, Token

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash
from lamplighter.kit.instant import DAY, HOUR, MILLISECOND, MINUTE, SECOND

_UNITS: Final = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": MILLISECOND}
_PARTS: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)", re.ASCII)
_PORT_MAX: Final = 65_535
_DURATION: Final = re.compile(f"(?:{_PARTS.pattern})+", re.ASCII)


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


def duration(text: str) -> int:
    """Microseconds of `90s`, `45m`, `12h`, `2d` or `1d12h`."""
    if not _DURATION.fullmatch(text):
        raise DecodeError("duration", "text", 0, "such as 90s, 45m, 12h, 2d or 1d12h", repr(text[:40]))
    return sum(round(float(number) * _UNITS[unit]) for number, unit in _PARTS.findall(text))


def duration_text(microseconds: int) -> str:
    """A duration as it is written on a command line: `1d12h`."""
    said, left = "", microseconds
    for unit, size in sorted(_UNITS.items(), key=lambda it: -it[1]):
        count, left = divmod(left, size)
        said += f"{count}{unit}" if count else ""
    return said or "0s"


class Address(NamedTuple):
    """Where to listen."""

    host: str
    """A name or a number."""
    port: int
    """0: any free one."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """As a browser on this machine has it."""
        return f"http://{self}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """`HOST:PORT`, `[::1]:PORT`, or a port alone, which is this machine's own."""
        host, _, port = text.rpartition(":")
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not (port.isascii() and port.isdigit() and int(port) <= _PORT_MAX) or text.startswith(":"):
            raise DecodeError("address", "text", 0, "HOST:PORT, such as 127.0.0.1:8000", repr(text[:80]))
        return cls(host or "127.0.0.1", int(port))


Source = Annotated[Path, Parameter(allow_leading_hyphen=True)]
"""A file to read, or `-` for stdin."""

Out = Annotated[Path, Parameter(alias="-o", allow_leading_hyphen=True)]
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
At = Annotated[Address, _value(Address.parse, "HOST:PORT"), Parameter(show_default=str)]
Duration = Annotated[int, _value(duration, "DURATION"), Parameter(show_default=duration_text)]

ENVIRONMENT: Final = "LAMPLIGHTER_"
"""Before the name of a setting that may stand in the environment instead."""

DATABASE: Final = "sqlite:///lamplighter.db"
"""Where a Supplier's database is if nothing is said: a file in the working directory."""

Database = Annotated[
    str,
    Parameter(
        env_var=f"{ENVIRONMENT}DATABASE",
        help="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.",
        negative="",
    ),
]

Who = Annotated[
    str,
    Parameter(
        env_var=f"{ENVIRONMENT}USER",
        help="Who does it, for the record. Default: who is logged in.",
        negative="",
        show_default=False,
    ),
]
