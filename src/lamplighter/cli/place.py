"""Where a command works, who does it, and what time it is there."""

import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lamplighter.cli.arguments import ENVIRONMENT
from lamplighter.kit import DecodeError, Instant, UsageError
from lamplighter.kit.instant import from_iso
from lamplighter.service.clock import rehearsal_clock, wall_clock
from lamplighter.service.office import Office
from lamplighter.service.people import People, Person, UnauthenticatedError
from lamplighter.store import Store

TOKEN: Final = f"{ENVIRONMENT}TOKEN"
"""The setting with an API token: what is done, is done in its person's name."""

_FILE: Final = "sqlite:///"


@contextmanager
def opened(url: str, *, make: bool = False) -> Iterator[Store]:
    """The database, for as long as a command takes. Where there is none yet: `UsageError`, or make one."""
    file = Path(url.removeprefix(_FILE).partition("?")[0])
    if not make and url.startswith(_FILE) and file.name and ":memory:" not in url and not file.exists():
        raise UsageError(
            f"there is no database at {file}: `registry import` makes one, "
            f"and --database or {ENVIRONMENT}DATABASE says where it is"
        )
    made = url.startswith(_FILE) and file.name and not file.exists()
    store = Store.open(url)
    try:
        yield store
    finally:
        store.close()
    if made and file.exists():
        # Where the wrong place was named, or none, everything would look as if it had worked.
        sys.stderr.write(f"lamplighter: a new database was made: {file.resolve()}\n")


def who(by: str) -> str:
    """Who does it: as was said, or who is logged in."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError) as cause:
        raise UsageError(f"nobody is logged in: say who does it, with --by or {ENVIRONMENT}USER") from cause


def clock_of(speed: float, began: str | None) -> Callable[[], Instant]:
    """The time of day; or, for a rehearsal, one that runs so many times as fast since an instant."""
    if began is None:
        if speed != 1:
            raise UsageError("--speed needs --began: since when time has run so fast")
        return wall_clock
    try:
        return rehearsal_clock(from_iso(began), speed)
    except DecodeError as cause:
        raise UsageError(f"--began takes an instant: {cause}") from cause


def person(store: Store, by: str) -> Person:
    """In whose name a command is done: of the token in the environment, or by name.

    While there are no accounts that may be anybody, and they may do all; see `People.local`.
    """
    people = People(store, now)
    secret = os.environ.get(TOKEN)
    if not secret:
        return people.local(who(by))
    found = people.of_token(secret)
    if found is None:
        raise UnauthenticatedError(f"{TOKEN} holds no token that is good for anything here")
    if by and by.casefold() != found.name.casefold():
        raise UsageError(f"{TOKEN} is {found.name}'s, and --by names {by}")
    return found


def office(store: Store) -> Office:
    """All that can be done to it."""
    return Office(store, now)


def now() -> Instant:
    """The time of day; in a rehearsal that runs faster, the one that `serve` was told of."""
    began = os.environ.get(f"{ENVIRONMENT}BEGAN")
    if began is None:
        return wall_clock()
    try:
        return rehearsal_clock(from_iso(began), float(os.environ.get(f"{ENVIRONMENT}SPEED", "1")))()
    except (DecodeError, ValueError) as cause:
        raise UsageError(f"{ENVIRONMENT}BEGAN and {ENVIRONMENT}SPEED: {cause}") from cause
