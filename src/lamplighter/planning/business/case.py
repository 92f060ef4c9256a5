"""A business case as its author wrote it: commented TOML in, values out.

Every assumption is one table: a value or a distribution, its unit, its source and the source's date, or the
word "assumption" as source. `parse` says of each fault which key it is, what it holds, and what is allowed.
Nothing has a default: what a case does not say, the model does not know.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from math import fsum, isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lamplighter.kit import UsageError, toml
from lamplighter.planning.business.laws import KINDS, Law, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Reader = Callable[[str, object], Any]

CASE_CHARACTERS_MAX: Final = 1_000_000
"""A case is written by hand; more is a mistake, or an attack on the parser."""
YEARS_MAX: Final = 60
"""Of the horizon: the Green Book's limit for appraisals of buildings, and more than any Device lives."""
DEVICES_MAX: Final = 8
PARTIES_MAX: Final = 20
SCENARIOS_MAX: Final = 30
TEXT_MAX: Final = 1_000
NAME_MAX: Final = 64
CAMPAIGN_CHARACTERS_MAX: Final = 10_000_000
EVENTS_MAX: Final = 1_000
"""Of one future, on average: more is no must-fix event but daily work, and fills the memory."""

ASSUMPTION: Final = "assumption"
"""The source of what nobody has measured."""
UNDATED: Final = "undated"
"""The date of a source that bears none."""
MONEY_MAX: Final = 1e12
_SUM_TOLERANCE: Final = 1e-9


class Input(NamedTuple):
    """One number that the model needs."""

    unit: str
    """As it must stand in the case: a share is no percentage. `{currency}` is the case's."""
    low: float
    high: float
    meaning: str
    """For people, as a phrase."""
    per_event: bool = False
    """Whether the case may let it differ from event to event."""


_SHARE: Final = (0.0, 1.0)
_MONEY: Final = (0.0, MONEY_MAX)
_MONTHS: Final = (0.0, 12.0 * YEARS_MAX)


def _option(words: str, share_of: str) -> dict[str, Input]:
    return {
        "first_estimate": Input("{currency}", *_MONEY, f"{words}: implementation cost, as first estimated"),
        "growth": Input("final / first estimate", 0.01, 100, f"{words}: growth of the implementation cost"),
        "build_months": Input("months", *_MONTHS, f"{words}: months until it can be used"),
        "running": Input("{currency} a year", *_MONEY, f"{words}: running cost"),
        "curable": Input("share of events", *_SHARE, f"{words}: events that it can cure"),
        "success": Input(share_of, *_SHARE, f"{words}: campaign success", per_event=True),
        "campaign": Input("{currency} an event", *_MONEY, f"{words}: cost of one campaign"),
        "message": Input("{currency} a Device", *_MONEY, f"{words}: traffic for one Device"),
    }


INPUTS: Final[Mapping[str, Mapping[str, Input]]] = {
    "fleet": {
        "devices": Input("Devices", 1, 1e9, "fleet at the start"),
        "growth": Input("share a year", -0.5, 5, "growth of the fleet"),
        "ceiling": Input("Devices", 1, 1e9, "fleet at most"),
    },
    "events": {
        "frequency": Input("events a year", 0.0, 52.0, "frequency of must-fix events"),
        "clustering": Input("events a cause", 1, 100, "events that one cause brings (1: each by itself)"),
        "cluster_months": Input("months", 0.0, 120.0, "months over which one cause brings its events"),
        "reach": Input(
            "share of Devices of the kind", *_SHARE, "Devices that one event strikes", per_event=True
        ),
        "severity": Input("times the reach", 0.01, 100, "severity of all events (1: as said)"),
    },
    "over_the_air": _option("over the air", "share of Devices that can be updated")
    | {
        "stranded_first": Input("share of Devices", *_SHARE, "Devices that cannot be updated, at the start"),
        "stranded_last": Input("share of Devices", *_SHARE, "Devices that cannot be updated, in the end"),
        "stranded_months": Input(
            "months", *_MONTHS, "Devices that cannot be updated: months from start to end"
        ),
    },
    "replace": {
        "campaign": Input("{currency} an event", *_MONEY, "replacing: cost of organising one recall"),
        "visit": Input("{currency} a visit", *_MONEY, "one visit to a home"),
        "no_access": Input("share of visits", 0.0, 0.95, "visits that find nobody at home"),
    },
    "hub": _option("fixing the hub", "share of Devices"),
    "harm": {
        "cost": Input("{currency} a Device-month", *_MONEY, "harm while a Device waits for its cure"),
        "months_over_the_air": Input("months", 0.0, 120.0, "wait for an update over the air"),
        "months_replace": Input("months", 0.0, 120.0, "wait for a replacement"),
        "months_hub": Input("months", 0.0, 120.0, "wait for a fix of the hub"),
    },
    "discount": {"rate": Input("share a year", 0.0, 1.0, "discount rate, without inflation")},
}
"""Section, key: what it means and what it may be. All are asked for, and no others."""

