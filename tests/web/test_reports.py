"""Reports to take away from the pages, over HTTP and both databases; attacks by name."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import get_args

import pytest

from lamplighter import client as clients
from lamplighter.client import Client
from lamplighter.kit.instant import DAY, HOUR, to_iso
from lamplighter.planning import reporter as reports
from lamplighter.planning.reporter import reporter
from lamplighter.service.web import turns
from lamplighter.service.web.api import reports as api_reports
from lamplighter.service.web.turns import AT_ONCE
from tests.service.parties import NOW

from .conftest import text_of
from .program import problem, program, token

TODAY, TOMORROW = to_iso(NOW)[:10], to_iso(NOW + DAY)[:10]


def test_the_page_offers_what_has_begun_in_each_form(desk):
    """A draft has nothing to report; what begun last stands first."""
    client = desk.site.client("viewer")
    assert "No campaign has begun yet" in text_of(client.see("/reports"))
    desk.draft("Autumn")
    first = desk.held("Spring")
    page = client.see("/reports")
    assert "Spring" in page
    assert "Autumn" not in page
    for form in ("html", "csv", "json"):
        assert f'href="/reports/metrics?campaign={first}&amp;form={form}"' in page
    assert all(f'name="by" value="{it}"' in page for it in reporter.dimensions)


def test_what_is_taken_away_is_what_the_command_line_makes(desk):
    """The same figures in all three forms, as files with names of their own."""
    number = desk.held()
    client = desk.site.client("viewer")
    facts = client.get("/reports/metrics", params={"campaign": number, "form": "json", "by": "wave"})
    assert f'filename="metrics-campaign-{number}-{TODAY}.json"' in facts.headers["content-disposition"]
    told = json.loads(facts.text)
    made = reports.gather(desk.site.store, [number], None, None, ["wave"], desk.site.clock)
    assert json.loads(json.dumps(reports.measures.as_facts(made.metrics))) == told
    assert {"wave"} == told["by"].keys()
    table = list(csv.DictReader(io.StringIO(client.see(f"/reports/metrics?campaign={number}&form=csv"))))
    total = table[0]
    assert (str(told["total"]["updates"]), "all") == (total["updates"], total["dimension"])
    assert {"region", "hub-model", "model", "wave"} < {row["dimension"] for row in table}
    page = client.see(f"/reports/metrics?campaign={number}")
    assert "Spring" in page
    assert f"{told['total']['updates']} " in text_of(page)
    assert client.see("/reports/storms").startswith("<!doctype html>")


def test_a_time_is_that_of_the_first_orders(desk):
    """From a day on, and before another; a time in which nothing was ordered has a report of nothing."""
    number = desk.held()
    client = desk.site.client("viewer")

    def updates(**values):
        asked = {"campaign": number, "form": "json"} | values
        return json.loads(client.get("/reports/metrics", params=asked).text)["total"]["updates"]

    everyone = updates()
    assert everyone
    assert everyone == updates(**{"from": TODAY, "to": TOMORROW})
    assert 0 == updates(**{"from": TOMORROW})
    assert 0 == updates(to=TODAY)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"campaign": "../1"}, "campaign is a number, not '../1'"),
        ({"campaign": "9" * 18}, "there is no campaign"),
        ({"from": "yesterday"}, "From takes a day such as 2026-11-24, not 'yesterday'"),
        ({"to": "2026-02-30"}, "Before takes a day such as 2026-11-24, not '2026-02-30'"),
        ({"from": TOMORROW, "to": TODAY}, f"from {TOMORROW} to before {TODAY} there is no day"),
        ({"form": "exe"}, "a report is html, csv, json, not 'exe'"),
        ({"by": "password"}, "password"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_can(desk, asked, said):
    """Each refusal names what was asked, and nothing is made."""
    desk.held()
    answer = desk.site.client("viewer").get("/reports/metrics", params=asked)
    assert answer.status_code in {400, 404}
    assert said in text_of(answer.text)


def test_a_campaign_named_like_a_header_or_a_script_stays_a_name(desk):
    """Header injection and XSS: the file's name has none of it, and the page and the report escape it."""
    evil = '<script>alert(1)</script>"; filename=x'
    number = desk.held(evil.replace('"', '\\"'))
    client = desk.site.client("viewer")
    answer = client.get(f"/reports/metrics?campaign={number}")
    name = f"metrics-campaign-{number}-{TODAY}.html"
    assert f'attachment; filename="{name}"' == answer.headers["content-disposition"]
    assert "<script>alert(1)" not in answer.text
    assert "<script>alert(1)" not in client.see("/reports")


def test_more_updates_than_anybody_waits_for_are_left_to_the_command_line(desk, monkeypatch):
    """A report of ten million would keep the pages' memory for minutes: nobody gets that by a click."""
    monkeypatch.setattr(reports, "_AT_ONCE", 3)
    number = desk.held()
    answer = desk.site.client("viewer").get(f"/reports/metrics?campaign={number}")
    assert 400 == answer.status_code
    assert "takes its time: `lamplighter report metrics` makes it" in text_of(answer.text)


