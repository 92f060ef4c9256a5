"""Reading and writing what the user names: bounded, never overwriting unasked, errors naming the file."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lamplighter.kit import LamplighterError, UsageError
from lamplighter.service import writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STDIN: Final = "-"
MAX_INPUT_OCTETS: Final = 32_000_000  # the largest image in base64 inside its request, twice over


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Put the file's name before whatever is refused inside."""
    try:
        yield
    except LamplighterError as error:
        error.add_note(name_of(path))
        raise


def name_of(path: Path) -> str:
    """What to call it: the path as given, or `stdin`."""
    return "stdin" if str(path) == STDIN else str(path)


def printable(text: str) -> str:
    """Text that cannot steer a terminal nor break its own line: what is not printable is escaped.

    All that people are shown comes through here. JSON does not: it holds the text as it is.
    """
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)


def read(path: Path) -> bytes:
    """All octets of a file, or of stdin for `-`."""
    try:
        if str(path) == STDIN:
            octets = sys.stdin.buffer.read(MAX_INPUT_OCTETS + 1)
        else:
            with path.open("rb") as file:
                octets = file.read(MAX_INPUT_OCTETS + 1)
    except OSError as cause:
        raise UsageError(f"cannot read {name_of(path)}: {cause.strerror}") from cause
    if len(octets) > MAX_INPUT_OCTETS:
        raise UsageError(f"{name_of(path)} is larger than {MAX_INPUT_OCTETS} octets")
    return octets


def is_xml(octets: bytes) -> bool:
    """Whether octets start as an XML document does, a byte order mark and white space aside."""
    return octets.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def write(path: Path, octets: bytes, *, force: bool) -> None:
    """Write a file; one that exists is replaced only if forced, and then at one stroke."""
    if len(path.parts) == 1 and path.name.startswith(STDIN):  # an option whose own file name is missing, too
        raise UsageError(f"{path} is no file to write: this command writes files only")
    try:
        (writing.replace if force else writing.write_new)(path, octets)
    except FileExistsError as cause:
        raise UsageError(f"{path} exists already; --force replaces it") from cause
    except OSError as cause:
        raise UsageError(f"cannot write {path}: {cause.strerror}") from cause