DEVICE: Final[Mapping[str, Input]] = {
    "share": Input("share of the fleet", *_SHARE, "share of the fleet"),
    "events": Input("share of events", *_SHARE, "events that strike it"),
    "price": Input("{currency} a Device", *_MONEY, "a new one"),
    "logistics": Input("{currency} a Device", *_MONEY, "sending and pairing it"),
    "visited": Input("share of replacements", *_SHARE, "replacements that need a visit"),
}
"""What is said of each kind of Device."""

PARTY: Final[Mapping[str, Input]] = {
    "costs": Input("share of costs", *_SHARE, "share of implementation and running cost"),
    "savings": Input("share of savings", *_SHARE, "share of what is saved"),
}
"""What is said of each party."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """One entry: a number, or how likely which, and who says so."""

    key: str
    """Where it stands: `replace.visit`, `device.PPMID.price`."""
    law: Law
    """Its value or distribution."""
    unit: str
    """In words."""
    meaning: str
    """What it is, in words."""
    source: str
    """Who says so, or `ASSUMPTION`."""
    dated: str
    """The source's date, `UNDATED`, or empty for an assumption."""
    note: str = ""
    """Why so, what speaks against it."""
    per_event: bool = False
    """Whether each event has a value of its own."""


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of Device."""

    name: str
    """Such as PPMID."""
    over_the_air: bool
    """Whether there is a procedure to update it over the air at all."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What somebody says against the case, and the assumptions that would follow."""

    name: str
    """A few words."""
    objection: str
    """What they say."""
    source: str
    """Where they say it."""
    changes: Variant
    """What then is otherwise."""


@dataclass(frozen=True, slots=True)
class Case:
    """A business case."""

    name: str
    """Its title."""
    question: str
    """What is to be decided, in a sentence."""
    currency: str
    """Of all money, at constant prices."""
    years: int
    """Horizon, 1..`YEARS_MAX`."""
    assumptions: Mapping[str, Assumption]
    """By key, in the order of the case's tables."""
    devices: tuple[Device, ...]
    """Kinds, at least one."""
    parties: tuple[str, ...]
    """Who shares the cost; may be none."""
    scenarios: tuple[Scenario, ...]
    """Objections; may be none."""

    @property
    def months(self) -> int:
        """Horizon, months."""
        return 12 * self.years

    @property
    def uncertain(self) -> tuple[str, ...]:
        """Keys of what is drawn once for each future, and is not what differs from event to event."""
        return tuple(key for key, it in self.assumptions.items() if not it.law.is_fixed and not it.per_event)

    @property
    def per_event(self) -> tuple[str, ...]:
        """Keys of what is drawn once for each event."""
        return tuple(key for key, it in self.assumptions.items() if it.per_event)


Change = tuple[str, str, float]
"""A key, `set` or `times`, and a number."""
Variant = tuple[Change, ...]
"""What is otherwise than the case says; () is the case itself."""


def parse(text: str, campaigns: Callable[[str], str] | None = None) -> Case:
    """Read the TOML of a person.

    campaigns  reads the file of a past campaign or rehearsal by its name; None: there is none to be read

    Raises `UsageError`, which names key, value, and what is allowed.
    """
    document = toml.document("case", text, CASE_CHARACTERS_MAX)
    return _Parser(document, campaigns).case()


