"""The audit from the command line: listed, exported, and verified without a database."""

from __future__ import annotations

import json

import pytest
from tests.store.campaigning import START, Fleet

from lamplighter.kit import chain
from lamplighter.kit.instant import to_iso


@pytest.fixture
def exported(tmp_path, monkeypatch, run):
    """An export of a campaign's first acts, and the head that was printed with it."""
    url = f"sqlite:///{tmp_path / 'supplier.db'}"
    monkeypatch.setenv("LAMPLIGHTER_DATABASE", url)
    monkeypatch.setenv("LAMPLIGHTER_USER", "operator1")
    monkeypatch.setenv("LAMPLIGHTER_BEGAN", to_iso(START))
    monkeypatch.setenv("LAMPLIGHTER_SPEED", "0.000001")
    fleet = Fleet(url)
    fleet.devices(range(5))
    campaign = fleet.start()
    fleet.tick(campaign, START)
    fleet.close()
    path = tmp_path / "audit.jsonl"
    outcome = run("audit", "export", path, "--json")
    assert (0, 4) == (outcome.code, outcome.facts["entries"]), outcome.err
    return path, outcome.facts["head"]


def lines(path):
    return path.read_text().splitlines(keepends=True)


def test_an_export_verifies_where_there_is_no_database(exported, run, monkeypatch, tmp_path):
    """The head that was kept is passed through; without one it is said what is not known."""
    path, head = exported
    monkeypatch.setenv("LAMPLIGHTER_DATABASE", f"sqlite:///{tmp_path / 'nowhere' / 'none.db'}")
    facts = run("audit", "verify", path, "--head", head, "--json").facts
    assert (True, 4, head) == (facts["verified"], facts["entries"], facts["head"])
    shown = run("audit", "verify", path)
    assert (0, True) == (shown.code, "cut off at the end is not known" in " ".join(shown.out.split()))
    piped = run("audit", "verify", "-", "--head", head, stdin=path.read_bytes())
    assert 0 == piped.code


TAMPERED = {
    "changed": ("audit-digest", lambda it: [it[0].replace("system", "sixtem"), *it[1:]]),
    "deleted": ("audit-deleted", lambda it: [it[0], *it[2:]]),
    "inserted": ("audit-order", lambda it: [it[0], *it]),
    "reordered": ("audit-deleted", lambda it: [it[1], it[0], *it[2:]]),
    "truncated": ("audit-truncated", lambda it: it[:-1]),
    "emptied": ("audit-truncated", lambda _: []),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_whatever_was_done_to_an_export_is_found(exported, run, how):
    """Exit code 1, and which check, what was expected and what was found."""
    path, head = exported
    check, tamper = TAMPERED[how]
    path.write_text("".join(tamper(lines(path))))
    outcome = run("audit", "verify", path, "--head", head, "--json")
    assert (1, False, check) == (outcome.code, outcome.facts["verified"], outcome.facts["check"])
    assert 1 == run("audit", "verify", path, "--head", head).code


def test_what_is_no_export_and_what_is_no_head_are_errors_that_say_so(exported, run, tmp_path):
    """The line, what is expected there and what was found."""
    path, _ = exported
    path.write_text("".join(lines(path)) + "{}\n")
    outcome = run("audit", "verify", path)
    assert (1, True) == (outcome.code, "line 5" in outcome.err)
    assert "NUMBER:DIGEST" in run("audit", "verify", path, "--head", "x").err
    assert 2 == run("audit", "verify", tmp_path / "none").code


def test_an_export_overwrites_nothing_unasked(exported, run):
    """And stdout gets the lines alone, ready to be piped on."""
    path, head = exported
    before = path.read_text()
    outcome = run("audit", "export", path)
    assert (2, True) == (outcome.code, "--force" in outcome.err)
    assert 0 == run("audit", "export", path, "--force").code
    piped = run("audit", "export").out
    assert before == piped == path.read_text()
    assert head == str(chain.verify(chain.read(piped.splitlines())))


@pytest.mark.usefixtures("exported")
def test_entries_are_listed_in_their_order_the_latest_by_default(run):
    """By campaign, by person, by kind, from a number on."""
    facts = [json.loads(it) for it in run("audit", "list", "--json").out.splitlines()]
    assert [(1, "add release"), (2, "create"), (3, "start"), (4, "order")] == [
        (it["id"], it["what"]) for it in facts
    ]
    one = [json.loads(it) for it in run("audit", "list", "--limit", "1", "--json").out.splitlines()]
    assert [("policy", "C")] == [(it["who"], it["campaign"]) for it in one]
    assert 3 == len(run("audit", "list", "--campaign", "C", "--json").out.splitlines())
    assert 2 == len(run("audit", "list", "--after", "2", "--json").out.splitlines())
    assert 1 == len(run("audit", "list", "--who", "operator", "--what", "start", "--json").out.splitlines())
    assert 2 == run("audit", "list", "--limit", "0").code
    assert "head  4:" in run("audit", "list").out
