"""What the log says on a terminal: only what is grave; commands have words of their own for the rest."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from lamplighter.cli.files import printable

if TYPE_CHECKING:
    from structlog.typing import EventDict


def quiet_logs(level: int = logging.ERROR) -> None:
    """Send what is at least this grave to stderr, and nothing to stdout, which is for results."""
    *earlier, renderer = structlog.get_config()["processors"]
    structlog.configure(
        processors=[*earlier, _escape, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Log(sys.stderr),  # whatever stderr is by then
    )


class _Log(structlog.PrintLogger):
    """A log on a full disk, or whose reader has gone, must not end the thread that has something to say."""

    def msg(self, message: str) -> None:
        """Print, if that can be."""
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _escape(_: Any, __: str, event: EventDict) -> EventDict:
    """What a peer said may be among the reasons, and must not steer the terminal."""
    return {name: printable(said) if isinstance(said, str) else said for name, said in event.items()}