class _Parser:
    def __init__(self, document: dict[str, object], campaigns: Callable[[str], str] | None) -> None:
        self._document = document
        self._campaigns = campaigns
        self._currency = ""

    def case(self) -> Case:
        top = self._document
        known = ("name", "question", "currency", "years", *INPUTS, "device", "party", "scenario")
        _keys("", top, known, ("name", "question", "currency", "years", *INPUTS, "device"))
        self._currency = _currency("currency", top["currency"])
        assumptions: dict[str, Assumption] = {}
        for section, inputs in INPUTS.items():
            self._inputs(assumptions, section, top[section], inputs)
        years = _whole("years", top["years"], 1, YEARS_MAX)
        frequency = assumptions["events.frequency"].law
        if frequency.mean * years > EVENTS_MAX:
            raise UsageError(
                f"case: events.frequency = {frequency}, over {years} years: allowed are {EVENTS_MAX} events "
                "on average"
            )
        _within_reach(assumptions["events.reach"], assumptions["events.severity"])
        devices = self._devices(assumptions, top["device"])
        parties = self._parties(assumptions, top.get("party", []))
        return Case(
            _words("name", top["name"], NAME_MAX * 2),
            _words("question", top["question"], TEXT_MAX),
            self._currency,
            years,
            assumptions,
            devices,
            parties,
            tuple(self._scenarios(assumptions, top.get("scenario", []), years)),
        )

    def _devices(self, into: dict[str, Assumption], value: object) -> tuple[Device, ...]:
        devices: list[Device] = []
        for where, entry in _tables("device", value, 1, DEVICES_MAX):
            table = _table(where, entry)
            name = _name(f"{where}.name", table.get("name"), [it.name for it in devices])
            prefix = f"device.{name}"
            _keys(prefix, table, ("name", "over_the_air", *DEVICE), ("over_the_air", *DEVICE))
            flag = table["over_the_air"]
            if not isinstance(flag, bool):
                raise _wrong(f"{prefix}.over_the_air", flag, "true or false")
            devices.append(Device(name, flag))
            self._inputs(into, prefix, {key: table[key] for key in DEVICE}, DEVICE, name)
        for key in ("share", "events"):
            _whole_of_it([into[f"device.{it.name}.{key}"] for it in devices])
        return tuple(devices)

    def _parties(self, into: dict[str, Assumption], value: object) -> tuple[str, ...]:
        names: list[str] = []
        for where, entry in _tables("party", value, 0, PARTIES_MAX):
            table = _table(where, entry)
            name = _name(f"{where}.name", table.get("name"), names)
            names.append(name)
            _keys(f"party.{name}", table, ("name", *PARTY), PARTY)
            self._inputs(into, f"party.{name}", {key: table[key] for key in PARTY}, PARTY, name)
        if names:
            for key in PARTY:
                entries = [into[f"party.{name}.{key}"] for name in names]
                for it in entries:
                    if not it.law.is_fixed:
                        raise UsageError(
                            f"case: {it.key} = {it.law}: allowed is one value: who pays what is agreed"
                        )
                _whole_of_it(entries)
        return tuple(names)

    def _scenarios(self, known: Mapping[str, Assumption], value: object, years: int) -> Iterable[Scenario]:
        names: list[str] = []
        for where, entry in _tables("scenario", value, 0, SCENARIOS_MAX):
            table = _table(where, entry)
            name = _name(f"{where}.name", table.get("name"), names)
            names.append(name)
            prefix = f"scenario.{name}"
            _keys(prefix, table, ("name", "objection", "source", "set", "times"), ("objection", "source"))
            changes = []
            for verb in ("set", "times"):
                for key, number in _table(f"{prefix}.{verb}", table.get(verb, {})).items():
                    changes.append(_change(f'{prefix}.{verb}."{key}"', known, key, verb, number))
            if not changes:
                raise UsageError(f"case: {prefix}: neither set nor times: a scenario changes something")
            if len({key for key, _, _ in changes}) < len(changes):
                raise UsageError(f"case: {prefix}: each key once, under set or under times")
            _not_too_many(prefix, known["events.frequency"], changes, years)
            for part in ("share", "events"):
                _together(prefix, [key for key in known if _is_part(key, part)], changes)
            yield Scenario(
                name,
                _words(f"{prefix}.objection", table["objection"], TEXT_MAX),
                _words(f"{prefix}.source", table["source"], TEXT_MAX),
                tuple(changes),
            )

    def _inputs(
        self,
        into: dict[str, Assumption],
        prefix: str,
        value: object,
        inputs: Mapping[str, Input],
        name: str = "",
    ) -> None:
        table = _table(prefix, value)
        _keys(prefix, table, inputs, inputs)
        for key, it in inputs.items():
            meaning = f"{name}: {it.meaning}" if name else it.meaning
            entry = self._assumption(f"{prefix}.{key}", table[key], it, meaning)
            into[entry.key] = entry

    def _assumption(self, key: str, value: object, it: Input, meaning: str) -> Assumption:
        table = _table(key, value)
        laws = (*KINDS, "campaign")
        others = ("unit", "source", "date", "note", "per")
        _keys(key, table, (*laws, *others), ("unit",))
        given = [law for law in laws if law in table]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise UsageError(f"case: {key}: one of {', '.join(laws)} says what it is; found: {found}")
        unit = it.unit.format(currency=self._currency)
        if table["unit"] != unit:
            raise _wrong(f"{key}.unit", table["unit"], f'"{unit}"')
        per_event = self._per(key, table.get("per", "case"), it)
        note = _words(f"{key}.note", table["note"], TEXT_MAX) if "note" in table else ""
        if given[0] == "campaign":
            for surplus in ("source", "date"):
                if surplus in table:
                    raise _wrong(f"{key}.{surplus}", table[surplus], "nothing: the campaign is the source")
            law, source, dated = self._campaign(f"{key}.campaign", table["campaign"], it)
        else:
            if "source" not in table:
                raise UsageError(f'case: {key}.source is missing: who says so, or "{ASSUMPTION}"')
            law = _law(key, given[0], table[given[0]], it)
            source = _words(f"{key}.source", table["source"], TEXT_MAX)
            dated = _dated(key, table.get("date"), source)
        if per_event and law.is_fixed:
            raise _wrong(f"{key}.per", "event", '"case", where there is one value only')
        return Assumption(key, law, unit, meaning, source, dated, note, per_event)

    @staticmethod
    def _per(key: str, value: object, it: Input) -> bool:
        allowed = ("case", "event") if it.per_event else ("case",)
        if value not in allowed:
            raise _wrong(f"{key}.per", value, " or ".join(f'"{word}"' for word in allowed))
        return value == "event"

    def _campaign(self, where: str, value: object, it: Input) -> tuple[Law, str, str]:
        name = _words(where, value, TEXT_MAX)
        if not it.per_event or (it.low, it.high) != _SHARE or not where.split(".")[-2] == "success":
            raise _wrong(where, name, "a campaign for over_the_air.success and hub.success only")
        if self._campaigns is None:
            raise _wrong(where, name, "no file of a campaign here")
        proven, settled, dated = outcome(self._campaigns(name), name)
        # Jeffreys' prior: what a campaign of so many Devices says of the next one's share, and no more.
        law = checked("beta", (proven + 0.5, settled - proven + 0.5), it.low, it.high)
        return law, f"campaign {name}: {proven:,} of {settled:,} Devices proven", dated or UNDATED


