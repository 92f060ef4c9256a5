"""What a campaign has ordered, and what was done to it, is found without its reads and activations."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(op.f("ix_batch_campaign"), table_name="batch")
    op.create_index(op.f("ix_batch_campaign"), "batch", ["campaign", "created_at", "devices"], unique=False)
    _partial("ix_batch_updates", "batch", ["campaign", "created_at", "devices"], "kind IN ('11.4', '11.1')")
    _partial("ix_audit_acts", "audit", ["campaign", "id"], "what <> 'order'")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    is_so = sa.text(where)
    op.create_index(name, table, columns, unique=False, sqlite_where=is_so, postgresql_where=is_so)
