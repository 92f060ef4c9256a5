"""Accounts and tokens from the command line, and what the other verbs make of them."""

from __future__ import annotations

import json

import pytest
from tests.store.campaigning import START, Fleet

from lamplighter.kit.instant import to_iso
from lamplighter.service.people import People, UnauthenticatedError
from lamplighter.store import Store

PASSWORD = b"correct horse battery\n"
PLAN = 'name = "spring"\n[[wave]]\nname = "everyone"\nshare = 1\n'


@pytest.fixture
def url(tmp_path, monkeypatch):
    """A database with Devices and a release, found in the environment."""
    url = f"sqlite:///{tmp_path / 'supplier.db'}"
    monkeypatch.setenv("LAMPLIGHTER_DATABASE", url)
    monkeypatch.setenv("LAMPLIGHTER_BEGAN", to_iso(START))
    monkeypatch.setenv("LAMPLIGHTER_SPEED", "0.000001")
    monkeypatch.delenv("LAMPLIGHTER_TOKEN", raising=False)
    monkeypatch.delenv("LAMPLIGHTER_USER", raising=False)
    fleet = Fleet(url)
    fleet.devices(range(5))
    fleet.close()
    return url


@pytest.fixture
def staffed(url, run):
    """With administrator1, who administrates, operator1, who operates, and reviewer1, who approves."""
    assert (
        0 == run("people", "add", "administrator1", "--role", "administrator", "--stdin", stdin=PASSWORD).code
    )
    for name, role in (("operator1", "operator"), ("reviewer1", "approver")):
        outcome = run("people", "add", name, "--role", role, "--no-password", "--by", "administrator1")
        assert 0 == outcome.code, outcome.err
    return url


def test_a_database_that_was_made_in_the_wrong_place_is_told_of(run, tmp_path, monkeypatch):
    """Else the account is in a file that no service reads, and everything looks as if it had worked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAMPLIGHTER_DATABASE", raising=False)
    add = ("people", "add", "administrator1", "--role", "administrator", "--no-password")
    first = run(*add)
    assert (0, True) == (first.code, str(tmp_path / "lamplighter.db") in first.err)
    second = run(
        "people", "add", "operator1", "--role", "operator", "--no-password", "--by", "administrator1"
    )
    assert (0, "") == (second.code, second.err)


def signed_in(url, name, password):
    store = Store.open(url)
    try:
        return People(store).sign_in(name, password)
    finally:
        store.close()


def test_accounts_are_made_listed_and_changed(staffed, run):
    """The first by whoever has the database, the others by an administrator."""
    facts = [
        json.loads(line) for line in run("people", "list", "--by", "reviewer1", "--json").out.splitlines()
    ]
    assert [("administrator1", "by password"), ("operator1", "not"), ("reviewer1", "not")] == [
        (it["name"], it["signs_in"]) for it in facts
    ]
    assert (
        0
        == run(
            "people", "roles", "operator1", "--role", "viewer", "--role", "operator", "--by", "administrator1"
        ).code
    )
    assert (
        0
        == run(
            "people",
            "password",
            "operator1",
            "--stdin",
            "--by",
            "administrator1",
            stdin=b"another long one!\n",
        ).code
    )
    assert signed_in(staffed, "operator1", "another long one!")
    assert 0 == run("people", "disable", "operator1", "--by", "administrator1").code
    with pytest.raises(UnauthenticatedError):
        signed_in(staffed, "operator1", "another long one!")
    assert 0 == run("people", "enable", "operator1", "--by", "administrator1").code
    assert "operator" in run("people", "list", "--by", "administrator1").out


@pytest.mark.usefixtures("url")
def test_a_password_is_never_an_option(run):
    """It would stand in the list of processes: without a terminal it comes over stdin, or not at all."""
    outcome = run("people", "add", "administrator1", "--role", "administrator")
    assert (2, True) == (outcome.code, "--stdin" in outcome.err)
    assert "there is no account" in run("people", "list", "--by", "x").out


@pytest.mark.usefixtures("staffed")
def test_where_there_are_accounts_nobody_else_does_anything(run, tmp_path):
    """Not by another name, not with another's role, not by saying nothing."""
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN)
    create = ("campaign", "create", plan, "--release", "R")
    assert "has no account" in run(*create, "--by", "stranger").err
    assert "role of operator" in run(*create, "--by", "reviewer1").err
    assert 0 == run(*create, "--by", "operator1").code
    assert "role of approver" in run("campaign", "approve", "spring", "--by", "operator1").err
    assert "role of operator" in run("registry", "import", plan, "--by", "reviewer1").err
    assert (
        "role of administrator"
        in run("people", "roles", "operator1", "--role", "approver", "--by", "operator1").err
    )
    assert 0 == run("campaign", "approve", "spring", "--by", "reviewer1").code
    assert 0 == run("campaign", "start", "spring", "--by", "operator1").code


