"""The first tables: what is known, what is wanted, what is under way, what comes in."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "advisory",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("manufacturer", sa.Integer(), nullable=False),
        sa.Column("model", sa.Integer(), nullable=True),
        sa.Column("lowest", sa.BigInteger(), nullable=False),
        sa.Column("highest", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("lowest <= highest", name=op.f("ck_advisory_range_is_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory")),
        comment="Versions that somebody has declared vulnerable, until somebody closes it.",
    )
    op.create_table(
        "alert_hour",
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("manufacturer", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hardware", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("alerts", sa.BigInteger(), nullable=False),
        sa.Column("throttled", sa.BigInteger(), nullable=False),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.Column("storming", sa.BigInteger(), nullable=False),
        sa.Column("calm", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "hour", "code", "manufacturer", "model", "hardware", "version", name=op.f("pk_alert_hour")
        ),
        comment="Alerts by hour, code, product and the version that it ran when they were counted.",
    )
    op.create_index(
        op.f("ix_alert_hour_code"),
        "alert_hour",
        ["code", "manufacturer", "model", "hardware", "hour"],
        unique=False,
    )
    op.create_table(
        "alert_watch",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_watch")),
        comment="How far alerts are counted: one row.",
    )
    op.create_table(
        "answer",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "key", name=op.f("pk_answer")),
        comment="What the API answered to acts that may be asked for twice; written in the act's transaction.",
    )
    op.create_index(op.f("ix_answer_at"), "answer", ["at"], unique=False)
    op.create_table(
        "audit",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("campaign", sa.Integer(), nullable=True),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="All that was done, by whom: a chain of digests; appended, never changed (triggers refuse it).",
    )
    op.create_index(op.f("ix_audit_campaign"), "audit", ["campaign", "id"], unique=False)
    op.create_index(op.f("ix_audit_who"), "audit", ["who", "id"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_head_there_is_one_head")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
        comment="The end of the audit's chain; whoever appends holds its lock, from just before the commit.",
    )
    op.create_table(
        "census",
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("manufacturer", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("firmware", sa.BigInteger(), nullable=False),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("devices >= 0", name=op.f("ck_census_devices_is_a_count")),
        sa.PrimaryKeyConstraint("at", "type", "manufacturer", "model", "firmware", name=op.f("pk_census")),
        comment="How many Devices ran which version, now and then: a row where the number has changed.",
    )
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
    op.create_index(
        "ix_inbox_throttled",
        "inbox",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("weight > 1"),
        sqlite_where=sa.text("weight > 1"),
    )
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
        "login",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("verifier", sa.String(length=128), nullable=False),
        sa.Column("next", sa.String(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_login")),
        comment="Sign-ins that an OpenID provider was asked about, and has not answered.",
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("roles", sa.String(length=64), nullable=False),
        sa.Column("password", sa.String(length=256), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("issuer", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(issuer IS NULL) = (subject IS NULL)", name=op.f("ck_person_issuer_with_subject")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_person_issuer")),
        sa.UniqueConstraint("key", name=op.f("uq_person_key")),
        comment="Accounts: never deleted, for the audit speaks of them; disabled instead.",
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
        "strike",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_strike")),
        comment="Failed attempts to sign in, counted: the next one waits.",
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
        "session",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("person", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["person.id"], name=op.f("fk_session_person")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_session")),
        comment="Who is signed in.",
    )
    op.create_index(op.f("ix_session_person"), "session", ["person"], unique=False)
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
        "storm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("manufacturer", sa.Integer(), nullable=False),
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("hardware", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("cured_by", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["cured_by"], ["release.id"], name=op.f("fk_storm_cured_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storm")),
        comment="The register of alert storms: of one Device, or of many that run one version.",
    )
    op.create_index(op.f("ix_storm_device"), "storm", ["device"], unique=False)
    op.create_index(
        "ix_storm_open",
        "storm",
        ["code"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("scopes", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["person.id"], name=op.f("fk_token_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_token_digest")),
        comment="API tokens: what a program may do in a person's name, until when.",
    )
    op.create_index(op.f("ix_token_person"), "token", ["person"], unique=False)
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
        "forecast",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("alarmed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_forecast_campaign")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forecast")),
        comment="What is expected of a campaign: the latest counts.",
    )
    op.create_index(op.f("ix_forecast_campaign"), "forecast", ["campaign"], unique=False)
    op.create_table(
        "plan_version",
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_plan_version_campaign")),
        sa.PrimaryKeyConstraint("campaign", "number", name=op.f("pk_plan_version")),
        comment="Every plan that a draft ever had, and who wrote it: none of them approves it.",
    )
    op.create_table(
        "sample",
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("proven", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("proven >= 0", name=op.f("ck_sample_proven_is_a_count")),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_sample_campaign")),
        sa.PrimaryKeyConstraint("campaign", "at", name=op.f("pk_sample")),
        comment="How many Devices of a campaign were proven, now and then: what a forecast is held against.",
    )
    op.create_table(
        "storm_hour",
        sa.Column("storm", sa.Integer(), nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("alerts", sa.BigInteger(), nullable=False),
        sa.Column("throttled", sa.BigInteger(), nullable=False),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["storm"], ["storm.id"], name=op.f("fk_storm_hour_storm")),
        sa.PrimaryKeyConstraint("storm", "hour", name=op.f("pk_storm_hour")),
        comment="What a storm was in each of its hours.",
    )
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
        "vote",
        sa.Column("campaign", sa.Integer(), nullable=False),
        sa.Column("member", sa.String(length=64), nullable=False),
        sa.Column("choice", sa.String(length=8), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "choice = 'approve' OR choice = 'reject' OR choice = 'abstain'",
            name=op.f("ck_vote_choice_is_known"),
        ),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_vote_campaign")),
        sa.PrimaryKeyConstraint("campaign", "member", name=op.f("pk_vote")),
        comment="How each member of a board voted, and on what: void where the digest is the campaign's no more.",
    )
    op.create_table(
        "webhook",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("kinds", sa.String(length=64), nullable=False),
        sa.Column("campaign", sa.Integer(), nullable=True),
        sa.Column("inside", sa.Boolean(create_constraint=True, name="inside_is_boolean"), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.Column("audit_seen", sa.BigInteger(), nullable=False),
        sa.Column("evidence_seen", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(removed_at IS NULL) = (secret <> '')", name=op.f("ck_webhook_removed_has_no_secret")
        ),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_webhook_campaign")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
        comment="Whom we tell of what happens.",
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
        "delivery",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("webhook", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.CheckConstraint(
            "status <> 'dead' OR reason IS NOT NULL", name=op.f("ck_delivery_dead_has_a_reason")
        ),
        sa.CheckConstraint(
            "status = 'pending' OR status = 'delivered' OR status = 'dead'",
            name=op.f("ck_delivery_status_is_known"),
        ),
        sa.ForeignKeyConstraint(["webhook"], ["webhook.id"], name=op.f("fk_delivery_webhook")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("webhook", "event", name=op.f("uq_delivery_webhook")),
        comment="What a webhook is told; one after the other, in the order of their ids.",
    )
    op.create_index(
        "ix_delivery_pending",
        "delivery",
        ["webhook", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
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
        op.execute(
            "INSERT INTO audit_head (id, entries, digest) VALUES (1, 0, decode('0000000000000000000000000000000000000000000000000000000000000000', 'hex'))"
        )
        op.execute(
            "CREATE OR REPLACE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit is appended to, and never changed' USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_refuses BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()"
        )
        op.execute(
            "CREATE TRIGGER audit_head_refuses BEFORE DELETE OR TRUNCATE ON audit_head FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()"
        )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "INSERT INTO audit_head (id, entries, digest) VALUES (1, 0, x'0000000000000000000000000000000000000000000000000000000000000000')"
        )
        op.execute(
            "CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is appended to, and never changed'); END"
        )
        op.execute(
            "CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is appended to, and never changed'); END"
        )
        op.execute(
            "CREATE TRIGGER audit_head_refuses_delete BEFORE DELETE ON audit_head BEGIN SELECT RAISE(ABORT, 'the audit is appended to, and never changed'); END"
        )
        op.execute(
            "CREATE TRIGGER audit_refuses_replacement BEFORE INSERT ON audit WHEN NEW.id <= (SELECT COALESCE(MAX(id), 0) FROM audit) BEGIN SELECT RAISE(ABORT, 'the audit is appended to, and never changed'); END"
        )


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
    op.drop_index(
        "ix_delivery_pending",
        table_name="delivery",
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.drop_table("delivery")
    op.drop_table("cell")
    op.drop_table("webhook")
    op.drop_table("vote")
    op.drop_table("stratum")
    op.drop_table("storm_hour")
    op.drop_table("sample")
    op.drop_table("plan_version")
    op.drop_index(op.f("ix_forecast_campaign"), table_name="forecast")
    op.drop_table("forecast")
    op.drop_index(op.f("ix_batch_due_at"), table_name="batch")
    op.drop_index(op.f("ix_batch_campaign"), table_name="batch")
    op.drop_table("batch")
    op.drop_table("approval")
    op.drop_index(op.f("ix_token_person"), table_name="token")
    op.drop_table("token")
    op.drop_index(
        "ix_storm_open",
        table_name="storm",
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )
    op.drop_index(op.f("ix_storm_device"), table_name="storm")
    op.drop_table("storm")
    op.drop_index(op.f("ix_statement_inbox"), table_name="statement")
    op.drop_table("statement")
    op.drop_index(op.f("ix_session_person"), table_name="session")
    op.drop_table("session")
    op.drop_index(op.f("ix_device_hub"), table_name="device")
    op.drop_index(op.f("ix_device_cohort"), table_name="device")
    op.drop_table("device")
    op.drop_table("dead_letter")
    op.drop_table("campaign")
    op.drop_table("strike")
    op.drop_table("reported")
    op.drop_table("release")
    op.drop_table("refusal")
    op.drop_table("person")
    op.drop_table("login")
    op.drop_table("lease")
    op.drop_index(
        "ix_inbox_throttled",
        table_name="inbox",
        postgresql_where=sa.text("weight > 1"),
        sqlite_where=sa.text("weight > 1"),
    )
    op.drop_index(op.f("ix_inbox_code"), table_name="inbox")
    op.drop_table("inbox")
    op.drop_table("hub")
    op.drop_index(op.f("ix_evidence_epoch"), table_name="evidence")
    op.drop_table("evidence")
    op.drop_table("cpl_entry")
    op.drop_table("cohort")
    op.drop_table("census")
    op.drop_table("audit_head")
    op.drop_index(op.f("ix_audit_who"), table_name="audit")
    op.drop_index(op.f("ix_audit_campaign"), table_name="audit")
    op.drop_table("audit")
    op.drop_index(op.f("ix_answer_at"), table_name="answer")
    op.drop_table("answer")
    op.drop_table("alert_watch")
    op.drop_index(op.f("ix_alert_hour_code"), table_name="alert_hour")
    op.drop_table("alert_hour")
    op.drop_table("advisory")
