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
from lamplighter.planning.business.results import BreakEven, Comparison, Estimate, Odds, Pays
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
    assert re.search(r"It pays on average from \*\*1 must-fix event in \d\.\d years\*\*", frequency)
    assert "What matters most for the mean saving: **Devices that one event strikes**" in most
    assert "for all events alike" in most
    assert re.search(r"Next(, and nearly as much)?: \*\*frequency of must-fix events\*\*", most)


def figures(page):
    """Label, value and note of each figure to remember."""
    found = re.findall(
        r"<dt>([^<]*)</dt><dd class=\"value\">([^<]*)</dd>(?:<dd class=\"note\">([^<]*))?", page
    )
    return {label: (plainly(value), plainly(note)) for label, value, note in found}


def plainly(text):
    """As it is read: without what keeps an amount on one line."""
    return html.unescape(text).replace("\u2060", "").replace("\u00a0", " ")


def test_the_figures_to_remember_are_those_against_the_harder_rival(worked, page):
    """What beats the weaker alternative only is no headline."""
    hub = worked.against(Option.HUB)
    assert hub is worked.rival
    shown = figures(page)
    assert words.money(hub.saving.mean, "GBP", signed=True) == shown["Saving against fixing the hub"][0]
    assert words.frequency(hub.frequency.amount) == shown["Pays on average from"][0]
    assert (
        words.money(hub.implementation.amount, "GBP")
        == shown["Pays on average up to an implementation cost of"][0]
    )


def test_a_skewed_mean_does_not_stand_alone(worked, page):
    """Beside what pays on average stand half of the futures, the median, and the mean without the best."""
    note = figures(page)["Pays on average from"][1]
    assert f"in half of the futures from {words.frequency(worked.even_odds(Option.HUB))}" in note
    assert f"{words.frequency(worked.frequency.middle)} in the median" in note
    said, best = report.conclusion(worked)[0], worked.rival.without_best
    assert best < 0
    assert f"without the best 5 of 100 it would cost {words.money(-best, 'GBP')} more on average" in said
    typical = worked.rival.saving.middle
    assert typical < 0
    assert f"in the median future it costs {words.money(-typical, 'GBP')} more" in said


def test_what_is_assumed_is_said_before_the_figures(page):
    """Three figures of a saving look exact; whoever reads them has read that most inputs are assumptions."""
    assert page.index("assumptions that nobody has measured") < page.index('<dl class="figures">')


def test_what_a_scenario_changes_is_printed(page):
    """A claim about a scenario can be checked on the page: each input that it changes, and to what."""
    assert "growth of the implementation cost = 3." in page
    assert "implementation cost, as first estimated = 25 M GBP" in page
    assert "frequency of must-fix events, times 0.2" in page


def test_futures_in_which_options_cost_the_same_have_a_row(worked, page):
    """A tie is shown as one, not given to the option that stands first."""
    (tie,) = worked.ties
    row = re.search(r"<tr>\s*<th scope=\"row\">\(b\) and \(c\), alike</th>.*?</tr>", page, re.DOTALL)
    assert words.percent(tie.odds.share) in row.group()


def test_a_scenario_that_cannot_be_told_has_no_winner(worked):
    """Within two standard errors the page says so instead of naming an option."""
    within = Estimate(-621e3, 968e3, 0, 0, 0)
    one = replace(worked.scenarios[0], savings=(within, within), cheapest=None)
    shown = report.html(replace(worked, scenarios=(one,)))
    assert "\N{MINUS SIGN}£621 k ± £968 k" in shown
    assert "cannot be told" in shown


def test_always_and_never_are_words_and_not_dashes():
    """A hub that is dear to build loses at any frequency, which is not the same as nowhere."""
    laws = {"hub.first_estimate": 60e6, "replace.visit": 1e5, "over_the_air.first_estimate": 1e5}
    found = study(plain(laws, scenarios=()), seed=1, futures=1_000, spread=spread.Here())
    assert Option.HUB is found.rival.other
    assert "It pays at any event frequency" in report.conclusion(found)[1]
    assert "always" == figures(report.html(found))["Pays on average"][0]


def test_a_sign_stays_with_its_amount(page):
    """A line does not end between the sign and the pounds, however narrow."""
    lead = re.findall(r'<p class="lead">(.*?)</p>', page)
    assert len(lead) == 3
    assert "+\u2060£" in lead[2]
    assert not re.search("[+\N{MINUS SIGN}]£", "".join(lead))
    assert "+\u2060£" in re.search(r'<dd class="value">([^<]*)', page).group(1)


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
    shown = plainly(re.sub(r"<[^>]*>", "", committed))
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
    assert "cannot be told" in report.conclusion(found)[1]
    assert "Over the air does not pay." in report.html(found)


def _comparison(mean, error, share):
    return Comparison(
        Option.REPLACE,
        Estimate(mean, error, 0, 0, 0),
        Odds(share, share, share),
        mean,
        *[BreakEven(Pays.NEVER, None, None)] * 3,
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
     (0.98, "1 event a year"),
     (0.96, "1 event a year"), (0.95, "1 event in 1.1 years"),
     (2.44, "2.4 events a year"), (12.3, "12 events a year"), (0, "no event")],
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
