"""Where a command works, who does it, and what time it is there."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lamplighter.cli.arguments import ENVIRONMENT
from lamplighter.kit import DecodeError, Instant, UsageError
from lamplighter.kit.instant import from_iso
from lamplighter.service.clock import rehearsal_clock, wall_clock
from lamplighter.store import Store

_FILE: Final = "sqlite:///"


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """The database, for as long as a command takes. Raises `UsageError` where there is none yet."""
    file = Path(url.removeprefix(_FILE).partition("?")[0])
    if url.startswith(_FILE) and file.name and ":memory:" not in url and not file.exists():
        raise UsageError(
            f"there is no database at {file}: `registry import` makes one, "
            f"and --database or {ENVIRONMENT}DATABASE says where it is"
        )
    store = Store.open(url)
    try:
        yield store
    finally:
        store.close()


def who(by: str) -> str:
    """Who does it: as was said, or who is logged in."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError) as cause:
        raise UsageError(f"nobody is logged in: say who does it, with --by or {ENVIRONMENT}USER") from cause


def now() -> Instant:
    """The time of day; in a rehearsal that runs faster, the one that `serve` was told of."""
    began = os.environ.get(f"{ENVIRONMENT}BEGAN")
    if began is None:
        return wall_clock()
    try:
        return rehearsal_clock(from_iso(began), float(os.environ.get(f"{ENVIRONMENT}SPEED", "1")))()
    except (DecodeError, ValueError) as cause:
        raise UsageError(f"{ENVIRONMENT}BEGAN and {ENVIRONMENT}SPEED: {cause}") from cause
