"""Reports: one self-contained HTML file each, to be read on any screen, light or dark, and on paper.

A report is a title and sections, conclusions first and method last; a section is a title and blocks, which
are the values below. `page` turns them into HTML with everything in it: style, charts as inline SVG, no
script, and no reference to anything outside. The same values give the same octets. `charts.draw` makes a
`Picture` with matplotlib; `to_pdf` prints a page by a headless Chromium where there is one.

Texts are plain: what looks like HTML in them is shown, not obeyed. Between backticks is code, between double
asterisks is strong.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lamplighter.kit import LamplighterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Bar",
    "Block",
    "Cell",
    "Column",
    "Definitions",
    "KeyFigure",
    "KeyFigures",
    "Notice",
    "PdfError",
    "Picture",
    "Prose",
    "Section",
    "Table",
    "Tone",
    "page",
    "to_pdf",
]

CHROMIUM_SETTING: Final = "LAMPLIGHTER_CHROMIUM"
"""Environment variable with the path of a Chromium or Chrome, where it is none of `_CHROMIUMS`."""

_CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PDF_SECONDS: Final = 120.0
_SLUG: Final = re.compile(r"[^a-z0-9]+")
_CODE: Final = re.compile(r"`([^`]+)`")
_STRONG: Final = re.compile(r"\*\*([^*]+)\*\*")


class PdfError(LamplighterError):
    """There is no Chromium to print with, or it did not print."""


class Tone:
    """How a figure or notice is to be taken: the words of the style sheet."""

    PLAIN: Final = "plain"
    GOOD: Final = "good"
    WARN: Final = "warn"
    BAD: Final = "bad"


_TONES: Final = frozenset({Tone.PLAIN, Tone.GOOD, Tone.WARN, Tone.BAD})


@dataclass(frozen=True, slots=True)
class Prose:
    """Paragraphs."""

    paragraphs: tuple[str, ...]
    """Each a plain text, with `code` and **strong**."""
    lead: bool = False
    """Whether it says the conclusion: larger."""


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One number to remember."""

    label: str
    """What it is: "proven"."""
    value: str
    """With its unit: "98.2 %"."""
    note: str = ""
    """Of what, since when: "9,820 of 10,000 Devices"."""
    tone: str = Tone.PLAIN
    """A member of `Tone`."""


@dataclass(frozen=True, slots=True)
class KeyFigures:
    """A row of numbers, which wraps."""

    figures: tuple[KeyFigure, ...]
    """At most eight, or nobody remembers them."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence that must not be missed."""

    text: str
    """With `code` and **strong**."""
    tone: str = Tone.WARN
    """A member of `Tone`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    """In its head."""
    number: bool = False
    """Whether it holds numbers: flush right, digits of one width."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A cell with a bar behind its text."""

    text: str
    """Such as "98.2 %"."""
    share: float
    """Of the cell's width, 0..1."""
    tone: str = Tone.PLAIN
    """A member of `Tone`."""


Cell: TypeAlias = "str | Bar"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; where the screen is narrower, it scrolls by itself and the first column stays."""

    columns: tuple[Column | str, ...]
    """From left to right; a text is a column of texts."""
    rows: tuple[tuple[Cell, ...], ...]
    """Each as long as `columns`."""
    caption: str = ""
    """What it shows, above it."""
    note: str = ""
    """What to know about it, below."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """Terms and what they mean, or names and values."""

    items: tuple[tuple[str, str], ...]
    """Term, meaning."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart, as `charts.draw` makes it."""

    wide: str
    """SVG for wide screens and paper."""
    narrow: str
    """SVG for screens of less than 640 px; empty: `wide`, scaled down."""
    caption: str
    """What it shows, below it."""


Block: TypeAlias = "Prose | KeyFigures | Notice | Table | Definitions | Picture"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report."""

    title: str
    """Unique in the report; empty in the first: it stands right under the report's title."""
    blocks: tuple[Block, ...]
    """From top to bottom."""


@dataclass(frozen=True, slots=True)
class _Placed:
    anchor: str
    section: Section


