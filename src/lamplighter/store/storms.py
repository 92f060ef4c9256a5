"""The register of alert storms, found in the inbox hour by hour.

`watch` counts the alerts of each hour by code, product and version (`alert_hour`), and notes what is a storm
by `campaign.storms`. An hour is counted anew until it is over for `_LATE`, so that whatever failed, or came
late, is made good by the next look; a message that is stored later than that is in no count here.

Only some codes are read: what Devices raise of themselves. What our own orders bring about, and what the DCC
answers, is left alone, but for the few that stand for several. The version is that which the Device runs when
its alert is counted, within the hour or soon after.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, func, select, text, true, update

from lamplighter.campaign.storms import EXPECTED, RULES, Heard, Kind, StormRules, is_over, is_version_storm
from lamplighter.kit import Eui64, FirmwareVersion, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.store import audit
from lamplighter.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from lamplighter.store.database import Database, Fence

EVERY: Final = 5 * MINUTE
"""How often to look."""
BACK: Final = 35 * DAY
"""How far the first look goes back."""

_LATE: Final = 2 * MINUTE
_HOURS_AT_ONCE: Final = 48  # counted in one look: what was missed is made good bit by bit
_BIND_MAX: Final = 500
_LIST_MAX: Final = 1_000
_DEVICE_ALERT: Final = re.compile(r"[0-9A-F]{4}", re.ASCII)
_UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class Storm:
    """One storm: of one Device, or of many that run one version."""

    id: int
    """In the register, counted up."""
    code: str
    """The alert's code: "8F3E", "N62"."""
    manufacturer: int
    """Zigbee manufacturer code; -1: the registry did not know the Device."""
    model: int
    """Model identifier, or -1."""
    hardware: int
    """Hardware version, or -1."""
    version: FirmwareVersion | None
    """What they ran; None: unknown."""
    device: Eui64 | None
    """The one Device; None: many."""
    first_at: Instant
    """First instant of its first stormy hour."""
    last_at: Instant
    """End of its last stormy hour so far."""
    ended_at: Instant | None
    """When it was over; None: it goes on."""
    alerts: int
    """In all its hours, throttled ones by what they stand for."""
    throttled: int
    """Those of them that the DCC summed up."""
    devices: int
    """Different Devices in the hour that had most."""
    peak: int
    """Alerts in its worst hour."""
    cured_by: int | None
    """Id of the release that cures it, as somebody said; None: nobody did."""

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.ended_at is None


class StormHour(NamedTuple):
    """One hour of a storm."""

    hour: Instant
    """Its first instant."""
    alerts: int
    """That were raised."""
    throttled: int
    """Those of them that the DCC summed up."""
    devices: int
    """Different Devices."""


class Volume(NamedTuple):
    """Alerts of one code over a time."""

    code: str
    """The alert's code."""
    messages: int
    """That came."""
    alerts: int
    """That they stand for."""
    throttled: int
    """Those of them that the DCC summed up."""


class Relative(NamedTuple):
    """One day before or after Devices had the cure."""

    day: int
    """Days since the Device was proven: 0 is the day that follows, -1 the day before."""
    alerts: int
    """Alerts of the storm's code by those Devices on that day."""
    devices: int
    """Devices that were watched all that day: the denominator."""


