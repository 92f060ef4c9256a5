"""Reports to take away, for the pages and the API alike: each a file, written in a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lamplighter.kit import UsageError
from lamplighter.kit.instant import to_iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamplighter.kit import Instant
    from lamplighter.service.office import Office, Reporter
    from lamplighter.service.web.turns import Handed, Turns

MEDIA_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}
"""By the ending of the file."""
NOBODY: Final = "Where these pages are served, nobody makes reports: it needs lamplighter[sim]."


def metrics(
    office: Office,
    turns: Turns,
    who: str,
    campaign: int | None,
    start: Instant | None,
    end: Instant | None,
    by: Sequence[str],
    form: str,
) -> Handed:
    """What came of the updates of a campaign (None: of all) that were first ordered in [start, end).

    campaign  the number of one that there is
    form      an ending of `MEDIA_TYPES`

    Raises `UsageError` for any other form, a time that ends before it begins, and more updates than anybody
    would wait for.
    """
    made = _reporter(office).metrics
    if form not in MEDIA_TYPES:
        raise UsageError(f"a report is {', '.join(MEDIA_TYPES)}, not {form[:40]!r}")
    if start is not None and end is not None and end <= start:
        raise UsageError(f"from {to_iso(start)[:10]} to before {to_iso(end)[:10]} there is no day")
    of = None if campaign is None else [campaign]
    return turns.handed(
        who,
        _file_name("metrics", office, form, "" if of is None else f"campaign-{campaign}-"),
        MEDIA_TYPES[form],
        lambda file: file.write(made(office.store, of, start, end, by, office.clock, form)),
    )


def storms(office: Office, turns: Turns, who: str) -> Handed:
    """The register of alert storms, as a page."""
    made = _reporter(office).storms
    return turns.handed(
        who,
        _file_name("storms", office, "html"),
        MEDIA_TYPES["html"],
        lambda file: file.write(made(office.store, office.clock())),
    )


def _reporter(office: Office) -> Reporter:
    if office.reporter is None:
        raise UsageError(NOBODY)
    return office.reporter


def _file_name(what: str, office: Office, ending: str, of: str = "") -> str:
    return f"{what}-{of}{to_iso(office.clock())[:10]}.{ending}"
