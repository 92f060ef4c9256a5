"""Charts as inline SVG: drawn by matplotlib, coloured by the page's style sheet, the same octets each time.

`draw` calls the plotting function twice, for a wide and a narrow screen. Colours are those below and no
others: in the SVG each becomes a variable of the style sheet, so that a chart follows light and dark with the
page. Texts stay texts. Identifiers begin with the chart's name, so that two charts on a page share none.
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from markupsafe import escape

from lamplighter.kit import UsageError
from lamplighter.planning.reports import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#1c2430"
MUTED: Final = "#566072"
GRID: Final = "#e6e9ee"
PAPER: Final = "#fefefe"
SERIES: Final = ("#1f5fa8", "#c2560c", "#2a7d4f", "#7d4fa6", "#a8324a", "#6b7280")
"""Colours of series, in this order; they differ in lightness too."""
GOOD: Final = "#23703f"
WARN: Final = "#9a5b00"
BAD: Final = "#b3261e"

WIDE: Final = (9.0, 3.6)
"""Inches of a chart on a wide screen; 72 pixels each, about."""
NARROW: Final = (4.0, 3.4)
"""Inches of a chart on a narrow one."""

_VARIABLES: Final = {
    INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper", GOOD: "good", WARN: "warn", BAD: "bad",
} | {colour: f"s{number}" for number, colour in enumerate(SERIES, 1)}  # fmt: skip

_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # it comes with matplotlib: to measure by; the page's font is narrower
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,  # a name with a dollar is no formula
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.8,
    "patch.linewidth": 0.0,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.constrained_layout.use": True,
}

_NO_METADATA: Final = dict.fromkeys(("Date", "Creator", "Format", "Type"))

_LOCK: Final = Lock()  # matplotlib's settings are one for the process

_HEAD: Final = re.compile(r"\A.*?(?=<svg)", re.DOTALL)
_METADATA: Final = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
# It would be the whole page's; report.css says the same of charts.
_STYLES: Final = re.compile(r"\s*<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>")
_SPACES: Final = re.compile(r' xmlns(?::\w+)?="[^"]*"')
_SIZE: Final = re.compile(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>')
_ID: Final = re.compile(r' id="([^"]*)"')
_REFERENCE: Final = re.compile(r'(url\(#|href="#)([^)"]*)')
_COLOUR: Final = re.compile("|".join(map(re.escape, _VARIABLES)), re.IGNORECASE)
_FONT: Final = re.compile(r"font-family: [^;\"]*;? ?|'DejaVu Sans'(?:, [^;\"]*)?")
_COMMENT: Final = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_NO_MATPLOTLIB: Final = (
    "reports have charts, which need matplotlib: pip install 'lamplighter[sim]', or in a checkout "
    ".venv/bin/pip install -e '.[sim]'"
)
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
_CHART: Final = re.compile(r'<svg [^>]*role="img".*?</svg>', re.DOTALL)
_NO_CHART: Final = '<svg role="img"></svg>'
_LEFT_OUT: Final = ContextVar("_LEFT_OUT", default=False)


def required() -> None:
    """Raise `UsageError` where matplotlib is not installed: before minutes of work, not after."""
    if find_spec("matplotlib") is None:
        raise UsageError(_NO_MATPLOTLIB)


@contextmanager
def left_out() -> Iterator[None]:
    """Inside it `draw` draws nothing: a page is its words alone, and needs no matplotlib."""
    token = _LEFT_OUT.set(True)
    try:
        yield
    finally:
        _LEFT_OUT.reset(token)


def cut(html: str) -> str:
    """A page with its charts taken out, as it is made where they are `left_out`."""
    return _CHART.sub(_NO_CHART, html)


def draw(
    name: str,
    plot: Callable[[Figure, bool], None],
    *,
    caption: str,
    alt: str,
    wide: tuple[float, float] = WIDE,
    narrow: tuple[float, float] | None = NARROW,
) -> Picture:
    """A chart.

    name     unique on the page: lower-case letters, digits, hyphens
    plot     draws on an empty figure; told whether it is the narrow one
    caption  what it shows, for everybody
    alt      what it says, for those who cannot see it
    wide     inches; narrow: None: the wide one is scaled down

    Raises `UsageError` where matplotlib is not installed.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} names no chart: lower-case letters, digits and hyphens, a letter first")
    if _LEFT_OUT.get():
        return Picture(_NO_CHART, "" if narrow is None else _NO_CHART, caption)
    try:
        import matplotlib as mpl  # noqa: PLC0415 # an extra, and slow to import
        from cycler import cycler  # noqa: PLC0415 # matplotlib's own
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as cause:
        raise UsageError(_NO_MATPLOTLIB) from cause

    def one(size: tuple[float, float], *, is_narrow: bool) -> str:
        key = f"{name}-n" if is_narrow else name
        style: Any = _STYLE | {"svg.hashsalt": key, "axes.prop_cycle": cycler(color=list(SERIES))}
        with _LOCK, mpl.rc_context(style):
            figure = Figure(figsize=size)
            plot(figure, is_narrow)
            return inline_svg(figure, key, alt)

    return Picture(one(wide, is_narrow=False), "" if narrow is None else one(narrow, is_narrow=True), caption)


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """A figure as SVG to stand in a page; call it under `draw`, whose settings it needs."""
    octets = io.StringIO()
    figure.savefig(
        octets, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = _HEAD.sub("", octets.getvalue())
    for waste in (_METADATA, _COMMENT, _STYLES):
        text = waste.sub("", text)
    opening = _SIZE.search(text)
    assert opening is not None
    # Of no fixed size: as wide as the page gives it room.
    start = f'<svg viewBox="{opening[1]}" role="img" aria-label="{escape(alt)}">'
    body = _SPACES.sub("", text[opening.end() :]).replace("xlink:href", "href")
    used = {name for _, name in _REFERENCE.findall(body)}
    body = _ID.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", body)
    body = _REFERENCE.sub(lambda found: f"{found[1]}{name}-{found[2]}", body)
    body = _COLOUR.sub(lambda found: f"var(--{_VARIABLES[found[0].lower()]})", body)
    body = _FONT.sub(lambda found: "inherit" if found[0].startswith("'") else "", body)
    return start + body.strip()


def plain(axes: Axes, *, grid: str = "y") -> None:
    """Only the grid lines that are read along: "x", "y" or "both"."""
    axes.grid(visible=False)
    axes.grid(visible=True, axis=grid)  # type: ignore[arg-type] # one of three words
