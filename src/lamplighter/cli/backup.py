"""`lamplighter backup` and `restore`: a SQLite database, copied while it is at work, and put back."""

from pathlib import Path
from typing import Any

from lamplighter.cli import output
from lamplighter.cli.arguments import DATABASE, Database, Force, Who
from lamplighter.cli.output import Report
from lamplighter.cli.place import now, who
from lamplighter.service import backup as copies


def backup(target: Path, *, database: Database = DATABASE) -> Report:
    """Copy a SQLite database into a new file, while it is at work; the copy is checked, its audit too.

    Keep the `head` that it prints somewhere else: with it `lamplighter audit verify` finds out later whether
    the end of the audit was cut off.

    Parameters
    ----------
    target
        The new file; one that exists is left alone.
    """
    found = copies.back_up(database, target)
    source = str(copies.file_of(database).resolve())
    facts: dict[str, Any] = {"file": str(target), "of": source} | found._asdict()
    rows = [("of", source), *_rows(found)]
    return Report(facts, output.page("backup", str(target), output.pairs(rows)))


def restore(source: Path, *, database: Database = DATABASE, by: Who = "", force: Force = False) -> Report:
    """Put a copy in the place of a SQLite database that nobody works on; campaigns that run in it are paused.

    What was there is kept beside it. Devices may have been updated since the copy was made: look at each
    paused campaign before you resume it.

    Parameters
    ----------
    source
        A file that `lamplighter backup` made.
    """
    found, paused = copies.restore(source, database, who(by), now(), force=force)
    facts: dict[str, Any] = {"file": str(source), "paused": paused} | found._asdict()
    rows = [*_rows(found), ("paused", ", ".join(paused) or "nothing ran")]
    return Report(facts, output.page("restore", database, output.pairs(rows)))


def _rows(found: copies.Copy) -> list[tuple[str, str]]:
    rows = [("size", f"{found.octets:,} octets"), ("revision", found.revision)]
    return [*rows, ("audit", f"{found.audited} entries"), ("head", found.head or "made for another version")]
