"""A plan as the fields of a form: flat names and texts, as a browser sends them, to TOML and back.

The form knows no rules: it fills in a TOML text, and `campaign.plan.parse` says what is wrong with that. Keys
of a plan that the form has no fields for stay as they are in the text that it is laid over.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from lamplighter.campaign import plan as plans
from lamplighter.campaign.evidence import CAUSES, Cause
from lamplighter.campaign.rates import PER_HOUR_MAX, Growth
from lamplighter.campaign.windows import Day, Kind
from lamplighter.kit import UsageError, toml
from lamplighter.protocol.duis import CspRegion, DeviceType
from lamplighter.registry import Procedure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamplighter.campaign.plan import Plan

Fields = dict[str, list[str]]
"""What a browser sends: several values for a name, all of them text."""

ROWS_MAX: Final = 40
"""Of waves and of windows that a form may have; a plan in TOML may have more of them."""
BLANK_ROWS: Final = 2
"""Rows that are offered beyond those that are filled in."""
VALUE_MAX: Final = 20_000
"""Characters of one field."""

_NO_RATE: Final = {"kind": Growth.CONSTANT.value}
_RATES: Final = (
    "acceptable_failure_rate", "max_failure_rate", "acceptable_silence_rate", "max_silence_rate",
    "false_hold_rate", "miss_rate",
)  # fmt: skip
_WORDS: Final = re.compile(r"[,\n]")
_NUMBER: Final = re.compile(r"-?\d{1,15}", re.ASCII)
_FRACTION: Final = re.compile(r"-?\d{1,15}(?:\.\d{1,25})?(?:e-?\d{1,3})?", re.ASCII)
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Field:
    """One key of a plan in the form."""

    key: str
    """Its TOML key."""
    many: str = ""
    """"boxes": a value for each box; "words": one text, parted by commas or lines; "": one value."""
    flag: bool = False
    """A box: there or not."""
    text: bool = False
    """Never a number, whatever it looks like."""


def _plain(*keys: str) -> tuple[_Field, ...]:
    return tuple(_Field(key) for key in keys)


_TOP: Final = (
    _Field("name", text=True),
    _Field("stratify", "boxes"),
    _Field("approvals"),
    _Field("allow_downgrade", flag=True),
    *_plain("batch_max", "sweep_every", "lasts"),
    _Field("blackout", "words"),
    *_plain("jitter", "activate_at", "call_off_ahead"),
)
_TABLES: Final[Mapping[str, tuple[_Field, ...]]] = {
    "target": (
        _Field("types", "boxes"),
        _Field("manufacturers", "words", text=True),
        _Field("models", "words", text=True),
        _Field("hardware", text=True),
        _Field("firmware", "words", text=True),
        _Field("regions", "boxes"),
        _Field("hub_models", "words", text=True),
        _Field("tags", "words", text=True),
    ),
    "gate": _plain(*_RATES, "minimum_sample"),
    "deadlines": _plain("hub", "device", "proof", "activation", "read"),
    "retries": (
        *_plain("attempts_max", "checks_max", "backoff_first", "backoff_factor", "backoff_cap"),
        _Field("retryable", "boxes"),
        _Field("final", "boxes"),
    ),
    "rate": _plain("kind", "per_hour", "step", "factor", "every", "cap"),
    "caps": _plain("in_flight", "per_region", "per_hub_model", "requests_per_day"),
}
_LISTS: Final[Mapping[str, tuple[_Field, ...]]] = {
    "wave": (_Field("name", text=True), *_plain("share", "minimum", "soak"), _Field("gate", flag=True)),
    "window": (_Field("days", "boxes"), *_plain("from", "to"), _Field("orders", "boxes")),
}
_ORDER: Final = (
    "quorum",
    "board",
    "target",
    "wave",
    "gate",
    "deadlines",
    "retries",
    "window",
    "rate",
    "caps",
)
_PERCENTS: Final = frozenset({f"gate.{name}" for name in _RATES})

CHOICES: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "stratify": [(name, name.replace("_", " ")) for name in plans.STRATIFY],
    "types": [(kind.value, kind.value) for kind in DeviceType if Procedure.of(kind)],
    "regions": [(region.value, region.value) for region in CspRegion],
    "days": [(day.name.lower(), day.name.title()) for day in Day],
    "orders": [(kind.value, kind.value) for kind in Kind],
    "kind": [(growth.value, growth.value) for growth in Growth],
    "causes": [(cause.name.lower(), CAUSES[cause][0]) for cause in CAUSES if cause is not Cause.NONE],
}
"""What the boxes and lists of the form offer: the value, and what a person reads."""


def fields_of(plan: Plan) -> Fields:
    """The form filled in with a plan."""
    return _fields(_document(plan))


def to_toml(fields: Mapping[str, Sequence[str]], base: str = "") -> str:
    """The TOML text that the form says, laid over another one where that can be read.

    A field that is empty leaves its key out. Raises `UsageError` for more rows than a form has.
    """
    document = _base(base)
    for field in _TOP:
        _put(document, field, "", fields)
    for name, members in _TABLES.items():
        table = document.get(name)
        table = dict(table) if isinstance(table, dict) else {}
        for field in members:
            _put(table, field, f"{name}.", fields)
        document.pop(name, None)
        if table and table != _NO_RATE:
            document[name] = table
    for name, members in _LISTS.items():
        rows = []
        for number in _numbers(name, fields):
            row: dict[str, Any] = {}
            for field in members:
                _put(row, field, f"{name}.{number}.", fields)
            if set(row) - {"gate"}:  # a box alone is no wave
                rows.append(row)
        document.pop(name, None)
        if rows:
            document[name] = rows
    return written(document)


def document_of(plan: Plan) -> str:
    """A plan as TOML, every key that has a value: what approvers read, and what differences are made of."""
    document = _document(plan)
    order = {name: place for place, name in enumerate((*(it.key for it in _TOP), *_ORDER))}
    shown: dict[str, Any] = {}
    for key in sorted(document, key=lambda it: order.get(it, len(order))):
        value = document[key]
        if isinstance(value, dict):
            value = _in_order(value, _TABLES.get(key, ()))
        elif isinstance(value, list) and key in _LISTS:
            value = [_in_order(row, _LISTS[key]) for row in value]
        if value not in ([], {}):
            shown[key] = value
    return written(shown)


def _document(plan: Plan) -> dict[str, Any]:
    """What `campaign.plan` reads; a rate that is no limit is none."""
    document: dict[str, Any] = json.loads(plans.encode(plan))
    if document.get("rate") == _NO_RATE | {"per_hour": PER_HOUR_MAX}:
        del document["rate"]
    return document


def _in_order(table: Mapping[str, Any], members: Sequence[_Field]) -> dict[str, Any]:
    """A table as people write it; an empty list says no more than none."""
    order = {it.key: place for place, it in enumerate(members)}
    keys = sorted(table, key=lambda it: order.get(it, len(order)))
    return {key: table[key] for key in keys if table[key] != []}


def rows(name: str, fields: Mapping[str, Sequence[str]]) -> list[int]:
    """The numbers of the rows to show: those that are filled in, and some blank ones."""
    numbers = _numbers(name, fields)
    first = max(numbers, default=0) + 1
    return [*numbers, *range(first, min(first + BLANK_ROWS, ROWS_MAX + 1))]


# --- a document into fields


def _fields(document: Mapping[str, Any]) -> Fields:
    found: Fields = {}
    for field in _TOP:
        _take(found, field, "", document)
    for name, members in _TABLES.items():
        for field in members:
            _take(found, field, f"{name}.", document.get(name, {}))
    for name, members in _LISTS.items():
        for number, row in enumerate(document.get(name, []), 1):
            for field in members:
                _take(found, field, f"{name}.{number}.", row)
    return found


def _take(found: Fields, field: _Field, prefix: str, table: Mapping[str, Any]) -> None:
    name = prefix + field.key
    if field.key not in table:
        return
    value = table[field.key]
    if field.flag:
        if value:
            found[name] = ["on"]
    elif field.many == "boxes":
        found[name] = [str(it) for it in value]
    elif field.many == "words":
        if value:
            found[name] = [", ".join(str(it) for it in value)]
    elif name in _PERCENTS or name.endswith(".share"):
        found[name] = [_percent(value)]
    else:
        found[name] = [str(value)]


def _percent(value: float) -> str:
    """As a percentage, where that is the very number again."""
    text = f"{value * 100:.9f}".rstrip("0").rstrip(".")
    return f"{text} %" if float(text) / 100 == value else repr(value)


# --- fields into a document


def _numbers(name: str, fields: Mapping[str, Sequence[str]]) -> list[int]:
    """The rows that have anything in them, in their order."""
    found = set()
    for key, values in fields.items():
        head, _, rest = key.partition(".")
        number = rest.partition(".")[0]
        if head == name and number.isascii() and number.isdigit() and any(map(str.strip, values)):
            if len(number) > len(str(ROWS_MAX)) or not 1 <= int(number) <= ROWS_MAX:
                raise UsageError(f"plan: a form has up to {ROWS_MAX} rows of {name}: use the TOML for more")
            found.add(int(number))
    return sorted(found)


def _put(table: dict[str, Any], field: _Field, prefix: str, fields: Mapping[str, Sequence[str]]) -> None:
    name = prefix + field.key
    given = [value.strip() for value in fields.get(name, ())]
    if any(len(value) > VALUE_MAX for value in given):
        raise UsageError(f"plan: {name} has more than {VALUE_MAX} characters")
    table.pop(field.key, None)
    if field.flag:
        table[field.key] = bool(given)
    elif field.many == "boxes":
        if values := [value for value in given if value]:
            table[field.key] = values
    elif field.many == "words":
        if words := [word.strip() for value in given for word in _WORDS.split(value) if word.strip()]:
            table[field.key] = words
    elif given and given[0]:
        table[field.key] = given[0] if field.text else _value(given[0])


def _value(text: str) -> object:
    """A number where it is one; else the text, of which the plan's own reader says what is wrong."""
    if _NUMBER.fullmatch(text):
        return int(text)
    return float(text) if _FRACTION.fullmatch(text) else text


