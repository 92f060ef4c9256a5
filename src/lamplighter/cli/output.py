"""What a command has to say, in the two forms that it is said in."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARKS: Final = {
    True: ("✓", "green"),
    False: ("✗", "bold red"),
    None: ("·", "yellow"),
}
_SHOWN_OCTETS: Final = 8
_HEADING_OCTETS: Final = 78  # what fits beside two spaces


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one command.

    facts   for `--json`: names and shapes are stable, values are plain JSON
    view    for people
    passed  False where the command did its work and found something wrong: exit code 1
    """

    facts: dict[str, Any]
    view: RenderableType
    passed: bool = True


class Verdict(NamedTuple):
    """One check and how it went: True passed, False failed, None could not be made."""

    check: str
    passed: bool | None
    reason: str


def show(report: Report, *, as_json: bool) -> None:
    """Print a report on stdout."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 has no ✓
    if as_json:
        sys.stdout.write(json.dumps(report.facts, indent=2) + "\n")
    else:
        # No markup: what is shown comes from files and messages, and may hold anything.
        console = Console(markup=False, highlight=False, emoji=False)
        with console.capture() as captured:
            console.print(report.view)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def page(title: str, subtitle: str, *parts: RenderableType) -> Group:
    """A heading and what stands under it, a blank line between parts."""
    between = "  " if len(title) + len(subtitle) <= _HEADING_OCTETS else "\n"
    heading = Text.assemble((title, "bold"), between, (subtitle, "dim"), overflow="fold")
    spaced: list[RenderableType] = [heading]
    for part in parts:
        spaced += [Text(), part]
    return Group(*spaced)


def grid(*columns: str, right: tuple[str, ...] = (), folded: int = 1) -> Table:
    """A table with a header line and no frame; the last `folded` columns share the room that is left."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0), expand=False)
    for index, column in enumerate(columns):
        fold = index >= len(columns) - folded
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=not fold,
            overflow="fold" if fold else "ellipsis",
        )
    return table


def pairs(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Names and values, aligned."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def verdicts(found: Iterable[Verdict]) -> Table:
    """One line a check, marked."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for verdict in found:
        mark, style = _MARKS[verdict.passed]
        table.add_row(Text(mark, style), verdict.check, Text(verdict.reason, "" if verdict.passed else style))
    return table


def indented(part: RenderableType) -> Padding:
    """A part that belongs to the one above it."""
    return Padding(part, (0, 0, 0, 2))


def stacked(*parts: RenderableType) -> Group:
    """Parts right under each other."""
    return Group(*parts)


def hexed(octets: bytes) -> str:
    """Octets in hex, or how many where they are too many to read."""
    return octets.hex() if len(octets) <= _SHOWN_OCTETS else f"{len(octets)} octets"


def passed(found: Iterable[Verdict]) -> bool:
    """Whether no check failed; one that could not be made is not a failure."""
    return all(verdict.passed is not False for verdict in found)


def verdict_facts(found: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Verdicts for `--json`."""
    return [verdict._asdict() for verdict in found]