@pytest.mark.usefixtures("staffed")
@pytest.mark.parametrize("scope", ["approve", "administer"])
def test_a_token_in_the_approvers_name_is_not_issued(run, scope):
    """Its secret would be printed for the administrator, who could then approve what they wrote."""
    both = ("--role", "approver", "--role", "administrator")
    assert 0 == run("people", "roles", "reviewer1", *both, "--by", "administrator1").code
    issue = ("people", "token", "issue", "reviewer1", "--label", "lent", "--scope", scope)
    outcome = run(*issue, "--by", "administrator1")
    assert f"a token to {scope} as reviewer1 nobody issues but reviewer1" in outcome.err
    assert "no token was issued" in run("people", "token", "list", "--by", "administrator1").out


@pytest.mark.usefixtures("staffed")
def test_a_token_says_who_does_it(run, monkeypatch):
    """The secret is printed once; what is done with it is done in its person's name, within its scopes."""
    issue = ("people", "token", "issue", "operator1", "--label", "ci", "--by", "administrator1")
    outcome = run(*issue, "--scope", "read", "--scope", "operate", "--expires-in", "30d", "--json")
    assert 0 == outcome.code, outcome.err
    monkeypatch.setenv("LAMPLIGHTER_TOKEN", outcome.facts["secret"])
    assert 0 == run("release", "withdraw", "R", "--because", "bricks").code
    last = json.loads(run("audit", "list", "--json", "--limit", "1").out)
    assert ("operator1", "withdraw release", "bricks") == (last["who"], last["what"], last["detail"])
    assert "operator1's, and --by names administrator1" in run("audit", "list", "--by", "administrator1").err
    [token] = [
        json.loads(it) for it in run("people", "token", "list", "operator1", "--json").out.splitlines()
    ]
    assert ("good", ["operate", "read"]) == (token["is"], token["scopes"])
    refused = run("people", "token", "revoke", token["id"])
    assert (1, True) == (refused.code, "to administer asks" in refused.err), "it ends no token, nor itself"
    with monkeypatch.context() as patch:
        patch.delenv("LAMPLIGHTER_TOKEN")
        assert 0 == run("people", "token", "revoke", token["id"], "--by", "operator1").code
    outcome = run("release", "withdraw", "R")
    assert (1, True) == (outcome.code, "no token that is good" in outcome.err)


@pytest.mark.usefixtures("staffed")
def test_a_board_votes_from_the_command_line(run, tmp_path):
    """The page of the draft shows the ballot by category."""
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN + '[[board]]\ncategory = "Large Suppliers"\nmembers = ["reviewer1"]\n')
    assert 0 == run("campaign", "create", plan, "--release", "R", "--by", "operator1").code
    assert "open, 0 votes cast of 1 needed" in run("campaign", "show", "spring").out
    assert 2 == run("campaign", "vote", "spring", "perhaps", "--by", "reviewer1").code
    outcome = run("campaign", "vote", "spring", "approve", "--by", "reviewer1")
    assert (0, True, True) == (
        outcome.code,
        "approve, 1 votes cast" in outcome.out,
        "Large Suppliers" in outcome.out,
    )
    facts = run("campaign", "show", "spring", "--json").facts
    assert (True, [("reviewer1", "approve", True)]) == (
        facts["approved"], [(it["by"], it["choice"], it["valid"]) for it in facts["votes"]]
    )  # fmt: skip
    assert 0 == run("campaign", "start", "spring", "--by", "operator1").code
