"""The schema: migrations lead to it, and it refuses what cannot be."""

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import IntegrityError

from lamplighter.campaign import Order
from lamplighter.registry import Procedure
from lamplighter.store import Database
from lamplighter.store.campaigns import ORDER
from lamplighter.store.migration import upgrade
from lamplighter.store.schema import IS_NO_ORDER, IS_UPDATE, metadata
from tests.store.campaigning import START, Fleet


@pytest.fixture
def fleet(database_url):
    """A database in which a campaign has ordered three Devices."""
    fleet = Fleet(database_url)
    fleet.devices(range(3))
    fleet.make(fleet.start(), 3, now=START)
    yield fleet
    fleet.close()


def described(engine):
    """Tables, columns, keys, constraints and indexes, by name."""
    looked = inspect(engine)
    return {
        name: (
            [{**c, "type": str(c["type"])} for c in looked.get_columns(name)],
            looked.get_pk_constraint(name),
            sorted(map(str, looked.get_foreign_keys(name))),
            sorted(map(str, looked.get_unique_constraints(name))),
            sorted(str(c["sqltext"]) for c in looked.get_check_constraints(name)),
            sorted(_spelt(index) for index in looked.get_indexes(name)),
        )
        for name in looked.get_table_names()
        if name != "alembic_version"
    }


def _spelt(index):
    """An index with the text of its condition."""
    return str(index | {"dialect_options": {k: str(v) for k, v in index.get("dialect_options", {}).items()}})


def test_migrations_give_exactly_the_schema(empty_database_url):
    """A database that came through all migrations equals one that was made from the tables at once."""
    Database.open(empty_database_url).close()
    engine = create_engine(empty_database_url)
    migrated = described(engine)
    with engine.begin() as connection:
        metadata.drop_all(connection)
    metadata.create_all(engine)
    assert described(engine) == migrated
    engine.dispose()


def test_partial_indexes_are_of_what_the_code_means():
    """Their words stand in the schema as text: what updates, and what the entry of an order is called."""
    updates = tuple(Order.update(it).value for it in Procedure)
    assert f"kind IN {updates}" == IS_UPDATE
    assert f"what <> '{ORDER}'" == IS_NO_ORDER


def test_a_database_that_is_up_to_date_is_left_alone(empty_database_url):
    """Opening it again changes nothing."""
    Database.open(empty_database_url).close()
    engine = create_engine(empty_database_url)
    before = described(engine)
    Database.open(empty_database_url).close()
    assert before == described(engine)
    engine.dispose()


def test_a_database_of_the_first_version_keeps_what_it_holds(empty_database_url):
    """It comes up to date, and takes what it refused before."""
    engine = create_engine(empty_database_url)
    upgrade(engine, "0001")
    release = (
        "INSERT INTO release (name, procedure, manufacturer, version, hash, minimum_hardware,"
        " maximum_hardware, path, image) VALUES ('R', '11.4', 1, 1, :hash, 0, 1, '', :image)"
    )
    row = (
        "INSERT INTO evidence (epoch, device_update, step, fact, at, message, cause, detail)"
        " VALUES (0, 1, 16, '{fact}', 1, 'SRV 11.3', {cause}, '')"
    )
    with engine.begin() as connection:
        connection.execute(text(row.format(fact="ORDERED", cause=26)))
        connection.execute(text(release), {"hash": bytes(32), "image": b"image"})
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text(row.format(fact="CALLED_OFF", cause=0)))
    engine.dispose()
    database = Database.open(empty_database_url)
    with database.writing() as connection:
        connection.execute(text(row.format(fact="CALLED_OFF", cause=27)))
        facts = connection.execute(text("SELECT fact FROM evidence ORDER BY id")).scalars().all()
        assert ["ORDERED", "CALLED_OFF"] == facts
        kept = connection.execute(text("SELECT name, image, security FROM release")).all()
        assert [("R", b"image", None)] == [tuple(it) for it in kept]
        if database.is_sqlite:
            assert "ok" == connection.execute(text("PRAGMA integrity_check")).scalar_one()
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cohort SET type = 'TOASTER'",
        "UPDATE cohort SET part = 'other'",
        "UPDATE campaign SET status = 'nearly'",
        "UPDATE device_update SET ready_at = 0, busy = TRUE",
        "UPDATE stratum SET held_at = 0",
        "UPDATE tally SET devices = -1",
        "UPDATE pool SET verdict = 'LEFT'",
        "UPDATE request SET answered_at = 0",
        "UPDATE batch SET kind = '11.5'",
        "UPDATE evidence SET fact = 'HOPED'",
        "UPDATE evidence SET cause = 99",
        "UPDATE device SET cohort = 99",
        "UPDATE release SET security = ''",
        (
            "INSERT INTO device_update (campaign, device, hub, cell, batch, progress, since, busy)"
            " SELECT campaign, device, hub, cell, batch, progress, since, busy FROM device_update"
        ),
    ],
)
def test_the_schema_refuses_what_cannot_be(fleet, statement):
    """Invariants hold even for someone at a prompt of the database."""
    with pytest.raises(IntegrityError), fleet.database.writing() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_commit_reaches_the_disk(fleet):
    """WAL with synchronous FULL: an acknowledged message survives a power cut."""
    with fleet.database.writing() as connection:
        assert (2, "wal") == (
            connection.execute(text("PRAGMA synchronous")).scalar_one(),
            connection.execute(text("PRAGMA journal_mode")).scalar_one(),
        )


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_every_commit_reaches_the_disk_of_a_server(fleet):
    """Nothing of ours turns synchronous commits off."""
    with fleet.database.writing() as connection:
        assert "on" == connection.execute(text("SHOW synchronous_commit")).scalar_one()
