"""`lamplighter plan business-case` from its command line."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from lamplighter.planning import business

SMALL = ("--replicas", "1000")


@pytest.fixture
def case(tmp_path):
    """A file with the example case."""
    path = tmp_path / "case.toml"
    path.write_text(business.example())
    return path


def test_the_example_that_is_printed_is_read_again(run, tmp_path):
    """What `--example` prints is a case, in text and in JSON alike."""
    shown = run("plan", "business-case", "--example")
    assert 0 == shown.code
    assert business.example().rstrip() == shown.out.rstrip()
    assert business.example() == run("plan", "business-case", "--example", "--json").facts["example"]
    path = tmp_path / "example.toml"
    path.write_text(shown.out)
    assert 0 == run("plan", "business-case", path, *SMALL).code


@pytest.mark.parametrize("option", ["--html", "--pdf"])
def test_a_report_without_matplotlib_is_refused_before_the_work(run, case, tmp_path, monkeypatch, option):
    """It is an extra: that it is missing is said at once, and how to get it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(business, "study", None)
    refused = run("plan", "business-case", case, *SMALL, option, tmp_path / "case")
    assert 2 == refused.code
    assert "matplotlib" in refused.err
    assert "[sim]" in refused.err


def test_the_answer_stands_on_the_terminal(run, case):
    """Whether it pays, from when, and what matters most: without any other file."""
    shown = run("plan", "business-case", case, *SMALL)
    assert "on average" in shown.out
    assert "must-fix event" in shown.out
    assert "What matters most" in shown.out
    assert "**" not in shown.out


def test_the_facts_are_the_same_for_any_worker(run, case):
    """Two processes print what one prints, to the last digit."""
    one, two = (run("plan", "business-case", case, *SMALL, "--json", "--workers", n).out for n in (1, 2))
    assert one == two
    assert {"verdict", "options", "over_the_air_against", "swings", "assumptions"} <= json.loads(one).keys()


def test_a_report_is_written_and_never_over_another(run, case, tmp_path):
    """The page goes to its file; a file that is there is replaced only if forced."""
    path = tmp_path / "report.html"
    assert 0 == run("plan", "business-case", case, *SMALL, "--html", path).code
    first = path.read_text()
    assert first.startswith("<!doctype html>")
    again = run("plan", "business-case", case, *SMALL, "--html", path, "--json")
    assert (2, "--force replaces it") == (again.code, again.error["message"][-19:])
    assert 0 == run("plan", "business-case", case, *SMALL, "--html", path, "--force").code
    assert first == path.read_text()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="a PDF is printed by Chromium")
def test_a_report_is_printed(run, case, tmp_path):
    """With Chromium at hand there is a PDF too."""
    path = tmp_path / "report.pdf"
    shown = run("plan", "business-case", case, *SMALL, "--pdf", path, "--json")
    assert 0 == shown.code
    assert [str(path)] == shown.facts["files"]
    assert path.read_bytes().startswith(b"%PDF-")


def test_a_case_takes_its_success_from_a_campaign_beside_it(run, tmp_path):
    """A campaign's file is named from where the case lies, and stands in the report as the source."""
    text = business.example()
    begin = text.index("[over_the_air.success]\n")
    end = text.index("[over_the_air.campaign]")
    own = '[over_the_air.success]\ncampaign = "past.json"\nunit = "share of Devices that can be updated"\n\n'
    (tmp_path / "case.toml").write_text(text[:begin] + own + text[end:])
    missing = run("plan", "business-case", tmp_path / "case.toml", *SMALL, "--json")
    assert 2 == missing.code
    assert "cannot read" in missing.error["message"]
    (tmp_path / "past.json").write_text('{"proven": 970, "settled": 1000}')
    shown = run("plan", "business-case", tmp_path / "case.toml", *SMALL, "--json")
    assert 0 == shown.code
    found = next(it for it in shown.facts["assumptions"] if it["input"] == "over_the_air.success")
    assert "campaign past.json: 970 of 1,000 Devices proven" == found["source"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "business-case --example"),
        (("case.toml", "--replicas", "10"), "--replicas 10: allowed are 1000 to 1000000"),
        (("case.toml", "--replicas", "1000000000"), "allowed are 1000 to 1000000"),
        (("case.toml", "--seed", "-1"), "seed -1: allowed is 0"),
        (("case.toml", "--workers", "0"), "0 workers: allowed are 1 to"),
        (("case.toml", "--dask", "nonsense://x"), "nonsense://x"),
        (("missing.toml",), "cannot read missing.toml"),
    ],
)
def test_what_cannot_be_is_one_line(run, case, monkeypatch, arguments, said):
    """Numbers that cannot be, files that are not there, schedulers that do not answer."""
    monkeypatch.chdir(case.parent)
    shown = run("plan", "business-case", *arguments, "--json")
    assert shown.code in {1, 2}
    assert said in shown.error["message"]


def test_a_fault_in_a_case_names_file_key_value_and_what_is_allowed(run, case):
    """The author of a case is told where, what, and what instead."""
    case.write_text(case.read_text().replace("years = 15", "years = 1000000000"))
    shown = run("plan", "business-case", case, "--json")
    assert 2 == shown.code
    expected = f"{case}: case: years = 1000000000: allowed is a whole number from 1 to 60"
    assert expected == shown.error["message"]


def test_octets_that_are_no_text_are_refused(run, case):
    """A file of another kind is refused with the octet that cannot be."""
    case.write_bytes(b"\xff\xfe\x00")
    shown = run("plan", "business-case", case, "--json")
    assert 1 == shown.code
    assert "UTF-8" in shown.error["message"]
