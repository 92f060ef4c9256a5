"""Files written whole or not at all: what fails half-way leaves nothing behind."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_new(path: Path, octets: bytes, mode: int = 0o666) -> None:
    """Write a new file, of this mode less the umask; one that exists is a `FileExistsError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def replace(path: Path, octets: bytes) -> None:
    """Write a file at one stroke, in place of one that exists."""
    scratch = path.parent / f".{secrets.token_hex(8)}.part"
    write_new(scratch, octets)
    try:
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
