"""The pages around campaigns, over HTTP and both databases: what they show and do, and threats by name."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from lamplighter.campaign import plan as plans
from lamplighter.campaign.forecast import Forecast, Three
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.kit import Instant, chain
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.registry import Device
from lamplighter.service.people import Person, Role
from lamplighter.service.web import chart as charts
from lamplighter.service.web import plan_form
from lamplighter.store import schema
from lamplighter.store.inbox import Incoming
from lamplighter.store.leases import Leases
from tests.service.parties import NOW, PPMID, by_dsp, delivered
from tests.store.campaigning import PPMIDS, eui, hub

from .conftest import ROOT, text_of
from .desk import OPERATOR, PLAN, REVIEWER, Desk

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


# --- what is shown


def test_the_list_shows_where_every_campaign_stands(desk):
    """Name, status, share proven, held strata; sorted and filtered by the server."""
    desk.held("Displays, spring")
    desk.draft("Displays, autumn")
    client = desk.site.client("viewer")
    said = text_of(client.see("/campaigns"))
    assert "1 stratum is held" in said
    assert said.index("Displays, autumn") < said.index("Displays, spring")
    assert "New campaign" not in said
    assert "spring" not in text_of(client.see("/campaigns?status=draft"))
    assert "No campaign fits" in text_of(client.see("/campaigns?q=winter"))
    by_name = text_of(client.see("/campaigns?sort=-name"))
    assert by_name.index("spring") < by_name.index("autumn")


def test_one_campaign_shows_the_gate_with_its_numbers_and_what_comes_next(desk):
    """Held, why, by which numbers, what waits for a person; a draft beside it has none of that."""
    number = desk.held()
    page = desk.site.client("operator").see(f"/campaigns/{number}")
    said = text_of(page)
    for words in (
        "Held: hub_model=A.",
        "waits for a person",
        "the DCC: not authorised for this Device or service",
        "It ends in any case",
        "Release a hold…",
        "What the DCC has goes on",
        "the hardware version is outside the image's range",
    ):
        assert words in said, words
    assert 'href="/devices?campaign=Spring&amp;state=failed&amp;cause=access"' in page


def test_a_page_needs_no_script(desk):
    """All is there as HTML: no inline script or style, and every form has its token."""
    number = desk.held()
    client = desk.site.client("operator")
    for path in (
        "/campaigns",
        f"/campaigns/{number}",
        "/campaigns/new",
        "/approvals",
        "/letters",
        "/storms",
        "/reports",
        "/audit",
    ):
        page = client.see(path)
        assert not re.search(r"<script(?![^>]* src=)", page), path
        assert not re.search(r"\son\w+=|\sstyle=|<style", page), path
        forms = re.findall(r'<form[^>]*method="post".*?</form>', page, re.DOTALL)
        assert all(f'name="csrf" value="{client.csrf}"' in form for form in forms), path


FORECAST = Forecast(
    NOW,
    40,
    (0, DAY, 2 * DAY),
    (0, 30, 38),
    (0, 33, 40),
    (0, 36, 40),
    Three(DAY, 2 * DAY, 3 * DAY),
    Three(0, 1, 2),
)


def test_who_approves_a_draft_sees_its_forecast(desk):
    """A rehearsal is for before the approval: the page says what it came to."""
    number = desk.draft()
    desk.site.store.forecasts.save(number, FORECAST, "operator1", NOW)
    page = text_of(desk.site.client("approver").see(f"/campaigns/{number}"))
    assert "once started it ends after 2 d (1 d to 3 d), 1 of 40 Devices not brought" in page


def test_the_forecast_is_drawn_and_told(desk):
    """The band, the end with its bounds, and a word where reality has left it."""
    number = desk.running()
    desk.site.store.forecasts.save(number, FORECAST, "operator1", NOW)
    desk.site.clock.now = Instant(NOW + 2 * DAY)
    page = desk.site.client("viewer").see(f"/campaigns/{number}")
    assert "behind the forecast" in text_of(page)
    assert "against the forecast and its 80 % band" in text_of(page)
    data = json.loads(html.unescape(re.search(r'data-chart="([^"]+)"', page)[1]))
    assert {"proven", "forecast"} == {line["name"] for line in data["lines"]}
    assert 40 == max(it for it in data["band"]["high"] if it is not None)
    assert '<polygon class="band"' in page


def test_two_campaigns_side_by_side(desk):
    """How they went, where their Devices are, and what was planned otherwise."""
    one, two = desk.held("one"), desk.running("two")
    client = desk.site.client("viewer")
    said = text_of(client.see(f"/campaigns/{one}/compare?with={two}"))
    assert "How they went" in said
    assert "Nothing: the plans are the same, but for their names." in said
    assert "Compare with" in text_of(client.see(f"/campaigns/{one}/compare"))
    for other in ("0", "x", "1e9", "99999999999"):
        assert 404 == client.get(f"/campaigns/{one}/compare?with={other}").status_code


def test_no_such_campaign(desk):
    """A number that is none is a page that says so, on every path."""
    client = desk.site.client("operator")
    for path in ("/campaigns/77", "/events/campaigns/77", "/campaigns/77/compare", "/campaigns/new?like=77"):
        assert 404 == client.get(path).status_code, path
    assert 404 == client.submit("/campaigns/77/act", {"act": "pause", "reason": "x"}).status_code


# --- what is done


def test_pause_and_resume_are_written_down_with_their_reason(desk):
    """The effect is told, and the audit has who and why."""
    number = desk.running()
    client = desk.site.client("operator")
    answer = client.submit(f"/campaigns/{number}/act", {"act": "pause", "reason": "a  storm\n is forecast"})
    assert (303, f"/campaigns/{number}") == (answer.status_code, answer.headers["location"])
    assert "Nothing is ordered until somebody resumes it" in text_of(client.see(f"/campaigns/{number}"))
    assert CampaignStatus.PAUSED is desk.site.store.campaigns.find(number).status
    last = desk.site.store.campaigns.events(number)[-1]
    assert ("operator1", "pause", "a storm is forecast") == (last.who, last.what, last.detail)


@pytest.mark.parametrize("act", ["pause", "abort"])
def test_no_act_without_a_reason(desk, act):
    """The record is read by people who were not there."""
    number = desk.running()
    for reason in ("", "   ", "x" * 501):
        answer = desk.site.client("operator").submit(
            f"/campaigns/{number}/act", {"act": act, "reason": reason}
        )
        assert 400 == answer.status_code
    assert CampaignStatus.RUNNING is desk.site.store.campaigns.find(number).status


@pytest.mark.parametrize("act", ["resume", "start", "settle", "finish", "", "fly"])
def test_what_cannot_be_done_from_here_is_refused_in_words(desk, act):
    """Also what only the policy does, and what was done by somebody else a moment ago."""
    number = desk.running()
    answer = desk.site.client("operator").submit(
        f"/campaigns/{number}/act", {"act": act, "reason": "because"}
    )
    assert (400, CampaignStatus.RUNNING) == (
        answer.status_code,
        desk.site.store.campaigns.find(number).status,
    )
    assert "internal" not in answer.text.lower()


def test_a_reason_is_not_lost_when_somebody_else_was_quicker(desk):
    """Paused by two at one time: the second reads so, and has their words, on the page of the campaign."""
    number = desk.running()
    client = desk.site.client("operator")
    desk.site.office.act(OPERATOR, number, Act.PAUSE, "first")
    answer = client.submit(f"/campaigns/{number}/act", {"act": "pause", "reason": "hubs <reboot>"})
    said = text_of(answer.text)
    assert 400 == answer.status_code
    assert "is paused by now: it cannot pause from there." in said
    assert "What you wrote: hubs <reboot>" in said
    assert '<a href="">' not in answer.text  # its address is that of the form, and cannot be asked for


def test_a_reason_that_is_too_long_stands_in_its_form_again(desk):
    """To be cut, and not to be written anew; for an act, and for a hold."""
    number, reason = desk.held(), "so " * 200
    client = desk.site.client("operator")
    for path, fields, form in (
        ("act", {"act": "abort"}, "reason-abort"),
        ("release-hold", {"stratum": "hub_model=A"}, "release-reason"),
    ):
        page = client.submit(f"/campaigns/{number}/{path}", fields | {"reason": reason}).text
        assert "Not done: a reason has at most 500 characters" in text_of(page)
        assert [form] == re.findall(f'<input id="([a-z-]+)" name="reason"[^>]* value="{reason}"', page)


def test_a_hold_is_released_by_name_and_with_a_reason(desk):
    """The failures are pardoned; a stratum that is not held is none to release."""
    number = desk.held()
    client = desk.site.client("operator")
    path = f"/campaigns/{number}/release-hold"
    assert 400 == client.submit(path, {"stratum": "hub_model=A", "reason": ""}).status_code
    assert 400 == client.submit(path, {"stratum": "hub_model=B", "reason": "so"}).status_code
    assert 303 == client.submit(path, {"stratum": "hub_model=A", "reason": "looked at"}).status_code
    assert not any(it.held for it in desk.site.office.campaign(OPERATOR, number).view.strata)


def _try(client, plan: str, release: str = "Display 2.0", **more: str):
    return client.submit("/campaigns/new", {"toml": plan, "release": release, "do": "try text"} | more)


def _hidden(page: str, name: str) -> str:
    form = re.search(
        r'<form method="post" action="/campaigns/new" class="actions">.*?</form>', page, re.DOTALL
    )[0]
    return html.unescape(re.search(rf'name="{name}" value="([^"]*)"', form)[1])


def test_a_dry_run_says_who_is_in_and_who_is_out_and_keeps_nothing(desk):
    """By stratum and wave, with the reasons; then that very plan can be kept."""
    client = desk.site.client("operator")
    answer = _try(client, PLAN.format(name="Spring"))
    said = text_of(answer.text)
    for words in (
        "Who is in: 40 Devices",
        "model=A",
        "the hardware version is outside the image's range",
        "SRV 11.4",
    ):
        assert words in said, words
    assert [] == desk.site.office.campaigns(OPERATOR)
    fields = {name: _hidden(answer.text, name) for name in ("toml", "release", "tried", "revise")}
    made = client.submit("/campaigns/new", fields | {"do": "create"})
    assert 303 == made.status_code
    [campaign] = desk.site.office.campaigns(OPERATOR)
    assert ("Spring", "operator1", CampaignStatus.DRAFT) == (
        campaign.name,
        campaign.created_by,
        campaign.status,
    )


def test_nothing_is_kept_that_was_not_tried(desk):
    """The text was changed after the dry run: it is tried, and not created."""
    client = desk.site.client("operator")
    answer = _try(client, PLAN.format(name="Spring"))
    fields = {name: _hidden(answer.text, name) for name in ("toml", "release", "tried")}
    fields["toml"] = fields["toml"].replace("20 %", "90 %")
    again = client.submit("/campaigns/new", fields | {"do": "create"})
    assert "not the one that was tried" in text_of(again.text)
    assert [] == desk.site.office.campaigns(OPERATOR)


def test_the_form_and_the_text_say_the_same(desk):
    """What a form fills in is tried; what was wrong is named, and nothing typed is lost."""
    client = desk.site.client("operator")
    page = client.see("/campaigns/new")
    fields = {
        name: html.unescape(value)
        for name, value in re.findall(r'<input id="f-[^"]+" name="([^"]+)" value="([^"]*)"', page)
    }
    fields |= {
        "name": "By form", "release": "Display 2.0", "stratify": "region", "target.types": "PPMID",
        "wave.1.name": "all", "wave.1.share": "100 %", "do": "try form",
    }  # fmt: skip
    answer = client.submit("/campaigns/new", fields)
    assert (200, True) == (answer.status_code, "Who is in: 40 Devices" in text_of(answer.text))
    plan = plans.parse(_hidden(answer.text, "toml"))
    assert ("By form", ("region",), 60 * DAY) == (plan.name, plan.stratify, plan.lasts)
    wrong = client.submit("/campaigns/new", fields | {"wave.1.share": "lots"})
    assert (400, True) == (wrong.status_code, "wave[1].share" in wrong.text)
    assert 'value="lots"' in wrong.text


def test_a_draft_is_revised_and_its_approvals_are_void(desk):
    """The page says so beforehand, and the approver sees what changed."""
    number = desk.draft()
    desk.site.office.approve(REVIEWER, number)
    client = desk.site.client("operator")
    assert "Approvals that it has are void" in text_of(client.see(f"/campaigns/new?revise={number}"))
    tried = _try(client, PLAN.format(name="Spring").replace("20 %", "30 %"), revise=str(number))
    fields = {name: _hidden(tried.text, name) for name in ("toml", "release", "tried", "revise")}
    assert 303 == client.submit("/campaigns/new", fields | {"do": "create"}).status_code
    page = desk.site.client("approver").see("/approvals")
    said = text_of(page)
    assert "What changed since reviewer1 approved version 1" in said
    assert ["-share = 0.2", "+share = 0.3"] == re.findall(r'<span class="(?:cut|add)">([^<]+)</span>', page)
    assert "void" in said


def test_an_approval_is_given_for_what_was_shown(desk):
    """Then the campaign can be started, and the approver is not asked again."""
    number = desk.draft()
    client = desk.site.client("approver")
    page = client.see("/approvals")
    digest = desk.site.store.campaigns.find(number).digest.hex()
    assert f'name="digest" value="{digest}"' in page
    assert 303 == client.submit(f"/approvals/{number}", {"digest": digest}).status_code
    assert "Nothing waits for your word" in text_of(client.see("/approvals"))
    desk.site.office.act(OPERATOR, number, Act.START)


def test_whose_accounts_approved_stands_beside_the_approval(desk):
    """Who made the account, who made it an approver, and whether that was a moment ago."""
    number = desk.draft()
    desk.site.office.approve(REVIEWER, number)
    said = text_of(desk.site.client("viewer").see("/approvals"))
    assert "Whose accounts these are: reviewer1: account made by root" in said
    assert "made less than 7 days before" in said
    desk.site.office.act(OPERATOR, number, Act.START)
    assert "reviewer1: account made by root" in text_of(desk.site.client("viewer").see("/approvals"))


def test_who_reset_the_password_last_stands_beside_the_approval(desk):
    """Somebody else, that is: what was set with the account itself does not hide who could sign in before."""
    people = desk.site.people
    people.set_password(ROOT, "reviewer1", "another long password")
    reviewer1 = people.local("reviewer1")
    people.set_password(reviewer1, "reviewer1", "yet another password", "another long password")
    desk.site.office.approve(REVIEWER, desk.draft())
    said = text_of(desk.site.client("viewer").see("/approvals"))
    assert "password last reset by root" in said


def test_who_is_the_making_of_an_author_is_told_so_and_has_no_button(desk):
    """Before they try: the page and the database have one rule."""
    people = desk.site.people
    people.create(ROOT, "ann", [Role.OPERATOR, Role.ADMINISTRATOR])
    people.set_password(people.local("ann"), "reviewer1", "another long password")
    number = desk.site.office.create(people.local("ann"), PLAN.format(name="Anns"), desk.release).id
    client = desk.site.client("approver")
    page = client.see("/approvals")
    assert "ann, who wrote it, made your account, gave it the role of approver, reset its" in text_of(page)
    assert f'action="/approvals/{number}"' not in page
    digest = desk.site.store.campaigns.find(number).digest.hex()
    answer = client.submit(f"/approvals/{number}", {"digest": digest})
    assert (400, True) == (answer.status_code, "not their making" in answer.text)


def test_a_board_votes(desk):
    """Categories, counts, outcome; who is no member has no button."""
    board = '[[board]]\ncategory = "Large Suppliers"\nmembers = ["reviewer1", "second1"]\n'
    plan = PLAN.format(name="Voted").replace("approvals = 1\n", "") + board
    number = desk.site.office.create(OPERATOR, plan, desk.release).id
    client = desk.site.client("approver")
    page = client.see("/approvals")
    assert "Large Suppliers" in text_of(page)
    digest = desk.site.store.campaigns.find(number).digest.hex()
    path = f"/approvals/{number}/vote"
    assert 400 == client.submit(path, {"digest": digest, "choice": "perhaps"}).status_code
    assert 303 == client.submit(path, {"digest": digest, "choice": "approve"}).status_code
    assert "You voted approve." in text_of(client.see("/approvals"))


def test_dead_letters_say_why_and_are_read_as_far_as_it_goes(desk):
    """A letter that is no DUIS at all is shown as it came; a number that is none is a 404."""
    octets = b"<not really>" + EVIL.encode()
    desk.site.store.inbox.take_in(
        [Incoming(octets, NOW, NOW, "N62", eui(1), 3, (), "no certificate of 00-11 is known")]
    )
    client = desk.site.client("operator")
    page = client.see("/letters")
    assert "no certificate of 00-11 is known" in text_of(page)
    [letter] = desk.site.store.inbox.dead_letters()
    one = client.see(f"/letters/{letter.letter.id}")
    assert "It cannot be decoded" in text_of(one)
    assert EVIL in text_of(one)
    assert "<img src=x" not in one
    assert 404 == client.get("/letters/123456").status_code
    assert 400 == client.submit("/letters/replay", {}).status_code
    assert 400 == client.submit("/letters/replay", {"letter": "777"}).status_code


def test_a_letter_that_is_nobodys_fault_is_put_away_with_a_reason(desk):
    """Chosen and explained: it lies here no more, and can still be read; a viewer has no button."""
    reason = "which is not being updated"
    desk.site.store.inbox.take_in([Incoming(b"<x>", NOW, NOW, "N39", eui(1), 1, (), reason)])
    [number] = desk.site.store.inbox.dead_numbers()
    assert "Put the chosen ones away" not in desk.site.client("viewer").see("/letters")
    client = desk.site.client("operator")
    assert "Put the chosen ones away" in client.see("/letters")
    for fields in ({}, {"letter": str(number)}, {"letter": "777", "reason": "x"}, {"reason": "not ours"}):
        assert 400 == client.submit("/letters/dismiss", fields).status_code
    fields = {"letter": str(number), "reason": "not ours"}
    assert 303 == client.submit("/letters/dismiss", fields).status_code
    assert "1 put away" in text_of(client.see("/letters"))
    assert [] == desk.site.store.inbox.dead_numbers()
    assert "<x>" in text_of(client.see(f"/letters/{number}"))


def test_a_letter_that_can_be_read_is_told_field_by_field(desk):
    """What it is, about which Device, and whether its signature is believed; why it is dead stands above."""
    octets = by_dsp(delivered(PPMID))
    desk.site.store.inbox.take_in(
        [Incoming(octets, NOW, NOW, "N60", PPMID, 1, (), "no update of it is under way")]
    )
    [letter] = desk.site.store.inbox.dead_letters()
    said = text_of(desk.site.client("viewer").see(f"/letters/{letter.letter.id}"))
    assert "A dead letter: no update of it is under way" in said
    assert str(PPMID) in said
    assert "It cannot be decoded" not in said
    assert "Read it again" not in said, "a viewer reads, and does nothing"


def test_the_audit_is_filtered_and_paged(desk):
    """The latest first; each page goes on where the last ended."""
    number = desk.running()
    client = desk.site.client("viewer")
    said = text_of(client.see(f"/audit?campaign={number}&who=reviewer1"))
    assert "approve" in said
    assert 1 == len(
        re.findall(r'<td class="num">\d+</td>', client.see(f"/audit?campaign={number}&what=start"))
    )
    for _ in range(60):
        desk.site.office.act(OPERATOR, number, Act.PAUSE, "a")
        desk.site.office.act(OPERATOR, number, Act.RESUME, "b")
    first = client.see(f"/audit?campaign={number}")
    older = html.unescape(re.search(r'href="([^"]+)" rel="next"', first)[1])
    numbers = [
        int(it)
        for page in (first, client.see(older))
        for it in re.findall(r'<td class="num">(\d+)</td>', page)
    ]
    assert (100, sorted(numbers, reverse=True)) == (len(set(numbers)), numbers)
    for wrong in ("campaign=x", "before=-1", "before=" + "9" * 30):
        assert 400 == client.get(f"/audit?{wrong}").status_code


def test_the_export_is_verified_without_us(desk):
    """JSON lines that the pure verifier takes, to the very head that the page shows."""
    desk.running()
    client = desk.site.client("viewer")
    answer = client.get("/audit/export")
    assert "attachment" in answer.headers["content-disposition"]
    end = chain.verify(chain.read(answer.text.splitlines()))
    assert str(end) in client.see("/audit")


def test_the_storms_of_the_register_are_shown(site):
    """An empty register says so; a number that is none is a 404."""
    client = site.client("viewer")
    assert "Going on: 0 None." in text_of(client.see("/storms"))
    assert 404 == client.get("/storms/5").status_code


def _storm(desk, **changes) -> int:
    """A storm in the register, with hours; from hub model A's displays."""
    row = {
        "code": "8F3E", "manufacturer": 0x1234, "model": 1, "hardware": 1, "version": PPMIDS.firmware.number,
        "device": None, "first_at": NOW, "last_at": NOW + 2 * HOUR, "ended_at": None, "cured_by": None,
    } | changes  # fmt: skip
    database = desk.site.store.database
    with database.writing() as connection:
        number = connection.execute(
            schema.storm.insert().values(row).returning(schema.storm.c.id)
        ).scalar_one()
        for hour in range(2):
            connection.execute(
                schema.storm_hour.insert().values(
                    storm=number, hour=NOW + hour * HOUR, alerts=500 + hour, throttled=40, devices=9
                )
            )
    return int(number)


