"""Signing in at a provider, through the whole application as it is served, and what is tried on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from lamplighter.cli.arguments import Address
from lamplighter.cli.web import pages
from lamplighter.service.clock import wall_clock
from lamplighter.service.listener import Listener
from lamplighter.service.people import People, Role
from lamplighter.service.web.security import cookie_name
from lamplighter.store import Store
from tests.service.openid_provider import CLIENT, SECRET, Provider

from .conftest import ROOT, Client, text_of, token_in
from .test_security import OTHER_PLACES

SESSION = cookie_name("session", secure=False)
AWAY = cookie_name("oidc", secure=False)


@dataclass
class Visit:
    """The pages as `lamplighter web` serves them, a provider, and browsers that go to and fro."""

    url: str
    store: Store
    people: People
    provider: Provider
    browsers: list[Client] = field(default_factory=list)

    def browser(self) -> Client:
        self.browsers.append(Client(base_url=self.url))
        return self.browsers[-1]

    def away(self, browser, next_path="/campaigns") -> str:
        """From our door to the provider; where it sends the browser back to."""
        answer = browser.get("/login/oidc", params={"next": next_path})
        assert 303 == answer.status_code, answer.text
        assert answer.headers["location"].startswith(f"{self.provider.issuer}/authorize?")
        back = httpx2.get(answer.headers["location"]).headers["location"]
        assert back.startswith(f"{self.url}/login/oidc/callback?")
        return back

    def refusal(self, browser, back) -> str:
        """What the page says to whom it does not let in."""
        answer = browser.get(back)
        assert 401 == answer.status_code, answer.headers
        assert SESSION not in browser.cookies
        assert 303 == browser.get("/campaigns").status_code, "still before the door"
        return text_of(answer.text)

    def sessions(self) -> int:
        with self.store.database.reading() as connection:
            return connection.exec_driver_sql("SELECT count(*) FROM session").scalar_one()


def changed(url: str, **values: str | None) -> str:
    """An address with other values in its query; None: without."""
    split = urlsplit(url)
    query = {name: it[0] for name, it in parse_qs(split.query).items()} | values
    return split._replace(query=urlencode({k: v for k, v in query.items() if v is not None})).geturl()


@pytest.fixture
def visit(database_url, monkeypatch):
    provider, store = Provider(), Store.open(database_url)
    people = People(store)
    served = []

    async def later(scope, receive, send) -> None:
        await served[0](scope, receive, send)

    with Listener(later) as at:
        settings = {
            "ISSUER": provider.issuer,
            "CLIENT_ID": CLIENT,
            "CLIENT_SECRET": SECRET,
            "TITLE": "Gas & Go",
        }
        for name, value in settings.items():
            monkeypatch.setenv(f"LAMPLIGHTER_OIDC_{name}", value)
        here = Address("127.0.0.1", urlsplit(at.url).port)
        served.append(pages(store, people, wall_clock, here, None, engine=False))
        visit = Visit(at.url, store, people, provider)
        yield visit
        for browser in visit.browsers:
            browser.close()
    served[0].application.state.openid.close()
    store.close()
    provider.close()


def test_who_is_vouched_for_comes_in_and_lands_where_they_wanted_to_be(visit):
    """From a page to the door, to the provider, back, and onto the page: with an account, and its role."""
    browser = visit.browser()
    door = browser.get("/campaigns?status=running").headers["location"]
    assert "/login?next=%2Fcampaigns%3Fstatus%3Drunning" == door
    page = browser.see(door)
    assert "Gas & Go" in text_of(page)
    assert 'href="/login/oidc?next=%2Fcampaigns%3Fstatus%3Drunning"' in page
    answer = browser.get(visit.away(browser, "/campaigns?status=running"))
    assert (303, "/campaigns?status=running") == (answer.status_code, answer.headers["location"])
    assert "operator1" in text_of(browser.see(answer.headers["location"]))
    found = visit.store.people.find("operator1")
    assert (frozenset({"operator"}), visit.provider.issuer, None) == (
        found.roles,
        found.issuer,
        found.password,
    )
    done = [(it.who, it.what, it.subject) for it in visit.store.audit.entries()]
    assert [("system", "create account", "operator1"), ("operator1", "sign in", "operator1")] == done


def test_what_the_browser_keeps_meanwhile_is_out_of_reach_of_scripts_and_gone_after(visit):
    """The cookie of the way there is for our own door, and one visit."""
    browser = visit.browser()
    given = browser.get("/login/oidc").headers.get_list("set-cookie")
    [cookie] = [it for it in given if it.startswith(f"{AWAY}=")]
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=600"} <= set(cookie.split("; "))
    browser.get(visit.away(browser))
    assert AWAY not in browser.cookies
    assert SESSION in browser.cookies


@pytest.mark.parametrize("kept", ["nothing", "their own", "made up"])
def test_login_csrf_an_answer_begun_in_another_browser_is_not_taken(visit, kept):
    """A victim who is led to the end of the attacker's sign-in does not come in as the attacker."""
    attacker, victim = visit.browser(), visit.browser()
    back = visit.away(attacker)
    if kept == "their own":
        visit.away(victim)
    elif kept == "made up":
        victim.cookies.set(AWAY, "x" * 43, domain="127.0.0.1", path="/")
    assert "begin it again" in visit.refusal(victim, back)
    assert 0 == visit.sessions()


