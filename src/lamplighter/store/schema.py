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
)
from sqlalchemy.event import listen
from sqlalchemy.types import TypeDecorator

from lamplighter.campaign import Cause, Fact, Order
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import Eui64, FirmwareVersion
from lamplighter.registry import CplStatus, DeviceStatus, DeviceType, Part, Procedure, Verdict

if TYPE_CHECKING:
    from enum import Enum

    from sqlalchemy import Dialect

_SIGN: Final = 1 << 63


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

event: Final = Table(
    "event",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("campaign", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),
    Column("what", String(32), nullable=False),
    Column("detail", String, nullable=False),
    Index(None, "campaign"),
    comment="What was done to a campaign, by whom: appended, never changed.",
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
    Index(None, "campaign", "created_at"),
    _one_of("kind", Order),
    comment="Orders of one kind made at one time; the unit that deadlines are kept for.",
)

request: Final = Table(
    "request",
    metadata,
    # The counter of the RequestID: allocated with the order, never used twice by one Supplier.
    Column("counter", BigInteger, primary_key=True, autoincrement=False),
    Column("batch", Integer, ForeignKey("batch.id"), nullable=False),
    # The one Device of an 11.2 or 11.3; NULL: an 11.1 or 11.4, for all Devices of its batch.
    Column("device", EuiColumn),
    # SRV 11.3: when to activate; NULL: at once.
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