def test_a_storm_is_shown_with_its_hours_and_what_cures_it(desk):
    """What goes on stands first; an operator says which release cures it, and that is in the audit."""
    number = _storm(desk)
    over = _storm(
        desk, code="8F1F", ended_at=NOW + DAY, device=eui(3), manufacturer=-1, model=-1, hardware=-1
    )
    client = desk.site.client("operator")
    said = text_of(client.see("/storms"))
    assert said.index("8F3E") < said.index("8F1F")
    assert "? ?, hardware ?" in said
    client.see(f"/storms/{over}")
    page = client.see(f"/storms/{number}")
    assert "1,001 alerts" in text_of(page)
    assert "Nobody has said yet" in text_of(page)
    answer = client.submit(f"/storms/{number}/cure", {"release": str(desk.release)})
    assert 303 == answer.status_code, text_of(answer.text)
    assert "Display 2.0" in text_of(client.see(f"/storms/{number}"))
    assert 400 == client.submit(f"/storms/{number}/cure", {"release": "x"}).status_code
    assert "storm cure" in text_of(client.see("/audit?what=storm+cure"))


def test_no_storm_is_lost_where_there_are_many(desk):
    """All that go on are counted on the first page and can be turned to, the latest first."""
    open_ones = [_storm(desk) for _ in range(53)]
    over = [_storm(desk, ended_at=NOW + DAY) for _ in range(51)]
    client = desk.site.client("viewer")
    fleet = client.see("/")
    assert "Alert storms now 53" in text_of(fleet)
    assert [f"/storms/{it}" for it in open_ones[:-6:-1]] == re.findall(r'href="(/storms/\d+)"', fleet)
    client.see(f"/storms/{open_ones[-1]}")
    seen = {"open": [], "over": []}
    for state, found in seen.items():
        path = f"/storms?state={state}"
        while path:
            page = client.see(path)
            found += [int(it) for it in re.findall(r'href="/storms/(\d+)"', page)]
            more = re.search(r'href="(/storms\?[^"]*)">Earlier ones', page)
            path = more and html.unescape(more[1])
    assert {"open": open_ones[::-1], "over": over[::-1]} == seen


