"""What the log says on a terminal: only what is grave; commands have words of their own for the rest."""

from __future__ import annotations

from lamplighter.service import logs


def quiet_logs() -> None:
    """Send what is grave to stderr, and nothing to stdout, which is for results."""
    logs.configure(logs.Form.CONSOLE, logs.Level.ERROR)
