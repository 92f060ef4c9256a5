"""The documentation is tested: generated pages are current, links resolve, and commands exist."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from lamplighter.protocol import gbcs

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
ADRS = sorted((DOCS / "adr").glob("[0-9]*.md"))

KEPT = ("src", "tests", "docs", "bench", "deploy", "fuzz", "scripts", "requirements", ".ci")
FILES = sorted(
    path
    for path in [
        *(p for p in ROOT.iterdir() if p.is_file()),
        *(p for k in KEPT for p in (ROOT / k).rglob("*")),
    ]
    if path.is_file() and not {"__pycache__", "corpus", "findings", "results", "vendor"} & set(path.parts)
)

# What our files may point at: names of specifications and licences, never where a package is fetched from.
HOSTS = {"www.w3.org", "semver.org", "www.apache.org", "www.dccinterface.co.uk", "dccinterface.co.uk"}
HOSTS |= {"127.0.0.1", "updates.example", "dcc.example", "login.example"}
HOSTS |= {"registry.npmjs.org"}  # the one exception: the public one, for machines that have no npm
ADR_LINES_MAX = 60
TUTORIAL_SECONDS = 300  # for one block; a block takes seconds, on a machine that has time


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_leads_to_a_file(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    broken = [target for target in targets if not (page.parent / target).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_make_command_is_a_target(page):
    named = re.findall(r"(?m)(?:^    |`)make ((?:[a-z]+ ?)+)", page.read_text())
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    assert set() == {target for words in named for target in words.split()} - targets


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=relative)
def test_the_readme_leads_to_every_page(page):
    assert f"(docs/{page.name})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["cli_reference", "codes", "diagrams", "lab_page"])
def test_a_generated_page_is_current(name):
    generator = script(name)
    assert generator.page() == generator.PAGE.read_text(), "run `make docs`"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def tutorial_blocks():
    """(commands, lines that they must print) of each console block, in order.

    A line after `$ ` is a command, one after `>` goes on with it, any other is printed.
    """
    text = (DOCS / "tutorial.md").read_text()
    for port in set(re.findall(r"\b80\d\d\b", text)):  # others may run the same tutorial
        text = text.replace(port, str(free_port()))
    for block in re.findall(r"(?ms)^```console\n(.*?)^```$", text):
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        commands = [line[2:] for line in lines if re.match(r"\$ |>", line)]
        yield commands, [line for line in lines if line.strip() and not re.match(r"\$ |>", line)]


@pytest.fixture
def shell(tmp_path):
    """Run commands in a new directory; what they leave running is ended with the test."""
    started = []
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "110",
    }

    def call(commands):
        printed = tmp_path.parent / f"{tmp_path.name}-{len(started)}"  # no pipe: a server would keep it open
        with printed.open("wb") as out:
            running = subprocess.Popen(
                ["sh", "-ec", "\n".join(commands)],
                cwd=tmp_path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
            started.append(running)
            return running.wait(TUTORIAL_SECONDS), printed.read_text()

    yield call
    for each in started:
        with suppress(ProcessLookupError):
            os.killpg(each.pid, signal.SIGTERM)


def test_the_tutorial_does_what_it_says(shell):
    """Each block's commands, in one directory, print the lines that stand under them, in any order."""
    for commands, promised in tutorial_blocks():
        code, printed = shell(commands)
        assert (0, []) == (code, [line for line in promised if spaced(line) not in spaced(printed)]), printed


def spaced(text):
    """Text in which only words count, not how they are set out."""
    return " ".join(text.split())


@pytest.mark.parametrize("adr", ADRS, ids=relative)
def test_a_decision_is_listed_fits_a_page_and_says_what_it_costs(adr):
    text = adr.read_text()
    assert f"({adr.name})" in (DOCS / "adr" / "README.md").read_text()
    assert len(text.splitlines()) <= ADR_LINES_MAX
    assert "**What it costs.**" in text


@pytest.mark.parametrize("code", gbcs.AlertCode, ids=lambda code: f"{code:04X}")
def test_every_alert_code_is_in_the_glossary(code):
    assert f"{code:04X}" in (DOCS / "glossary.md").read_text()


def test_no_file_names_a_package_index_or_a_machine_path():
    found = []
    for path in FILES:
        text = path.read_text(errors="replace")
        hits = set(re.findall(r"https?://([\w-]+(?:\.[\w-]+)+)", text)) - HOSTS
        hits = {hit for hit in hits if not hit.endswith(".example")}  # RFC 2606: nobody's
        hits |= set(re.findall(r"(?<![\w.>])/(?:root|home|work|tmp)/\S*", text))
        found += [f"{relative(path)}: {hit}" for hit in sorted(hits)]
    assert not found


def test_the_locks_name_no_address():
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    addressed = [lock.name for lock in locks if re.search(r"://|--(?:extra-)?index", lock.read_text())]
    assert not addressed