def outcome(text: str, name: str) -> tuple[int, int, str]:
    """Devices proven, Devices settled, and the date, of a campaign or rehearsal as it is printed in JSON.

    Read is `proven` with `settled` or `failed`, at the top or under one of `CAMPAIGN_PLACES`.
    """
    if len(text) > CAMPAIGN_CHARACTERS_MAX:
        raise UsageError(f"{name}: {len(text)} characters: allowed are {CAMPAIGN_CHARACTERS_MAX}")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise UsageError(f"{name}: not JSON: {toml.short(str(cause) or 'nested too deep')}") from cause
    if not isinstance(document, dict):
        raise UsageError(f"{name}: allowed is the JSON object of a campaign or rehearsal")
    dates = (str(document[key])[:10] for key in _DATED if document.get(key))
    dated = next((it for it in dates if _DATE.fullmatch(it)), "")
    for place in (document, *(document.get(word) for word in CAMPAIGN_PLACES)):
        if not isinstance(place, dict) or "proven" not in place:
            continue
        proven = place["proven"]
        parts = [place["settled"]] if "settled" in place else [proven, *_failures(place)]
        if len(parts) == 1 or "failed" in place or place is document.get("states"):
            if not all(type(it) is int and 0 <= it <= _CAMPAIGN_DEVICES_MAX for it in (proven, *parts)):
                raise UsageError(f"{name}: {toml.shown(place)}: allowed are whole numbers of Devices")
            settled = sum(parts)
            if not 0 < settled >= proven:
                raise UsageError(
                    f"{name}: proven = {proven}, settled = {settled}: allowed is proven at most settled, "
                    "and settled more than 0"
                )
            return proven, settled, dated
    raise UsageError(
        f"{name}: no outcome: asked for is proven with settled or failed, at the top or under "
        f"{', '.join(CAMPAIGN_PLACES)}"
    )