def page(title: str, sections: Sequence[Section], *, subtitle: str = "", footer: str = "") -> str:
    """A report as one HTML file; nothing in it refers to anything outside.

    subtitle  of what, for which time
    footer    who made it, when, from what: the clock is the caller's

    Raises `UsageError` where a table's row is not as long as its head, or a tone is none.
    """
    anchors: dict[str, int] = {}
    placed = []
    for section in sections:
        _check(section)
        anchor = _SLUG.sub("-", section.title.lower()).strip("-") or "summary"
        anchors[anchor] = anchors.get(anchor, 0) + 1
        number = anchors[anchor]
        placed.append(_Placed(anchor if number == 1 else f"{anchor}-{number}", section))
    template = _environment().get_template("report.html")
    return template.render(title=title, subtitle=subtitle, sections=placed, footer=footer)


def to_pdf(html: str, path: Path) -> None:
    """Print a page to a PDF file by a headless Chromium.

    The file's octets are Chromium's, and bear the time of printing. Raises `PdfError` where there is no
    Chromium, or it fails; then no file is left behind that was not there before.
    """
    program = _chromium()
    with tempfile.TemporaryDirectory(prefix="lamplighter-pdf-") as folder:
        source, printed = Path(folder, "report.html"), Path(folder, "report.pdf")
        source.write_text(html, encoding="utf-8")
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--no-first-run",
            "--no-pdf-header-footer",
            # It shows our own page, without script, and is to ask nobody for anything.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={Path(folder, 'profile')}",
            f"--print-to-pdf={printed}",
            source.as_uri(),
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium refuses to run as root with one
        try:
            run = subprocess.run(  # noqa: S603 # a program by its path, our own arguments
                command, capture_output=True, timeout=_PDF_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as cause:
            raise PdfError(f"cannot print with {program}: {cause}") from cause
        if run.returncode or not printed.exists() or not printed.read_bytes().startswith(b"%PDF-"):
            said = run.stderr.decode(errors="replace").strip().splitlines()
            raise PdfError(
                f"{program} printed nothing (exit code {run.returncode}): {said[-1] if said else 'no word'}; "
                "the HTML file prints from any browser"
            )
        shutil.copyfile(printed, path)


def _chromium() -> str:
    asked = os.environ.get(CHROMIUM_SETTING)
    if asked:
        found = shutil.which(asked)
        if found is None:
            raise PdfError(f"{CHROMIUM_SETTING} is {asked!r}, and there is no such program")
        return found
    for name in _CHROMIUMS:
        found = shutil.which(name)
        if found is not None:
            return found
    raise PdfError(
        f"a PDF is printed by Chromium, and there is none ({', '.join(_CHROMIUMS)}): install it, say where "
        f"it is in {CHROMIUM_SETTING}, or print the HTML file from any browser"
    )


def _check(section: Section) -> None:
    for block in section.blocks:
        tones: list[str] = []
        match block:
            case Table(columns=columns, rows=rows):
                for row in rows:
                    if len(row) != len(columns):
                        raise UsageError(
                            f"section {section.title!r}: {len(row)} cells under {len(columns)} columns"
                        )
                    tones += [cell.tone for cell in row if isinstance(cell, Bar)]
            case KeyFigures(figures=figures):
                tones = [figure.tone for figure in figures]
            case Notice(tone=tone):
                tones = [tone]
            case _:
                pass
        for tone in tones:
            if tone not in _TONES:
                raise UsageError(
                    f"section {section.title!r}: {tone!r} is no tone: {', '.join(sorted(_TONES))}"
                )


def _inline(text: str) -> Markup:
    """A text with its code and strong parts; all else in it is shown as it stands."""
    marked = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_STRONG.sub(r"<strong>\1</strong>", marked))  # noqa: S704 # escaped above


def _kind(block: Block) -> str:
    return type(block).__name__


def _column(column: Column | str) -> Column:
    return Column(column) if isinstance(column, str) else column


def _percent(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.1f}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lamplighter.planning.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "inline": _inline,
        "kind": _kind,
        "column": _column,
        "percent": _percent,
        # Made by `charts`, which escapes what it is given.
        "svg": Markup,
        "is_bar": lambda cell: isinstance(cell, Bar),
    }
    return environment