def _base(text: str) -> dict[str, Any]:
    try:
        return toml.loads(text[: plans.PLAN_CHARACTERS_MAX])
    except (ValueError, RecursionError):
        return {}


# --- TOML, as much of it as a plan needs


def written(document: Mapping[str, Any]) -> str:
    """A document of tables and lists of tables as TOML."""
    lines = [f"{_key(key)} = {_said(value)}" for key, value in document.items() if not _is_table(value)]
    for key, value in document.items():
        if isinstance(value, dict):
            lines += _section(f"[{_key(key)}]", _key(key), value)
        elif _is_table(value):
            for row in value:
                lines += _section(f"[[{_key(key)}]]", _key(key), row)
    return "\n".join(lines) + "\n"


def _section(heading: str, path: str, table: Mapping[str, Any]) -> Iterable[str]:
    yield ""
    yield heading
    for key, value in table.items():
        if not _is_table(value):
            yield f"{_key(key)} = {_said(value)}"
    for key, value in table.items():
        inner = f"{path}.{_key(key)}"
        if isinstance(value, dict):
            yield from _section(f"[{inner}]", inner, value)
        elif _is_table(value):
            for row in value:
                yield from _section(f"[[{inner}]]", inner, row)


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(it, dict) for it in value)
    )


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _said(key)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(_said, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_said(it)}" for key, it in value.items()) + "}"
    if isinstance(value, str):
        # JSON's strings are TOML's, but for DEL, which may not stand as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def grouped(pairs: Iterable[tuple[str, str]]) -> Fields:
    """The fields of a form by name."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        found[name].append(value)
    return dict(found)
