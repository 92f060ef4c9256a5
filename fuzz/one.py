"""One target under atheris: `python -m fuzz.one TARGET [libFuzzer options and folders]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["lamplighter"]):
    from fuzz.targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
