"""Files that are believed for where they lie: who could have put them there, changed or read them.

All is asked of what was opened, not of its name.
"""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lamplighter.kit import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OPENING: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO without a writer must not hold us up
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@contextmanager
def opened(path: Path, flags: int = 0, within: int | None = None) -> Iterator[int]:
    """A descriptor of the file, looked for in the directory opened as `within`, or by its whole path."""
    try:
        descriptor = os.open(path if within is None else path.name, _OPENING | flags, dir_fd=within)
    except OSError as cause:
        if flags & os.O_NOFOLLOW and path.is_symlink():
            raise UsageError(
                f"{path} is a symbolic link, and what it points to can change unseen: name, or copy here, "
                "the real one"
            ) from cause
        raise UsageError(f"cannot read {path}: {cause.strerror}") from cause
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def octets_of(path: Path, descriptor: int, limit: int) -> tuple[bytes, os.stat_result]:
    """The octets of a regular file and what it is, both of the same opening."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is no regular file")
    try:
        with open(descriptor, "rb", closefd=False) as file:
            octets = file.read(limit + 1)
    except OSError as cause:
        raise UsageError(f"cannot read {path}: {cause.strerror}") from cause
    if len(octets) > limit:
        raise UsageError(f"{path} is larger than any file of keys should be ({limit} octets)")
    return octets, status


def read(path: Path, limit: int, within: int | None = None) -> tuple[bytes, os.stat_result]:
    """The octets of a regular file that no link leads to, and what it is; whose it is stays to be asked."""
    with opened(path, os.O_NOFOLLOW, within) as descriptor:
        return octets_of(path, descriptor, limit)


def refuse_disclosed(path: Path, status: os.stat_result, what: str) -> None:
    """Refuse a secret that others can read: "a private key", or what else it is."""
    if status.st_mode & _OF_OTHERS:
        raise UsageError(
            f"{path} holds {what} that others can read: expected mode 0600, found {_mode(status)}; take it "
            f"for disclosed, or run: chmod 600 {_quoted(path)}"
        )


def refuse_foreign(path: Path, status: os.stat_result) -> None:
    """Refuse what others could have put there, or can add to."""
    if status.st_uid not in {0, os.geteuid()}:
        raise UsageError(
            f"{path} belongs to user {status.st_uid}, neither to root nor to us ({os.geteuid()}), who could "
            f"change what is trusted; see that it is right, then run: chown {os.geteuid()} {_quoted(path)}"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"{path} is writable by others (mode {_mode(status)}), who could change what is trusted; "
            f"see that it is right, then run: chmod go-w {_quoted(path)}"
        )


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