def _failures(place: Mapping[str, object]) -> list[Any]:
    """Devices that were tried and not brought there; those who fell silent are lost, and count as failed."""
    return [place.get("failed", 0), place.get("lost", 0)]


CAMPAIGN_PLACES: Final = ("outcome", "total", "states")
"""Where `plan rehearse`, `report metrics` and `campaign show` have it."""
_CAMPAIGN_DEVICES_MAX: Final = 10**9
_DATED: Final = ("ended", "as_of", "at", "date", "start")
_YEAR: Final = re.compile(r"\d{4}(?:-(?:0[1-9]|1[0-2]))?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NAME: Final = re.compile(r"[^\W_][\w \-/()&,+]*", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)


# --- readers: a value and where it stands in, a value of ours out


def _wrong(where: str, value: object, allowed: str) -> UsageError:
    return UsageError(f"case: {where} = {toml.shown(value)}: allowed is {allowed}")


def _keys(where: str, table: Mapping[str, object], known: Iterable[str], required: Iterable[str]) -> None:
    prefix, known = f"{where}." if where else "", tuple(known)
    for key in table:
        if key not in known:
            hint = toml.meant(key, known)
            raise UsageError(
                f"case: {prefix}{toml.short(key)}: no such key{hint}; there are {', '.join(known)}"
            )
    for key in required:
        if key not in table:
            raise UsageError(f"case: {prefix}{key} is missing")


def _table(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, value, f"a table, under [{where}]")
    return value


def _tables(where: str, value: object, least: int, most: int) -> list[tuple[str, object]]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise _wrong(where, value, f"{least} to {most} tables, each under [[{where}]]")
    return [(f"{where}[{number}]", entry) for number, entry in enumerate(value, 1)]


def _words(where: str, value: object, longest: int) -> str:
    allowed = f"text of 1 to {longest} printable characters"
    if not isinstance(value, str) or not value.strip() or len(value) > longest or not value.isprintable():
        raise _wrong(where, value, allowed)
    return value


def _name(where: str, value: object, taken: Sequence[str]) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value) or len(value) > NAME_MAX:
        raise _wrong(where, value, f"a name of 1 to {NAME_MAX} letters, digits, blanks, -/()&,+")
    if value in taken:
        raise _wrong(where, value, "a name that is not there already")
    return value


def _currency(where: str, value: object) -> str:
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise _wrong(where, value, 'three capital letters, such as "GBP"')
    return value


