"""The report: what a reader needs is there, said plainly, and nothing in it comes from or goes outside."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lamplighter.planning.business import report, spread, study, words
from lamplighter.planning.business.case import Scenario
from lamplighter.planning.business.model import Option
from lamplighter.planning.business.results import BreakEven, Comparison, Estimate, Odds
from planning.business.cases import EXAMPLE, changed, plain

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def worked():
    """The example."""
    return study(EXAMPLE, seed=1, futures=4_000, spread=spread.Here())


@pytest.fixture(scope="module")
def page(worked):
    """Its page."""
    return report.html(worked)


def test_the_conclusions_come_first_and_the_method_last(page):
    """A reader who stops early has read what matters."""
    titles = re.findall(r"<h2>([^<]*)</h2>", page)
    assert "Does it pay?" == titles[0]
    assert ["Every assumption", "Method"] == titles[-2:]
    assert page.index("Over the air pays on average") < page.index("<h2>")


def test_a_minute_is_enough(worked):
    """Three sentences say whether it pays, from which event frequency, and which assumption matters most."""
    pays, frequency, most = report.conclusion(worked)
    assert "it is an insurance" in pays
    assert re.search(r"saves £\d", pays)
    assert "of 100 futures" in pays
    assert re.search(r"It pays from \*\*1 must-fix event in \d\.\d years\*\*", frequency)
    assert "**frequency of must-fix events**" in most


def test_every_assumption_is_listed_with_its_source(worked, page):
    """The report hides no input: each is there with unit and source, or the word assumption."""
    text = re.sub(r"<[^>]*>", "", page).replace("&#39;", "'").replace("&amp;", "&")
    for it in worked.case.assumptions.values():
        assert it.meaning[1:] in text
        assert str(it.law) in text
        assert it.source in text
    guessed = sum(it.source == "assumption" for it in worked.case.assumptions.values())
    assert f"{guessed} of {len(worked.case.assumptions)} inputs are assumptions" in text


def test_the_page_stands_alone(page):
    """Nothing is fetched from anywhere, and nothing runs."""
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert "url(http" not in page


def test_the_same_study_gives_the_same_octets(worked, page):
    """A report can be compared with another by its hash."""
    assert page == report.html(worked)


def test_the_report_that_is_committed_is_that_of_the_example():
    """`make case` was run since the example, or the model, was last changed."""
    found = study(EXAMPLE, seed=1, futures=10_000, spread=spread.Here())
    committed = ROOT.joinpath("docs", "examples", "business-case.html").read_text()
    shown = re.sub(r"<[^>]*>", "", committed)
    for sentence in report.conclusion(found):
        assert sentence.replace("**", "") in shown, "run `make case`"
    assert html.escape(EXAMPLE.question) in committed


def test_markup_in_a_case_is_shown_and_not_obeyed():
    """Cross-site scripting: what looks like HTML in a case's texts is text in the report."""
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    it = EXAMPLE.assumptions["replace.visit"]
    hostile = replace(
        plain({}, parties=()),
        name=attack,
        question=attack,
        scenarios=(Scenario(attack, attack, attack, (("replace.visit", "set", 1.0),)),),
    )
    hostile = replace(
        hostile, assumptions=hostile.assumptions | {"replace.visit": replace(it, note=attack, source=attack)}
    )
    shown = report.html(study(hostile, seed=1, futures=1_000, spread=spread.Here()))
    assert "<script" not in shown
    assert "<img" not in shown


def test_a_case_without_uncertainty_parties_and_objections_has_a_report():
    """What is not there is left out, and the rest stands."""
    laws = {key: it.law.mean for key, it in EXAMPLE.assumptions.items() if it.per_event}
    shown = report.html(
        study(plain(laws, scenarios=(), parties=()), seed=1, futures=1_000, spread=spread.Here())
    )
    assert "No assumption is uncertain." in shown
    assert "Who pays" not in shown


def test_a_case_in_which_nothing_ever_happens_has_a_report():
    """No events, no break-even, costs that are all alike: sentences, not a crash."""
    found = study(changed(EXAMPLE, {"events.frequency": 0}), seed=1, futures=1_000, spread=spread.Here())
    assert "There is no event frequency" in report.conclusion(found)[1]
    assert "Over the air does not pay." in report.html(found)


def _comparison(mean, error, share):
    return Comparison(
        Option.REPLACE,
        Estimate(mean, error, 0, 0, 0),
        Odds(share, share, share),
        *[BreakEven(None, None)] * 3,
    )


@pytest.mark.parametrize(
    ("mean", "share", "said"),
    [
        (10, 0.95, "Over the air pays."),
        (10, 0.6, "Over the air probably pays."),
        (10, 0.3, "it is an insurance"),
        (10, 0.02, "it is an insurance"),
        (-10, 0.7, "but not on average"),
        (-10, 0.3, "probably does not pay"),
        (-10, 0.02, "does not pay."),
        (1, 0.5, "about as much"),
        (0, 0.95, "cannot be told"),
    ],
)
def test_the_verdict_says_what_the_figures_say(worked, mean, share, said):
    """On average and in most futures are two things, and the verdict tells them apart."""
    found = replace(worked, comparisons=(_comparison(mean, 1, share), _comparison(100, 1, 1.0)))
    assert said in words.verdict(found)


def test_the_verdict_is_about_the_better_alternative(worked):
    """What beats replacing but not fixing the hub does not pay."""
    found = replace(worked, comparisons=(_comparison(100, 1, 1.0), _comparison(-10, 1, 0.02)))
    assert "Over the air does not pay." == words.verdict(found)


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0, "£0"), (1.234, "£1.23"), (999.6, "£1 thousand"), (12_345, "£12.3 thousand"), (999_999, "£1 million"),
     (-26_532_141, "\N{MINUS SIGN}£26.5 million"), (3.2e9, "£3.2 billion"), (1e12, "£1,000 billion")],
)  # fmt: skip
def test_money_has_three_figures(amount, said):
    """Nobody is told pence of millions."""
    assert said == words.money(amount, "GBP")


def test_money_of_other_lands_is_named_by_its_code():
    """A currency without a sign of its own stands behind the amount."""
    assert "12.3 million CHF" == words.money(12.3e6, "CHF")


@pytest.mark.parametrize(
    ("a_year", "said"),
    [(0.2774, "1 event in 3.6 years"), (0.01, "1 event in 100 years"), (1.0, "1 event a year"),
     (0.98, "1 event a year"), (2.44, "2.4 events a year"), (12.3, "12 events a year"), (0, "no event")],
)  # fmt: skip
def test_frequencies_are_said_as_people_say_them(a_year, said):
    """Once in so many years, or so many a year."""
    assert said == words.frequency(a_year, "event")


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0 of 100"), (0.001, "fewer than 1 of 100"), (0.33, "33 of 100"), (0.999, "more than 99 of 100"),
     (1, "100 of 100")],
)  # fmt: skip
def test_rare_is_not_never(share, said):
    """A future of a thousand is not rounded away."""
    assert f"{said} futures" == words.of_hundred(share)
