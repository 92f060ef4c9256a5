"""What is asked of the DCC's inventory: SRV 8.2, live."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_EUI = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "inquiry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("per_hour", sa.Integer(), nullable=False),
        sa.Column("questions", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("per_hour >= 1", name=op.f("ck_inquiry_goes_on")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inquiry")),
        comment="What somebody wants to know of the DCC's inventory: SRV 8.2 for each of some premises.",
    )
    op.create_table(
        "question",
        sa.Column("id", _EUI, nullable=False),
        sa.Column("inquiry", sa.Integer(), nullable=False),
        sa.Column("device", _EUI, nullable=True),
        sa.Column("mpxn", sa.String(length=13), nullable=True),
        sa.Column("uprn", sa.String(length=12), nullable=True),
        sa.Column("counter", sa.BigInteger(), nullable=True),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("code", sa.String(length=16), nullable=True),
        sa.Column("hub", _EUI, nullable=True),
        sa.Column("devices", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("bad", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("detail", sa.String(), server_default="", nullable=False),
        sa.CheckConstraint(
            "(answered_at IS NULL) = (code IS NULL)", name=op.f("ck_question_answer_is_whole")
        ),
        sa.CheckConstraint(
            "(device IS NOT NULL AND mpxn IS NULL AND uprn IS NULL)"
            " OR (device IS NULL AND mpxn IS NOT NULL AND uprn IS NULL)"
            " OR (device IS NULL AND mpxn IS NULL AND uprn IS NOT NULL)",
            name=op.f("ck_question_is_of_one_premises"),
        ),
        sa.CheckConstraint(
            "asked_at IS NULL OR counter IS NOT NULL", name=op.f("ck_question_is_asked_under_a_counter")
        ),
        sa.ForeignKeyConstraint(["inquiry"], ["inquiry.id"], name=op.f("fk_question_inquiry")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_question")),
        sa.UniqueConstraint("counter", name=op.f("uq_question_counter")),
        comment="SRV 8.2, premises by premises: a wish until the lane to the DCC is free, then a request.",
    )
    op.create_index(op.f("ix_question_asked_at"), "question", ["asked_at"], unique=False)
    op.create_index(op.f("ix_question_hub"), "question", ["hub", "answered_at"], unique=False)
    op.create_index(op.f("ix_question_inquiry"), "question", ["inquiry", "code"], unique=False)
    for column in ("device", "inquiry"):
        op.create_index(
            f"ix_question_open_{column}",
            "question",
            [column, "id"],
            unique=False,
            postgresql_where=sa.text("answered_at IS NULL"),
            sqlite_where=sa.text("answered_at IS NULL"),
        )


def downgrade() -> None:
    op.drop_table("question")
    op.drop_table("inquiry")
