"""The table in docs/lab.md: everything that the lab can say is reached by a named test, and truly so."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab.reach import what_there_is
from test_docs import script

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "lab.md").read_text()
BEGIN, END = "<!-- coverage: checked by tests/test_lab_coverage.py -->", "<!-- end of coverage -->"
TEST = re.compile(r"`([\w/]+\.py::\w+(?:\[[\w-]+\])?)`")
PATIENCE_SECONDS = 600


def table():
    """Each heading's rows: what is reached -> the tests that reach it, as `file::test`."""
    section = PAGE.partition(BEGIN)[2].partition(END)[0]
    found = {}
    for part in re.split(r"(?m)^### ", section)[1:]:
        heading, _, body = part.partition("\n")
        rows = re.findall(r"(?m)^\| `([^`]+)` \| (.+) \|$", body)
        found[heading] = {item: TEST.findall(tests) for item, tests in rows}
    return found


TABLE = table()
NAMED = sorted({test for rows in TABLE.values() for tests in rows.values() for test in tests})


@pytest.mark.parametrize("heading", what_there_is())
def test_the_table_has_everything_and_nothing_else(heading):
    """A code that is new in the code has no row yet, and this fails until it has one."""
    assert set(what_there_is()[heading]) == TABLE[heading].keys()


def test_every_row_names_a_test():
    """A row without one would be an empty promise."""
    assert [] == [item for rows in TABLE.values() for item, tests in rows.items() if not tests]


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name):
    """By its file and its function; whether it has such a parameter shows when it is run."""
    file, _, function = name.partition("[")[0].partition("::")
    tree = ast.parse((TESTS / file).read_text())
    assert function in {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}


def test_every_named_test_reaches_what_its_row_says(tmp_path):
    """The named tests are run once more, with an ear to what the lab says in each."""
    reached = tmp_path / "reached.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "lab.reach"),
            *("--reached", reached, *(TESTS / name for name in NAMED)),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(TESTS)))},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    said = {}
    for test, items in json.loads(reached.read_text()).items():
        name = test.removeprefix("tests/")
        for each in {name, name.partition("[")[0]}:
            said.setdefault(each, set()).update(items)
    missed = [
        (item, test)
        for rows in TABLE.values()
        for item, tests in rows.items()
        for test in tests
        if item not in said[test]
    ]
    assert [] == missed


# What is neither from a specification nor a guess at the world: knobs of the emulator, tables, bounds.
OWN = {
    "lab.dcc.settings.Settings": {"anomaly.by_user", "anomaly.by_service", "anomaly.devices_most"},
    "lab.flow.flow.Settings": {"regions", "qualities"},
    "lab.server.Settings": None,  # all of them: how the lab is served
    "lab.dcc.inventory": {"MPXN_DIGITS"},
    "lab.devices.firmware": {"STORM_MAX"},
    "lab.hub.hub": {"UNBOUNDED", "RELAYED"},
}


def test_every_setting_has_its_unit_and_its_source():
    """Or says that it is an assumption: in the string under the field, or for all of them in the class's."""
    page = script("lab_page")
    unsaid = []
    for each in (*page.settings(), *page.numbers()):
        own = OWN.get(each.group, set())
        sourceless = each.source == page.OWN and each.unit != "see there"
        if not each.about or not each.unit or (sourceless and own is not None and each.name not in own):
            unsaid.append(f"{each.group} {each.name}: {each.about}")
    assert [] == unsaid