class Storms:
    """The register of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- finding

    def is_due(self, now: Instant) -> bool:
        """Whether nobody has looked for `EVERY`: one row is read."""
        with self._database.reading() as connection:
            seen = connection.execute(select(s.alert_watch.c.seen_at)).scalar()
        return seen is None or not seen <= now < seen + EVERY

    def watch(self, hold: Callable[[], Fence] | None, now: Instant, rules: StormRules = RULES) -> int:
        """Count alerts up to `now`, and note storms; returns how many began or ended.

        hold  gives the fence under which they are noted; it is asked before each hour is counted, for all
              together may take longer than a lease lasts

        Reading takes no lock that a writer waits for. Raises `LeaseLostError`, and then nothing was written.
        """
        found = []
        with self._database.reading() as connection:
            hours = _hours(connection, now)
            codes = _codes(connection)
        for hour in hours:
            if hold is not None:
                hold()
            with self._database.reading() as connection:
                found.append((hour, *_count(self._database, connection, hour, codes, rules)))
        changes = 0
        with self._database.writing(None if hold is None else hold()) as connection:
            for hour, counts, euis in found:
                _keep(connection, hour, counts)
                changes += _judge(connection, rules, hour, counts, euis)
                # Not by `now`: hours that were missed are made good one by one.
                changes += _end(connection, rules, Instant(min(hour + HOUR, now)))
            _note_watch(self._database, connection, hours, now)
        return changes

    # --- looking

    def latest(
        self, limit: int = 50, before: int | None = None, *, active: bool | None = None
    ) -> list[Storm]:
        """The latest storms first, of those below number `before`; active: as for `list`."""
        query = _STORMS.where(_is(active)).order_by(s.storm.c.id.desc())
        if before is not None:
            query = query.where(s.storm.c.id < s.number(before))
        with self._database.reading() as connection:
            return [_storm(row) for row in connection.execute(query.limit(max(1, min(limit, _LIST_MAX))))]

    def raging(self) -> int:
        """How many go on."""
        query = select(func.count()).select_from(s.storm).where(_is(active=True))
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def find(self, number: int) -> Storm:
        """One storm; raises `UsageError` where there is none of that number."""
        with self._database.reading() as connection:
            return _storm(_found(connection, number))

    def between(self, start: Instant, end: Instant) -> list[Storm]:
        """Storms with a stormy hour in [start, end), by number."""
        query = _STORMS.where(s.storm.c.first_at < end, s.storm.c.last_at > start).order_by(s.storm.c.id)
        with self._database.reading() as connection:
            return [_storm(row) for row in connection.execute(query)]

    def of_device(self, eui: Eui64) -> list[Storm]:
        """Storms of a Device itself, and of the version that the registry says it runs; the latest first."""
        where = (s.device.c.eui == eui) & (s.cohort.c.id == s.device.c.cohort)
        with self._database.reading() as connection:
            own = [_storm(row) for row in connection.execute(_STORMS.where(s.storm.c.device == eui))]
            cohort = connection.execute(select(s.cohort).where(where)).one_or_none()
            shared = []
            if cohort is not None:
                query = _STORMS.where(
                    s.storm.c.device.is_(None),
                    s.storm.c.manufacturer == cohort.manufacturer,
                    s.storm.c.model == cohort.model,
                    s.storm.c.hardware == cohort.hardware,
                    s.storm.c.version == cohort.firmware.number,
                )
                shared = [_storm(row) for row in connection.execute(query)]
        return sorted((*own, *shared), key=lambda it: -it.id)

    def hours(self, storm: Storm) -> list[StormHour]:
        """The hours of a storm in which there were alerts, the earliest first."""
        query = select(s.storm_hour).where(s.storm_hour.c.storm == storm.id).order_by(s.storm_hour.c.hour)
        with self._database.reading() as connection:
            return [
                StormHour(Instant(row.hour), row.alerts, row.throttled, row.devices)
                for row in connection.execute(query)
            ]

    def volumes(self, start: Instant, end: Instant) -> list[Volume]:
        """Alerts in the hours that begin in [start, end), by code, most first."""
        total = func.sum(s.alert_hour.c.alerts)
        query = (
            select(
                s.alert_hour.c.code,
                func.sum(s.alert_hour.c.messages),
                total,
                func.sum(s.alert_hour.c.throttled),
            )
            .where(s.alert_hour.c.hour >= start, s.alert_hour.c.hour < end)
            .group_by(s.alert_hour.c.code)
            .order_by(total.desc(), s.alert_hour.c.code)
        )
        with self._database.reading() as connection:
            return [Volume(code, *(int(it) for it in counts)) for code, *counts in connection.execute(query)]

    # --- what cures it

    def candidates(self, storm: Storm) -> list[int]:
        """Ids of releases that the storm's Devices may be brought to, the latest version first.

        Of the same manufacturer, for that hardware, above that version and on its path, not withdrawn.
        Whether one cures the storm is for a person to say (`link`).
        """
        version = storm.version
        if version is None:
            return []
        columns = (s.release.c.id, s.release.c.path)
        query = (
            select(*columns)
            .where(
                s.release.c.manufacturer == storm.manufacturer,
                s.release.c.minimum_hardware <= storm.hardware,
                s.release.c.maximum_hardware >= storm.hardware,
                s.release.c.version > version,
                s.release.c.withdrawn_at.is_(None),
            )
            .order_by(s.release.c.version.desc(), s.release.c.id.desc())
        )
        with self._database.reading() as connection:
            return [
                number
                for number, path in connection.execute(query)
                if not path or str(version) in path.split()
            ]

    def link(self, number: int, release: int | None, who: str, now: Instant) -> None:
        """Say which release cures a storm; None: none does after all.

        Raises `UsageError` where there is no such storm or release, or it is not one of `candidates`.
        """
        storm = self.find(number)
        if release is not None and release not in self.candidates(storm):
            raise UsageError(
                f"release {release} cannot cure storm {number}: it is not for that product and hardware, not "
                "above its version, not on its path, or withdrawn"
            )
        with self._database.writing() as connection:
            connection.execute(update(s.storm).where(s.storm.c.id == number).values(cured_by=release))
            detail = "no release" if release is None else f"release {release}"
            audit.note(connection, now, who, "storm cure", subject=f"storm {number}", detail=detail)

    def relative(self, storm: Storm, release: int, days: int, now: Instant) -> list[Relative]:
        """Alerts before and after: by day since each Device was proven to run `release`, -days..days-1.

        Devices of the storm's product that campaigns have brought to the release, with the alerts of the
        storm's code that they raised. A day counts for a Device if it was over by `now`.
        """
        values = {
            "code": storm.code, "release": release, "manufacturer": storm.manufacturer,
            "model": storm.model, "hardware": storm.hardware, "day": DAY, "days": days, "now": now,
            "low": now - 400 * DAY,
        }  # fmt: skip
        with self._database.reading() as connection:
            proven = [it for (it,) in connection.execute(_PROVEN, values)]
            alerts: dict[int, int] = dict(connection.execute(_RELATIVE, values).all())
        return [
            Relative(
                day,
                int(alerts.get(day, 0)),
                sum(1 for since in proven if since + (day + 1) * DAY <= now),
            )
            for day in range(-days, days)
        ]

    def list(self, after: int = 0, limit: int = 50, *, active: bool | None = None) -> list[Storm]:
        """Storms by number above `after`, at most `limit`; active: only those that go on, or are over."""
        query = _STORMS.where(s.storm.c.id > after, _is(active)).order_by(s.storm.c.id)
        with self._database.reading() as connection:
            return [_storm(row) for row in connection.execute(query.limit(max(1, min(limit, _LIST_MAX))))]


def _is(active: bool | None) -> ColumnElement[bool]:  # noqa: FBT001 # the public ones ask for its name
    ended = s.storm.c.ended_at
    return true() if active is None else ended.is_(None) if active else ended.is_not(None)


# --- counting


def _hours(connection: Connection, now: Instant) -> list[Instant]:
    """The hours to be counted, the one that runs included."""
    this = now - now % HOUR
    until = connection.execute(select(s.alert_watch.c.until)).scalar()
    if until is None:
        first = connection.execute(select(s.inbox.c.received_at).order_by(s.inbox.c.id).limit(1)).scalar()
        until = this if first is None else max(first - first % HOUR, this - BACK)
    until = min(until, this)  # the clock may have been put back
    last = min(this, until + (_HOURS_AT_ONCE - 1) * HOUR)
    return [Instant(it) for it in range(until, last + 1, HOUR)]


def _codes(connection: Connection) -> list[str]:
    """The codes that are read in full: each step is one look into the index, however many lie there."""
    codes = []
    query = select(func.min(s.inbox.c.code)).where(s.inbox.c.code > bindparam("last"))
    last: str | None = ""
    while (last := connection.execute(query, {"last": last}).scalar()) is not None:
        if _DEVICE_ALERT.fullmatch(last) and last not in EXPECTED:
            codes.append(last)
    return codes


_HEARD: Final = "code TEXT, device BIGINT, messages BIGINT, alerts BIGINT, throttled BIGINT, stormy INTEGER"

_HEAR: Final = """
INSERT INTO alerts_heard
SELECT code, device, COUNT(*), SUM(weight), SUM(CASE WHEN weight > 1 THEN weight ELSE 0 END),
       CASE WHEN SUM(weight) >= :device_hour OR MAX(weight) > 1 THEN 1 ELSE 0 END
