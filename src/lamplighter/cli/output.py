"""What a command has to say, in the two forms that it is said in."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Span, Text

from lamplighter.cli.files import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MARKS: Final = {
    True: ("✓", "green"),
    False: ("✗", "bold red"),
    None: ("·", "yellow"),
}
_SHOWN_OCTETS: Final = 8
_HEADING_OCTETS: Final = 78  # what fits beside two spaces
_UNBOUNDED: Final = 10_000  # columns; no line of ours is as long


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one command.

    facts   for `--json`: names and shapes are stable, values are plain JSON; a list is printed as JSON lines
    view    for people
    passed  False where the command did its work and found something wrong: exit code 1
    then    what goes on once the report is out, such as serving; None: nothing
    """

    facts: dict[str, Any] | list[dict[str, Any]]
    view: RenderableType
    passed: bool = True
    then: Callable[[], None] | None = None


class Verdict(NamedTuple):
    """One check and how it went: True passed, False failed, None could not be made."""

    check: str
    passed: bool | None
    reason: str


def show(report: Report, *, as_json: bool) -> None:
    """Print a report on stdout."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 has no ✓
    if as_json and isinstance(report.facts, list):
        sys.stdout.writelines(json.dumps(line) + "\n" for line in report.facts)
    elif as_json:
        sys.stdout.write(json.dumps(report.facts, indent=2) + "\n")
    else:
        # No markup: what is shown comes from files and messages, and may hold anything.
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _UNBOUNDED
        console = Console(markup=False, highlight=False, emoji=False, width=width)
        with console.capture() as captured:
            console.print(_Printable(report.view), crop=False)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def page(title: str, subtitle: str, *parts: RenderableType) -> Group:
    """A heading and what stands under it, a blank line between parts."""
    between = "  " if len(title) + len(subtitle) <= _HEADING_OCTETS else "\n"
    said = ((printable(title), "bold"), between, (printable(subtitle), "dim"))
    spaced: list[RenderableType] = [Text.assemble(*said, overflow="fold")]
    for part in parts:
        spaced += [Text(), part]
    return Group(*spaced)


def grid(*columns: str, right: tuple[str, ...] = (), folded: int = 1) -> Table:
    """A table with a header line and no frame; the last `folded` columns share the room that is left."""
    table = _Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0), expand=False)
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
    table = _Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def verdicts(found: Iterable[Verdict]) -> Table:
    """One line a check, marked."""
    table = _Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for verdict in found:
        mark, style = _MARKS[verdict.passed]
        table.add_row(Text(mark, style), verdict.check, Text(verdict.reason, "" if verdict.passed else style))
    return table


class _Table(Table):
    """A table whose cells are escaped before they are measured: a line feed in one makes no new line."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*(_escaped(cell) for cell in cells), **options)


def _escaped(part: RenderableType | None) -> RenderableType | None:
    if isinstance(part, str):
        return printable(part)
    if not isinstance(part, Text) or part.plain.isprintable():
        return part
    at = [0, *accumulate(len(printable(mark)) for mark in part.plain)]
    spans = [Span(at[span.start], at[span.end], span.style) for span in part.spans]
    return Text(printable(part.plain), part.style, spans=spans)


class _Printable:
    """A whole view, past which nothing reaches the terminal unescaped, whatever it was made of."""

    def __init__(self, view: RenderableType) -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._view, options):
            lines = "\n".join(map(printable, segment.text.split("\n")))
            yield segment._replace(text=lines)


class Uncut:
    """A part whose lines may be longer than the terminal is wide: nothing in it is cut or folded."""

    def __init__(self, part: RenderableType) -> None:
        self._part = part

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self._part, options.update_width(_UNBOUNDED))


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
