"""The web as browsers have it: the whole application over a real database and real HTTP, people of each role,
and Chromium.

- `site`: an application on both databases, with accounts; `site.client("operator")` is signed in.
- `desk`: a site with displays and a release for them (`desk.Desk`).
- `furnished`: the same with a fleet that has a past (`scene.Scene`); on SQLite, once a module.
- `page`: a page of Chromium; `signed_in(page, site, role)` lets it in.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import argon2
import httpx2
import pytest

from lamplighter.planning.reporter import reporter
from lamplighter.service.listener import Listener
from lamplighter.service.office import Office
from lamplighter.service.people import People, Person, Role
from lamplighter.service.web.app import Settings, application
from lamplighter.service.web.security import CSRF_FIELD, cookie_name
from lamplighter.store import Store
from tests.service.parties import NOW, PARTIES

from .desk import Desk

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = "/usr/bin/chromium"
PASSWORD = "correct horse battery"
SECONDS_MAX = 60.0
"""For an answer: a machine may be busy with other tests, and what hangs is still found."""
ROOT = Person.of("root", Role)
PEOPLE = {
    "viewer1": Role.VIEWER,
    "operator1": Role.OPERATOR,
    "reviewer1": Role.APPROVER,
    "administrator1": Role.ADMINISTRATOR,
}
"""One account of each role; all have the same password."""
INLINE = {"a", "b", "code", "mark", "small", "span", "strong", "time"}
BY_ROLE = {role.value: name for name, role in PEOPLE.items()}


class Client(httpx2.Client):
    """A browser without scripts: keeps cookies, follows nothing by itself, knows the token of its forms."""

    csrf = ""

    def __init__(self, **values: Any) -> None:
        super().__init__(**{"timeout": SECONDS_MAX} | values)

    def see(self, path: str, **values: Any) -> str:
        """A page that there must be."""
        answer = self.get(path, **values)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:2000])
        return answer.text

    def submit(self, path: str, fields: dict[str, Any] | None = None, **values: Any) -> httpx2.Response:
        """Post a form, with its token."""
        return self.post(path, data={CSRF_FIELD: self.csrf} | (fields or {}), **values)


class Clock:
    """Stands still until it is set."""

    def __init__(self, now=NOW) -> None:
        self.now = now

    def __call__(self):
        return self.now


@dataclass
class Site:
    """A running application, and what it runs on."""

    url: str
    store: Store
    office: Office
    people: People
    clock: Clock
    app: Any
    clients: list[Client] = field(default_factory=list)

    def stranger(self, **values: Any) -> Client:
        """Somebody who is not signed in."""
        client = Client(base_url=self.url, **values)
        self.clients.append(client)
        return client

    def client(self, role: str = "operator") -> Client:
        """Somebody of this role, who is signed in."""
        client = self.stranger()
        account = self.store.people.find(BY_ROLE[role])
        session = self.people._begin(account, "in a test")  # not by the form: a password takes its time
        client.cookies.set(cookie_name("session", secure=False), session, domain="127.0.0.1", path="/")
        client.csrf = self.people.of_session(session)[1]
        return client

    def close(self) -> None:
        """Close all browsers."""
        for client in self.clients:
            client.close()


def token_in(page: str) -> str:
    """The token that the forms of a page bear."""
    return re.search(r'<meta name="csrf" content="([^"]+)">', page)[1]


def typed_in(page: str) -> dict[str, str]:
    """What stands in the fields of a page, by their names."""

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.fields: dict[str, str] = {}

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            found = dict(attrs)
            if tag == "input" and found.get("type", "text") == "text" and "name" in found:
                self.fields[found["name"]] = found.get("value", "")

    reader = Reader()
    reader.feed(page)
    return reader.fields


def text_of(page: str) -> str:
    """What a person reads of a page."""

    class Reader(HTMLParser):
        said: list[str]

        def __init__(self) -> None:
            super().__init__()
            self.said = []

        def handle_starttag(self, tag: str, _attrs: Any) -> None:
            self.said.append("" if tag in INLINE else " ")

        def handle_data(self, data: str) -> None:
            self.said.append(data)

    reader = Reader()
    reader.feed(page)
    return " ".join("".join(reader.said).split())


@cache
def _hashed() -> str:
    """The password of all, hashed once: that is made to be slow."""
    return argon2.PasswordHasher().hash(PASSWORD)


def open_site(url: str, **settings: Any) -> Iterator[Site]:
    """An application on this database, with an account of each role."""
    store = Store.open(url)
    clock = Clock()
    people = People(store, clock)
    for name, role in PEOPLE.items():
        if store.people.find(name) is None:
            store.people.create(name, [role.value], _hashed(), ROOT.name, NOW)
    office = Office(store, clock, parties=PARTIES, reporter=reporter)
    app = application(office, people, secure=False, settings=Settings(**settings))
    with Listener(app) as listener:
        site = Site(listener.url, store, office, people, clock, app)
        try:
            yield site
        finally:
            site.close()
    store.close()


@pytest.fixture
def site(database_url) -> Iterator[Site]:
    """The application on an empty database of both kinds."""
    yield from open_site(database_url)


@pytest.fixture
def desk(site: Site) -> Iterator[Desk]:
    """See `Desk`."""
    found = Desk(site)
    yield found
    found.fleet.close()


@pytest.fixture(scope="session")
def _scene(tmp_path_factory, _sqlite_template):
    """A database with a fleet that has a past."""
    from .scene import Scene

    path = tmp_path_factory.mktemp("scene") / "lamplighter.db"
    shutil.copyfile(_sqlite_template, path)
    store = Store.open(f"sqlite:///{path}")
    scene = Scene(store)
    store.database.engine.dispose()
    return path, scene


@pytest.fixture(scope="module")
def furnished(_scene, tmp_path_factory) -> Iterator[Site]:
    """The application on a fleet with a past, for the tests of one module."""
    source, scene = _scene
    path = tmp_path_factory.mktemp("furnished") / "lamplighter.db"
    for end in ("", "-wal", "-shm"):
        if source.with_name(source.name + end).exists():
            shutil.copyfile(source.with_name(source.name + end), path.with_name(path.name + end))
    for site in open_site(f"sqlite:///{path}"):
        site.clock.now = NOW + 3 * 3600 * 1_000_000
        site.scene = scene
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for one module: while it is there, an event loop runs in this thread, which others need."""
    from playwright.sync_api import sync_playwright

    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}: on Debian, apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def lenient_page(browser) -> Iterator[Any]:
    """A page of Chromium that may be refused something."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture
def page(browser) -> Iterator[Any]:
    """A page of Chromium; a script that fails, and a rule of ours that a page breaks, fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert [] == wrong


def signed_in(page, site: Site, role: str = "operator") -> None:
    """Let a page of Chromium in, by the cookie that a form got."""
    name = cookie_name("session", secure=False)
    session = site.client(role).cookies[name]
    page.context.add_cookies([{"name": name, "value": session, "url": site.url}])