FROM inbox WHERE {which} AND received_at >= :low AND received_at < :high AND device IS NOT NULL
GROUP BY code, device
"""

_BY_KIND: Final = text(f"""
SELECT h.code, COALESCE(c.manufacturer, {_UNKNOWN}), COALESCE(c.model, {_UNKNOWN}),
       COALESCE(c.hardware, {_UNKNOWN}), COALESCE(c.firmware, {_UNKNOWN}),
       SUM(h.messages), SUM(h.alerts), SUM(h.throttled), COUNT(*), SUM(h.stormy),
       SUM(CASE WHEN h.stormy = 0 THEN h.alerts ELSE 0 END)
FROM alerts_heard h LEFT JOIN device d ON d.eui = h.device LEFT JOIN cohort c ON c.id = d.cohort
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
""")  # noqa: S608 # our own words

# Devices that storm, where they are few; and whatever is heard of those that already have a storm.
_DEVICES: Final = text(f"""
SELECT h.device, h.code, COALESCE(c.manufacturer, {_UNKNOWN}) AS manufacturer,
       COALESCE(c.model, {_UNKNOWN}) AS model, COALESCE(c.hardware, {_UNKNOWN}) AS hardware,
       COALESCE(c.firmware, {_UNKNOWN}) AS version, h.alerts, h.throttled, h.stormy
