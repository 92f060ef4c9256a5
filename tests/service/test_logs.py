"""What a service logs: fields, levels, both forms; and no secret, however it comes."""

import json
import sys
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.service import logs

SECRET = "hunter2-correct-horse"
PEM = f"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE{SECRET}\n-----END EC PRIVATE KEY-----"


def lines(capsys):
    said = capsys.readouterr()
    assert "" == said.out
    return said.err.splitlines()


def test_json_is_one_object_a_line_with_time_level_and_event(capsys):
    """For whatever collects them."""
    logs.configure(logs.Form.JSON, logs.Level.INFO)
    log = structlog.get_logger()
    log.debug("too little")
    log.info("request answered", counter=7, code="I99")
    with structlog.contextvars.bound_contextvars(request="abc"):
        log.warning("message refused", check="signature")
    first, second = map(json.loads, lines(capsys))
    assert {"event": "request answered", "counter": 7, "code": "I99", "level": "info"} == {
        name: said for name, said in first.items() if name != "timestamp"
    }
    assert first["timestamp"].endswith("Z")
    assert ("abc", "warning") == (second["request"], second["level"])


@pytest.mark.parametrize("form", logs.Form)
@pytest.mark.parametrize(
    "said",
    [
        {"password": SECRET},
        {"new_password": SECRET},
        {"Authorization": f"Bearer {SECRET}"},
        {"token": SECRET, "session_cookie": SECRET, "csrf": SECRET, "client_secret": SECRET},
        {"headers": {"cookie": SECRET, "authorization": SECRET}},
        {"reason": f"cannot open postgresql+psycopg://lamplighter:{SECRET}@db/lamplighter"},
        {"reason": f"refused: authorization: Bearer {SECRET}"},
        {"url": f"https://login.example/cb?code={SECRET}&state={SECRET}"},
        {"body": f"name=administrator1&password={SECRET}"},
        {"key": PEM},
        {"key": PEM[:40]},
        {"octets": PEM.encode()},
        {"nested": [{"deep": {"deeper": f"password={SECRET}"}}]},
        {"error": ValueError(f"password={SECRET}")},
    ],
    ids=str,
)
def test_no_secret_is_logged(form, said, capsys):
    """By the name under which it comes, or by how it looks."""
    logs.configure(form, logs.Level.DEBUG)
    structlog.get_logger().info("something", **said)
    [line] = lines(capsys)
    assert SECRET not in line
    assert "MHcCAQEE" not in line


def test_a_traceback_tells_no_values(capsys):
    """Variables of the frames stay out: they hold passwords where passwords are checked."""
    logs.configure(logs.Form.JSON, logs.Level.DEBUG)
    password = SECRET
    try:
        raise RuntimeError("x" * len(password))
    except RuntimeError:
        structlog.get_logger().exception("failed")
    [line] = lines(capsys)
    assert "RuntimeError" in line
    assert SECRET not in line


def test_what_is_no_secret_is_left_alone(capsys):
    """Words that merely look alike."""
    logs.configure(logs.Form.JSON, logs.Level.DEBUG)
    said = {"tokens": 3, "stopping": True, "pins": "both", "campaign": "spring", "code": "I99", "keys": "a/b"}
    structlog.get_logger().info("a secretary passed", **said)
    [line] = lines(capsys)
    assert said.items() <= json.loads(line).items()


def test_a_peer_steers_no_terminal_and_forges_no_line(capsys):
    """Control characters, and a line feed in what somebody sent."""
    logs.configure(logs.Form.CONSOLE)
    structlog.get_logger().info("refused", reason="x\x1b[2J\n2026-01-01 [error] forged\u202e")
    [line] = lines(capsys)
    assert set() == set("\x1b\u202e") & set(line)


def test_a_log_on_a_full_disk_ends_no_thread(monkeypatch):
    """Every level."""
    logs.configure(logs.Form.JSON, logs.Level.DEBUG)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        for level in ("debug", "info", "warning", "error"):
            getattr(structlog.get_logger(), level)("disk full")
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space left"):
            full.close()


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.binary(),
        lambda it: st.lists(it) | st.dictionaries(st.text(), it),
    )
)
def test_hiding_is_total(value):
    """Any value comes out as something that JSON takes."""
    json.dumps(logs.hidden(value))
