"""The whole walk in Chromium, over a live lab: written, tried, approved, held, looked into, ended."""

from __future__ import annotations

import re
import time

import pytest

from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.service.people import Person, Role

from .stage import ROOT, stage

CLICK = 10_000  # milliseconds that a page may take
OPERATOR, REVIEWER = Person.of("operator1", [Role.OPERATOR]), Person.of("reviewer1", [Role.APPROVER])
PATIENCE = 60_000  # milliseconds, in which hours go by in the homes


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A lab of 90 homes, in some of which the hardware is too old for the new firmware."""
    with stage(tmp_path_factory.mktemp("walk"), homes=90) as found:
        yield found


@pytest.fixture
def come(live, page):
    """Let somebody take the seat before the screen."""

    def sit(name: str):
        page.context.clear_cookies()
        session = {"name": "lamplighter-session", "value": live.session(name), "url": live.url}
        page.context.add_cookies([session])
        page.set_default_timeout(CLICK)
        return page

    return sit


def _write(page, live) -> None:
    """Fill the form in, as a person would."""
    page.goto(f"{live.url}/campaigns")
    page.get_by_role("link", name="New campaign").click()
    page.get_by_label("Name", exact=True).fill("Displays, spring")
    page.get_by_label("Release", exact=True).select_option("displays 2.0")
    page.get_by_label("PPMID", exact=True).check()
    page.get_by_label("Name of wave 1").fill("canary")
    page.get_by_label("Share of wave 1").fill("10 %")
    page.get_by_label("Minimum of wave 1").fill("8")
    page.get_by_label("Soak time of wave 1").fill("20m")
    page.get_by_label("Name of wave 2").fill("everyone")
    page.get_by_label("Share of wave 2").fill("100 %")
    page.get_by_label("Minimum of wave 2").fill("")
    page.get_by_label("Soak time of wave 2").fill("")
    for what in ("Name", "Share", "Minimum", "Soak time"):
        page.get_by_label(f"{what} of wave 3").fill("")
    for name in ("hub model", "hub firmware"):
        page.get_by_label(name, exact=True).uncheck()
    page.get_by_text("Gate, deadlines and retries").click()
    for label, value in (
        ("Acceptable failure rate", "5 %"),
        ("Harmful failure rate", "25 %"),
        ("Acceptable silence rate", "5 %"),
        ("Harmful silence rate", "25 %"),
        ("At the hub (N60)", "12h"),
        ("On the Device (N62)", "24h"),
        ("Verified or running", "36h"),
        ("Late joiners", "10m"),
    ):
        page.get_by_label(label).fill(value)


def _release(page, why: str) -> None:
    """Let the held stratum go on."""
    held = page.locator(".notice.bad", has_text="Held: hardware=1101")
    held.get_by_role("link", name="Release the hold…").click()
    page.locator("#release-reason").fill(why)
    page.get_by_role("button", name="Release the hold").click()
    assert "The hold of hardware=1101 was released" in page.inner_text("main")


def test_from_a_plan_to_proof(live, come):
    """Create, dry run, approve as another person, start, a gate holds, look at a Device, release, finish."""
    page = come("operator1")
    _write(page, live)
    page.get_by_role("button", name="Dry run", exact=True).click()
    assert live.office.campaigns(ROOT) == [], "a dry run keeps nothing"
    assert "Who is in: 9" in page.inner_text("#dry-run") or "Who is in: 8" in page.inner_text("#dry-run")
    assert "hardware=1101" in page.inner_text("#dry-run")
    page.get_by_role("button", name="Create this draft").click()
    page.wait_for_url(re.compile(r"/campaigns/\d+$"))
    assert "somebody else has to approve it" in page.inner_text("main")

    page.goto(f"{live.url}/approvals")
    assert "Approvers do that" in page.inner_text("main"), "its author has no button"
    page = come("reviewer1")
    page.goto(f"{live.url}/approvals")
    page.get_by_role("button", name="Approve Displays, spring").click()
    assert "You have approved Displays, spring" in page.inner_text("main")

    page = come("operator1")
    page.goto(f"{live.url}/campaigns")
    page.get_by_role("link", name="Displays, spring").click()
    page.get_by_text("Start…").click()
    page.get_by_role("button", name="Start Displays, spring").click()
    page.get_by_text("was started").wait_for()

    # Nothing is loaded again from here: the gate's verdict comes by the event stream.
    held = page.locator(".notice.bad", has_text="Held: hardware=1101")
    held.wait_for(timeout=PATIENCE)
    causes = page.locator("section", has=page.get_by_role("heading", name="Why Devices fail"))
    causes.locator("a.eui").first.wait_for(timeout=PATIENCE)
    device = causes.locator("a.eui").first
    eui = device.inner_text()
    device.click()
    page.get_by_role("heading", name=re.compile(eui)).wait_for()
    assert "failed" in page.inner_text("main")
    page.go_back()

    # The rest of them fails as well: where they are enough for a verdict, the hold comes again.
    finished = page.locator("#live-status", has_text="finished")
    held = page.locator(".notice.bad", has_text="Held: hardware=1101")
    for why in ("see whether a colder day was to blame", "the rest is replaced anyhow", "all of them are"):
        _release(page, why)
        finished.or_(held).first.wait_for(timeout=PATIENCE)
        if finished.is_visible():
            break
    finished.wait_for()
    page.get_by_text("It has ended").wait_for()
    [campaign] = live.office.campaigns(ROOT)
    assert CampaignStatus.FINISHED is campaign.status
    said = [(it.who, it.what) for it in live.store.campaigns.events(campaign.id)]
    for who, what in (
        ("operator1", "create"),
        ("reviewer1", "approve"),
        ("operator1", "start"),
        ("operator1", "release hold"),
    ):
        assert (who, what) in said


def test_a_campaign_is_paused_and_resumed_with_a_reason(live, come):
    """Pause tells its effect, asks why, and what was said is in the audit; resume goes on."""
    page = come("deputy1")
    made = live.office.create(OPERATOR, _SWITCHES, live.releases["switches"])
    page.goto(f"{live.url}/approvals#campaign-{made.id}")
    page.get_by_role("button", name=f"Approve {made.name}").click()
    page.goto(f"{live.url}/campaigns/{made.id}")
    page.get_by_text("Start…").click()
    page.get_by_role("button", name=f"Start {made.name}").click()
    page.get_by_text("Pause…").click()
    assert "What the DCC has goes on" in page.inner_text("details.act.pause")
    page.locator("#reason-pause").fill("a storm is forecast")
    page.get_by_role("button", name=f"Pause {made.name}").click()
    assert "Nothing is ordered until somebody resumes it" in page.inner_text("main")
    page.get_by_text("Resume…").click()
    page.locator("#reason-resume").fill("it has passed")
    page.get_by_role("button", name=f"Resume {made.name}").click()
    page.goto(f"{live.url}/audit?campaign={made.id}&what=pause")
    assert "a storm is forecast" in page.inner_text("main")
    assert "deputy1" in page.inner_text("table.entries")


def test_what_was_done_can_be_verified(live, come):
    """After all that the chain holds, by the button that says so."""
    page = come("viewer1")
    page.goto(f"{live.url}/audit")
    page.get_by_role("button", name="Verify the chain").click()
    assert "The chain holds" in page.inner_text("#verdict")


def test_one_poller_for_two_browsers(live, come):
    """Two windows on one campaign are one poller; when both are gone there is none."""
    page = come("viewer1")
    made = live.office.create(OPERATOR, _SWITCHES.replace("Switches", "Watched"), live.releases["switches"])
    live.office.approve(REVIEWER, made.id)
    live.office.act(OPERATOR, made.id, Act.START)
    live.office.act(OPERATOR, made.id, Act.PAUSE, "to be looked at")
    page.goto(f"{live.url}/campaigns/{made.id}")
    other = page.context.new_page()
    other.goto(f"{live.url}/campaigns/{made.id}")
    for it in (page, other):
        it.get_by_text("Live, as of").wait_for()
    assert (1, 2) == (live.app.state.live.pollers, live.app.state.live.streams)
    other.close()
    page.goto("about:blank")
    end = time.monotonic() + 30
    while live.app.state.live.pollers and time.monotonic() < end:
        page.wait_for_timeout(100)
    assert 0 == live.app.state.live.pollers


_SWITCHES = """
name = "Switches, north"
approvals = 1
stratify = ["hardware"]
[target]
types = ["HCALCS"]
[[wave]]
name = "everyone"
share = 1
"""
