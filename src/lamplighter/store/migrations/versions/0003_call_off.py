"""An activation that is dated ahead can be called off: new facts, a cause, and a kind of order."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FACTS = (
    "ORDERED", "RECALLED", "SUBMITTED", "REFUSED", "ACCEPTED", "QUARANTINED", "AT_HUB", "HUB_FAILED", "ON_DEVICE",
    "TRANSFER_FAILED", "IMAGE_VERIFIED", "IMAGE_REJECTED", "ACTIVATION_SENT", "ACTIVATION_ACCEPTED",
    "ACTIVATION_REFUSED", "ACTIVATION_SCHEDULED", "ACTIVATED", "ACTIVATION_FAILED", "CALL_OFF_ORDERED",
    "CALL_OFF_SENT", "CALL_OFF_REFUSED", "CALLED_OFF", "READ_ORDERED", "READ_SENT", "READ_FAILED", "VERSION_READ",
    "NO_WORD_OF_HUB", "NO_WORD_OF_TRANSFER", "NO_WORD_OF_DEVICE", "NO_WORD_OF_ACTIVATION", "NO_WORD_OF_CALL_OFF",
    "NO_ANSWER", "GIVEN_UP", "LOST", "CANCELLED", "LEFT",
)  # fmt: skip
_FACT_IS_KNOWN = " OR ".join(f"fact = '{name}'" for name in _FACTS)

_CHECKS = {
    ("evidence", "fact_is_known"): _FACT_IS_KNOWN,
    ("evidence", "cause_is_known"): "cause BETWEEN 0 AND 27",
    ("statement", "fact_is_known"): _FACT_IS_KNOWN,
    (
        "batch",
        "kind_is_known",
    ): "kind = '11.4' OR kind = '11.1' OR kind = '11.3' OR kind = '11.2' OR kind = '11.3 off'",
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rewrite()
        return
    for (table, name), text in _CHECKS.items():
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, text)


def _rewrite() -> None:
    """Replace the constraints where SQLite keeps them, as its manual tells ("ALTER TABLE", section 7).

    They only allow more than before, so that no row is to be looked at. To copy the tables would take long where
    there is much evidence, and could not be done while other tables refer to them.
    """
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    for (table, name), text in _CHECKS.items():
        head = f"CONSTRAINT ck_{table}_{name} CHECK ("
        (before,) = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
        ).one()
        first, found, rest = before.partition(head)
        _, closed, rest = rest.partition(")")
        if not (found and closed):
            raise RuntimeError(f"table {table} has no constraint {name}")
        after = f"{first}{head}{text}){rest}"
        connection.exec_driver_sql(
            "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", (after, table)
        )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
