"""`lamplighter serve` and `worker`: what they need at the start, and how they end."""

import json
import os
import signal
import subprocess
import sys

import httpx2
import pytest

from lamplighter.cli import main
from lamplighter.lab import homes
from lamplighter.service import keyfiles

MAIN = "import sys; from lamplighter.cli import main; sys.exit(main())"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A working directory of its own, and nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LAMPLIGHTER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def keys(tmp_path):
    """The key directory of a lab's Supplier."""
    lab = homes.build_world("serve")
    keyfiles.create(tmp_path / "keys")
    own = dict(lab.pki.supplier_keys(homes.SUPPLIER))
    for certificate in lab.ring:
        keyfiles.store(tmp_path / "keys", certificate, own.get(certificate))
    return tmp_path / "keys"


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_all_that_is_missing_is_named(command, capsys):
    """One line, with every option and variable that would do."""
    assert 2 == main([command])
    said = capsys.readouterr().err
    for word in ("--keys", "LAMPLIGHTER_KEYS", "--dcc", "LAMPLIGHTER_DCC"):
        assert word in said
    assert 1 == said.count("\n")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--dcc", "nonsense"], "https://HOST"),
        (["--dcc", "http://127.0.0.1:9", "--lease", "500ms"], "--lease"),
        (["--dcc", "http://127.0.0.1:9", "--timeout", "50"], "--timeout"),
        (["--dcc", "http://127.0.0.1:9", "--speed", "60"], "--began"),
        (["--dcc", "http://127.0.0.1:9", "--speed", "60", "--began", "now"], "--began"),
        (["--dcc", "https://127.0.0.1:9", "--tls-certificate", "none.pem"], "none.pem"),
        (["--dcc", "http://127.0.0.1:9", "--database", "oracle://x"], "no database that we know"),
        (["--dcc", "http://127.0.0.1:9", "--supplier", "00-00-00-00-00-00-00-09"], "00-00-00-00-00-00-00-09"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(keys, options, named, capsys):
    """Not when the first order is due."""
    assert 2 == main(["worker", "--keys", str(keys), *options])
    assert named in capsys.readouterr().err


def served(keys, *options):
    """`serve` in a process of its own: what it says, what it answers to nonsense, and its exit code."""
    environment = os.environ | {"LAMPLIGHTER_KEYS": str(keys), "LAMPLIGHTER_DCC": "http://127.0.0.1:9/api/v1"}
    command = [sys.executable, "-c", MAIN, "--json", "serve", *options]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        facts = json.loads("".join(lines))
        transport = httpx2.HTTPTransport(retries=10)  # receive processes take a while to start
        with httpx2.Client(transport=transport, timeout=60) as client:
            answer = client.post(facts["receiver"], content=b"nonsense")
        process.send_signal(signal.SIGTERM)
        return facts, answer, process.wait(60)


def test_serve_listens_and_ends_in_good_order(keys):
    """Settings from the environment; JSON says where it listens; SIGTERM ends it with exit code 0."""
    facts, answer, code = served(keys)
    assert (400, 0) == (answer.status_code, code)
    assert (str(homes.SUPPLIER), str(homes.ACB)) == (facts["supplier"], facts["acb"])
    assert (keys.parent / "lamplighter.db").exists()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_serve_may_receive_in_processes_of_their_own(keys, database_url):
    """Two of them on PostgreSQL, on one port; they end with it."""
    _, answer, code = served(keys, "--receivers", "2", "--database", database_url)
    assert (400, 0) == (answer.status_code, code)


def test_sqlite_is_for_one_process(keys, capsys):
    """Said at the start."""
    options = ["--keys", str(keys), "--dcc", "http://127.0.0.1:9", "--receivers", "2"]
    assert 2 == main(["serve", *options])
    assert "PostgreSQL" in capsys.readouterr().err


def test_a_token_that_cannot_sign_is_said_at_the_start(held, hsm, run):
    """Not when the first order is due; and not as a mistake in the options, for the token may come back."""
    hsm.say_pin("00000000")
    options = ("--dcc", "http://127.0.0.1:9", "--database", f"sqlite:///{held.parent / 'x.db'}")
    outcome = run("worker", "--keys", held, *options)
    assert 1 == outcome.code
    assert "refuses the PIN" in outcome.err
    assert "00000000" not in outcome.err + outcome.out
