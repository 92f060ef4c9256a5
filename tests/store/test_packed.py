"""Arrays in PostgreSQL's binary form, against a real server."""

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamplighter.store.packed import adapt, pack

KINDS = {
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "bytea": st.binary(max_size=300),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40),
}


@pytest.fixture(scope="module")
def connection(postgres_server):
    address = postgres_server.create_database().replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(address, autocommit=True) as connection:
        adapt(connection)
        yield connection


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(sorted(KINDS)))
def test_the_server_reads_what_was_packed(connection, data, kind):
    """Whatever the values, NULLs among them, none at all, or all of them."""
    values = data.draw(st.lists(st.none() | KINDS[kind], max_size=40))
    (found,) = connection.execute(f"SELECT %b::{kind}[]", (pack(kind, values),)).fetchone()
    assert values == found


@pytest.mark.parametrize("kind", ["smallint", "integer", "bigint"])
def test_a_number_that_is_too_large_is_refused_before_it_is_sent(kind):
    """It is not cut to fit."""
    with pytest.raises(OverflowError, match=kind):
        pack(kind, [2**63])