@pytest.mark.parametrize("state", [None, "", "é", "x" * 43, "x" * 20_000])
def test_state_that_is_not_what_was_sent_is_refused(visit, state):
    """Whatever comes back in its place: a page that says so, and no mistake of ours."""
    browser = visit.browser()
    assert "begin it again" in visit.refusal(browser, changed(visit.away(browser), state=state))


def test_replay_of_the_way_back_lets_nobody_in_again(visit):
    """The address stands in histories and logs: with the cookie too it is good once."""
    browser = visit.browser()
    back = visit.away(browser)
    cookie = browser.cookies[AWAY]
    assert 303 == browser.get(back).status_code
    thief = visit.browser()
    thief.cookies.set(AWAY, cookie, domain="127.0.0.1", path="/")
    assert "is over" in visit.refusal(thief, back)
    assert 1 == visit.sessions()


def test_replay_of_a_code_in_another_sign_in_is_refused(visit):
    """A code that was used before, under a state that is good."""
    browser, thief = visit.browser(), visit.browser()
    back = visit.away(browser)
    used = parse_qs(urlsplit(back).query)["code"][0]
    browser.get(back)
    assert "Gas & Go" in visit.refusal(thief, changed(visit.away(thief), code=used))
    assert 1 == visit.sessions()


def test_pkce_a_code_that_was_stolen_is_no_good_in_another_browser(visit):
    """Not used yet, but made for another verifier: the provider redeems it for nobody else."""
    victim, thief = visit.browser(), visit.browser()
    stolen = parse_qs(urlsplit(visit.away(victim)).query)["code"][0]
    visit.refusal(thief, changed(visit.away(thief), code=stolen))
    assert 0 == visit.sessions()


def test_nonce_a_token_that_was_made_for_another_sign_in_is_not_believed(visit):
    """However well it is signed."""
    visit.provider.claims = {"nonce": "of another one"}
    browser = visit.browser()
    assert "cannot be believed" in visit.refusal(browser, visit.away(browser))


def test_mix_up_an_answer_of_another_provider_is_refused(visit):
    browser = visit.browser()
    back = changed(visit.away(browser), iss="https://evil.example")
    assert "another provider answered" in visit.refusal(browser, back)


def test_what_a_provider_says_of_a_failure_is_not_shown(visit):
    """Its words come by the address, so anybody can have written them."""
    browser = visit.browser()
    evil = "<script>alert(1)</script>"
    back = changed(visit.away(browser), code=None, error=evil, error_description=evil)
    said = browser.get(back).text
    assert "did not let you in" in said
    assert "alert(1)" not in said