# --- live


def test_where_nobody_works_a_campaign_says_so(desk):
    """While it is under way and no worker has the lease; not once one has, nor in a draft."""
    number = desk.running()
    draft = desk.site.office.create(OPERATOR, PLAN.format(name="draft"), desk.release).id
    client = desk.site.client("viewer")
    assert "Nobody is at work" in text_of(client.see(f"/campaigns/{number}"))
    assert "Nobody is at work" not in text_of(client.see(f"/campaigns/{draft}"))
    Leases(desk.site.store.database).take("inbox", "worker 1", desk.site.office.clock(), HOUR)
    assert "Nobody is at work" not in text_of(client.see(f"/campaigns/{number}"))


def test_the_stream_of_events_is_the_page(desk):
    """The first event has every part of the page, as HTML that was escaped, and the chart's points."""
    number = desk.held()
    client = desk.site.client("viewer")
    with client.stream("GET", f"/events/campaigns/{number}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "no-store" in answer.headers["cache-control"]
        lines = answer.iter_lines()
        data = next(line for line in lines if line.startswith("data: "))
    news = json.loads(data.removeprefix("data: "))
    assert {"notices", "next", "progress", "rest"} == set(news["parts"])
    assert "Held: hub_model=A" in text_of(news["parts"]["notices"])
    assert "csrf" not in data, "what is for all has nothing of anybody's own"


def test_the_stream_asks_who_looks(desk):
    """No session, no events."""
    number = desk.running()
    answer = desk.site.stranger().get(f"/events/campaigns/{number}")
    assert (303, True) == (answer.status_code, answer.headers["location"].startswith("/login"))


# --- threats


def test_xss_through_the_names_of_campaigns_strata_and_waves(desk):
    """A name is text on every page, in every attribute, in the stream and in the chart's data."""
    hostile = EVIL[:60]
    registry = desk.site.store.registry
    registry.put_devices(
        Device(eui(n), hub(n), replace(PPMIDS, hub_model=EVIL[:32])) for n in range(200, 206)
    )
    plan = (
        PLAN.format(name="X").replace('"X"', json.dumps(hostile)).replace('"canary"', json.dumps(EVIL[:60]))
    )
    number = desk.site.office.create(OPERATOR, plan, desk.release).id
    pages = {"/approvals": desk.site.client("approver").see("/approvals")}
    desk.site.office.approve(REVIEWER, number)
    desk.site.office.act(OPERATOR, number, Act.START, EVIL)
    other = desk.running("other")
    client = desk.site.client("operator")
    paths = [
        "/campaigns", f"/campaigns?q={hostile}", f"/campaigns/{number}", f"/campaigns/{number}?act={EVIL}",
        f"/campaigns/{number}/compare?with={other}", f"/campaigns/new?like={number}", "/audit",
        f"/audit?who={EVIL}&what={EVIL}",
    ]  # fmt: skip
    pages |= {path: client.see(path) for path in paths}
    pages["unknown release"] = client.get(f"/campaigns/new?release={EVIL}").text
    pages["tried"] = _try(client, plan).text
    pages["refused"] = _try(client, f'name = {json.dumps(EVIL)}\n"{EVIL[:20]}" = 1').text
    with client.stream("GET", f"/events/campaigns/{number}") as answer:
        data = next(line for line in answer.iter_lines() if line.startswith("data: "))
    pages |= {f"part {name}": part for name, part in json.loads(data[6:])["parts"].items()}
    for path, page in pages.items():
        assert "<script>alert" not in page, path
        assert "<img" not in page, path
    assert hostile in text_of(pages[f"/campaigns/{number}"])


def test_xss_through_the_text_of_a_plan(desk):
    """What does not parse comes back in the box it was typed in, and nowhere else as markup."""
    evil = "</textarea><script>alert(1)</script>"
    answer = _try(desk.site.client("operator"), evil)
    assert (400, False) == (answer.status_code, "<script>alert" in answer.text)
    assert html.escape(evil) in answer.text.replace("&#34;", "&quot;")


def test_csrf_on_pause(desk):
    """Another site's form has the session cookie and not the token: nothing is paused."""
    number = desk.running()
    client = desk.site.client("operator")
    fields = {"act": "pause", "reason": "surprise"}
    for answer in (
        client.post(f"/campaigns/{number}/act", data=fields),
        client.post(f"/campaigns/{number}/act", data=fields | {"csrf": "0" * 64}),
        client.submit(f"/campaigns/{number}/act", fields, headers={"Origin": "https://evil.example"}),
        client.submit(f"/campaigns/{number}/act", fields, headers={"Sec-Fetch-Site": "cross-site"}),
    ):
        assert 403 == answer.status_code
    assert CampaignStatus.RUNNING is desk.site.store.campaigns.find(number).status


def test_nothing_is_done_by_a_link(desk):
    """GET changes nothing: what an act is to be is only a form that is open."""
    number = desk.running()
    client = desk.site.client("operator")
    client.see(f"/campaigns/{number}?act=abort")
    for path in (
        f"/campaigns/{number}/act",
        f"/campaigns/{number}/release-hold",
        f"/approvals/{number}",
        "/letters/replay",
        "/letters/dismiss",
    ):
        assert client.get(path).status_code in {404, 405}
    assert CampaignStatus.RUNNING is desk.site.store.campaigns.find(number).status


@pytest.mark.parametrize("role", ["viewer", "approver", "administrator"])
def test_who_does_not_operate_has_no_buttons_and_no_way_round(desk, role):
    """The form is not there, and posting it is forbidden."""
    number = desk.held()
    client = desk.site.client(role)
    page = client.see(f"/campaigns/{number}")
    assert "/act" not in page
    assert 'action="/campaigns' not in page.replace(f'action="/campaigns/{number}/compare"', "")
    for path, fields in (
        (f"/campaigns/{number}/act", {"act": "abort", "reason": "x"}),
        (f"/campaigns/{number}/release-hold", {"stratum": "hub_model=A", "reason": "x"}),
        ("/campaigns/new", {"toml": PLAN, "release": "Display 2.0", "do": "try text"}),
        ("/letters/replay", {"letter": "1"}),
        ("/letters/dismiss", {"letter": "1", "reason": "x"}),
    ):
        assert 403 == client.submit(path, fields).status_code, path


def test_the_approver_is_the_creator(site):
    """Whoever wrote a plan has no button, and cannot approve by a form of their own; nor who wrote part."""
    desk = Desk(site)
    both = Person.of("root", Role)
    site.people.set_roles(both, "operator1", [Role.OPERATOR, Role.APPROVER])
    number = desk.draft()
    digest = site.store.campaigns.find(number).digest.hex()
    client = site.client("operator")
    page = client.see("/approvals")
    assert f'action="/approvals/{number}"' not in page
    assert "You wrote it" in text_of(page)
    answer = client.submit(f"/approvals/{number}", {"digest": digest})
    assert (400, []) == (answer.status_code, site.store.campaigns.approvals(number))
    site.people.set_roles(both, "reviewer1", [Role.OPERATOR, Role.APPROVER])
    site.office.revise(
        Person.of("reviewer1", Role), number, PLAN.format(name="Spring").replace("20 %", "30 %")
    )
    digest = site.store.campaigns.find(number).digest.hex()
    answer = client.submit(f"/approvals/{number}", {"digest": digest})
    assert (400, []) == (answer.status_code, site.store.campaigns.approvals(number))
    assert "earlier version" in text_of(client.see("/approvals"))
    desk.fleet.close()


def test_a_stale_digest_approves_nothing(desk):
    """The plan was changed after the approver's page was loaded: what they read is not what it is now."""
    number = desk.draft()
    shown = desk.site.store.campaigns.find(number).digest.hex()
    desk.site.office.revise(OPERATOR, number, PLAN.format(name="Spring").replace("20 %", "90 %"))
    client = desk.site.client("approver")
    answer = client.submit(f"/approvals/{number}", {"digest": shown})
    assert (400, True) == (answer.status_code, "it was changed" in answer.text)
    for digest in ("", "00", "zz" * 32, shown.upper() + "00"):
        assert 400 == client.submit(f"/approvals/{number}", {"digest": digest}).status_code
    assert [] == desk.site.store.campaigns.approvals(number)


def test_a_tampered_audit_is_told(site):
    """Whoever gets at the database past its guards breaks the chain, and the page says where."""
    desk = Desk(site)
    desk.running()
    client = site.client("viewer")
    assert "The chain holds" in text_of(client.submit("/audit/verify").text)
    head = str(site.store.audit.head())
    if not site.store.database.is_sqlite:
        desk.fleet.close()
        return  # its trigger is dropped otherwise; tests/store does so
    with site.store.database.engine.begin() as connection:
        for (name,) in connection.execute(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'")
        ).all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text("UPDATE audit SET who = 'nobody' WHERE what = 'approve'"))
    said = text_of(client.submit("/audit/verify").text)
    assert "The chain is broken (audit-digest)" in said
    assert 400 == client.submit("/audit/verify", {"head": "not a head"}).status_code
    assert "broken" in text_of(client.submit("/audit/verify", {"head": head}).text)
    desk.fleet.close()


