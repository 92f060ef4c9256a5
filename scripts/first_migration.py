"""Write the first migration anew from the schema: until the first release, and never again after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.types import TypeDecorator

from lamplighter.store import schema

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

PATH: Final = (
    Path(__file__).resolve().parent.parent
    / "src" / "lamplighter" / "store" / "migrations" / "versions" / "0001_first_walk.py"
)  # fmt: skip

HEAD: Final = '''"""The first tables: what is known, what is wanted, what is under way, what comes in."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
'''


def _plain(kind: str, item: object, _context: AutogenContext) -> str | bool:
    """Our own column types as what they are in the database."""
    if kind == "type" and isinstance(item, TypeDecorator):
        plain = item.impl_instance
        variants = "".join(
            f'.with_variant(sa.{type(variant).__name__}(), "{dialect}")'
            for dialect, variant in plain._variant_mapping.items()  # noqa: SLF001 # there is no other way to ask
        )
        return f"sa.{type(plain).__name__}(){variants}"
    return False


def main() -> None:
    """Compare the schema with an empty database, and write what it takes."""
    with create_engine("sqlite://").connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "target_metadata": schema.metadata,
                "render_item": _plain,
                "sqlalchemy_module_prefix": "sa.",
            },
        )
        found = produce_migrations(context, schema.metadata)
        assert found.upgrade_ops is not None
        assert found.downgrade_ops is not None
        up, down = (
            render_python_code(ops, render_item=_plain, migration_context=context)
            for ops in (found.upgrade_ops, found.downgrade_ops)
        )
    words = {"postgresql": schema.POSTGRESQL_STORAGE, "sqlite": ()}
    for dialect, texts in words.items():
        up += f"\n    if op.get_bind().dialect.name == {dialect!r}:"
        up += "".join(f"\n        op.execute({text!r})" for text in (*texts, *schema.GUARDS[dialect]))
    body = f"{HEAD}\n\ndef upgrade() -> None:\n    {up}\n\n\ndef downgrade() -> None:\n    {down}\n"
    PATH.write_text(
        "\n".join(
            line
            for line in body.splitlines()
            if "commands auto generated" not in line and "end Alembic" not in line
        )
        + "\n"
    )
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(PATH)], check=True)


if __name__ == "__main__":
    main()
