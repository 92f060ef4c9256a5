"""The same seed gives the same trace, byte for byte: in two processes, and on another Python.

`make determinism PYTHON_OTHER=/path/to/python3.13` makes an environment for the other interpreter and runs
this with `LAMPLIGHTER_OTHER_PYTHON` set to it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
OTHER = "LAMPLIGHTER_OTHER_PYTHON"
PATIENCE_SECONDS = 120


def digest(python, *arguments, hash_seed="0"):
    """(version of the interpreter, digest of the trace, its length)."""
    environment = os.environ | {
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests"))),
    }
    done = subprocess.run(
        [python, "-m", "lab.digest", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def here():
    """What this interpreter gives in a process of its own."""
    return digest(sys.executable)


def test_two_processes_give_the_same_trace(here):
    """Sets and dicts are salted otherwise in each; nothing of the trace hangs on their order."""
    assert here == digest(sys.executable, hash_seed="4242")


def test_another_seed_gives_another_trace(here):
    """The digest is not blind."""
    assert here[1] != digest(sys.executable, "another")[1]


def test_another_python_gives_the_same_trace(here):
    """The interpreter's version plays no part."""
    other = os.environ.get(OTHER)
    if other is None:
        pytest.skip(f"{OTHER} names no other interpreter with the dependencies; see `make determinism`")
    version, *found = digest(other, hash_seed="7")
    assert here[0] != version, f"{OTHER} is the same Python, {version}"
    assert here[1:] == found