def test_header_injection_by_a_stratum(desk):
    """A line feed in what is said once on the next page is no header of the answer."""
    number = desk.held()
    client = desk.site.client("operator")
    answer = client.submit(
        f"/campaigns/{number}/release-hold", {"stratum": "hub_model=A\r\nSet-Cookie: a=b", "reason": "x"}
    )
    assert 400 == answer.status_code
    assert "a=b" not in str(answer.headers)


# --- charts


def test_a_chart_of_a_long_campaign_has_no_more_points_than_a_screen():
    """The first and the last are always there."""
    series = [(Instant(NOW + n * MINUTE), n) for n in range(5_000)]
    drawn = charts.progress(NOW, series, (Instant(NOW + 5_000 * MINUTE), 5_000), None)
    points = drawn.lines[0].points
    assert (charts.POINTS_MAX, (0, 0), (5_000 * MINUTE, 5_000)) == (len(points), points[0], points[-1])
    assert drawn.svg("x").count("<polyline") == 1


def test_a_chart_of_nothing_is_none():
    """A campaign that has only begun has no curve to draw."""
    assert charts.progress(NOW, [], (NOW, 0), None).is_empty


def test_the_differences_of_plans_are_lines_of_toml():
    """What approvers read is what the plan's own reader takes."""
    plan = plans.parse(PLAN.format(name="a"))
    assert plan.digest == plans.parse(plan_form.document_of(plan)).digest