FROM alerts_heard h LEFT JOIN device d ON d.eui = h.device LEFT JOIN cohort c ON c.id = d.cohort
WHERE EXISTS (SELECT 1 FROM storm o WHERE o.device = h.device AND o.code = h.code AND o.ended_at IS NULL)
   OR (h.stormy = 1 AND h.code = :code AND COALESCE(c.manufacturer, {_UNKNOWN}) = :manufacturer
       AND COALESCE(c.model, {_UNKNOWN}) = :model AND COALESCE(c.hardware, {_UNKNOWN}) = :hardware
       AND COALESCE(c.firmware, {_UNKNOWN}) = :version)
ORDER BY h.device, h.code
""").columns(device=s.EuiColumn)  # noqa: S608


class _Counted(NamedTuple):
    kind: Kind
    heard: Heard
    running: int


class _OfDevice(NamedTuple):
    device: Eui64
    kind: Kind
    alerts: int
    throttled: int
    is_stormy: bool


def _count(
    database: Database, connection: Connection, hour: Instant, codes: Sequence[str], rules: StormRules
) -> tuple[list[_Counted], list[_OfDevice]]:
    """What was heard in an hour, by version; and of which Devices it matters."""
    at_commit = "" if database.is_sqlite else " ON COMMIT DROP"
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE IF NOT EXISTS alerts_heard ({_HEARD}){at_commit}")
    connection.exec_driver_sql("DELETE FROM alerts_heard")
    values = {"low": hour, "high": hour + HOUR, "device_hour": rules.device_hour}
    for start in range(0, len(codes), _BIND_MAX):
        which = text(_HEAR.format(which="code IN :codes"))
        which = which.bindparams(bindparam("codes", expanding=True))
        connection.execute(which, values | {"codes": codes[start : start + _BIND_MAX]})
    # What stands for several, of codes that are not read in full.
    known = ", ".join(f"'{code}'" for code in codes)  # a list: as many ORs would be too deep for SQLite
    others = f"code NOT IN ({known})" if codes else "1 = 1"
    connection.execute(text(_HEAR.format(which=f"weight > 1 AND {others}")), values)
    counted = []
    euis: dict[tuple[Eui64, str], _OfDevice] = {}
    for code, manufacturer, model, hardware, version, *numbers in connection.execute(_BY_KIND).all():
        kind = Kind(code, manufacturer, model, hardware, version)
        heard = Heard(*(int(it) for it in numbers))
        running = _running(connection, kind) if heard.alerts >= rules.version_hour else 0
        counted.append(_Counted(kind, heard, running))
        if heard.storming and not is_version_storm(rules, heard, running):
            for row in connection.execute(_DEVICES, kind._asdict()):
                euis[row.device, row.code] = _of_device(row)
    if not euis:
        nothing = Kind("", 0, 0, 0, 0)
        for row in connection.execute(_DEVICES, nothing._asdict()):
            euis[row.device, row.code] = _of_device(row)
    return counted, list(euis.values())


def _of_device(row: Any) -> _OfDevice:
    kind = Kind(row.code, row.manufacturer, row.model, row.hardware, row.version)
    return _OfDevice(row.device, kind, int(row.alerts), int(row.throttled), bool(row.stormy))


def _running(connection: Connection, kind: Kind) -> int:
    """Devices that run the version, as the registry knows it."""
    if kind.version == _UNKNOWN:
        return 0
    query = (
        select(func.count())
        .select_from(s.device.join(s.cohort, s.cohort.c.id == s.device.c.cohort))
        .where(
            s.cohort.c.manufacturer == kind.manufacturer,
            s.cohort.c.model == kind.model,
            s.cohort.c.hardware == kind.hardware,
            s.cohort.c.firmware == FirmwareVersion(kind.version),
        )
    )
    return connection.execute(query).scalar_one()


# --- noting


def _keep(connection: Connection, hour: Instant, counts: Sequence[_Counted]) -> None:
    connection.execute(s.alert_hour.delete().where(s.alert_hour.c.hour == hour))
    rows = [{"hour": hour} | it.kind._asdict() | it.heard._asdict() for it in counts]
    if rows:
        connection.execute(s.alert_hour.insert(), rows)


def _judge(
    connection: Connection,
    rules: StormRules,
    hour: Instant,
    counts: Sequence[_Counted],
    euis: Sequence[_OfDevice],
) -> int:
    """Begin storms, and let those that go on grow; how many began."""
    going = select(s.storm).where(s.storm.c.ended_at.is_(None))
    open_ = {
        (Kind(row.code, row.manufacturer, row.model, row.hardware, row.version), row.device): row.id
        for row in connection.execute(going)
    }
    by_device = {(kind.code, device): number for (kind, device), number in open_.items() if device}
    # Of an hour that is counted anew: what was said of it before is said again.
    ids = list(open_.values())
    for start in range(0, len(ids), _BIND_MAX):
        connection.execute(
            s.storm_hour.delete().where(
                s.storm_hour.c.storm.in_(ids[start : start + _BIND_MAX]), s.storm_hour.c.hour == hour
            )
        )
    began = 0
    for kind, heard, running in counts:
        number = open_.get((kind, None))
        stormy = is_version_storm(rules, heard, running)
        if number is None and stormy:
            number = _begin(connection, kind, None, hour)
            began += 1
        if number is not None:
            _grow(connection, number, hour, heard.alerts, heard.throttled, heard.devices, stormy=stormy)
    for it in euis:
        number = by_device.get((it.kind.code, it.device))
        # Where the version has a storm that goes on, a Device of it has none of its own in a calmer hour.
        if number is None and it.is_stormy and (it.kind, None) not in open_:
            number = _begin(connection, it.kind, it.device, hour)
            began += 1
        if number is not None:
            _grow(connection, number, hour, it.alerts, it.throttled, 1, stormy=it.is_stormy)
    return began


def _begin(connection: Connection, kind: Kind, device: Eui64 | None, hour: Instant) -> int:
    values = kind._asdict() | {"device": device, "first_at": hour, "last_at": hour + HOUR}
    return int(connection.execute(s.storm.insert().values(values).returning(s.storm.c.id)).scalar_one())


def _grow(
    connection: Connection,
    number: int,
    hour: Instant,
    alerts: int,
    throttled: int,
    devices: int,
    *,
    stormy: bool,
) -> None:
    row = {"storm": number, "hour": hour, "alerts": alerts, "throttled": throttled, "devices": devices}
    connection.execute(s.storm_hour.insert().values(row))
    if stormy:
        later = s.storm.c.last_at < hour + HOUR
        connection.execute(update(s.storm).where(s.storm.c.id == number, later).values(last_at=hour + HOUR))


def _end(connection: Connection, rules: StormRules, now: Instant) -> int:
    """End what has been quiet; how many."""
    going = select(s.storm.c.id, s.storm.c.last_at).where(s.storm.c.ended_at.is_(None))
    over = [
        {"number": number, "at": now}
        for number, last_at in connection.execute(going)
        if is_over(rules, Instant(last_at), now)
    ]
    if over:
        connection.execute(
            update(s.storm).where(s.storm.c.id == bindparam("number")).values(ended_at=bindparam("at")), over
        )
    return len(over)


def _note_watch(database: Database, connection: Connection, hours: Sequence[Instant], now: Instant) -> None:
    """Hours that are over for a while are counted for good."""
    done = [hour + HOUR for hour in hours if hour + HOUR + _LATE <= now]
    until = max(done, default=hours[0])
    new = database.insert(s.alert_watch).values(id=1, until=until, seen_at=now)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=["id"], set_={"until": new.excluded.until, "seen_at": new.excluded.seen_at}
        )
    )


# --- rows

_SUMS: Final = (
    select(
        s.storm_hour.c.storm,
        func.sum(s.storm_hour.c.alerts).label("alerts"),
        func.sum(s.storm_hour.c.throttled).label("throttled"),
        func.max(s.storm_hour.c.devices).label("devices"),
        func.max(s.storm_hour.c.alerts).label("peak"),
    )
    .group_by(s.storm_hour.c.storm)
    .subquery()
)
_STORMS: Final = select(s.storm, _SUMS.c.alerts, _SUMS.c.throttled, _SUMS.c.devices, _SUMS.c.peak).outerjoin(
    _SUMS, _SUMS.c.storm == s.storm.c.id
)

# A Device's update moved last when its proof was applied.
_OF_RELEASE: Final = """
FROM device_update u JOIN campaign k ON k.id = u.campaign JOIN device d ON d.eui = u.device
JOIN cohort c ON c.id = d.cohort
{more}
WHERE k.release = :release AND u.progress >= {proven}
  AND c.manufacturer = :manufacturer AND c.model = :model AND c.hardware = :hardware
