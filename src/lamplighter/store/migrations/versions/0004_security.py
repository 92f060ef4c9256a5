"""A release may say what it cures for security."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The constraint stands with its column: so SQLite takes it without copying the table.
    is_a_reference = sa.CheckConstraint(
        "length(security) BETWEEN 1 AND 64", name=op.f("ck_release_security_is_a_reference")
    )
    op.add_column("release", sa.Column("security", sa.String(length=64), is_a_reference, nullable=True))
