"""The tables. Times are microseconds since 1970 (`kit.Instant`), identifiers and versions whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

from lamplighter.campaign import Fact, Order, State
from lamplighter.kit import Eui64, FirmwareVersion
from lamplighter.registry import CplStatus, DeviceStatus, DeviceType, Procedure

if TYPE_CHECKING:
    from enum import Enum

    from sqlalchemy import Dialect

_SIGN: Final = 1 << 63


class EuiColumn(TypeDecorator[Eui64]):
    """An EUI-64 in a signed BIGINT, shifted so that the order stays that of the identifiers."""

    impl = BigInteger
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
    """The column holds a member of `kind`: the same table that the code and the docs are made of."""
    words = ", ".join(f"'{member.name if by_name else member.value}'" for member in kind)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_is_known")


metadata: Final = MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

device: Final = Table(
    "device",
    metadata,
    Column("eui", EuiColumn, primary_key=True, autoincrement=False),
    Column("type", String(8), nullable=False),
    Column("hub", EuiColumn, nullable=False),
    Column("manufacturer", Integer, nullable=False),
    Column("hardware", Integer, nullable=False),
    Column("firmware", VersionColumn, nullable=False),
    Column("status", String(32), nullable=False),
    _one_of("type", DeviceType),
    _one_of("status", DeviceStatus),
    comment="Devices as last heard of.",
)

cpl_entry: Final = Table(
    "cpl_entry",
    metadata,
    Column("manufacturer", Integer, primary_key=True, autoincrement=False),
    Column("version", VersionColumn, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("status", String(16), nullable=False),
    _one_of("status", CplStatus),
    comment="The Central Products List: one entry for a manufacturer's version.",
)

release: Final = Table(
    "release",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("procedure", String(8), nullable=False),
    Column("manufacturer", Integer, nullable=False),
    Column("version", VersionColumn, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("minimum_hardware", Integer, nullable=False),
    Column("maximum_hardware", Integer, nullable=False),
    Column("image", LargeBinary, nullable=False),
    # The same image is registered once; building it anew changes its hash or its version.
    UniqueConstraint("procedure", "manufacturer", "version", "hash"),
    _one_of("procedure", Procedure),
    comment="Images ready to be sent.",
)

device_update: Final = Table(
    "device_update",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("device", EuiColumn, ForeignKey("device.eui"), nullable=False),
    Column("release", Integer, ForeignKey("release.id"), nullable=False),
    # Derived: always fold(evidence); kept here so that due work is found by an index.
    Column("state", String(24), nullable=False),
    # A Device is brought to a release once, however often it is enrolled.
    UniqueConstraint("device", "release"),
    Index(None, "state"),
    _one_of("state", State),
    comment="One Device's way to one release.",
)

request: Final = Table(
    "request",
    metadata,
    # The counter of the RequestID: allocated with the order, never used twice by one Supplier.
    Column("counter", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(8), nullable=False),
    Column("release", Integer, ForeignKey("release.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Noted before the first octet is sent: from then on only evidence says whether the DCC has it.
    Column("attempted_at", BigInteger),
    # SRV 11.3: the signed pre-command, kept before it is sent, so that no crash signs or asks twice.
    Column("command", LargeBinary),
    Column("answered_at", BigInteger),
    Column("response_code", String(16)),
    # An answer has a time and a code, or neither.
    CheckConstraint("(answered_at IS NULL) = (response_code IS NULL)", name="answer_is_whole"),
    Index(None, "answered_at"),
    _one_of("kind", Order),
    comment="The outbox: what was ordered, and what the DCC answered.",
)

request_device: Final = Table(
    "request_device",
    metadata,
    Column("request", BigInteger, ForeignKey("request.counter"), primary_key=True),
    Column("device_update", Integer, ForeignKey("device_update.id"), primary_key=True),
    Index(None, "device_update"),
    comment="Which updates a request is for.",
)

inbox: Final = Table(
    "inbox",
    metadata,
    Column("id", Integer, primary_key=True),
    # SHA-256 of the octets: the DCC delivers at least once, and the same message counts once.
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("octets", LargeBinary, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("applied_at", BigInteger),
    Column("dead_reason", String),
    # A message is applied, or dead with a reason, or waits: never two of them.
    CheckConstraint("applied_at IS NULL OR dead_reason IS NULL", name="one_fate"),
    Index(None, "applied_at"),
    comment="Messages taken from the DCC, each verified before it was stored.",
)

evidence: Final = Table(
    "evidence",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("device_update", Integer, ForeignKey("device_update.id"), nullable=False),
    Column("fact", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("message", String(32), nullable=False),
    Column("detail", String, nullable=False),
    Column("version", VersionColumn),
    Column("source", Integer, ForeignKey("inbox.id")),
    # SHA-256 of all that is said: the same evidence is noted once, and nothing else is taken for it.
    Column("digest", LargeBinary(32), nullable=False),
    UniqueConstraint("device_update", "digest"),
    _one_of("fact", Fact, by_name=True),
    comment="What is known of each update, and from which message.",
)