def _whole(where: str, value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:  # True is no number
        raise _wrong(where, value, f"a whole number from {low} to {high}")
    return value


def _number(where: str, value: object) -> float:
    if type(value) not in {int, float}:
        raise _wrong(where, value, "a number")
    try:
        number = float(value)  # type: ignore[arg-type] # one of both
    except OverflowError:
        number = float("inf")
    if not isfinite(number):
        raise _wrong(where, value, "a finite number")
    return number


def _numbers(where: str, value: object) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > 1_000:
        raise _wrong(where, value, "a list of numbers")
    return tuple(_number(where, number) for number in value)


def _law(key: str, kind: str, value: object, it: Input) -> Law:
    where = f"{key}.{kind}"
    if kind == "value":
        parameters: tuple[float, ...] = (_number(where, value),)
    elif kind == "choice":
        table = _table(where, value)
        _keys(where, table, ("values", "weights"), ("values", "weights"))
        values = _numbers(f"{where}.values", table["values"])
        weights = _numbers(f"{where}.weights", table["weights"])
        if len(values) != len(weights):
            raise _wrong(f"{where}.weights", table["weights"], f"{len(values)} numbers, one a value")
        parameters = values + weights
    else:
        parameters = _numbers(where, value)
    try:
        return checked(kind, parameters, it.low, it.high)
    except UsageError as cause:
        raise _wrong(where, value, str(cause)) from cause


def _dated(key: str, value: object, source: str) -> str:
    if source == ASSUMPTION:
        if value is not None:
            raise _wrong(f"{key}.date", value, f'nothing, where the source is "{ASSUMPTION}"')
        return ""
    if value is None:
        raise UsageError(
            f'case: {key}.date is missing: the day of the source, such as 2021-01-15, or "{UNDATED}"'
        )
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and (value == UNDATED or _YEAR.fullmatch(value)):
        return value
    raise _wrong(f"{key}.date", value, f'2021-01-15 without quotes, "2021-01", "2021", or "{UNDATED}"')


def _whole_of_it(entries: Sequence[Assumption]) -> None:
    """Shares that are fixed add up to 1; uncertain ones are made to, each time they are drawn."""
    total = fsum(entry.law.mean for entry in entries)
    names = " + ".join(entry.key for entry in entries)
    if all(entry.law.is_fixed for entry in entries) and abs(total - 1) > _SUM_TOLERANCE:
        raise UsageError(f"case: {names} = {total:.6g}: allowed is 1 together")
    if any(entry.law.parameters[0] <= 0 and not entry.law.is_fixed for entry in entries) and not any(
        entry.law.is_fixed and entry.law.parameters[0] > 0 for entry in entries
    ):
        raise UsageError(f"case: {names}: all may be 0 at once; allowed is at least one that never is")
    if total <= 0:
        raise UsageError(f"case: {names} = 0: allowed is 1 together")


def _not_too_many(where: str, frequency: Assumption, changes: Sequence[Change], years: int) -> None:
    """A scenario too has at most `EVENTS_MAX` events: all of them are held at once."""
    for key, verb, number in changes:
        if key != frequency.key:
            continue
        mean = number if verb == "set" else min(frequency.law.mean * number, frequency.law.high)
        if mean * years > EVENTS_MAX:
            raise UsageError(
                f'case: {where}.{verb}."{key}" = {number:g}, over {years} years: allowed are {EVENTS_MAX} '
                "events on average"
            )


def _is_part(key: str, part: str) -> bool:
    return key.startswith("device.") and key.endswith(f".{part}")


def _together(prefix: str, keys: Sequence[str], changes: Sequence[Change]) -> None:
    """Parts of a whole that a scenario sets leave the rest to the others, where there are any."""
    given = [(key, number) for key, verb, number in changes if verb == "set" and key in keys]
    total = fsum(number for _, number in given)
    is_all = len(given) == len(keys)
    if total > 1 + _SUM_TOLERANCE or (given and is_all and total < 1 - _SUM_TOLERANCE):
        names = " + ".join(key for key, _ in given)
        allowed = "1 together, for these are all" if is_all else "at most 1 together"
        raise UsageError(f"case: {prefix}.set: {names} = {total:.6g}: allowed is {allowed}")


def _within_reach(reach: Assumption, severity: Assumption) -> None:
    """A lognormal has no end, and is cut; any other reach that leaves the fleet is a slip of the author's."""
    greatest, mean = reach.law.greatest, severity.law.mean
    if reach.law.kind != "lognormal" and greatest * mean > 1 + _SUM_TOLERANCE:
        raise UsageError(
            f"case: events.severity = {severity.law}: {mean:.6g} on average, times events.reach of up to "
            f"{greatest:.6g}: allowed is 1 together, all Devices of the kind"
        )


def _change(where: str, known: Mapping[str, Assumption], key: str, verb: str, value: object) -> Change:
    if key not in known or key.startswith("party."):
        allowed = f"the key of an assumption of the model, such as replace.visit{toml.meant(key, known)}"
        raise _wrong(where, value, allowed)
    number, law = _number(where, value), known[key].law
    if verb == "set" and not law.low <= number <= law.high:
        raise _wrong(where, value, f"a number from {law.low:g} to {law.high:g}")
    if verb == "times" and not 0 <= number <= 1_000:
        raise _wrong(where, value, "a factor from 0 to 1000; what leaves the input's range is cut to it")
    return key, verb, number
