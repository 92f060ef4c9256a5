"""What lies in deploy/, and what the pages about running it say: units, queries, alerts, commands, dumps."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
import yaml
from cyclopts import CycloptsError
from prometheus_client.parser import text_string_to_metric_families

from lamplighter.cli import app
from lamplighter.service import meters, metrics, oidc
from lamplighter.store import Store
from tests.store.campaigning import START, Fleet

ROOT = Path(__file__).resolve().parent.parent
DEPLOY, DOCS = ROOT / "deploy", ROOT / "docs"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PAGES = [DOCS / "deployment.md", DOCS / "runbook.md"]
EXPOSURE_MAX = 2.0  # of 10, as `systemd-analyze security` reckons; an ordinary service has 9.6
RULES = yaml.safe_load((DEPLOY / "prometheus" / "lamplighter.rules.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "lamplighter.json").read_text())

WORDS_OF_PROMQL = {
    "by", "count", "histogram_quantile", "increase", "label_values", "max", "min", "rate", "sum", "topk",
}  # fmt: skip
PROMETHEUS_ADDS = {"job", "instance"}


def queries():
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """Every figure with its labels: from a real page over a campaign, and from the instruments."""
    url = f"sqlite:///{tmp_path_factory.mktemp('figures') / 'lamplighter.db'}"
    fleet = Fleet(url)
    fleet.devices(range(4))
    fleet.make(fleet.start(), 2)
    page, _ = metrics.Page(Store(fleet.database), lambda: START).render()
    fleet.close()
    found = {name: set(labels) for name, labels in meters.names().items()}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def parts(query):
    """(name, labels asked of it) of each figure in a query, and the labels that it groups by."""
    plain = re.sub(r"\$\w+", "", re.sub(r'"[^"]*"', '""', query))
    asked = [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers or "")))
        for name, matchers in re.findall(
            r"\b([a-z_]+_[a-z_]+)\b(?:\{([^}]*)\})?", re.sub(r"by \([^)]*\)", "", plain)
        )
        if name not in WORDS_OF_PROMQL
    ]
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", plain) for label in re.split(r",\s*", group)}
    return asked, grouped


@pytest.mark.parametrize(("place", "query"), list(queries()), ids=lambda it: it[:40])
def test_every_query_asks_for_figures_and_labels_that_exist(place, query, figures):
    """A dashboard of empty panels, and an alert that can never fire, look like peace."""
    del place
    asked, grouped = parts(query)
    assert asked
    assert [] == [name for name, _ in asked if name not in figures]
    labels = set().union(*(figures[name] for name, _ in asked)) | PROMETHEUS_ADDS
    assert set() == set().union(*(wanted for _, wanted in asked)) - labels
    assert set() == grouped - labels


def test_a_query_for_a_figure_that_is_not_there_would_be_found(figures):
    """The test above is worth something."""
    asked, grouped = parts('sum by (nonsense) (rate(lamplighter_no_such_total{campaign="x"}[5m]))')
    assert ([("lamplighter_no_such_total", {"campaign"})], {"nonsense"}) == (asked, grouped)
    assert "lamplighter_no_such_total" not in figures


def test_words_in_queries_are_words_that_exist():
    """A matcher for an outcome or a stage that no code ever says."""
    said = {
        word
        for _, query in queries()
        for _, words in re.findall(r'(outcome|work|stage)\s*=~?\s*"([^"$]+)"', query)
        for word in words.split("|")
    }
    known = {"refused", "unstored", "busy", "failed", "inbox", "proven", "lost", "silent_.*"}
    assert set() == said - known


def test_panels_are_told_apart():
    """Two panels of one number: the second is never seen."""
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("rule", RULES, ids=lambda it: it["alert"])
def test_every_alert_leads_to_its_entry_in_the_runbook(rule):
    """And the entry names the alert: whoever is woken reads what to do."""
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    entries = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-"): text
        for title, text in re.findall(r"(?ms)^## (.*?)\n(.*?)(?=^## |\Z)", (ROOT / page).read_text())
    }
    assert anchor in entries
    assert f"`{rule['alert']}`" in entries[anchor]


def test_every_entry_of_the_runbook_says_how_it_is_seen_why_what_to_do_and_how_back():
    """Four parts each."""
    entries = re.findall(r"(?ms)^## (.*?)\n(.*?)(?=^## |\Z)", (DOCS / "runbook.md").read_text())
    assert len(entries) >= 10
    wanted = ("**Symptom.**", "**Cause.**", "**Do.**", "**Undo.**")
    assert [] == [title for title, text in entries if not all(it in text for it in wanted)]


# --- commands and settings


def shown(text):
    """Command lines of ours in indented blocks: to be typed as they stand."""
    return {re.sub(r"\s+#.*$", "", line) for line in re.findall(r"(?m)^    (lamplighter .*)$", text)}


def named(text):
    """Commands that are spoken of, in backticks: perhaps without what they need."""
    return {it.replace("...", "sqlite:///x.db") for it in re.findall(r"`(lamplighter [^`]+)`", text)}


def understood(tokens):
    """None where the command line is one: each word, option and value of it; else what is wrong."""
    try:
        app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return str(error)
    return None


@pytest.mark.parametrize("line", sorted(set().union(*(shown(page.read_text()) for page in PAGES))))
def test_every_command_on_these_pages_can_be_typed(line):
    """At three in the morning nobody wants to look an option up."""
    assert understood(shlex.split(line)[1:]) is None


def test_folders_and_files_of_commands_are_not_mixed_up():
    """`keys import CERTIFICATE DIRECTORY` can be typed, and fails in the hour that it is for."""
    found = {}
    for line in set().union(*(shown(page.read_text()) for page in PAGES)):
        _, bound, _ = app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)
        if "directory" in bound.arguments:
            found[line] = Path(bound.arguments["directory"])
    assert any("keys import" in line for line in found)
    assert {} == {line: it for line, it in found.items() if it.suffix}


@pytest.mark.parametrize("line", sorted(set().union(*(named(page.read_text()) for page in PAGES))))
def test_every_command_that_is_spoken_of_exists(line):
    """What it needs besides may be missing there; the command and its options may not."""
    wrong = understood(shlex.split(line)[1:])
    assert wrong is None or "requires an argument" in wrong


def test_a_command_that_is_none_would_be_found():
    """The test above is worth something."""
    assert understood(["campaign", "hold", "NAME"]) is not None
    assert understood(["backup", "x.db", "--nonsense"]) is not None


@pytest.mark.parametrize("unit", UNITS, ids=lambda it: it.stem)
def test_every_unit_starts_a_command_that_exists(unit):
    """With `%i` and `%H` as systemd fills them in."""
    [line] = re.findall(r"(?m)^ExecStart=/usr/bin/env (lamplighter .*)$", unit.read_text())
    assert understood(shlex.split(line.replace("%i", "1").replace("%H", "host"))[1:]) is None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda it: it.stem)
def test_systemd_understands_the_unit_and_finds_it_hardened(unit, tmp_path):
    """No word that it does not know; and next to nothing that a service of ours may do."""
    copy = tmp_path / unit.name.replace("@.", "@1.")
    copy.write_text(unit.read_text())
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", copy]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)[1])
    assert exposure <= EXPOSURE_MAX


def test_every_setting_of_the_example_is_an_option():
    """A word that is misspelt would be ignored in silence."""
    text = (DEPLOY / "systemd" / "lamplighter.env.example").read_text()
    found = set(re.findall(r"(?m)^#?(LAMPLIGHTER_\w+)=", text))
    known = set(re.findall(r"env: (LAMPLIGHTER_\w+)", (DOCS / "cli.md").read_text()))
    provider = {oidc.ENVIRONMENT + name for name in ("ISSUER", "CLIENT_ID", "ROLES")}
    example = dict(re.findall(r"(?m)^#?(LAMPLIGHTER_OIDC_\w+)=(.*)$", text))
    assert provider == example.keys()
    assert oidc.settings(example, "https://updates.example") is not None
    known |= provider
    assert found
    assert set() == found - known


def test_units_share_their_hardening():
    """One of them that was forgotten is the way in."""

    def hardening(unit):
        return re.search(r"(?s)# What it may not do.*?SystemCallErrorNumber=EPERM", unit.read_text())[0]

    assert 1 == len({hardening(unit) for unit in UNITS})


# --- PostgreSQL


def program(server, name):
    """A client program of the server's own version."""
    found = server.programs / name
    return str(found) if found.exists() else shutil.which(name)


