"""Tables that people open in a spreadsheet: CSV, whole or not there, and nothing in it that runs."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lamplighter.kit import UsageError
from lamplighter.kit.cell import guard


@contextmanager
def writing(
    path: Path | None, titles: tuple[str, ...], *, force: bool
) -> Iterator[Callable[[tuple[str, ...]], Any]]:
    """A function that writes one row of a CSV file, which stands there once all rows are written."""
    if path is None:
        yield lambda _: None
        return
    if path.exists() and not force:
        raise UsageError(f"{path} exists already; --force replaces it")
    scratch = path.with_name(f".{path.name}.part")
    try:
        with scratch.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(titles)
            yield lambda row: writer.writerow(map(guard, row))
        scratch.replace(path)
    except OSError as cause:
        scratch.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {cause.strerror}") from cause
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