# --- numbers that fit nowhere


@pytest.mark.parametrize("digits", [11, 18, 19, 23, 5000])
@pytest.mark.parametrize(
    "path",
    [
        "/campaigns/{}",
        "/campaigns/{}/compare",
        "/campaigns/1/compare?with={}",
        "/releases/{}",
        "/letters/{}",
        "/letters?before={}",
        "/storms/{}",
        "/storms?before={}",
        "/events/campaigns/{}",
        "/devices?campaign={}",
        "/audit?campaign={}",
        "/audit?before={}",
        "/reports/metrics?campaign={}",
    ],
)
def test_a_number_that_no_column_holds_is_nothing_and_no_mistake_of_ours(site, path, digits):
    """A traceback in the log for whoever asks would hide those that matter."""
    client = site.client("viewer")
    with capture_logs() as logs:
        status = client.get(path.format("9" * digits)).status_code
    assert {404} >= {status} if "?" not in path else status < 500
    assert not [it for it in logs if it["log_level"] == "error"]


@pytest.mark.parametrize("digits", [11, 18, 19, 23])
@pytest.mark.parametrize(
    ("role", "path", "fields"),
    [
        ("operator", "/campaigns/{}/act", {"act": "start"}),
        ("operator", "/campaigns/{}/release-hold", {"stratum": "all"}),
        ("operator", "/campaigns/new", {"do": "try text", "toml": "name = 1", "revise": "{}"}),
        ("operator", "/storms/{}/cure", {"release": "1"}),
        ("operator", "/storms/1/cure", {"release": "{}"}),
        ("approver", "/approvals/{}", {"digest": "0" * 64}),
        ("approver", "/approvals/{}/vote", {"digest": "0" * 64, "choice": "approve"}),
        ("administrator", "/people/tokens/{}/revoke", {}),
    ],
)
def test_a_form_with_a_number_that_no_column_holds_is_refused(site, role, path, fields, digits):
    """The same where something is to be done: nothing is, and it is no mistake of ours."""
    number = "9" * digits
    client = site.client(role)
    with capture_logs() as logs:
        answer = client.submit(path.format(number), {it: said.format(number) for it, said in fields.items()})
    assert answer.status_code < 500
    assert answer.status_code != 303, "nothing was done"
    assert not [it for it in logs if it["log_level"] == "error"]
