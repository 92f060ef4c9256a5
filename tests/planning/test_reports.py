"""The report engine: one file, nothing outside, no markup from data, the same octets, and a PDF."""

import re
import shutil

import pytest

from lamplighter.kit import UsageError
from lamplighter.planning.reports import (
    Bar,
    Column,
    Definitions,
    KeyFigure,
    KeyFigures,
    Notice,
    PdfError,
    Prose,
    Section,
    Table,
    Tone,
    charts,
    page,
    to_pdf,
)

NASTY = "<script>alert(1)</script>\"'&{{ 7*7 }} $\\frac$"  # markup, a template, and no formula


def plot(figure, narrow):
    axes = figure.add_subplot()
    charts.plain(axes)
    axes.plot([0, 1, 2], [0, 3, 1], label=NASTY)
    axes.fill_between([0, 1, 2], [0, 1, 0], [1, 4, 2], color=charts.SERIES[1], alpha=0.2)
    axes.set_xlabel("narrow" if narrow else "wide")
    axes.legend()


def sections():
    return [
        Section(
            "",
            (
                Prose((f"It **pays**, says `{NASTY}`",), lead=True),
                KeyFigures((KeyFigure(NASTY, NASTY, NASTY, Tone.BAD),)),
            ),
        ),
        Section(
            NASTY,
            (
                charts.draw("one", plot, caption=NASTY, alt=NASTY),
                charts.draw("two", plot, caption="again", alt="again"),
                Table((Column("n", number=True), NASTY), (("1", Bar(NASTY, 0.4)),), NASTY, NASTY),
                Notice(NASTY),
                Definitions(((NASTY, NASTY),)),
            ),
        ),
    ]


def test_what_looks_like_markup_in_data_is_shown():
    """XSS: no text of a report, wherever it stands, becomes an element, an attribute or a template."""
    html = page(NASTY, sections(), subtitle=NASTY, footer=NASTY)
    assert "<script" not in html
    assert "{{ 7*7 }}" in html
    assert html.count("alert(1)") >= 10
    assert 'aria-label="<' not in html
    assert html.count("$\\frac$") == html.count("alert(1)")


def test_a_report_refers_to_nothing_outside():
    """No address, no import, no script: it opens the same on a machine without a network."""
    html = page("Report", sections())
    assert not re.findall(r"https?:|//[a-z]|@import|<link|<iframe|src=", html.replace("data:", ""))
    assert "default-src 'none'" in html
    for target in re.findall(r'(?:href|xlink:href)="([^"]*)"', html):
        assert target.startswith("#")
    for target in re.findall(r"url\(([^)]*)\)", html):
        assert target.startswith("#")


def test_the_same_report_has_the_same_octets():
    """Charts too: no clock, no counter, no dice."""
    assert page("Report", sections()) == page("Report", sections())


def test_two_charts_on_a_page_share_no_identifier():
    """An identifier is in the page once, and every reference finds its own."""
    html = page("Report", sections())
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'(?:url\(#|href="#)([^)"]*)', html))
    assert references
    assert references <= set(ids)


def test_charts_take_their_colours_from_the_page():
    """Light and dark: no colour of ours is left in a chart as a number."""
    picture = charts.draw("one", plot, caption="", alt="")
    for svg in (picture.wide, picture.narrow):
        assert "var(--s1)" in svg
        assert not re.findall(r"#[0-9a-f]{6}", svg.lower())
        assert "<style" not in svg
        assert "DejaVu" not in svg


def test_wide_and_narrow_are_drawn_apart():
    """A phone gets a chart of its own, with texts that can be read."""
    picture = charts.draw("one", plot, caption="", alt="")
    assert ">wide</text>" in picture.wide
    assert ">narrow</text>" in picture.narrow
    assert "" == charts.draw("one", plot, caption="", alt="", narrow=None).narrow


def test_a_long_word_in_a_definition_breaks():
    """A digest of 64 digits must not make a phone's page wider than the phone."""
    [rule] = re.findall(r"dl\.definitions dd \{[^}]*color[^}]*\}", page("Report", []))
    assert "overflow-wrap: anywhere" in rule


def test_sections_of_one_name_have_anchors_of_their_own():
    """The contents lead to each."""
    html = page("Report", [Section("By region", (Prose(("x",)),)) for _ in range(4)])
    assert ["by-region", "by-region-2", "by-region-3", "by-region-4"] == re.findall(
        r'<section id="([^"]*)"', html
    )


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (Table(("a", "b"), (("1",),)), "1 cells under 2 columns"),
        (Notice("x", "loud"), "no tone"),
        (KeyFigures((KeyFigure("a", "b", tone="loud"),)), "no tone"),
        (Table(("a",), ((Bar("1", 0.5, "loud"),),)), "no tone"),
    ],
)
def test_blocks_that_cannot_be_shown_are_refused(block, reason):
    """A row that is too short, a tone that the style sheet does not have."""
    with pytest.raises(UsageError, match=reason):
        page("Report", [Section("s", (block,))])


def test_a_chart_needs_a_name():
    """It stands before each of its identifiers."""
    with pytest.raises(UsageError, match="names no chart"):
        charts.draw('x" onload="', plot, caption="", alt="")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine")
def test_a_report_prints(tmp_path):
    """Chromium makes a PDF of it, and leaves nothing else behind."""
    to_pdf(page("Report", sections()), tmp_path / "r.pdf")
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF-")
    assert ["r.pdf"] == [it.name for it in tmp_path.iterdir()]


def test_without_chromium_it_says_so(tmp_path, monkeypatch):
    """What is missing, and what to do instead; and no file is begun."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LAMPLIGHTER_CHROMIUM", raising=False)
    with pytest.raises(PdfError, match="print the HTML file from any browser"):
        to_pdf("<p>", tmp_path / "r.pdf")
    monkeypatch.setenv("LAMPLIGHTER_CHROMIUM", "/nowhere/chromium")
    with pytest.raises(PdfError, match="no such program"):
        to_pdf("<p>", tmp_path / "r.pdf")
    assert [] == list(tmp_path.iterdir())


def test_a_chromium_that_fails_is_quoted(tmp_path, monkeypatch):
    """Its last word, not a file of nothing."""
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("LAMPLIGHTER_CHROMIUM", str(program))
    with pytest.raises(PdfError, match=r"exit code 3.*no display"):
        to_pdf("<p>", tmp_path / "r.pdf")
    assert not (tmp_path / "r.pdf").exists()
