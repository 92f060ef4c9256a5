"""The first tables: what is known, what is wanted, what is under way, what comes in."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cohort",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("manufacturer", sa.Integer(), nullable=False),
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("hardware", sa.Integer(), nullable=False),
        sa.Column("firmware", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("gbcs_version", sa.String(length=16), nullable=False),
        sa.Column("part", sa.String(length=8), nullable=False),
        sa.Column("tag", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=16), nullable=False),
        sa.Column("hub_model", sa.String(length=32), nullable=False),
        sa.Column("hub_firmware", sa.String(length=8), nullable=False),
        sa.Column(
            "hub_capable", sa.Boolean(create_constraint=True, name="hub_capable_is_boolean"), nullable=True
        ),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.CheckConstraint(
            "part = 'none' OR part = 'import' OR part = 'gas' OR part = 'both'",
            name=op.f("ck_cohort_part_is_known"),
        ),
        sa.CheckConstraint(
            "status = 'Pending' OR status = 'Whitelisted' OR status = 'InstalledNotCommissioned' OR status = 'Commissioned' OR status = 'Decommissioned' OR status = 'Withdrawn' OR status = 'Suspended' OR status = 'Recovery' OR status = 'Recovered'",
            name=op.f("ck_cohort_status_is_known"),
        ),
        sa.CheckConstraint(
            "type = 'ESME' OR type = 'GSME' OR type = 'GPF' OR type = 'CHF' OR type = 'HCALCS' OR type = 'PPMID' OR type = 'IHD' OR type = 'CAD'",
            name=op.f("ck_cohort_type_is_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cohort")),
        sa.UniqueConstraint("digest", name=op.f("uq_cohort_digest")),
        comment="Each set of properties that some Devices share: a verdict is found once for all of them.",
    )
    op.create_table(
        "cpl_entry",
        sa.Column("manufacturer", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hardware", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.CheckConstraint(
            "status = 'Active' OR status = 'Cancelled' OR status = 'Expired' OR status = 'Withdrawn'",
            name=op.f("ck_cpl_entry_status_is_known"),
        ),
        sa.PrimaryKeyConstraint("manufacturer", "model", "hardware", "version", name=op.f("pk_cpl_entry")),
        comment="The Central Products List: one entry for a version on a manufacturer's model and hardware.",
    )
    op.create_table(
        "evidence",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("device_update", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("fact", sa.String(length=24), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.SmallInteger(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.CheckConstraint(
            "fact = 'ORDERED' OR fact = 'RECALLED' OR fact = 'SUBMITTED' OR fact = 'REFUSED' OR fact = 'ACCEPTED' OR fact = 'QUARANTINED' OR fact = 'AT_HUB' OR fact = 'HUB_FAILED' OR fact = 'ON_DEVICE' OR fact = 'TRANSFER_FAILED' OR fact = 'IMAGE_VERIFIED' OR fact = 'IMAGE_REJECTED' OR fact = 'ACTIVATION_SENT' OR fact = 'ACTIVATION_ACCEPTED' OR fact = 'ACTIVATION_REFUSED' OR fact = 'ACTIVATION_SCHEDULED' OR fact = 'ACTIVATED' OR fact = 'ACTIVATION_FAILED' OR fact = 'READ_ORDERED' OR fact = 'READ_SENT' OR fact = 'READ_FAILED' OR fact = 'VERSION_READ' OR fact = 'NO_WORD_OF_HUB' OR fact = 'NO_WORD_OF_TRANSFER' OR fact = 'NO_WORD_OF_DEVICE' OR fact = 'NO_WORD_OF_ACTIVATION' OR fact = 'NO_ANSWER' OR fact = 'GIVEN_UP' OR fact = 'LOST' OR fact = 'CANCELLED' OR fact = 'LEFT'",
            name=op.f("ck_evidence_fact_is_known"),
        ),
        sa.CheckConstraint("cause BETWEEN 0 AND 26", name=op.f("ck_evidence_cause_is_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
        comment="What is known of each update, step by step, and from which message: appended, never changed.",
    )
    op.create_index(op.f("ix_evidence_epoch"), "evidence", ["epoch", "device_update"], unique=False)
    op.create_table(
        "hub",
        sa.Column(
            "eui", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("model", sa.String(length=32), nullable=False),
        sa.Column("firmware", sa.String(length=8), nullable=False),
        sa.Column("region", sa.String(length=16), nullable=False),
        sa.Column("capable", sa.Boolean(create_constraint=True, name="capable_is_boolean"), nullable=True),
        sa.PrimaryKeyConstraint("eui", name=op.f("pk_hub")),
        comment="Communications Hubs: what they run, and whether they can update the Devices behind them.",
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("device", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.CheckConstraint("weight >= 1", name=op.f("ck_inbox_stands_for_one_at_least")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("digest", name=op.f("uq_inbox_digest")),
        comment="Messages taken from the DCC, each verified before it was stored; never changed.",
    )
    op.create_index(op.f("ix_inbox_code"), "inbox", ["code", "received_at"], unique=False)
    op.create_table(
        "lease",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
        comment="Who does which work, until when.",
    )
    op.create_table(
        "refusal",
        sa.Column("day", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "reason", name=op.f("pk_refusal")),
        comment="What was refused at the door, counted; nothing of it is kept.",
    )
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("procedure", sa.String(length=8), nullable=False),
        sa.Column("manufacturer", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("minimum_hardware", sa.Integer(), nullable=False),
        sa.Column("maximum_hardware", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.Column("image", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "procedure = '11.4' OR procedure = '11.1'", name=op.f("ck_release_procedure_is_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
        sa.UniqueConstraint("name", name=op.f("uq_release_name")),
        sa.UniqueConstraint(
            "procedure", "manufacturer", "version", "hash", name=op.f("uq_release_procedure")
        ),
        comment="Images ready to be sent.",
    )
    op.create_table(
        "reported",
        sa.Column("device", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        comment="Versions that Devices said they run, and when: until the registry has taken note of it.",
    )
    op.create_table(
        "campaign",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("salt", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "status = 'draft' OR status = 'running' OR status = 'paused' OR status = 'aborting' OR status = 'aborted' OR status = 'finished'",
            name=op.f("ck_campaign_status_is_known"),
        ),
        sa.ForeignKeyConstraint(["release"], ["release.id"], name=op.f("fk_campaign_release")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
        sa.UniqueConstraint("name", name=op.f("uq_campaign_name")),
        comment="A release, a plan, and where it stands.",
    )
    op.create_table(
        "dead_letter",
        sa.Column(
            "inbox", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["inbox"], ["inbox.id"], name=op.f("fk_dead_letter_inbox")),
        sa.PrimaryKeyConstraint("inbox", name=op.f("pk_dead_letter")),
        comment="Messages that could not be applied, with the reason; a replay takes them away or renews it.",
    )
    op.create_table(
        "device",
        sa.Column(
            "eui", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("hub", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cohort", sa.Integer(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["cohort"], ["cohort.id"], name=op.f("fk_device_cohort")),
        sa.PrimaryKeyConstraint("eui", name=op.f("pk_device")),
        comment="Devices as last heard of.",
    )
    op.create_index(op.f("ix_device_cohort"), "device", ["cohort", "bucket"], unique=False)
    op.create_index(op.f("ix_device_hub"), "device", ["hub"], unique=False)
    op.create_table(
        "statement",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("inbox", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("device", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fact", sa.String(length=24), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.SmallInteger(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("about_version", sa.BigInteger(), nullable=True),
        sa.Column("about_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("request", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "fact = 'ORDERED' OR fact = 'RECALLED' OR fact = 'SUBMITTED' OR fact = 'REFUSED' OR fact = 'ACCEPTED' OR fact = 'QUARANTINED' OR fact = 'AT_HUB' OR fact = 'HUB_FAILED' OR fact = 'ON_DEVICE' OR fact = 'TRANSFER_FAILED' OR fact = 'IMAGE_VERIFIED' OR fact = 'IMAGE_REJECTED' OR fact = 'ACTIVATION_SENT' OR fact = 'ACTIVATION_ACCEPTED' OR fact = 'ACTIVATION_REFUSED' OR fact = 'ACTIVATION_SCHEDULED' OR fact = 'ACTIVATED' OR fact = 'ACTIVATION_FAILED' OR fact = 'READ_ORDERED' OR fact = 'READ_SENT' OR fact = 'READ_FAILED' OR fact = 'VERSION_READ' OR fact = 'NO_WORD_OF_HUB' OR fact = 'NO_WORD_OF_TRANSFER' OR fact = 'NO_WORD_OF_DEVICE' OR fact = 'NO_WORD_OF_ACTIVATION' OR fact = 'NO_ANSWER' OR fact = 'GIVEN_UP' OR fact = 'LOST' OR fact = 'CANCELLED' OR fact = 'LEFT'",
            name=op.f("ck_statement_fact_is_known"),
        ),
        sa.ForeignKeyConstraint(["inbox"], ["inbox.id"], name=op.f("fk_statement_inbox")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statement")),
        comment="What messages say, waiting to be applied; taken away when it is evidence.",
    )
    op.create_index(op.f("ix_statement_inbox"), "statement", ["inbox"], unique=False)
    op.create_table(
        "approval",
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("approver", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_approval_campaign")),
        sa.PrimaryKeyConstraint("campaign", "approver", name=op.f("pk_approval")),
        comment="Who has approved what: void where the digest is no longer the campaign's.",
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("devices", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "kind = '11.4' OR kind = '11.1' OR kind = '11.3' OR kind = '11.2'",
            name=op.f("ck_batch_kind_is_known"),
        ),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_batch_campaign")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        comment="Orders of one kind made at one time; the unit that deadlines are kept for.",
    )
    op.create_index(op.f("ix_batch_campaign"), "batch", ["campaign", "created_at"], unique=False)
    op.create_index(op.f("ix_batch_due_at"), "batch", ["due_at"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_event_campaign")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        comment="What was done to a campaign, by whom: appended, never changed.",
    )
    op.create_index(op.f("ix_event_campaign"), "event", ["campaign"], unique=False)
    op.create_table(
        "stratum",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("wave", sa.SmallInteger(), nullable=False),
        sa.Column("wave_opened_at", sa.BigInteger(), nullable=False),
        sa.Column("wave_settled_at", sa.BigInteger(), nullable=True),
        sa.Column("held_at", sa.BigInteger(), nullable=True),
        sa.Column("held_because", sa.String(), nullable=True),
        sa.Column("pardoned", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(held_at IS NULL) = (held_because IS NULL)", name=op.f("ck_stratum_hold_has_a_reason")
        ),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_stratum_campaign")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stratum")),
        sa.UniqueConstraint("campaign", "name", name=op.f("uq_stratum_campaign")),
        comment="The Devices of a campaign that are alike in what the plan stratifies by; held alone, if at all.",
    )
    op.create_table(
        "cell",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stratum", sa.Integer(), nullable=False),
        sa.Column("wave", sa.SmallInteger(), nullable=False),
        sa.Column("brood", sa.SmallInteger(), nullable=False),
        sa.Column("region", sa.String(length=16), nullable=False),
        sa.Column("hub_model", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["stratum"], ["stratum.id"], name=op.f("fk_cell_stratum")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cell")),
        sa.UniqueConstraint("stratum", "wave", "brood", "region", "hub_model", name=op.f("uq_cell_stratum")),
        comment="What is counted apart: a brood of a stratum's wave, in one region, on one model of hub.",
    )
    op.create_table(
        "pool",
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("cohort", sa.Integer(), nullable=False),
        sa.Column("wave", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("stratum", sa.Integer(), nullable=True),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("swept_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(verdict = 'ELIGIBLE') = (stratum IS NOT NULL)", name=op.f("ck_pool_only_the_eligible_count")
        ),
        sa.CheckConstraint(
            "verdict = 'ELIGIBLE' OR verdict = 'NO_SERVICE_REQUEST' OR verdict = 'WRONG_PROCEDURE' OR verdict = 'MANUFACTURER_MISMATCH' OR verdict = 'HARDWARE_MISMATCH' OR verdict = 'ALREADY_THERE' OR verdict = 'NOT_OURS' OR verdict = 'LEFT' OR verdict = 'RELEASE_WITHDRAWN' OR verdict = 'NOT_ON_CPL' OR verdict = 'HASH_MISMATCH' OR verdict = 'CPL_NOT_ACTIVE' OR verdict = 'HUB_NOT_CAPABLE' OR verdict = 'NOT_ON_PATH' OR verdict = 'DOWNGRADE' OR verdict = 'NOT_COMMISSIONED' OR verdict = 'UNDER_WAY'",
            name=op.f("ck_pool_verdict_is_known"),
        ),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_pool_campaign")),
        sa.ForeignKeyConstraint(["cohort"], ["cohort.id"], name=op.f("fk_pool_cohort")),
        sa.ForeignKeyConstraint(["stratum"], ["stratum.id"], name=op.f("fk_pool_stratum")),
        sa.PrimaryKeyConstraint("campaign", "cohort", "wave", name=op.f("pk_pool")),
        comment="One cohort's part in one wave of a campaign, with the verdict on all of it.",
    )
    op.create_index(op.f("ix_pool_stratum"), "pool", ["stratum"], unique=False)
    op.create_table(
        "request",
        sa.Column("counter", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("device", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("execution_at", sa.BigInteger(), nullable=True),
        sa.Column("attempted_at", sa.BigInteger(), nullable=True),
        sa.Column("command", sa.LargeBinary(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("response_code", sa.String(length=16), nullable=True),
        sa.CheckConstraint(
            "(answered_at IS NULL) = (response_code IS NULL)", name=op.f("ck_request_answer_is_whole")
        ),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name=op.f("fk_request_batch")),
        sa.PrimaryKeyConstraint("counter", name=op.f("pk_request")),
        comment="The outbox: what was ordered, and what the DCC answered.",
    )
    op.create_index(op.f("ix_request_batch"), "request", ["batch"], unique=False)
    op.create_index(
        "ix_request_open",
        "request",
        ["counter"],
        unique=False,
        postgresql_where=sa.text("answered_at IS NULL"),
        sqlite_where=sa.text("answered_at IS NULL"),
    )
    op.create_table(
        "device_update",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("device", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hub", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cell", sa.Integer(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("ready_at", sa.BigInteger(), nullable=True),
        sa.Column("busy", sa.Boolean(create_constraint=True, name="busy_is_boolean"), nullable=False),
        sa.CheckConstraint("ready_at IS NULL OR NOT busy", name=op.f("ck_device_update_ready_or_busy")),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name=op.f("fk_device_update_batch")),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_device_update_campaign")),
        sa.ForeignKeyConstraint(["cell"], ["cell.id"], name=op.f("fk_device_update_cell")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_update")),
        comment="One Device's way through one campaign.",
    )
    op.create_index(op.f("ix_device_update_batch"), "device_update", ["batch"], unique=False)
    op.create_index(op.f("ix_device_update_device"), "device_update", ["device", "campaign"], unique=True)
    op.create_index(op.f("ix_device_update_hub"), "device_update", ["hub"], unique=False)
    op.create_index(
        "ix_device_update_ready",
        "device_update",
        ["campaign", "ready_at"],
        unique=False,
        postgresql_where=sa.text("ready_at IS NOT NULL"),
        sqlite_where=sa.text("ready_at IS NOT NULL"),
    )
    op.create_table(
        "tally",
        sa.Column("cell", sa.Integer(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("again", sa.Boolean(create_constraint=True, name="again_is_boolean"), nullable=False),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("devices >= 0", name=op.f("ck_tally_never_negative")),
        sa.ForeignKeyConstraint(["cell"], ["cell.id"], name=op.f("fk_tally_cell")),
        sa.PrimaryKeyConstraint("cell", "stage", "again", name=op.f("pk_tally")),
        comment="How many updates of a cell are in each stage: moved in the transaction that moves the updates.",
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE device_update SET (fillfactor = 70)")
        op.execute("ALTER TABLE inbox ALTER octets SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE inbox SET (toast_tuple_target = 8160)")


def downgrade() -> None:
    op.drop_table("tally")
    op.drop_index(
        "ix_device_update_ready",
        table_name="device_update",
        postgresql_where=sa.text("ready_at IS NOT NULL"),
        sqlite_where=sa.text("ready_at IS NOT NULL"),
    )
    op.drop_index(op.f("ix_device_update_hub"), table_name="device_update")
    op.drop_index(op.f("ix_device_update_device"), table_name="device_update")
    op.drop_index(op.f("ix_device_update_batch"), table_name="device_update")
    op.drop_table("device_update")
    op.drop_index(
        "ix_request_open",
        table_name="request",
        postgresql_where=sa.text("answered_at IS NULL"),
        sqlite_where=sa.text("answered_at IS NULL"),
    )
    op.drop_index(op.f("ix_request_batch"), table_name="request")
    op.drop_table("request")
    op.drop_index(op.f("ix_pool_stratum"), table_name="pool")
    op.drop_table("pool")
    op.drop_table("cell")
    op.drop_table("stratum")
    op.drop_index(op.f("ix_event_campaign"), table_name="event")
    op.drop_table("event")
    op.drop_index(op.f("ix_batch_due_at"), table_name="batch")
    op.drop_index(op.f("ix_batch_campaign"), table_name="batch")
    op.drop_table("batch")
    op.drop_table("approval")
    op.drop_index(op.f("ix_statement_inbox"), table_name="statement")
    op.drop_table("statement")
    op.drop_index(op.f("ix_device_hub"), table_name="device")
    op.drop_index(op.f("ix_device_cohort"), table_name="device")
    op.drop_table("device")
    op.drop_table("dead_letter")
    op.drop_table("campaign")
    op.drop_table("reported")
    op.drop_table("release")
    op.drop_table("refusal")
    op.drop_table("lease")
    op.drop_index(op.f("ix_inbox_code"), table_name="inbox")
    op.drop_table("inbox")
    op.drop_table("hub")
    op.drop_index(op.f("ix_evidence_epoch"), table_name="evidence")
    op.drop_table("evidence")
    op.drop_table("cpl_entry")
    op.drop_table("cohort")
