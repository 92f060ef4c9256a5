"""The first tables: Devices, CPL, releases, updates, outbox, inbox, evidence."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cpl_entry",
        sa.Column("manufacturer", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.CheckConstraint(
            "status IN ('Active', 'Cancelled', 'Expired', 'Withdrawn')",
            name=op.f("ck_cpl_entry_status_is_known"),
        ),
        sa.PrimaryKeyConstraint("manufacturer", "version", name=op.f("pk_cpl_entry")),
        comment="The Central Products List: one entry for a manufacturer's version.",
    )
    op.create_table(
        "device",
        sa.Column("eui", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("hub", sa.BigInteger(), nullable=False),
        sa.Column("manufacturer", sa.Integer(), nullable=False),
        sa.Column("hardware", sa.Integer(), nullable=False),
        sa.Column("firmware", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.CheckConstraint(
            "status IN ('Pending', 'Whitelisted', 'InstalledNotCommissioned', 'Commissioned', 'Decommissioned', 'Withdrawn', 'Suspended', 'Recovery', 'Recovered')",
            name=op.f("ck_device_status_is_known"),
        ),
        sa.CheckConstraint(
            "type IN ('ESME', 'GSME', 'GPF', 'CHF', 'HCALCS', 'PPMID', 'IHD', 'CAD')",
            name=op.f("ck_device_type_is_known"),
        ),
        sa.PrimaryKeyConstraint("eui", name=op.f("pk_device")),
        comment="Devices as last heard of.",
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=True),
        sa.Column("dead_reason", sa.String(), nullable=True),
        sa.CheckConstraint("applied_at IS NULL OR dead_reason IS NULL", name=op.f("ck_inbox_one_fate")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("digest", name=op.f("uq_inbox_digest")),
        comment="Messages taken from the DCC, each verified before it was stored.",
    )
    op.create_index(op.f("ix_inbox_applied_at"), "inbox", ["applied_at"], unique=False)
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("procedure", sa.String(length=8), nullable=False),
        sa.Column("manufacturer", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("minimum_hardware", sa.Integer(), nullable=False),
        sa.Column("maximum_hardware", sa.Integer(), nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("procedure IN ('11.4', '11.1')", name=op.f("ck_release_procedure_is_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
        sa.UniqueConstraint(
            "procedure", "manufacturer", "version", "hash", name=op.f("uq_release_procedure")
        ),
        comment="Images ready to be sent.",
    )
    op.create_table(
        "device_update",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device", sa.BigInteger(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'submitted', 'accepted', 'refused', 'at hub', 'hub failed', 'on device', 'transfer failed', 'image verified', 'image rejected', 'activation sent', 'activation scheduled', 'activated', 'activation failed', 'proven')",
            name=op.f("ck_device_update_state_is_known"),
        ),
        sa.ForeignKeyConstraint(["device"], ["device.eui"], name=op.f("fk_device_update_device")),
        sa.ForeignKeyConstraint(["release"], ["release.id"], name=op.f("fk_device_update_release")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_update")),
        sa.UniqueConstraint("device", "release", name=op.f("uq_device_update_device")),
        comment="One Device's way to one release.",
    )
    op.create_index(op.f("ix_device_update_state"), "device_update", ["state"], unique=False)
    op.create_table(
        "request",
        sa.Column("counter", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("attempted_at", sa.BigInteger(), nullable=True),
        sa.Column("command", sa.LargeBinary(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("response_code", sa.String(length=16), nullable=True),
        sa.CheckConstraint("kind IN ('11.4', '11.1', '11.3')", name=op.f("ck_request_kind_is_known")),
        sa.CheckConstraint(
            "(answered_at IS NULL) = (response_code IS NULL)", name=op.f("ck_request_answer_is_whole")
        ),
        sa.ForeignKeyConstraint(["release"], ["release.id"], name=op.f("fk_request_release")),
        sa.PrimaryKeyConstraint("counter", name=op.f("pk_request")),
        comment="The outbox: what was ordered, and what the DCC answered.",
    )
    op.create_index(op.f("ix_request_answered_at"), "request", ["answered_at"], unique=False)
    op.create_table(
        "evidence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device_update", sa.Integer(), nullable=False),
        sa.Column("fact", sa.String(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.Integer(), nullable=True),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.CheckConstraint(
            "fact IN ('SUBMITTED', 'REFUSED', 'ACCEPTED', 'AT_HUB', 'HUB_FAILED', 'ON_DEVICE', 'TRANSFER_FAILED', 'IMAGE_VERIFIED', 'IMAGE_REJECTED', 'ACTIVATION_SENT', 'ACTIVATION_ACCEPTED', 'ACTIVATION_REFUSED', 'ACTIVATION_SCHEDULED', 'ACTIVATED', 'ACTIVATION_FAILED')",
            name=op.f("ck_evidence_fact_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["device_update"], ["device_update.id"], name=op.f("fk_evidence_device_update")
        ),
        sa.ForeignKeyConstraint(["source"], ["inbox.id"], name=op.f("fk_evidence_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
        sa.UniqueConstraint("device_update", "digest", name=op.f("uq_evidence_device_update")),
        comment="What is known of each update, and from which message.",
    )
    op.create_table(
        "request_device",
        sa.Column("request", sa.BigInteger(), nullable=False),
        sa.Column("device_update", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_update"], ["device_update.id"], name=op.f("fk_request_device_device_update")
        ),
        sa.ForeignKeyConstraint(["request"], ["request.counter"], name=op.f("fk_request_device_request")),
        sa.PrimaryKeyConstraint("request", "device_update", name=op.f("pk_request_device")),
        comment="Which updates a request is for.",
    )
    op.create_index(
        op.f("ix_request_device_device_update"), "request_device", ["device_update"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_request_device_device_update"), table_name="request_device")
    op.drop_table("request_device")
    op.drop_table("evidence")
    op.drop_index(op.f("ix_request_answered_at"), table_name="request")
    op.drop_table("request")
    op.drop_index(op.f("ix_device_update_state"), table_name="device_update")
    op.drop_table("device_update")
    op.drop_table("release")
    op.drop_index(op.f("ix_inbox_applied_at"), table_name="inbox")
    op.drop_table("inbox")
    op.drop_table("device")
    op.drop_table("cpl_entry")
