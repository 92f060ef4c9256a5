"""`lamplighter webhook`: add, list, deliveries, replay, remove."""

from __future__ import annotations

import pytest

from lamplighter.kit import Instant
from lamplighter.store import Store
from lamplighter.store.webhooks import LIFETIME


@pytest.fixture
def database(tmp_path):
    """The options that name a database with a draft in it."""
    url = f"sqlite:///{tmp_path / 'lamplighter.db'}"
    Store.open(url).close()
    return ("--database", url, "--by", "somebody1")


def filled(database, number):
    """A delivery of one entry of the audit, which nobody took for so long that it is dead."""
    store = Store.open(database[1])
    with store.database.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO delivery (webhook, event, kind, body, since, status, attempts, reason)"
            f" VALUES ({number}, 'audit-7', 'campaign', '{{}}', 0, 'pending', 3, 'it answered 500')"
        )
        connection.exec_driver_sql("UPDATE webhook SET failures = 3")
    store.webhooks.expire(None, Instant(LIFETIME))
    store.close()


def test_from_adding_one_to_removing_it(run, database):
    """The secret is shown once; a dead delivery says why, and is sent once more."""
    added = run("--json", "webhook", "add", "https://hooks.example/", *database).facts
    assert (1, ["campaign", "wave", "gate"]) == (added["id"], added["kinds"])
    listed = run("--json", "webhook", "list", *database).facts
    assert "https://hooks.example/" == listed["url"]
    assert "secret" not in listed
    filled(database, 1)
    page = run("webhook", "deliveries", 1, "--status", "dead", *database).out
    assert "it answered 500" in page
    assert "lamplighter webhook replay 1 1" in page
    assert {"asked": 1, "again": 1} == run("--json", "webhook", "replay", 1, "--dead", *database).facts
    assert {"asked": 1, "again": 0} == run("--json", "webhook", "replay", 1, 1, *database).facts
    assert 0 == run("webhook", "remove", 1, *database).code
    assert "nobody is told" in run("webhook", "list", *database).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "http://hooks.example/"), "https://"),
        (("add", "https://127.0.0.1/"), "no public address"),
        (("add", "https://hooks.example/", "--campaign", "C"), "no campaign"),
        (("remove", "9"), "no webhook 9"),
        (("deliveries", "9"), "no webhook 9"),
        (("replay", "9"), "say which"),
        (("replay", "9", "1", "--dead"), "say which"),
        (("replay", "9", "1"), "no webhook 9"),
    ],
)
def test_what_cannot_be(run, database, words, said):
    """Each says what is wrong, with exit code 2."""
    outcome = run("webhook", *words, *database)
    assert (2, True) == (outcome.code, said in outcome.err), outcome.err


def test_a_receiver_in_our_own_network(run, database):
    """Where somebody says so it may be this very machine."""
    added = run(
        "--json", "webhook", "add", "http://127.0.0.1:8080/", "--inside", "--kind", "device", *database
    )
    assert (True, ["device"]) == (added.facts["inside"], added.facts["kinds"])
