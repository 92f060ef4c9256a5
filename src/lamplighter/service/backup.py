"""Copies of a database that is at work, and the way back.

SQLite alone: its own backup API copies page by page while others read and write, and what comes out is the
database at one moment. PostgreSQL brings tools of its own (`pg_dump`, `pg_restore`), which do this better
than anybody else could; docs/deployment.md has the commands.

What a copy does not know is what was sent and heard after it was made. So all that runs is paused when a copy
is put back: a person looks first. Activations that it had not sent are closed, and their Devices are asked
for their version before they are told to again. Reads go out all the same: to ask once more does no harm.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from lamplighter.kit import UsageError, VerificationError
from lamplighter.store import Store
from lamplighter.store.gauges import Gauges
from lamplighter.store.migration import head

if TYPE_CHECKING:
    from lamplighter.kit import Instant

_SCHEME: Final = "sqlite:///"
_PAGES: Final = 4_096  # copied at one go, 32 MiB: others write between two
_MODE: Final = 0o600  # people's password digests are in it
_BESIDE: Final = ("-wal", "-shm", "-journal")


class Copy(NamedTuple):
    """What is in a copy."""

    octets: int
    """The file's size."""
    revision: str
    """The migration that it is at."""
    audited: int
    """Entries of the audit: its number to keep elsewhere is in `head`."""
    head: str
    """The end of the audit's chain, as `lamplighter audit verify --head` takes it."""


def file_of(url: str) -> Path:
    """The file of a SQLite database; raises `UsageError` for any other."""
    name = url.removeprefix(_SCHEME).partition("?")[0]
    if not url.startswith(_SCHEME) or not name or ":memory:" in url:
        raise UsageError(
            "this copies SQLite files; for PostgreSQL take pg_dump and pg_restore, as docs/deployment.md says"
        )
    return Path(name)


def back_up(url: str, target: Path) -> Copy:
    """Copy a database into a new file, whole or not at all, whoever is at work on it.

    Raises `UsageError` where there is no such database or the target exists already, `VerificationError`
    where the copy is not sound.
    """
    source = file_of(url)
    if not source.exists():
        raise UsageError(f"there is no database at {source}")
    if target.exists():
        raise UsageError(f"{target} exists already: a copy never takes the place of another")
    scratch = _scratch(target)
    try:
        _copy(source, scratch)
        found = _audited(scratch)
        os.link(scratch, target)  # fails where somebody else was faster
    except FileExistsError as cause:
        raise UsageError(f"{target} exists already: a copy never takes the place of another") from cause
    except OSError as cause:
        raise UsageError(f"cannot write {target}: {cause.strerror or cause}") from cause
    except sqlite3.Error as cause:
        raise UsageError(f"cannot copy {source}: {cause}") from cause
    finally:
        _remove(scratch)
    return found


def examine(file: Path) -> str:
    """See that a file is a sound database of ours, and change nothing in it; the migration that it is at.

    Raises `UsageError` where it is none, `VerificationError` where it is damaged.
    """
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            [(said,)] = connection.execute("PRAGMA integrity_check(1)").fetchall()
            [(revision,)] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except (sqlite3.Error, ValueError) as cause:
        raise UsageError(f"{file} is no database of Lamplighter: {cause}") from cause
    if said != "ok":
        raise VerificationError("database-sound", "ok", str(said))
    return str(revision)


def _audited(file: Path) -> Copy:
    """What is in a copy of our own making; raises `VerificationError` where its audit was tampered with."""
    revision = examine(file)
    if revision != head():
        return Copy(file.stat().st_size, revision, 0, "")
    store = Store.open(f"{_SCHEME}{file}")
    try:
        end = store.audit.verify()
    finally:
        store.close()
    _settle(file)
    return Copy(file.stat().st_size, revision, end.id, str(end))


def restore(source: Path, url: str, who: str, now: Instant, *, force: bool = False) -> tuple[Copy, list[str]]:
    """Put a copy in a database's place, with every campaign that runs in it paused; what, and which.

    The copy itself is left as it is. Raises `UsageError` where a database is there and `force` does not say
    to replace it, or where an engine is at work on it; what was there is kept beside it.
    """
    target = file_of(url)
    examine(source)
    if target.exists():
        if not force:
            raise UsageError(
                f"{target} exists: --force replaces it (it is kept as {_kept(target, now).name})"
            )
        _refuse_at_work(target, url, now)
    scratch = _scratch(target)
    try:
        _copy(source, scratch)
        found = _audited(scratch)
        paused = _pause(f"{_SCHEME}{scratch}", who, now, found)
        _settle(scratch)
        if target.exists():
            _settle(target)
            os.link(target, _kept(target, now))
        for suffix in _BESIDE:  # a journal of the old database must never be played into the new one
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        scratch.replace(target)
    except OSError as cause:
        raise UsageError(f"cannot write {target}: {cause.strerror or cause}") from cause
    except sqlite3.Error as cause:
        raise UsageError(f"cannot put {source} in the place of {target}: {cause}") from cause
    finally:
        _remove(scratch)
    return found, paused


def _pause(url: str, who: str, now: Instant, found: Copy) -> list[str]:
    store = Store.open(url)
    try:
        detail = f"restored from a copy that ends at audit entry {found.audited}"
        return [
            campaign.name
            for campaign in store.campaigns.under_way()
            if store.orders.put_back(campaign, who, now, detail)
        ]
    finally:
        store.close()


def _refuse_at_work(target: Path, url: str, now: Instant) -> None:
    """Nobody may be at work on what is replaced."""
    try:
        store = Store.open(url)
    except UsageError:
        return  # it cannot be opened at all: that may be why it is replaced
    try:
        held = Gauges(store.database).leases(now)
    except SQLAlchemyError:
        return
    finally:
        store.close()
    if held:
        raise UsageError(
            f"somebody is at work on {target} ({', '.join(sorted(held))}): stop it, and wait until its "
            "leases are over (a minute)"
        )


def _copy(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE))
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other, pages=_PAGES)
        other.execute("PRAGMA journal_mode = DELETE")
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _settle(file: Path) -> None:
    """Have all of a database in its one file."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")


def _scratch(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")


def _kept(target: Path, now: Instant) -> Path:
    return target.with_name(f"{target.name}.before-restore-{now}")


def _remove(scratch: Path) -> None:
    for suffix in ("", *_BESIDE):
        scratch.with_name(scratch.name + suffix).unlink(missing_ok=True)
