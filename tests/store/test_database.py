"""Transactions: what one of them sees of the others."""

import pytest
from sqlalchemy import func, insert, select

from lamplighter.kit import UsageError
from lamplighter.store import Database
from lamplighter.store import schema as s


@pytest.fixture
def database(database_url):
    """One that is empty."""
    database = Database.open(database_url)
    yield database
    database.close()


def test_a_reader_sees_one_moment(database):
    """Else a recount found differences where states move between its look at them and at the tallies."""
    count = select(func.count()).select_from(s.refusal)
    with database.reading() as reader:
        before = reader.execute(count).scalar_one()
        with database.writing() as writer:
            writer.execute(insert(s.refusal).values(day=0, reason="x", messages=1))
        assert before == reader.execute(count).scalar_one()
    with database.reading() as reader:
        assert before + 1 == reader.execute(count).scalar_one()


def test_several_reads_of_a_snapshot_see_one_moment(database):
    """What is committed between them stands in none; and who would write within is told so."""
    count = select(func.count()).select_from(s.refusal)
    with database.snapshot():
        with database.reading() as reader:
            before = reader.execute(count).scalar_one()
        with database.engine.begin() as writer:
            writer.execute(insert(s.refusal).values(day=0, reason="x", messages=1))
        with database.reading() as reader:
            assert before == reader.execute(count).scalar_one()
        with pytest.raises(RuntimeError, match="snapshot"), database.writing():
            pass
    with database.reading() as reader:
        assert before + 1 == reader.execute(count).scalar_one()


def test_a_writer_sees_what_was_committed_while_it_waited(database):
    """Whoever has waited for a lock must look at what the other one did."""
    count = select(func.count()).select_from(s.refusal)
    with database.reading() as reader:
        reader.execute(count)
    with database.writing() as writer:
        if not database.is_sqlite:
            assert "read committed" == writer.exec_driver_sql("SHOW transaction_isolation").scalar_one()
        assert 0 == writer.execute(count).scalar_one()


@pytest.mark.parametrize("url", ["mysql://host/name", "nothing", "sqlite+nonesuch:///x"])
def test_an_address_of_no_database_that_we_know_is_refused(url):
    """In our own words, whichever driver is missing."""
    with pytest.raises(UsageError):
        Database.open(url)
