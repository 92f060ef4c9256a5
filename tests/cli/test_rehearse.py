"""`lamplighter plan rehearse`: what it prints, what it keeps, and what is said of what is wrong."""

from __future__ import annotations

import sys

import pytest
from tests.store.campaigning import START, Fleet

from lamplighter.cli import rehearse
from lamplighter.kit.instant import HOUR, to_iso

PLAN = """
name = "spring"
stratify = ["region"]
approvals = 0
[target]
types = ["PPMID"]
[[wave]]
name = "canary"
share = 0.2
[[wave]]
name = "everyone"
share = 1
"""
FLEET = """
[[devices]]
count = 120
type = "PPMID"
hub_model = "A"
regions = { North = 1.0 }
"""
QUICK = ("--members", "9", "--workers", "1", "--step", "1h", "--start", "2026-01-12T09:00:00Z", "--no-faults")


@pytest.fixture
def files(tmp_path):
    plan, fleet = tmp_path / "plan.toml", tmp_path / "fleet.toml"
    plan.write_text(PLAN)
    fleet.write_text(FLEET)
    return plan, fleet


def test_a_plan_is_rehearsed_over_a_described_fleet(files, run):
    """In 80 columns for people; for machines the same, and the same again from the same seed."""
    plan, fleet = files
    shown = run("plan", "rehearse", plan, "--fleet", fleet, *QUICK)
    assert 0 == shown.code, shown.err
    assert "120 Devices" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    one, again = (run("plan", "rehearse", plan, "--fleet", fleet, *QUICK, "--json") for _ in range(2))
    assert one.facts == again.facts
    facts = one.facts
    assert 120 == facts["devices"]
    assert (120 - facts["failures"][1], facts["visits"][1]) == tuple(facts["outcome"].values())
    assert {"North"} == set(facts["octets_to_homes"])
    assert sorted(facts["ends_hours"]) == facts["ends_hours"]


def test_who_was_never_ordered_has_not_failed(files, run):
    """A business case that reads it would take what a campaign had no time for as its failures."""
    plan, fleet = files
    plan.write_text(plan.read_text() + "[rate]\nper_hour = 20\n")
    plan.write_text('lasts = "2h"\n' + plan.read_text())
    facts = run("plan", "rehearse", plan, "--fleet", fleet, *QUICK, "--json").facts
    assert facts["outcome"]["proven"] + facts["outcome"]["failed"] < 90
    assert facts["failures"][1] > 30


def test_a_report_without_matplotlib_is_refused_before_the_work(files, run, tmp_path, monkeypatch):
    """It is an extra: that it is missing is said at once, not after minutes of rehearsals."""
    plan, fleet = files
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(rehearse, "_run", None)
    refused = run("plan", "rehearse", plan, "--fleet", fleet, *QUICK, "--html", tmp_path / "report.html")
    assert 2 == refused.code
    assert "matplotlib" in refused.err


def test_faults_and_bad_firmware_are_tried_by_name(files, run):
    """Each fault has its line, and each stratum what bad firmware does to it."""
    plan, fleet = files
    tried = run("plan", "rehearse", plan, "--fleet", fleet, *QUICK[:-1], "--faults", "--json")
    assert 0 == tried.code, tried.err
    assert {"lost-alert", "dcc-outage", "wrong-hash"} <= {it["fault"] for it in tried.facts["faults"]}
    assert ["region=North"] == [it["stratum"] for it in tried.facts["bad_firmware"]]
    assert 0 < tried.facts["bad_firmware"][0]["kinds"]["does not start"]["reached"] < 120
    shown = " ".join(run("plan", "rehearse", plan, "--fleet", fleet, *QUICK[:-1], "--faults").out.split())
    assert "lost-alert 5 %" in shown
    assert "dcc-outage sure" in shown
    assert "the rest is never ordered: fewer visits are no gain then" in shown


def test_the_report_is_one_file_that_stands_alone(files, run, tmp_path):
    """Charts and all; and it is not written over another one unless that is asked for."""
    plan, fleet = files
    page = tmp_path / "report.html"
    written = run("plan", "rehearse", plan, "--fleet", fleet, *QUICK, "--html", page)
    assert 0 == written.code, written.err
    text = page.read_text()
    assert "Rehearsal of spring" in text
    assert text.count("<svg") >= 2
    assert "<script" not in text
    assert 2 == run("plan", "rehearse", plan, "--fleet", fleet, *QUICK, "--html", page).code


def test_a_campaigns_forecast_is_kept_and_shown(tmp_path, files, run, monkeypatch):
    """`campaign show` says what is expected, and when reality has left it."""
    url = f"sqlite:///{tmp_path / 'supplier.db'}"
    monkeypatch.setenv("LAMPLIGHTER_DATABASE", url)
    monkeypatch.setenv("LAMPLIGHTER_USER", "operator")
    monkeypatch.setenv("LAMPLIGHTER_BEGAN", to_iso(START))
    monkeypatch.setenv("LAMPLIGHTER_SPEED", "0.000001")
    fleet = Fleet(url)
    fleet.devices(range(40))
    plan, _ = files
    assert 0 == run("campaign", "create", plan, "--release", "R").code
    assert 0 == run("campaign", "start", "spring").code
    made = run("plan", "rehearse", "--campaign", "spring", *QUICK[:6], "--no-faults", "--json")
    assert 0 == made.code, made.err
    assert ("spring", 40) == (made.facts["kept"], made.facts["devices"])
    assert made.facts["start"].startswith(to_iso(START)[:13])
    shown = run("campaign", "show", "spring", "--json")
    assert shown.facts["forecast"]["alarm"] is None
    monkeypatch.setenv("LAMPLIGHTER_BEGAN", to_iso(START + 20 * 24 * HOUR))
    late = run("campaign", "show", "spring")
    assert "behind the forecast: 0 Devices proven" in " ".join(late.out.split())
    fleet.make(fleet.campaigns.find("spring"), 3)
    left = run("plan", "rehearse", "--campaign", "spring", *QUICK[:6], "--no-faults")
    assert 2 == left.code
    assert "has ordered 3 updates already: a rehearsal would be of the Devices that are left" in left.err
    fleet.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a file with a plan"),
        (("PLAN",), "--fleet FLEET.toml"),
        (("PLAN", "--fleet", "FLEET", "--members", "10"), "9, 19, 29"),
        (("PLAN", "--fleet", "FLEET", "--step", "1s"), "every minute"),
        (("PLAN", "--fleet", "FLEET", "--step", "soon"), "--step"),
        (("PLAN", "--fleet", "FLEET", "--start", "soon"), "--start"),
        (("PLAN", "--fleet", "FLEET", "--workers", "0"), "--workers"),
        (("PLAN", "--release", "R"), "--database"),
        (("PLAN", "--fleet", "PLAN"), "fleet:"),
        (("PLAN", "--campaign", "spring"), "neither"),
    ],
)
def test_what_cannot_be_rehearsed_is_said_on_one_line(files, run, arguments, said):
    """Before any work is done."""
    names = dict(zip(("PLAN", "FLEET"), files, strict=True))
    outcome = run("plan", "rehearse", *(names.get(it, it) for it in arguments))
    assert 2 == outcome.code
    assert said in outcome.err
    assert 1 == len(outcome.err.splitlines())


def test_the_example_is_a_fleet(run):
    """Printed as it is to be written into a file."""
    printed = run("plan", "rehearse", "--example")
    assert "[[devices]]" in printed.out
