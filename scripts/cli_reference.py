"""Write docs/cli.md: every command and option, from the command line's own definitions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from lamplighter.cli import app

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "cli.md"

HEAD: Final = """\
# Commands

Written by `make docs` from the program itself; not edited by hand. `--json` may stand with any command.
Exit codes: 0 done; 1 something failed, or did not verify; 2 the command line was wrong, or names what
cannot be read or written.

"""


def page() -> str:
    """The whole page."""
    # cyclopts writes into usage lines how this process was started, such as `-m pytest`: hide it.
    main = sys.modules["__main__"]
    spec, main.__spec__ = main.__spec__, None
    try:
        return HEAD + app.generate_docs(heading_level=2).rstrip() + "\n"
    finally:
        main.__spec__ = spec


if __name__ == "__main__":
    PAGE.write_text(page())