def test_the_set_up_of_postgresql_works_and_the_role_owns_what_it_needs(postgres_server):
    """The script as it is, for another name (the tests' own role has this one); then a store is opened."""
    name = "lamp_set_up"
    script = (DEPLOY / "postgresql" / "setup.sql").read_text().replace("lamplighter", name)
    statements = re.sub(r"--[^\n]*", "", script).split(";")
    with postgres_server.connect() as connection:
        for statement in statements:
            if statement.strip():
                connection.execute(statement)
    url = postgres_server.url(name).replace("//lamplighter@", f"//{name}@")
    store = Store.open(url)
    store.close()
    with psycopg.connect(host=str(postgres_server.folder), user=name, dbname=name) as connection:
        [(said,)] = connection.execute("SHOW lock_timeout").fetchall()
    assert "1min" == said
    postgres_server.drop_database(url)
    with postgres_server.connect() as connection:
        connection.execute(f"DROP ROLE {name}")


def test_the_settings_of_postgresql_are_known_to_it(postgres_server):
    """Each name and value of the file, as the server itself reads them."""
    lines = (DEPLOY / "postgresql" / "lamplighter.conf").read_text().splitlines()
    settings = dict(re.split(r"\s*=\s*", line) for line in lines if line and not line.startswith("#"))
    with postgres_server.connect() as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM pg_settings")}
    assert settings
    assert set() == settings.keys() - known


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_dump_that_is_restored_is_the_same_database(database_url, postgres_server):
    """pg_dump and pg_restore as the page has them: rows, indexes, triggers, and the audit to its end."""
    fleet = Fleet(database_url)
    fleet.devices(range(30))
    fleet.make(fleet.start(), 10)
    fleet.close()

    def names(url):
        return url.partition("@/")[2].partition("?")[0]

    def run(*command):
        subprocess.run(command, check=True, capture_output=True, **postgres_server.identity)

    place = ["--host", str(postgres_server.folder), "--username", "lamplighter"]
    dump = postgres_server.folder / "monday.dump"
    run(program(postgres_server, "pg_dump"), *place, "--format=custom", f"--file={dump}", names(database_url))
    restored = postgres_server.create_database()
    flags = ["--exit-on-error", "--no-owner", "--role=lamplighter", f"--dbname={names(restored)}"]
    run(program(postgres_server, "pg_restore"), *place, *flags, str(dump))
    one, other = Store.open(database_url), Store.open(restored)
    try:
        assert one.audit.head() == other.audit.verify()
        assert one.campaigns.view(one.campaigns.find("C"), START) == other.campaigns.view(
            other.campaigns.find("C"), START
        )
        with (
            pytest.raises(psycopg.Error),
            psycopg.connect(
                host=str(postgres_server.folder), user="lamplighter", dbname=names(restored)
            ) as connection,
        ):
            connection.execute("DELETE FROM audit")
    finally:
        one.close()
        other.close()
        dump.unlink()
        postgres_server.drop_database(restored)
