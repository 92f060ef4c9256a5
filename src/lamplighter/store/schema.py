"""The tables. Times are microseconds since 1970 (`kit.Instant`), identifiers and versions whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    literal,
    text,
)
from sqlalchemy.event import listen
from sqlalchemy.types import TypeDecorator

from lamplighter.campaign import Cause, Fact, Order
from lamplighter.campaign.board import Choice
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import Eui64, FirmwareVersion
from lamplighter.registry import CplStatus, DeviceStatus, DeviceType, Part, Procedure, Verdict

if TYPE_CHECKING:
    from enum import Enum

    from sqlalchemy import BindParameter, Dialect

_SIGN: Final = 1 << 63
_LAST: Final = _SIGN - 1


def number(asked: int) -> BindParameter[int]:
    """A number to look rows up by, as somebody typed it: one that fits into no column is no row's."""
    return literal(max(-_LAST, min(asked, _LAST)), BigInteger)


class EuiColumn(TypeDecorator[Eui64]):
    """An EUI-64 in a signed BIGINT, shifted so that the order stays that of the identifiers."""

    # On SQLite only an INTEGER key is the row's own number, which needs no index beside it.
    impl = BigInteger().with_variant(Integer(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: Eui64 | None, _dialect: Dialect) -> int | None:
        """To the database."""
        return None if value is None else int(value) - _SIGN

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> Eui64 | None:
        """From the database."""
        return None if value is None else Eui64.of(value + _SIGN)


class VersionColumn(TypeDecorator[FirmwareVersion]):
    """A firmware version as the number that it is."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: FirmwareVersion | None, _dialect: Dialect) -> int | None:
        """To the database."""
        return None if value is None else value.number

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> FirmwareVersion | None:
        """From the database."""
        return None if value is None else FirmwareVersion(value)


def _one_of(column: str, kind: type[Enum], *, by_name: bool = False) -> CheckConstraint:
    """The column holds a member of `kind`: the same table that the code and the docs are made of.

    Not `IN (...)`: in a CHECK, SQLite builds that list anew for each row, ten times the cost of all the rest.
    """
    words = (member.name if by_name else member.value for member in kind)
    return CheckConstraint(" OR ".join(f"{column} = '{word}'" for word in words), name=f"{column}_is_known")


metadata: Final = MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

# A whole number that the database counts up: BIGINT, but INTEGER on SQLite, where only that is the rowid.
_Id: Final = BigInteger().with_variant(Integer(), "sqlite")

# --- what is known

cohort: Final = Table(
    "cohort",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("type", String(8), nullable=False),
    Column("manufacturer", Integer, nullable=False),
    Column("model", Integer, nullable=False),
    Column("hardware", Integer, nullable=False),
    Column("firmware", VersionColumn, nullable=False),
    Column("status", String(32), nullable=False),
    Column("gbcs_version", String(16), nullable=False),
    Column("part", String(8), nullable=False),
    Column("tag", String(64), nullable=False),
    Column("region", String(16), nullable=False),
    Column("hub_model", String(32), nullable=False),
    Column("hub_firmware", String(8), nullable=False),
    Column("hub_capable", Boolean(create_constraint=True, name="hub_capable_is_boolean")),  # NULL: unknown
    # SHA-256 of all of the above: what is alike is one cohort.
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    _one_of("type", DeviceType),
    _one_of("status", DeviceStatus),
    _one_of("part", Part),
    comment="Each set of properties that some Devices share: a verdict is found once for all of them.",
)

device: Final = Table(
    "device",
    metadata,
    Column("eui", EuiColumn, primary_key=True, autoincrement=False),
    Column("hub", EuiColumn, nullable=False),
    Column("cohort", Integer, ForeignKey("cohort.id"), nullable=False),
    # registry.bucket(eui), 0..2^20-1: in which wave a Device is follows from it, in every campaign anew.
    Column("bucket", Integer, nullable=False),
    Index(None, "cohort", "bucket"),
    Index(None, "hub"),
    comment="Devices as last heard of.",
)

# No key, index or foreign key: it is appended to with each proof, and then read and emptied as a whole.
reported: Final = Table(
    "reported",
    metadata,
    Column("device", EuiColumn, nullable=False),
    Column("version", VersionColumn, nullable=False),
    Column("at", BigInteger, nullable=False),
    comment="Versions that Devices said they run, and when: until the registry has taken note of it.",
)

hub: Final = Table(
    "hub",
    metadata,
    Column("eui", EuiColumn, primary_key=True, autoincrement=False),
    Column("model", String(32), nullable=False),
    Column("firmware", String(8), nullable=False),
    Column("region", String(16), nullable=False),
    Column("capable", Boolean(create_constraint=True, name="capable_is_boolean")),  # NULL: unknown
    comment="Communications Hubs: what they run, and whether they can update the Devices behind them.",
)

cpl_entry: Final = Table(
    "cpl_entry",
    metadata,
    Column("manufacturer", Integer, primary_key=True, autoincrement=False),
    Column("model", Integer, primary_key=True, autoincrement=False),
    Column("hardware", Integer, primary_key=True, autoincrement=False),
    Column("version", VersionColumn, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("status", String(16), nullable=False),
    _one_of("status", CplStatus),
    comment="The Central Products List: one entry for a version on a manufacturer's model and hardware.",
)

release: Final = Table(
    "release",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("procedure", String(8), nullable=False),
    Column("manufacturer", Integer, nullable=False),
    Column("version", VersionColumn, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("minimum_hardware", Integer, nullable=False),
    Column("maximum_hardware", Integer, nullable=False),
    # The versions that may come before, as hex joined by spaces; empty: any lower one.
    Column("path", String, nullable=False),
    Column("withdrawn_at", BigInteger),
    Column("image", LargeBinary, nullable=False),
    # What it cures for security, a reference of whoever marked it; NULL: it is no security release.
    Column(
        "security",
        String(64),
        CheckConstraint("length(security) BETWEEN 1 AND 64", "security_is_a_reference"),
    ),
    # The same image is registered once; building it anew changes its hash or its version.
    UniqueConstraint("procedure", "manufacturer", "version", "hash"),
    _one_of("procedure", Procedure),
    comment="Images ready to be sent.",
)

# --- what is wanted

campaign: Final = Table(
    "campaign",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("release", Integer, ForeignKey("release.id"), nullable=False),
    Column("plan", String, nullable=False),
    # SHA-256 of image hash and plan: what an approval binds to.
    Column("digest", LargeBinary(32), nullable=False),
    Column("salt", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    _one_of("status", CampaignStatus),
    comment="A release, a plan, and where it stands.",
)

approval: Final = Table(
    "approval",
    metadata,
    Column("campaign", Integer, ForeignKey("campaign.id"), primary_key=True),
    Column("approver", String(64), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    comment="Who has approved what: void where the digest is no longer the campaign's.",
)

plan_version: Final = Table(
    "plan_version",
    metadata,
    Column("campaign", Integer, ForeignKey("campaign.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("plan", String, nullable=False),
    Column("who", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    comment="Every plan that a draft ever had, and who wrote it: none of them approves it.",
)

vote: Final = Table(
    "vote",
    metadata,
    Column("campaign", Integer, ForeignKey("campaign.id"), primary_key=True),
    Column("member", String(64), primary_key=True),
    Column("choice", String(8), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    _one_of("choice", Choice),
    comment="How each member of a board voted, and on what: void where the digest is the campaign's no more.",
)

stratum: Final = Table(
    "stratum",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("name", String, nullable=False),
    # The wave that is open, from 0; the waves before it have passed their gates.
    Column("wave", SmallInteger, nullable=False),
    Column("wave_opened_at", BigInteger, nullable=False),
    # When the open wave's last Device had an outcome: the soak time counts from it.
    Column("wave_settled_at", BigInteger),
    Column("held_at", BigInteger),
    Column("held_because", String),
    # Failures and silences that an operator knew of who released a hold: the gate leaves them out.
    Column("pardoned", Integer, nullable=False, server_default="0"),
    Column("ended_at", BigInteger),
    UniqueConstraint("campaign", "name"),
    CheckConstraint("(held_at IS NULL) = (held_because IS NULL)", name="hold_has_a_reason"),
    comment="The Devices of a campaign that are alike in what the plan stratifies by; held alone, if at all.",
)

cell: Final = Table(
    "cell",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("stratum", Integer, ForeignKey("stratum.id"), nullable=False),
    Column("wave", SmallInteger, nullable=False),
    # Devices ordered at about one time: a gate judges them in the order of their orders.
    Column("brood", SmallInteger, nullable=False),
    Column("region", String(16), nullable=False),
    Column("hub_model", String(32), nullable=False),
    UniqueConstraint("stratum", "wave", "brood", "region", "hub_model"),
    comment="What is counted apart: a brood of a stratum's wave, in one region, on one model of hub.",
)

pool: Final = Table(
    "pool",
    metadata,
    Column("campaign", Integer, ForeignKey("campaign.id"), primary_key=True),
    Column("cohort", Integer, ForeignKey("cohort.id"), primary_key=True),
    Column("wave", SmallInteger, primary_key=True, autoincrement=False),
    # Where the verdict is ELIGIBLE: the stratum, and the buckets (rotated by the salt) that it holds.
    Column("verdict", String(32), nullable=False),
    Column("stratum", Integer, ForeignKey("stratum.id")),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    # Devices in it when last counted.
    Column("devices", BigInteger, nullable=False),
    # Those of them that the first pass has not come to.
    Column("waiting", BigInteger, nullable=False),
    # Rotated buckets below are ordered, or cannot be for now; NULL: drained, until it is swept again.
    Column("position", Integer),
    # Devices that the latest pass left out, for their home was busy: the campaign waits for them.
    Column("passed", Integer, nullable=False),
    # When the latest pass came to its end; NULL: the first has not yet.
    Column("swept_at", BigInteger),
    CheckConstraint("(verdict = 'ELIGIBLE') = (stratum IS NOT NULL)", name="only_the_eligible_count"),
    Index(None, "stratum"),
    _one_of("verdict", Verdict, by_name=True),
    comment="One cohort's part in one wave of a campaign, with the verdict on all of it.",
)

# --- what is under way

device_update: Final = Table(
    "device_update",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("campaign", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("device", EuiColumn, nullable=False),
    Column("hub", EuiColumn, nullable=False),
    Column("cell", Integer, ForeignKey("cell.id"), nullable=False),
    # The latest order's batch.
    Column("batch", Integer, ForeignKey("batch.id"), nullable=False),
    # Derived: always fold(evidence).number; kept here so that sets of evidence change sets of rows.
    Column("progress", Integer, nullable=False),
    # When that last changed.
    Column("since", BigInteger, nullable=False),
    # When we are to look at it next; NULL: the world has to move, or all is over.
    Column("ready_at", BigInteger),
    # Whether its home is busy with it: no second update goes to the same hub meanwhile.
    Column("busy", Boolean(create_constraint=True, name="busy_is_boolean"), nullable=False),
    # A Device is brought to a release once in a campaign.
    Index(None, "device", "campaign", unique=True),
    CheckConstraint("ready_at IS NULL OR NOT busy", name="ready_or_busy"),
    Index(None, "batch"),
    # Of all, not of the busy alone: an index that a proof need not touch, at a few rows more a home.
    Index(None, "hub"),
    # (campaign, ready_at) where ready_at is not null: see below.
    comment="One Device's way through one campaign.",
)
Index(
    "ix_device_update_ready",
    device_update.c.campaign,
    device_update.c.ready_at,
    postgresql_where=device_update.c.ready_at.is_not(None),
    sqlite_where=device_update.c.ready_at.is_not(None),
)

tally: Final = Table(
    "tally",
    metadata,
    Column("cell", Integer, ForeignKey("cell.id"), primary_key=True),
    # The stage, and whether it is a later attempt (a Device that has failed before counts as failed).
    Column("stage", SmallInteger, primary_key=True, autoincrement=False),
    Column("again", Boolean(create_constraint=True, name="again_is_boolean"), primary_key=True),
    Column("devices", BigInteger, nullable=False),
    CheckConstraint("devices >= 0", name="never_negative"),
    comment="How many updates of a cell are in each stage: moved in the transaction that moves the updates.",
)

batch: Final = Table(
    "batch",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("kind", String(8), nullable=False),
    # The same for all its Devices.
    Column("step", SmallInteger, nullable=False),
    Column("devices", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Index into next.DEADLINES_OF[kind] of the next deadline, and when it passes; NULL: all have passed.
    Column("deadline", SmallInteger, nullable=False),
    Column("due_at", BigInteger),
    Index(None, "due_at"),
    # With the devices: what was ordered of late is summed up at each look, and reads may come one a batch.
    Index(None, "campaign", "created_at", "devices"),
    # The same of updates alone: see below.
    _one_of("kind", Order),
    comment="Orders of one kind made at one time; the unit that deadlines are kept for.",
)
IS_UPDATE: Final = "kind IN ('11.4', '11.1')"
"""Batches of updates, in the very words that their index is taken for."""
Index(
    "ix_batch_updates",
    batch.c.campaign,
    batch.c.created_at,
    batch.c.devices,
    postgresql_where=text(IS_UPDATE),
    sqlite_where=text(IS_UPDATE),
)

request: Final = Table(
    "request",
    metadata,
    # The counter of the RequestID: allocated with the order, never used twice by one Supplier.
    Column("counter", BigInteger, primary_key=True, autoincrement=False),
    Column("batch", Integer, ForeignKey("batch.id"), nullable=False),
    # The one Device of an 11.2 or 11.3; NULL: an 11.1 or 11.4, for all Devices of its batch.
    Column("device", EuiColumn),
    # SRV 11.3: when to activate; NULL: at once. Where the batch calls activations off: when this one is due.
    Column("execution_at", BigInteger),
    # Noted before the first octet is sent: from then on only evidence says whether the DCC has it.
    Column("attempted_at", BigInteger),
    # SRV 11.3: the signed pre-command, kept before it is sent, so that no crash signs or asks twice.
    Column("command", LargeBinary),
    Column("answered_at", BigInteger),
    Column("response_code", String(16)),
    # An answer has a time and a code, or neither.
    CheckConstraint("(answered_at IS NULL) = (response_code IS NULL)", name="answer_is_whole"),
    Index(None, "batch"),
    comment="The outbox: what was ordered, and what the DCC answered.",
)
Index(
    "ix_request_open",
    request.c.counter,
    postgresql_where=request.c.answered_at.is_(None),
    sqlite_where=request.c.answered_at.is_(None),
)

inquiry: Final = Table(
    "inquiry",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("who", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    # How its premises were chosen, in words.
    Column("what", String, nullable=False),
    # None of its questions goes out where so many of all inquiries did in the hour before.
    Column("per_hour", Integer, nullable=False),
    Column("questions", Integer, nullable=False),
    # When none was open any more.
    Column("ended_at", BigInteger),
    CheckConstraint("per_hour >= 1", name="goes_on"),
    comment="What somebody wants to know of the DCC's inventory: SRV 8.2 for each of some premises.",
)

question: Final = Table(
    "question",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("inquiry", Integer, ForeignKey("inquiry.id"), nullable=False),
    # The premises: by a Device in it, its meter point, or its Unique Property Reference Number.
    Column("device", EuiColumn),
    Column("mpxn", String(13)),
    Column("uprn", String(12)),
    # The counter of the RequestID, of the same run as `request.counter`: given when the lane is free for it.
    Column("counter", BigInteger, unique=True),
    # When it was sent under that counter, noted before; and how often it was sent at all.
    Column("asked_at", BigInteger),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    Column("answered_at", BigInteger),
    # The response code, or a word of ours.
    Column("code", String(16)),
    # Of the answer: the hub of the premises, Devices taken in, rows that were not, and why.
    Column("hub", EuiColumn),
    Column("devices", SmallInteger, nullable=False, server_default="0"),
    Column("bad", SmallInteger, nullable=False, server_default="0"),
    Column("detail", String, nullable=False, server_default=""),
    CheckConstraint("(answered_at IS NULL) = (code IS NULL)", name="answer_is_whole"),
    CheckConstraint(
        "(device IS NOT NULL AND mpxn IS NULL AND uprn IS NULL)"
        " OR (device IS NULL AND mpxn IS NOT NULL AND uprn IS NULL)"
        " OR (device IS NULL AND mpxn IS NULL AND uprn IS NOT NULL)",
        name="is_of_one_premises",
    ),
    CheckConstraint("asked_at IS NULL OR counter IS NOT NULL", name="is_asked_under_a_counter"),
    Index(None, "asked_at"),
    Index(None, "hub", "answered_at"),
    Index(None, "inquiry", "code"),
    comment="SRV 8.2, premises by premises: a wish until the lane to the DCC is free, then a request.",
)
for _column in ("device", "inquiry"):
    Index(
        f"ix_question_open_{_column}",
        question.c[_column],
        question.c.id,
        postgresql_where=question.c.answered_at.is_(None),
        sqlite_where=question.c.answered_at.is_(None),
    )

lease: Final = Table(
    "lease",
    metadata,
    # "outbox", "inbox", "campaign:7"
    Column("name", String(32), primary_key=True),
    Column("owner", String(64), nullable=False),
    # Counts up at each change of owner: a transaction that carries an older number is refused.
    Column("fence", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    comment="Who does which work, until when.",
)

# --- what comes in

inbox: Final = Table(
    "inbox",
    metadata,
    Column("id", _Id, primary_key=True),
    # The DCC delivers at least once, and the same octets count once. Eight octets of when the DCC wrote them,
    # then 24 of their SHA-256: so that what is new comes to lie at the end of the index, and not anywhere.
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    # On PostgreSQL as they are, in the row: to compress each one costs more than to write it.
    Column("octets", LargeBinary, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    # The alert or response code, the Device if it is about one, and for how many equal ones it stands.
    Column("code", String(16), nullable=False),
    Column("device", EuiColumn),
    Column("weight", Integer, nullable=False),
    CheckConstraint("weight >= 1", name="stands_for_one_at_least"),
    Index(None, "code", "received_at"),
    comment="Messages taken from the DCC, each verified before it was stored; never changed.",
)

POSTGRESQL_STORAGE: Final = (
    # Room on each page for the next state of some of its rows: an update that finds it touches no index.
    "ALTER TABLE device_update SET (fillfactor = 70)",  # percent
    "ALTER TABLE inbox ALTER octets SET STORAGE EXTERNAL",
    "ALTER TABLE inbox SET (toast_tuple_target = 8160)",  # octets; the most that PostgreSQL allows
)
"""What PostgreSQL is told of tables besides."""

for _text in POSTGRESQL_STORAGE:
    listen(metadata, "after_create", DDL(_text).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call] # SQLAlchemy

statement: Final = Table(
    "statement",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("inbox", _Id, ForeignKey("inbox.id"), nullable=False),
    Column("device", EuiColumn, nullable=False),
    Column("fact", String(24), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("message", String(16), nullable=False),
    Column("cause", SmallInteger, nullable=False),
    Column("detail", String, nullable=False),
    Column("version", VersionColumn),
    # What the message names: the image by version or hash, our request by its counter.
    Column("about_version", VersionColumn),
    Column("about_hash", LargeBinary(32)),
    Column("request", BigInteger),
    Index(None, "inbox"),
    _one_of("fact", Fact, by_name=True),
    comment="What messages say, waiting to be applied; taken away when it is evidence.",
)

dead_letter: Final = Table(
    "dead_letter",
    metadata,
    Column("inbox", _Id, ForeignKey("inbox.id"), primary_key=True, autoincrement=False),
    Column("since", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    comment="Messages that could not be applied, with the reason; a replay takes them away or renews it.",
)

refusal: Final = Table(
    "refusal",
    metadata,
    # Day: the day's first instant.
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", String(64), primary_key=True),
    Column("messages", BigInteger, nullable=False),
    comment="What was refused at the door, counted; nothing of it is kept.",
)

evidence: Final = Table(
    "evidence",
    metadata,
    Column("id", _Id, primary_key=True),
    # About id / 2^20 (`record.EPOCH`), first in the index: what is appended goes to the index's last part.
    # By update alone each row would touch another page; at 10 million updates that took half of all time.
    Column("epoch", Integer, nullable=False),
    # device_update.id and inbox.id. No foreign keys: they come from a join with those tables, whose rows are
    # never deleted, and PostgreSQL would lock, and so write to, each row that is referred to.
    Column("device_update", _Id, nullable=False),
    Column("step", SmallInteger, nullable=False),
    Column("fact", String(24), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("message", String(16), nullable=False),
    Column("cause", SmallInteger, nullable=False),
    Column("detail", String, nullable=False),
    Column("version", VersionColumn),
    Column("source", _Id),
    Index(None, "epoch", "device_update"),
    _one_of("fact", Fact, by_name=True),
    CheckConstraint(f"cause BETWEEN 0 AND {max(Cause)}", name="cause_is_known"),
    comment="What is known of each update, step by step, and from which message: appended, never changed.",
)

# --- the fleet, over time

census: Final = Table(
    "census",
    metadata,
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("type", String(8), primary_key=True),
    Column("manufacturer", Integer, primary_key=True, autoincrement=False),
    Column("model", Integer, primary_key=True, autoincrement=False),
    Column("firmware", VersionColumn, primary_key=True),
    Column("devices", BigInteger, nullable=False),
    CheckConstraint("devices >= 0", name="devices_is_a_count"),
    comment="How many Devices ran which version, now and then: a row where the number has changed.",
)

advisory: Final = Table(
    "advisory",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("manufacturer", Integer, nullable=False),
    # NULL: all models.
    Column("model", Integer),
    Column("lowest", VersionColumn, nullable=False),
    Column("highest", VersionColumn, nullable=False),
    Column("reason", String, nullable=False),
    Column("who", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    CheckConstraint("lowest <= highest", name="range_is_one"),
    comment="Versions that somebody has declared vulnerable, until somebody closes it.",
)

# --- who is told

webhook: Final = Table(
    "webhook",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("url", String(2048), nullable=False),
    # `store.webhooks.Kind`s, joined by spaces.
    Column("kinds", String(64), nullable=False),
    # Of one campaign alone; NULL: of all.
    Column("campaign", Integer, ForeignKey("campaign.id")),
    # Whether an administrator says that the receiver is in our own network.
    Column("inside", Boolean(create_constraint=True, name="inside_is_boolean"), nullable=False),
    # What deliveries are signed with. As it is: both sides must have it. Empty where it was removed.
    Column("secret", String(64), nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
    # What deliveries were made of: entries of the audit, and evidence, up to these ids.
    Column("audit_seen", BigInteger, nullable=False),
    Column("evidence_seen", BigInteger, nullable=False),
    # How often in a row it has failed, and not before when it is tried again.
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("due_at", BigInteger),
    CheckConstraint("(removed_at IS NULL) = (secret <> '')", name="removed_has_no_secret"),
    comment="Whom we tell of what happens.",
)

delivery: Final = Table(
    "delivery",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("webhook", Integer, ForeignKey("webhook.id"), nullable=False),
    # What the receiver knows it by, however often it comes.
    Column("event", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", String, nullable=False),
    # When it happened, or was asked for again: how long it is tried counts from it.
    Column("since", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("tried_at", BigInteger),
    # Why the latest attempt failed; of one that was never tried, why not.
    Column("reason", String),
    UniqueConstraint("webhook", "event"),
    CheckConstraint("status = 'pending' OR status = 'delivered' OR status = 'dead'", name="status_is_known"),
    CheckConstraint("status <> 'dead' OR reason IS NOT NULL", name="dead_has_a_reason"),
    # (webhook, id) where it is pending: see below.
    comment="What a webhook is told; one after the other, in the order of their ids.",
)
Index(
    "ix_delivery_pending",
    delivery.c.webhook,
    delivery.c.id,
    postgresql_where=delivery.c.status == "pending",
    sqlite_where=delivery.c.status == "pending",
)

answer: Final = Table(
    "answer",
    metadata,
    Column("account", String(64), primary_key=True),
    # The Idempotency-Key that its sender chose.
    Column("key", String(128), primary_key=True),
    # SHA-256 of all of the request that counts: another one under the same key is a mistake.
    Column("digest", LargeBinary(32), nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("body", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "at"),
    comment="What the API answered to acts that may be asked for twice; written in the act's transaction.",
)

# --- who did what, and who may

audit: Final = Table(
    "audit",
    metadata,
    # Counted up from 1 without gaps, under the lock of `audit_head`: see `audit.chain`.
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),
    Column("what", String(32), nullable=False),
    # No foreign key: PostgreSQL would lock, and so write to, the campaign's row for each entry.
    Column("campaign", Integer),
    Column("subject", String, nullable=False),
    Column("detail", String, nullable=False),
    # SHA-256 of the digest before and of all other columns: `kit.chain.seal`.
    Column("digest", LargeBinary(32), nullable=False),
    Index(None, "campaign", "id"),
    Index(None, "who", "id"),
    comment="All that was done, by whom: a chain of digests; appended, never changed (triggers refuse it).",
)

IS_NO_ORDER: Final = "what <> 'order'"
"""Entries of the audit but those of orders, of which there is one for each batch; in its index's words."""
Index(
    "ix_audit_acts",
    audit.c.campaign,
    audit.c.id,
    postgresql_where=text(IS_NO_ORDER),
    sqlite_where=text(IS_NO_ORDER),
)

audit_head: Final = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("entries", BigInteger, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    CheckConstraint("id = 1", name="there_is_one_head"),
    comment="The end of the audit's chain; whoever appends holds its lock, from just before the commit.",
)

person: Final = Table(
    "person",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    # The name as it is compared: in lower case.
    Column("key", String(64), nullable=False, unique=True),
    # Names of `people.Role`, sorted, a blank between.
    Column("roles", String(64), nullable=False),
    # argon2id in its own encoding; NULL: does not sign in by password.
    Column("password", String(256)),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    # Who an OpenID provider says that it is; NULL: a local account.
    Column("issuer", String),
    Column("subject", String),
    UniqueConstraint("issuer", "subject"),
    CheckConstraint("(issuer IS NULL) = (subject IS NULL)", name="issuer_with_subject"),
    comment="Accounts: never deleted, for the audit speaks of them; disabled instead.",
)

session: Final = Table(
    "session",
    metadata,
    # SHA-256 of the cookie: who reads this table can sign in as nobody.
    Column("digest", LargeBinary(32), primary_key=True),
    Column("person", Integer, ForeignKey("person.id"), nullable=False),
    Column("began_at", BigInteger, nullable=False),
    # When it was last used, to the minute or so.
    Column("seen_at", BigInteger, nullable=False),
    Index(None, "person"),
    comment="Who is signed in.",
)

token: Final = Table(
    "token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("person", Integer, ForeignKey("person.id"), nullable=False),
    Column("label", String(64), nullable=False),
    # SHA-256 of the secret.
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    # Names of `people.Scope`, sorted, a blank between: no more than its person may at the time of use.
    Column("scopes", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    # To the minute or so.
    Column("used_at", BigInteger),
    Index(None, "person"),
    comment="API tokens: what a program may do in a person's name, until when.",
)

strike: Final = Table(
    "strike",
    metadata,
    # SHA-256 of what is counted: a name, an address, or both.
    Column("digest", LargeBinary(32), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    # Until then nothing is tried.
    Column("until", BigInteger, nullable=False),
    comment="Failed attempts to sign in, counted: the next one waits.",
)

login: Final = Table(
    "login",
    metadata,
    # SHA-256 of the state that the provider gives back: good for one answer.
    Column("digest", LargeBinary(32), primary_key=True),
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    # Where to go afterwards, a path of ours.
    Column("next", String, nullable=False),
    Column("until", BigInteger, nullable=False),
    comment="Sign-ins that an OpenID provider was asked about, and has not answered.",
)

# --- what is expected

forecast: Final = Table(
    "forecast",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    # campaign.forecast.encode: JSON.
    Column("document", String, nullable=False),
    # Since when reality is outside of it; NULL: it is not.
    Column("alarmed_at", BigInteger),
    Index(None, "campaign"),
    comment="What is expected of a campaign: the latest counts.",
)

sample: Final = Table(
    "sample",
    metadata,
    Column("campaign", Integer, ForeignKey("campaign.id"), primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("proven", BigInteger, nullable=False),
    CheckConstraint("proven >= 0", name="proven_is_a_count"),
    comment="How many Devices of a campaign were proven, now and then: what a forecast is held against.",
)

# --- alert storms

# Few messages stand for several: an index of those alone costs the others nothing.
Index(
    "ix_inbox_throttled",
    inbox.c.received_at,
    postgresql_where=inbox.c.weight > 1,
    sqlite_where=inbox.c.weight > 1,
)

# What a product is: -1 where the registry does not know the Device.
alert_hour: Final = Table(
    "alert_hour",
    metadata,
    # The hour's first instant, by when we received.
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("code", String(16), primary_key=True),
    Column("manufacturer", Integer, primary_key=True, autoincrement=False),
    Column("model", Integer, primary_key=True, autoincrement=False),
    Column("hardware", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    # Messages that came; alerts that they stand for; those of them that the DCC summed up.
    Column("messages", BigInteger, nullable=False),
    Column("alerts", BigInteger, nullable=False),
    Column("throttled", BigInteger, nullable=False),
    # Different Devices that they are of; those of them that stormed; and the alerts of those that did not.
    Column("devices", BigInteger, nullable=False),
    Column("storming", BigInteger, nullable=False),
    Column("calm", BigInteger, nullable=False),
    Index(None, "code", "manufacturer", "model", "hardware", "hour"),
    comment="Alerts by hour, code, product and the version that it ran when they were counted.",
)

storm: Final = Table(
    "storm",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("code", String(16), nullable=False),
    Column("manufacturer", Integer, nullable=False),
    Column("model", Integer, nullable=False),
    Column("hardware", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    # NULL: many Devices of that version.
    Column("device", EuiColumn),
    Column("first_at", BigInteger, nullable=False),
    # The end of the last hour that was stormy; and when enough quiet ones had followed.
    Column("last_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # The release that cures it, as somebody said.
    Column("cured_by", Integer, ForeignKey("release.id")),
    Index(None, "device"),
    comment="The register of alert storms: of one Device, or of many that run one version.",
)
Index(
    "ix_storm_open",
    storm.c.code,
    postgresql_where=storm.c.ended_at.is_(None),
    sqlite_where=storm.c.ended_at.is_(None),
)

storm_hour: Final = Table(
    "storm_hour",
    metadata,
    Column("storm", Integer, ForeignKey("storm.id"), primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("alerts", BigInteger, nullable=False),
    Column("throttled", BigInteger, nullable=False),
    Column("devices", BigInteger, nullable=False),
    comment="What a storm was in each of its hours.",
)

alert_watch: Final = Table(
    "alert_watch",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    # Hours before are counted for good.
    Column("until", BigInteger, nullable=False),
    # When somebody looked last.
    Column("seen_at", BigInteger, nullable=False),
    comment="How far alerts are counted: one row.",
)

_NO_HEAD: Final = "00" * 32
_REFUSE: Final = "the audit is appended to, and never changed"
_REFUSING: Final = f"BEGIN SELECT RAISE(ABORT, '{_REFUSE}'); END"
_RAISING: Final = f"BEGIN RAISE EXCEPTION '{_REFUSE}' USING ERRCODE = 'integrity_constraint_violation'; END"
_EACH: Final = "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()"
GUARDS: Final = {
    "sqlite": (
        f"INSERT INTO audit_head (id, entries, digest) VALUES (1, 0, x'{_NO_HEAD}')",  # noqa: S608 # our own words
        f"CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit {_REFUSING}",
        f"CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit {_REFUSING}",
        f"CREATE TRIGGER audit_head_refuses_delete BEFORE DELETE ON audit_head {_REFUSING}",
        # INSERT OR REPLACE deletes, and asks none of the above.
        (
            "CREATE TRIGGER audit_refuses_replacement BEFORE INSERT ON audit"  # noqa: S608 # our own words
            f" WHEN NEW.id <= (SELECT COALESCE(MAX(id), 0) FROM audit) {_REFUSING}"
        ),
    ),
    "postgresql": (
        f"INSERT INTO audit_head (id, entries, digest) VALUES (1, 0, decode('{_NO_HEAD}', 'hex'))",  # noqa: S608 # ours
        f"CREATE OR REPLACE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$ {_RAISING} $$",
        f"CREATE TRIGGER audit_refuses BEFORE UPDATE OR DELETE OR TRUNCATE ON audit {_EACH}",
        f"CREATE TRIGGER audit_head_refuses BEFORE DELETE OR TRUNCATE ON audit_head {_EACH}",
    ),
}
"""What keeps the audit as it is, in each database's own words."""

for _dialect, _texts in GUARDS.items():
    for _text in _texts:
        listen(metadata, "after_create", DDL(_text).execute_if(dialect=_dialect))  # type: ignore[no-untyped-call] # SQLAlchemy
