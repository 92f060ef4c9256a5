"""The set-up's own PostgreSQL: durable, private, fresh for each test, and gone afterwards."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, inspect, text

from tests import postgres

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 30_000  # milliseconds until a process that should end is called a survivor

HOLDER = """
import sys
from tests import postgres
with postgres.server() as server:
    print(server.folder, server.pid, flush=True)
    sys.stdin.read()
"""


def _run(url, *statements):
    engine = create_engine(url)
    with engine.begin() as connection:
        results = [connection.execute(text(statement)) for statement in statements]
        rows = [tuple(row) for result in results if result.returns_rows for row in result]
    engine.dispose()
    return rows


def _tables(url):
    engine = create_engine(url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def _ended(watched):
    return bool(select.select([watched], [], [], PATIENCE / 1000)[0])


def test_a_committed_row_outlives_a_crash(postgres_server):
    """PostgreSQL's own durability is on: a crash after the commit loses nothing."""
    url = postgres_server.create_database()
    settings = [_run(url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")]
    assert [[("on",)]] * 3 == settings
    _run(url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
    postgres_server.restart("immediate")
    assert [(7,)] == _run(url, "SELECT n FROM kept")
    postgres_server.drop_database(url)


def test_a_copy_of_a_template_is_a_database_of_its_own(postgres_server):
    """A copy begins as the template; what is written to it stays in it."""
    template = postgres_server.create_database()
    _run(template, "CREATE TABLE known (n int)", "INSERT INTO known VALUES (1)")
    one, other = (postgres_server.create_database(template) for _ in range(2))
    _run(one, "INSERT INTO known VALUES (2)")
    assert ([(1,), (2,)], [(1,)], [(1,)]) == tuple(
        _run(url, "SELECT * FROM known") for url in (one, other, template)
    )


def test_a_dropped_database_is_gone_though_someone_is_connected(postgres_server):
    """A test that leaves a connection open does not keep its database alive."""
    url = postgres_server.create_database()
    engine = create_engine(url)
    with engine.connect():
        postgres_server.drop_database(url)
    engine.dispose()
    with psycopg.connect(
        host=postgres_server.folder, user=postgres.SUPERUSER, dbname="postgres"
    ) as connection:
        names = [name for (name,) in connection.execute("SELECT datname FROM pg_database")]
    assert [] == [name for name in names if f"/{name}?" in url]


@pytest.mark.parametrize("round_", [1, 2])
def test_each_test_has_its_own_database(database_url, round_):
    """What the round before made is not there; what migrations make is."""
    assert {"alembic_version"} == _tables(database_url) & {"alembic_version", "left_behind"}, round_
    _run(database_url, "CREATE TABLE left_behind (n int)")


def test_a_migrated_database_is_as_the_store_would_make_it(database_url, empty_database_url):
    """The copy has the tables that opening an empty database gives, and the store opens it as it is."""
    from lamplighter.store import Database

    Database.open(empty_database_url).close()
    Database.open(database_url).close()
    assert _tables(empty_database_url) == _tables(database_url)


def test_the_wheels_server_works_where_debian_has_none():
    """The wheel's own programs, and settings of one's own; no TCP port is opened."""
    programs = postgres.wheel_programs()
    assert programs is not None
    with postgres.server(programs=programs, settings={"work_mem": "5MB"}) as server:
        rows = _run(server.url(), "SHOW work_mem", "SHOW listen_addresses", "SHOW server_encoding")
    assert [("5MB",), ("",), ("UTF8",)] == rows


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has programs that others cannot reach")
def test_root_hands_on_programs_that_others_cannot_reach(tmp_path):
    """A checkout in /root: the unprivileged user is given a copy."""
    open_to_all = postgres.wheel_programs()
    package = open_to_all.parent.parent
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    for path in (package, package.with_name(f"{package.name}.libs")):
        subprocess.run(["cp", "-r", path, hidden], check=True)
    programs = hidden / open_to_all.relative_to(package.parent)
    with postgres.server(programs=programs) as server:
        assert server.programs.is_relative_to(server.folder)
        assert [(1,)] == _run(server.url(), "SELECT 1")


def test_nothing_is_left_of_a_server_whose_block_fails():
    """An interrupt in the block stops the server and deletes its folder."""
    seen = []

    def interrupted():
        with postgres.server() as server:
            seen.extend((server.folder, os.pidfd_open(server.pid)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    folder, watched = seen
    assert _ended(watched)
    os.close(watched)
    assert not folder.exists()


def test_nothing_is_left_of_a_server_whose_owner_is_killed():
    """kill -9 of the tests: the guard stops the server and deletes its folder."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder, pid = holder.stdout.readline().split()
    guard = _guard_of(holder.pid)
    postmaster, guardian = os.pidfd_open(int(pid)), os.pidfd_open(guard)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert (True, True) == (_ended(postmaster), _ended(guardian))
    os.close(postmaster)
    os.close(guardian)
    assert not Path(folder).exists()


def _guard_of(pid):
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_no_programs_is_an_error_that_says_what_to_do(monkeypatch):
    """Neither package nor wheel: the message names both, and the remedy."""
    monkeypatch.setattr(postgres, "DEBIAN", Path("/nowhere"))
    monkeypatch.setattr(postgres, "WHEEL", "no_such_wheel")
    with (
        pytest.raises(postgres.UnavailableError, match=r"/nowhere.*no_such_wheel.*make test"),
        postgres.server(),
    ):
        pass


def test_a_server_that_does_not_start_says_why():
    """PostgreSQL's own words are in the error, and the folder is gone."""
    with (
        pytest.raises(postgres.UnavailableError, match="no_such_setting"),
        postgres.server(settings={"no_such_setting": "1"}),
    ):
        pass
