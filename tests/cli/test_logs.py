"""The log of a service: what it says, and what becomes of the service where it cannot be written."""

import sys
from pathlib import Path

import pytest
import structlog

from lamplighter.cli.logs import quiet_logs


def test_what_is_grave_goes_to_stderr(capsys):
    """And nothing to stdout, which is for results."""
    quiet_logs()
    structlog.get_logger().error("tick failed", work="inbox\x1b[2J")
    said = capsys.readouterr()
    assert "" == said.out
    assert "tick failed" in said.err
    assert "\x1b[2J" not in said.err


def test_a_log_on_a_full_disk_ends_no_thread(monkeypatch):
    """Every way of saying something: the loops log in the very places that keep them alive."""
    quiet_logs()
    log = structlog.get_logger()
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        for say in (log.debug, log.info, log.warning, log.error, log.critical, log.exception):
            say("disk full")
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space left"):
            full.close()
