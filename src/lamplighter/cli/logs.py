"""What the log says on a terminal: only what is grave; commands have words of their own for the rest."""

from __future__ import annotations

import logging
import sys

import structlog


def quiet_logs(level: int = logging.ERROR) -> None:
    """Send what is at least this grave to stderr, and nothing to stdout, which is for results."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # whatever stderr is by then
    )
