"""`lamplighter web`, `serve --web`, `serve --demo`: real processes and pages; what is refused at once."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from lamplighter.cli import main
from lamplighter.cli.arguments import Address
from lamplighter.kit import DecodeError
from lamplighter.kit.instant import HOUR, from_iso
from lamplighter.service.people import People, Person, Role
from lamplighter.service.web.security import CSRF_FIELD
from lamplighter.store import Store

from .test_serve import keys as _keys

PROGRAM = Path(sys.executable).with_name("lamplighter")
PASSWORD = "correct horse battery"
keys = _keys


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A working directory of its own, and nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LAMPLIGHTER_")]:
        monkeypatch.delenv(name)


@contextmanager
def running(*arguments):
    """A command that goes on: its process, and what it says of itself."""
    command = [PROGRAM, "--json", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        assert lines, process.stderr.read()
        try:
            yield process, json.loads("".join(lines))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture
def browser():
    """Browsers, closed with the test; one that knows no address takes whole ones."""
    with ExitStack() as stack:

        def opened(url="http://127.0.0.1"):
            transport = httpx2.HTTPTransport(retries=10)  # a listener's thread may be about to start
            client = httpx2.Client(base_url=url, follow_redirects=True, timeout=60, transport=transport)
            return stack.enter_context(client)

        yield opened


def sign_in(client, name, password):
    [token] = re.findall(rf'name="{CSRF_FIELD}" value="([^"]+)"', client.get("/login").text)
    form = {CSRF_FIELD: token, "name": name, "password": password}
    answer = client.post("/login", data=form, headers={"Origin": str(client.base_url)})
    return client, answer


def test_pages_alone_are_served_and_end_in_good_order(database_url, browser):
    """Two processes on one database: who signs in at one is signed in at the other; SIGINT ends both."""
    store = Store.open(database_url)
    People(store).create(Person.of("root", Role), "administrator1", {Role.ADMINISTRATOR}, PASSWORD)
    store.close()
    options = ["--database", database_url]
    with (
        running("web", "127.0.0.1:0", *options, "--metrics", "127.0.0.1:0") as (one, facts),
        running("web", "127.0.0.1:0", *options) as (other, others),
    ):
        client, answer = sign_in(browser(facts["web"]), "administrator1", PASSWORD)
        assert (200, True) == (answer.status_code, "administrator1" in answer.text)
        session = {"Cookie": "; ".join(f"{it.name}={it.value}" for it in client.cookies.jar)}
        assert 200 == browser().get(others["web"] + "/audit", headers=session).status_code
        figures = browser().get(facts["metrics"]).text
        assert 'lamplighter_web_requests_total{method="POST",route="/login"' in figures
        ready = browser().get(facts["web"] + "/readyz")
        assert (200, False) == (ready.status_code, ready.json()["checks"]["lease"]["passed"])
    assert (0, 0) == (one.returncode, other.returncode)


def test_the_first_start_says_how_somebody_gets_in(tmp_path, browser):
    """Nobody has an account yet: the way to one is printed, and the pages say so too."""
    with running("web", "127.0.0.1:0", "--database", f"sqlite:///{tmp_path / 'new.db'}") as (_, facts):
        assert "lamplighter people add" in facts["first"]
        assert 200 == browser().get(facts["web"] + "/login").status_code


def test_serve_has_engine_and_pages_in_one(keys, tmp_path, browser):
    """`serve --web`: its worker holds the lease that readiness asks for, and messages are taken beside."""
    options = [
        "--keys",
        keys,
        "--dcc",
        "http://127.0.0.1:9/api/v1",
        "--database",
        f"sqlite:///{tmp_path / 'x.db'}",
    ]
    with running("serve", *options, "--web", "127.0.0.1:0", "--metrics", "127.0.0.1:0") as (process, facts):
        base = facts["metrics"].removesuffix("/metrics")
        client = browser()
        while client.get(base + "/readyz").status_code != 200:
            assert process.poll() is None
        assert 400 == client.post(facts["receiver"], content=b"nonsense").status_code
        figures = client.get(facts["metrics"]).text
        assert 'lamplighter_receiver_messages_total{outcome="refused"} 1.0' in figures
        assert 401 == client.get(facts["web"] + "/metrics").status_code
    assert 0 == process.returncode


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_receive_alone_counts_for_its_processes(keys, database_url, browser):
    """`receive --receivers 2` on PostgreSQL: what they refused stands on the one page."""
    options = ["--keys", keys, "--database", database_url, "--receivers", 2, "--metrics", "127.0.0.1:0"]
    with running("receive", *options) as (process, facts):
        client = browser()
        codes = [client.post(facts["receiver"], content=b"nonsense").status_code for _ in range(3)]
        figures = client.get(facts["metrics"]).text
    assert ([400] * 3, 0) == (codes, process.returncode)
    assert 'lamplighter_receiver_messages_total{outcome="refused"} 3.0' in figures


def test_the_demo_has_a_campaign_under_way_a_held_stratum_and_a_way_in_for_each_role(browser):
    """Within seconds: each account signs in, and the held stratum is on the page; then all of it is gone."""
    with running("serve", "--demo", "--homes", 60, "--web", "127.0.0.1:0") as (process, facts):
        assert ["displays: hardware=1101"] == facts["held"]
        assert {"operator", "approver", "viewer", "administrator"} == {it["name"] for it in facts["accounts"]}
        for account in sorted(facts["accounts"], key=lambda it: it["name"] != "administrator"):
            client, answer = sign_in(browser(facts["web"]), account["name"], account["password"])
            assert (200, True) == (answer.status_code, account["name"] in answer.text)
        page = client.get("/campaigns/displays")
        page = page if page.status_code == 200 else client.get("/campaigns/1")
        assert (200, True) == (page.status_code, "hardware=1101" in page.text)
        assert "all-switches" in client.get("/campaigns").text
        # The lab's day is not today, and runs faster: what people do stands in its time all the same.
        row = r'<td><time datetime="([^"]+)"[^>]*>[^<]*</time></td><td>[^<]*</td><td>([^<]*)</td>'
        done = [(from_iso(at), what) for at, what in re.findall(row, client.get("/audit").text)]
        by_people = [at for at, what in done if what in {"sign in", "create account"}]
        by_the_lab = [at for at, what in done if what == "order"]
        assert 8 == len(by_people)
        assert max(by_people) - max(by_the_lab) < 2 * HOUR
        assert 200 == browser().get(facts["web"] + "/readyz").status_code
    assert 0 == process.returncode


def test_passwords_go_over_no_wire_as_they_are(capsys):
    """An address that others can reach, without a word of TLS: refused at the start, and how to say it."""
    assert 2 == main(["web", "0.0.0.0:0"])
    said = capsys.readouterr().err
    assert "--web-url" in said
    assert 1 == said.count("\n")


@pytest.mark.parametrize("url", ["updates.example", "ftp://updates.example", "https://"])
def test_an_address_that_is_none_is_refused(url, capsys):
    """Cookies depend on it."""
    assert 2 == main(["web", "127.0.0.1:0", "--web-url", url])
    assert "--web-url" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(capsys):
    """As one line, not as a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert 2 == main(["web", f"127.0.0.1:{taken.getsockname()[1]}"])
    assert "cannot listen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8000", Address("127.0.0.1", 8000)),
        ("127.0.0.1:8000", Address("127.0.0.1", 8000)),
        ("[::1]:0", Address("::1", 0)),
        ("host:1", Address("host", 1)),
    ],
)
def test_addresses_are_read(text, address):
    """And written as they were, a port alone as this machine's."""
    assert address == Address.parse(text)
    assert address == Address.parse(str(address))


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:65536", "host:-1", "1.5", "host:٣"])
def test_what_is_no_address_is_refused(text):
    """With an example of one."""
    with pytest.raises(DecodeError, match=r"127\.0\.0\.1:8000"):
        Address.parse(text)
