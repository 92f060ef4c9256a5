"""Bringing a database up to the schema, from nothing or from any older version."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_SCRIPTS: Final = Path(__file__).parent / "migrations"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Apply every migration up to `revision`, all of them in one transaction."""
    config = _config()
    with engine.begin() as connection:
        if revision == "head" and current(connection) == head():
            return  # as nearly always: Alembic would read every script to find that out
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


@cache
def head() -> str:
    """The revision that this program was made for."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None
    return found


def current(connection: Connection) -> str | None:
    """The revision that a database is at; None: it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