"""


def _proven_number() -> int:
    from lamplighter.campaign.state import FINAL, FINAL_SHIFT, Stage  # noqa: PLC0415 # used once

    return FINAL[Stage.PROVEN] << FINAL_SHIFT


_PROVEN: Final = text("SELECT u.since " + _OF_RELEASE.format(more="", proven=_proven_number()))
_RELATIVE: Final = text(
    "SELECT (i.received_at - u.since + :day * :days) / :day - :days AS day, SUM(i.weight) "
    + _OF_RELEASE.format(more="JOIN inbox i ON i.device = u.device", proven=_proven_number())
    + " AND i.code = :code AND i.received_at >= :low"
    " AND i.received_at >= u.since - :day * :days AND i.received_at < u.since + :day * :days"
    " GROUP BY 1"
)


def _found(connection: Connection, number: int) -> Row[Any]:
    row = connection.execute(_STORMS.where(s.storm.c.id == s.number(number))).one_or_none()
    if row is None:
        raise UsageError(f"there is no storm {number} in the register; `report storms` lists them")
    return row


def _storm(row: Any) -> Storm:
    return Storm(
        row.id,
        row.code,
        row.manufacturer,
        row.model,
        row.hardware,
        None if row.version == _UNKNOWN else FirmwareVersion(row.version),
        row.device,
        Instant(row.first_at),
        Instant(row.last_at),
        None if row.ended_at is None else Instant(row.ended_at),
        int(row.alerts or 0),
        int(row.throttled or 0),
        int(row.devices or 0),
        int(row.peak or 0),
        row.cured_by,
    )
