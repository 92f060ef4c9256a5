"""Fetch the style and script files of others for the web pages: `python scripts/assets.py [--try]`.

They come from npm at the versions that `npm_package.py` pins, each with its licence, and go to
`service/web/static/vendor`, which git ignores and the wheel has. `--try`: where they cannot be had, say so
and end well; pages read without them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent))

from npm_package import UnavailableError, npm_package

VENDOR: Final = (
    Path(__file__).resolve().parent.parent / "src" / "lamplighter" / "service" / "web" / "static" / "vendor"
)
MADE: Final = ".made"
"""Written last, so that `make` sees when all are there."""

FILES: Final = {
    ("htmx.org", "2.0.11"): {"dist/htmx.min.js": "htmx.min.js", "LICENSE": "htmx.LICENSE"},
    ("uplot", "1.6.32"): {
        "dist/uPlot.iife.min.js": "uPlot.iife.min.js",
        "dist/uPlot.min.css": "uPlot.min.css",
        "LICENSE": "uPlot.LICENSE",
    },
    ("@picocss/pico", "2.1.1"): {"css/pico.min.css": "pico.min.css", "LICENSE.md": "pico.LICENSE"},
}
"""By package and version: which of its files, and what they are called here."""


def assets() -> list[Path]:
    """Fetch all; returns where they lie. Raises `npm_package.UnavailableError`."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    made = []
    for (name, version), files in FILES.items():
        package = npm_package(name, version)
        for source, target in files.items():
            shutil.copyfile(package / source, VENDOR / target)
            made.append(VENDOR / target)
    (VENDOR / MADE).touch()
    return made


def main() -> int:
    """Fetch them, or say in one line on stderr why not."""
    if sys.argv[1:] not in ([], ["--try"]):
        print(f"usage: {Path(sys.argv[0]).name} [--try]", file=sys.stderr)
        return 2
    try:
        made = assets()
    except UnavailableError as reason:
        print(f"assets: {reason}", file=sys.stderr)
        if "--try" not in sys.argv:
            return 1
        print(
            "assets: web pages work without them, and look plain; `make assets` tries again", file=sys.stderr
        )
        return 0
    print(f"assets: {len(made)} files in {VENDOR}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