def test_where_nobody_makes_reports_the_page_says_what_it_needs(desk):
    """An installation without what planning needs still has all other pages."""
    desk.held()
    desk.site.app.state.office = replace(desk.site.office, reporter=None)
    client = desk.site.client("viewer")
    assert "it needs lamplighter[sim]" in text_of(client.see("/reports"))
    for path in ("/reports/metrics", "/reports/storms"):
        assert 400 == client.get(path).status_code


def test_a_viewer_who_clicks_again_and_again_keeps_nobody_waiting(desk):
    """Beyond so many at one time a report waits its turn, as whole tables do."""
    desk.held()
    client = desk.site.client("viewer")
    turns = desk.site.app.state.turns
    with turns.reading(), turns.reading():
        assert 2 == AT_ONCE
        assert 503 == client.get("/reports/metrics").status_code
    client.see("/reports/metrics")


def test_a_count_of_the_updates_is_no_less_than_what_is_read(desk):
    """It is asked first, so it must not promise too little."""
    number = desk.held()
    metrics = desk.site.store.metrics
    assert len(metrics.updates([number])) == metrics.count([number])
    assert metrics.count(None, NOW - HOUR, NOW + HOUR) == metrics.count()
    assert 0 == metrics.count(None, NOW + 2 * DAY)


def test_a_program_is_told_the_same_figures_in_each_form(desk):
    """What the page hands out, by the API and its client."""
    number = desk.held()
    api = program(desk.site, "viewer")
    page = desk.site.client("viewer")
    for form in ("json", "csv", "html"):
        asked = {"campaign": number, "form": form, "by": ["wave", "region"]}
        told = api.get("/reports/metrics", params=asked)
        handed = page.get("/reports/metrics", params=asked)
        for name in ("content-type", "content-disposition"):
            assert handed.headers[name] == told.headers[name]
        assert handed.text == told.text
    with Client(desk.site.url, token(desk.site, "viewer")) as lamp:
        facts = lamp.metrics(number, start=TODAY, end=TOMORROW, by=["wave"])
        assert 0 < facts["total"]["updates"]
        assert {"wave"} == facts["by"].keys()
        assert facts["by"] == lamp.metrics(number, by="wave")["by"]
        assert 0 == lamp.metrics(number, start=TOMORROW)["total"]["updates"]
        assert facts["total"] == lamp.metrics()["total"]


def test_the_document_has_the_dimensions_that_there_are():
    """They are spelt in the API, and in its client, since nobody may look for them in planning there."""
    assert reporter.dimensions == get_args(api_reports.Dimension) == get_args(clients.Dimension)


@pytest.mark.parametrize(
    ("asked", "status", "kind", "said"),
    [
        ({"campaign": "../1"}, 422, "invalid", "query.campaign: Value error, expected digits"),
        ({"campaign": "2147483647"}, 404, "not-found", "There is no campaign"),
        ({"from": "1767225600"}, 422, "invalid", "query.from: Value error, expected a day"),
        ({"to": "2026-02-30"}, 422, "invalid", "query.to"),
        ({"from": TOMORROW, "to": TODAY}, 409, "refused", f"from {TOMORROW} to before {TODAY}"),
        ({"form": "exe"}, 422, "invalid", "'json', 'csv' or 'html'"),
        ({"by": "password"}, 422, "invalid", "query.by.0"),
        ({"since": TODAY}, 422, "invalid", "query.since: there is no such parameter"),
    ],
)
def test_what_a_program_cannot_ask_is_refused_with_what_can(desk, asked, status, kind, said):
    """Each refusal names what was asked, and nothing is made."""
    desk.held()
    answer = program(desk.site, "viewer").get("/reports/metrics", params=asked)
    assert said in problem(answer, status, kind)["detail"]


def test_programs_and_pages_take_the_same_turns(desk, monkeypatch):
    """Somebody who has taken all that one may take by the pages has nothing more by the API."""
    monkeypatch.setattr(turns, "FILES_EACH", 0)
    answer = program(desk.site, "viewer").get("/reports/metrics")
    assert "You are taking" in problem(answer, 503, "unavailable")["detail"]
    assert "30" == answer.headers["retry-after"]


def test_where_nobody_makes_reports_a_program_is_told_what_it_needs(desk):
    """As on the page."""
    mounted = next(it for it in desk.site.app.routes if "/api/v1" == getattr(it, "path", ""))
    mounted.app.state.office = replace(desk.site.office, reporter=None)
    answer = program(desk.site, "viewer").get("/reports/metrics")
    assert "it needs lamplighter[sim]" in problem(answer, 404, "not-found")["detail"]
