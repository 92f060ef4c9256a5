"""What hatchling runs before it builds a wheel: the web pages' files are fetched (`assets.py`).

A wheel without them is refused; an editable install goes on without, and says so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))

from assets import FILES, VENDOR, assets
from npm_package import UnavailableError


class AssetsHook(BuildHookInterface):  # type: ignore[type-arg] # hatchling's own configuration
    """Fetches the files of others."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the build; an sdist that was made with the files brings them along."""
        del build_data
        if all((VENDOR / target).is_file() for files in FILES.values() for target in files.values()):
            return
        try:
            assets()
        except UnavailableError as reason:
            if version != "editable":
                raise SystemExit(f"the files of the web pages cannot be fetched: {reason}") from reason
            self.app.display_warning(f"web pages will look plain: {reason}")