@pytest.mark.parametrize("target", OTHER_PLACES)
def test_open_redirect_after_a_provider_one_stays_here(visit, target):
    """A link to our own door, by way of a provider that is trusted, must not lead on to another's."""
    browser = visit.browser()
    location = browser.get(visit.away(browser, target)).headers["location"]
    assert location == "/" or (location.startswith("/%09/") and "evil" in location), location
    assert "" == urlsplit(location).netloc


def test_open_redirect_where_to_go_on_is_not_in_the_way_back(visit):
    """It is kept here: what stands in the address that the provider sends a browser to counts for nothing."""
    browser = visit.browser()
    back = changed(visit.away(browser, "/releases"), next="//evil.example", redirect="//evil.example")
    assert "/releases" == browser.get(back).headers["location"]


@pytest.mark.parametrize("roles", [[], ["somebody"], None, "", {"operator": True}])
def test_who_has_no_role_here_is_not_let_in(visit, roles):
    """Known to the provider, and nobody to us: no account is made."""
    visit.provider.claims = {"roles": roles}
    browser = visit.browser()
    assert "no role" in visit.refusal(browser, visit.away(browser))
    assert None is visit.store.people.find("operator1")


def test_takeover_a_name_at_the_provider_is_not_the_local_account_of_that_name(visit):
    """Whoever can choose their name there would else be anybody here."""
    visit.people.create(ROOT, "administrator1", [Role.ADMINISTRATOR])
    visit.provider.claims = {"preferred_username": "Administrator1"}
    browser = visit.browser()
    assert "already" in visit.refusal(browser, visit.away(browser))


def test_who_is_disabled_here_stays_out_whatever_the_provider_says(visit):
    """Until somebody lets them in here again."""
    visit.people.create(ROOT, "administrator1", [Role.ADMINISTRATOR])
    browser = visit.browser()
    browser.get(visit.away(browser))
    administrator1 = visit.people.local("administrator1")
    visit.people.disable(administrator1, "operator1")
    assert 303 == browser.get("/campaigns").status_code, "and are out at once"
    other = visit.browser()
    assert "disabled" in visit.refusal(other, visit.away(other))
    visit.people.enable(administrator1, "operator1")
    assert 303 == other.get(visit.away(other)).status_code


def test_session_fixation_a_provider_gives_a_session_that_nobody_knew(visit):
    """And the one that the browser came with is over: a second person at one desk leaves none behind."""
    browser, mallory = visit.browser(), visit.browser()
    browser.cookies.set(SESSION, "planted", domain="127.0.0.1", path="/")
    browser.get(visit.away(browser))
    first = browser.cookies[SESSION]
    assert "planted" != first
    browser.get(visit.away(browser))
    assert first != browser.cookies[SESSION]
    mallory.cookies.set(SESSION, first, domain="127.0.0.1", path="/")
    assert 303 == mallory.get("/campaigns").status_code
    assert 1 == visit.sessions()


def test_who_came_by_a_provider_signs_out_here(visit):
    """The session ends, and the way back is none into it."""
    browser = visit.browser()
    back = visit.away(browser)
    browser.get(back)
    browser.csrf = token_in(browser.see("/campaigns"))
    assert 303 == browser.submit("/logout").status_code
    visit.refusal(browser, back)


def test_a_provider_that_is_away_keeps_nobody_with_a_password_out(visit):
    """The door says so, and the other way in still stands on it."""
    visit.provider.answers["/.well-known/openid-configuration"] = (500, b"{}")
    answer = visit.browser().get("/login/oidc", params={"next": "/releases"})
    assert 502 == answer.status_code
    assert 'name="password"' in answer.text
    assert 'name="next" value="/releases"' in answer.text


def test_where_no_provider_is_set_up_there_is_no_such_way(site):
    """Neither there nor back, and the door does not speak of it."""
    browser = site.stranger()
    assert [404, 404] == [
        browser.get(it).status_code for it in ("/login/oidc", "/login/oidc/callback?code=x")
    ]
    assert "oidc" not in browser.see("/login")
