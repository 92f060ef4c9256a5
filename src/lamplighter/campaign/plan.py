"""A campaign's plan: what the operator asked for, as commented TOML and as values.

`parse` reads the TOML of a person, and says of each fault which key it is, what it holds and what is allowed.
`encode` writes the canonical JSON that the store keeps and `Plan.digest` is taken of; `decode` reads it back.
Both go through the same tables, so that a plan which the store gives back has passed the same checks.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from lamplighter.campaign.board import CATEGORIES_MAX, MEMBERS_MAX, Board, Category, repeated
from lamplighter.campaign.evidence import CAUSES, Cause
from lamplighter.campaign.gates import DEVICES_MAX, Gate
from lamplighter.campaign.next import Retries
from lamplighter.campaign.rates import EVERY_MAX, FACTOR_MAX, PER_HOUR_MAX, Growth, Rate
from lamplighter.campaign.state import ATTEMPTS_MAX, SUBS
from lamplighter.campaign.windows import MINUTES_A_DAY, Day, Kind, Window
from lamplighter.kit import FirmwareVersion, UsageError, toml
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.protocol.duis import CspRegion, DeviceType
from lamplighter.registry import Procedure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lamplighter.registry import Cohort

    Reader = Callable[[str, object], Any]

PLAN_CHARACTERS_MAX: Final = 1_000_000
"""A plan is written by hand; more is a mistake, or an attack on the parser."""
LIST_MAX: Final = 10_000
"""Entries of one list."""
WAVES_MAX: Final = 100
NAME_MAX: Final = 64
BATCH_MAX: Final = 50_000
"""Devices in one SRV 11.1 or 11.4 (DUIS: a list of 1,199,999 characters)."""
DURATION_MAX: Final = 3650 * DAY
ACTIVATION_MIN: Final = 28 * HOUR
"""Of the activation deadline, beyond the length of `activate_at`: that begins up to 25 hours later, and the
Device needs time to speak."""

STRATIFY: Final[Mapping[str, Callable[[Cohort], str]]] = {
    "hub_model": lambda cohort: cohort.hub_model,
    "hub_firmware": lambda cohort: cohort.hub_firmware,
    "hardware": lambda cohort: f"{cohort.hardware:04X}",
    "region": lambda cohort: cohort.region,
    "gbcs_version": lambda cohort: cohort.gbcs_version,
    "model": lambda cohort: f"{cohort.manufacturer:04X}:{cohort.model:04X}",
    "firmware": lambda cohort: str(cohort.firmware),
    "tag": lambda cohort: cohort.tag,
}
"""What a plan may stratify by, and a cohort's word for it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which Devices a campaign is for: those that fit every filter; an empty one fits all."""

    types: frozenset[DeviceType] = frozenset()
    """Types of Device."""
    manufacturers: frozenset[int] = frozenset()
    """Zigbee manufacturer codes, 0..0xFFFF."""
    models: frozenset[int] = frozenset()
    """Model identifiers, 0..0xFFFF."""
    hardware: tuple[int, int] = (0, 0xFFFF)
    """Lowest and highest hardware version."""
    firmware: frozenset[FirmwareVersion] = frozenset()
    """Versions that run now."""
    regions: frozenset[str] = frozenset()
    """CSP regions."""
    hub_models: frozenset[str] = frozenset()
    """Models of their hubs."""
    tags: frozenset[str] = frozenset()
    """The operator's own words."""

    def matches(self, cohort: Cohort) -> bool:
        """Whether Devices of this cohort are meant."""
        return (
            (not self.types or cohort.type in self.types)
            and (not self.manufacturers or cohort.manufacturer in self.manufacturers)
            and (not self.models or cohort.model in self.models)
            and self.hardware[0] <= cohort.hardware <= self.hardware[1]
            and (not self.firmware or cohort.firmware in self.firmware)
            and (not self.regions or cohort.region in self.regions)
            and (not self.hub_models or cohort.hub_model in self.hub_models)
            and (not self.tags or cohort.tag in self.tags)
        )


@dataclass(frozen=True, slots=True)
class Wave:
    """One wave."""

    name: str
    """Its name."""
    share: float
    """Share of each stratum that is ordered by its end, more than 0, at most 1."""
    minimum: int = 0
    """Devices of each stratum that are ordered by its end, at least; all, where it has fewer."""
    soak: int = 0
    """How long after its last outcome the next wave waits, us."""
    gated: bool = True
    """Whether a PASS is asked for before the next wave. A HOLD counts in any case."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long after its order a step may take, us; afterwards it is silence."""

    hub: int = DAY
    """SRV 11.1 and 11.4: the image lies at the hub (N60)."""
    device: int = 4 * DAY
    """The Device has it (N62). PPMIDs sleep; a hub with full slots waits."""
    proof: int = 5 * DAY
    """The Device has verified or activated it (8F72, N39)."""
    activation: int = 2 * DAY
    """SRV 11.3: the Device has answered, or its alert has come if activation was future-dated."""
    read: int = DAY
    """SRV 11.2: the Device has said its version."""

    def of(self, name: str) -> int:
        """By the name that `next.DEADLINES` has for it."""
        if name not in self.__slots__:
            raise UsageError(f"no deadline {name!r}; there are {', '.join(self.__slots__)}")
        return int(getattr(self, name))


@dataclass(frozen=True, slots=True)
class Caps:
    """What is never exceeded; None: no cap. One update at a time at each hub is no choice: it is not here."""

    in_flight: int | None = None
    """Devices that are busy, in the estate."""
    per_region: int | None = None
    """In each CSP region."""
    per_hub_model: int | None = None
    """On each model of hub."""
    requests_per_day: int | None = None
    """Devices named in requests of one service in 24 hours: the DCC's anomaly detection threshold."""


_GATE_USUAL: Final = Gate()
_RETRIES_USUAL: Final = Retries(attempts=3, checks=4, first=HOUR, factor=2.0, longest=DAY, retryable={})
_RATE_USUAL: Final = Rate()


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a campaign needs to know, but its release."""

    name: str
    """Unique; at most 64 characters."""
    waves: tuple[Wave, ...]
    """In their order; the last reaches every Device."""
    target: Target = Target()
    """Which Devices."""
    stratify: tuple[str, ...] = ("hub_model", "hub_firmware", "hardware")
    """Keys of `STRATIFY`: Devices that are alike in all of them are one stratum, and are held together."""
    gate: Gate = _GATE_USUAL
    """When a stratum is held, and when it passes."""
    deadlines: Deadlines = Deadlines()
    """When silence is a failure."""
    retries: Retries = _RETRIES_USUAL
    """How often, and how long between."""
    windows: tuple[Window, ...] = ()
    """When orders may go out; none: at any time."""
    blackout: frozenset[date] = frozenset()
    """Local days on which none goes out."""
    jitter: int = 0
    """Orders are spread by up to this, us."""
    activate_at: tuple[int, int] | None = None
    """SRV 11.3: the quiet hour that activations are dated to, local minutes after midnight; None: at once."""
    call_off_ahead: int = HOUR
    """SRV 11.3: an activation is called off only while it lies so far ahead, us: the word must get there."""
    rate: Rate = _RATE_USUAL
    """How many an hour."""
    caps: Caps = Caps()
    """What is never exceeded."""
    approvals: int = 1
    """People other than the creator who must approve, 0..10; where a board votes, nothing."""
    board: Board | None = None
    """Who votes on it, instead of approvals; None: nobody."""
    allow_downgrade: bool = False
    """Whether Devices with a later version are brought to this one."""
    batch_max: int = 5_000
    """Devices in one request of SRV 11.1 or 11.4, 1..50,000."""
    sweep_every: int = 6 * HOUR
    """How often late joiners, and Devices whose home was busy, are looked for, us."""
    lasts: int = 60 * DAY
    """How long after its start a campaign ends in any case, us: what is held or waiting then is cancelled."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical form: what an approval binds to."""
        return sha256(encode(self).encode()).digest()

    def stratum_of(self, cohort: Cohort) -> str:
        """The stratum of a cohort, such as `hub_model=CH-A hub_firmware=01020304 hardware=1111`."""
        return " ".join(f"{key}={STRATIFY[key](cohort) or '?'}" for key in self.stratify) or "all"


def parse(text: str) -> Plan:
    """Read the TOML of a person."""
    document = toml.document("plan", text, PLAN_CHARACTERS_MAX)
    return _plan(document)


def encode(plan: Plan) -> str:
    """The canonical form: JSON with the keys of the TOML, sorted, and one spelling for each value."""
    return json.dumps(_document(plan), sort_keys=True, separators=(",", ":"), allow_nan=False)


def decode(text: str) -> Plan:
    """Read what `encode` wrote."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise UsageError(f"plan: not JSON: {toml.short(str(cause) or 'nested too deep')}") from cause
    if not isinstance(document, dict):
        raise UsageError(f"plan: an object is expected, not {toml.shown(document)}")
    return _plan(document)


# --- readers: a value and where it stands in, a value of ours out


def _wrong(where: str, value: object, allowed: str) -> UsageError:
    return UsageError(f"plan: {where} = {toml.shown(value)}: allowed is {allowed}")


def _text(longest: int) -> Reader:
    allowed = f"text of 1 to {longest} printable characters"

    def read(where: str, value: object) -> str:
        if (
            not isinstance(value, str)
            or not 0 < len(value) <= longest
            or not value.isprintable()
            or not value.strip()
        ):
            raise _wrong(where, value, allowed)
        return value

    return read


def _integer(low: int, high: int) -> Reader:
    def read(where: str, value: object) -> int:
        if type(value) is not int or not low <= value <= high:  # True is no number
            raise _wrong(where, value, f"a whole number from {low} to {high}")
        return value

    return read


def _number(low: float, high: float) -> Reader:
    def read(where: str, value: object) -> float:
        if type(value) not in {int, float} or not low <= value <= high:  # type: ignore[operator] # a number; NaN fails
            raise _wrong(where, value, f"a number from {low:g} to {high:g}")
        return float(value)  # type: ignore[arg-type] # a number

    return read


def _open_rate(most: float) -> Reader:
    """A rate of more than 0 and at most `most`, as a number or a percentage."""

    def read(where: str, value: object) -> float:
        number = value
        if isinstance(value, str) and (match := _PERCENT.fullmatch(value)):
            number = float(match[1]) / 100
        if type(number) not in {int, float} or not 0 < number <= most:  # type: ignore[operator] # a number; NaN fails
            raise _wrong(where, value, f'more than 0 and at most {most:g}, or a percentage such as "2 %"')
        return float(number)  # type: ignore[arg-type] # a number

    return read


def _flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, value, "true or false")
    return value


def _duration(low: int, high: int) -> Reader:
    allowed = f'a duration from {_span(low)} to {_span(high)}, such as "90m", "24h" or "1d12h"'

    def read(where: str, value: object) -> int:
        if not isinstance(value, str) or not _DURATION.fullmatch(value):
            raise _wrong(where, value, allowed)
        length = sum(int(count) * _UNITS[unit] for count, unit in _DURATION_PART.findall(value))
        if not low <= length <= high:
            raise _wrong(where, value, allowed)
        return int(length)

    return read


def _span(length: int) -> str:
    """A duration in its largest whole unit."""
    unit, size = next(
        ((unit, size) for unit, size in _UNITS.items() if length and length % size == 0), ("s", SECOND)
    )
    return f"{length // size}{unit}"


def _clock(where: str, value: object) -> int:
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if match is None or int(match[2]) > 59 or not 0 <= minutes <= MINUTES_A_DAY:
        raise _wrong(where, value, 'a time on Great Britain\'s clocks, "00:00" to "24:00", and no time zone')
    return minutes


def _clock_text(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _quiet(where: str, value: object) -> tuple[int, int]:
    parts = value.split("-") if isinstance(value, str) else []
    if len(parts) != 2:
        raise _wrong(where, value, 'two times on Great Britain\'s clocks, such as "02:00-04:00"')
    start, end = (_clock(where, part.strip()) for part in parts)
    if start in {end, MINUTES_A_DAY} or end == 0 or end - start == MINUTES_A_DAY:
        raise _wrong(
            where, value, "a stretch of less than a day, of which 00:00 is the beginning and 24:00 the end"
        )
    return start, end


def _hex(digits: int) -> Reader:
    def read(where: str, value: object) -> int:
        if not isinstance(value, str) or not re.fullmatch(rf"[0-9A-Fa-f]{{{digits}}}", value, re.ASCII):
            raise _wrong(where, value, f"{digits} hex digits in quotes")
        return int(value, 16)

    return read


def _version(where: str, value: object) -> FirmwareVersion:
    return FirmwareVersion(_hex(8)(where, value))


def _hardware(where: str, value: object) -> tuple[int, int]:
    parts = value.split("-") if isinstance(value, str) else []
    if len(parts) not in {1, 2}:
        raise _wrong(where, value, '4 hex digits in quotes, or two of them: "1111-1211"')
    low, high = _hex(4)(where, parts[0].strip()), _hex(4)(where, parts[-1].strip())
    if low > high:
        raise _wrong(where, value, "the lower hardware version first")
    return low, high


def _one(words: Iterable[str]) -> Reader:
    words = tuple(words)

    def read(where: str, value: object) -> str:
        if value not in words or not isinstance(value, str):
            raise _wrong(where, value, f"one of {', '.join(words)}{toml.meant(value, words)}")
        return value

    return read


def _list(read: Reader, *, shortest: int = 0) -> Reader:
    """A list of different entries."""

    def read_all(where: str, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or not shortest <= len(value) <= LIST_MAX:
            raise _wrong(where, value, f"a list of {shortest} to {LIST_MAX} entries")
        entries = tuple(read(f"{where}[{number}]", entry) for number, entry in enumerate(value, 1))
        if len(set(entries)) < len(entries):
            raise _wrong(where, value, "each entry once")
        return entries

    return read_all


def _date(where: str, value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) and _DATE.fullmatch(value) else "")
    except ValueError:
        raise _wrong(where, value, "a date, such as 2026-12-25") from None


def _table(
    where: str, value: object, keys: Mapping[str, Reader], required: Iterable[str] = ()
) -> dict[str, Any]:
    """The keys that are there, each read."""
    if not isinstance(value, dict):
        raise _wrong(where, value, f"a table with {', '.join(keys)}")
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in keys:
            homes = [home or "the top of the file" for home, names in _KEYS.items() if key in names]
            hint = f"; its place is {' or '.join(homes)}" if homes else toml.meant(key, keys)
            name = prefix + (key if _BARE.fullmatch(key) else toml.shown(key))
            raise UsageError(
                f"plan: {name} = {toml.shown(value[key])}: no such key{hint}; there are {', '.join(keys)}"
            )
    for key in required:
        if key not in value:
            raise UsageError(f"plan: {prefix}{key} is missing")
    return {key: keys[key](prefix + key, entry) for key, entry in value.items()}


def _tables(where: str, value: object, most: int) -> list[tuple[str, object]]:
    if not isinstance(value, list) or len(value) > most:
        raise _wrong(where, value, f"up to {most} tables, each under [[{where}]]")
    return [(f"{where}[{number}]", entry) for number, entry in enumerate(value, 1)]


_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,9})?) ?%", re.ASCII)
_DURATION: Final = re.compile(r"(?:\d{1,9}[wdhms])+", re.ASCII)
_DURATION_PART: Final = re.compile(r"(\d+)([wdhms])", re.ASCII)
_UNITS: Final = {"w": 7 * DAY, "d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND}
_CLOCK: Final = re.compile(r"(\d\d):(\d\d)", re.ASCII)
_BARE: Final = re.compile(r"[\w-]{1,64}", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WORD: Final = _text(NAME_MAX)
_DEVICES: Final = _integer(1, DEVICES_MAX)
_ANY_DURATION: Final = _duration(0, DURATION_MAX)
_DEADLINE: Final = _duration(MINUTE, DURATION_MAX)

_TYPES: Final = [kind.value for kind in DeviceType if Procedure.of(kind)]
_CAUSES: Final = [cause.name.lower() for cause in CAUSES if cause is not Cause.NONE]
_DAYS: Final = [day.name.lower() for day in Day]

_BOARD: Final[Mapping[str, Reader]] = {
    "category": _WORD,
    "members": _list(_WORD, shortest=1),
}
_TARGET: Final[Mapping[str, Reader]] = {
    "types": _list(_one(_TYPES)),
    "manufacturers": _list(_hex(4)),
    "models": _list(_hex(4)),
    "hardware": _hardware,
    "firmware": _list(_version),
    "regions": _list(_one(region.value for region in CspRegion)),
    "hub_models": _list(_WORD),
    "tags": _list(_WORD),
}
_WAVE: Final[Mapping[str, Reader]] = {
    "name": _WORD,
    "share": _open_rate(1),
    "minimum": _integer(0, DEVICES_MAX),
    "soak": _ANY_DURATION,
    "gate": _flag,
}
_GATE: Final[Mapping[str, Reader]] = {
    "acceptable_failure_rate": _open_rate(1),
    "max_failure_rate": _open_rate(1),
    "acceptable_silence_rate": _open_rate(1),
    "max_silence_rate": _open_rate(1),
    "false_hold_rate": _open_rate(0.5),
    "miss_rate": _open_rate(0.5),
    "minimum_sample": _DEVICES,
}
_DEADLINES: Final[Mapping[str, Reader]] = dict.fromkeys(Deadlines.__slots__, _DEADLINE)
_RETRIES: Final[Mapping[str, Reader]] = {
    "attempts_max": _integer(1, ATTEMPTS_MAX),
    "checks_max": _integer(1, SUBS - 1),
    "backoff_first": _ANY_DURATION,
    "backoff_factor": _number(1, 100),
    "backoff_cap": _ANY_DURATION,
    "retryable": _list(_one(_CAUSES)),
    "final": _list(_one(_CAUSES)),
}
_WINDOW: Final[Mapping[str, Reader]] = {
    "days": _list(_one(_DAYS), shortest=1),
    "from": _clock,
    "to": _clock,
    "orders": _list(_one(kind.value for kind in Kind), shortest=1),
}
_RATE: Final[Mapping[str, Reader]] = {
    "kind": _one(growth.value for growth in Growth),
    "per_hour": _integer(1, PER_HOUR_MAX),
    "step": _integer(1, PER_HOUR_MAX),
    "factor": _number(1, FACTOR_MAX),
    "every": _duration(HOUR, EVERY_MAX),
    "cap": _integer(1, PER_HOUR_MAX),
}
_CAPS: Final[Mapping[str, Reader]] = dict.fromkeys(Caps.__slots__, _DEVICES)


def _whole(_where: str, value: object) -> object:
    """A table that is read by a function of its own."""
    return value


_TOP: Final[Mapping[str, Reader]] = {
    "name": _WORD,
    "stratify": _list(_one(STRATIFY)),
    "approvals": _integer(0, 10),
    "quorum": _integer(1, CATEGORIES_MAX * MEMBERS_MAX),
    "allow_downgrade": _flag,
    "batch_max": _integer(1, BATCH_MAX),
    "sweep_every": _duration(MINUTE, DURATION_MAX),
    "lasts": _duration(HOUR, DURATION_MAX),
    "blackout": _list(_date),
    "jitter": _duration(0, DAY),
    "activate_at": _quiet,
    "call_off_ahead": _duration(MINUTE, DAY),
    "board": _whole,
    "target": _whole,
    "wave": _whole,
    "gate": _whole,
    "deadlines": _whole,
    "retries": _whole,
    "window": _whole,
    "rate": _whole,
    "caps": _whole,
}
_KEYS: Final[Mapping[str, Mapping[str, Reader]]] = {
    "": _TOP,
    "[[board]]": _BOARD,
    "[target]": _TARGET,
    "[[wave]]": _WAVE,
    "[gate]": _GATE,
    "[deadlines]": _DEADLINES,
    "[retries]": _RETRIES,
    "[[window]]": _WINDOW,
    "[rate]": _RATE,
    "[caps]": _CAPS,
}
"""Every key of a plan; `tests/campaign/test_plan.py` holds `EXAMPLE` against it."""


def _plan(document: Mapping[str, object]) -> Plan:
    top = _table("", document, _TOP, ("name", "wave"))
    for key, read in _PARTS.items():
        if key in top:
            top[key] = read(top[key])
    quorum = top.pop("quorum", None)
    if "board" in top:
        top["board"] = _quorate(top["board"], quorum)
        if "approvals" in top:
            raise _wrong(
                "approvals", top["approvals"], "nothing where a [[board]] votes: the one or the other"
            )
    elif quorum is not None:
        raise _wrong("quorum", quorum, "nothing where no [[board]] votes")
    top["waves"] = top.pop("wave")
    top["windows"] = top.pop("window", ())
    top["blackout"] = frozenset(top.get("blackout", ()))
    plan = Plan(**top)
    if plan.activate_at:
        begin, end = plan.activate_at
        least = ACTIVATION_MIN + (end - begin) % MINUTES_A_DAY * MINUTE
        if plan.deadlines.activation < least:
            raise _wrong(
                "deadlines.activation",
                _span(plan.deadlines.activation),
                f"{_span(least)} or more with this activate_at, whose beginning may be 25 hours away",
            )
    return plan


def _read_board(value: object) -> Board:
    categories: list[Category] = []
    for where, entry in _tables("board", value, CATEGORIES_MAX):
        read = _table(where, entry, _BOARD, ("category", "members"))
        if len(read["members"]) > MEMBERS_MAX:
            raise _wrong(f"{where}.members", read["members"], f"up to {MEMBERS_MAX} members")
        category = Category(read["category"], tuple(sorted(read["members"])))
        if any(category.name.casefold() == other.name.casefold() for other in categories):
            raise _wrong(f"{where}.category", category.name, "a category that is not there already")
        categories.append(category)
    if not categories:
        raise _wrong("board", value, "one [[board]] at least")
    if twice := repeated(member for category in categories for member in category.members):
        raise _wrong("board", twice, "each member in one category, once")
    return Board(tuple(categories))


def _quorate(board: Board, quorum: int | None) -> Board:
    if quorum is not None and quorum > len(board.members):
        raise _wrong("quorum", quorum, f"at most the {len(board.members)} members of the board")
    return replace(board, quorum=quorum)


def _read_target(value: object) -> Target:
    read = _table("target", value, _TARGET)
    read["types"] = map(DeviceType, read.get("types", ()))
    sets: dict[str, Any] = {key: frozenset(entry) for key, entry in read.items() if key != "hardware"}
    return Target(hardware=read.get("hardware", _default(Target, "hardware")), **sets)


def _read_waves(value: object) -> tuple[Wave, ...]:
    waves: list[Wave] = []
    for where, entry in _tables("wave", value, WAVES_MAX):
        read = _table(where, entry, _WAVE, ("name", "share"))
        read["gated"] = read.pop("gate", True)
        wave = Wave(**read)
        if any(wave.name == other.name for other in waves):
            raise _wrong(f"{where}.name", wave.name, "a name that no other wave has")
        if waves and wave.share <= waves[-1].share:
            raise _wrong(
                f"{where}.share",
                wave.share,
                f"more than the {waves[-1].share:g} of the wave before: shares count from the beginning",
            )
        waves.append(wave)
    if not waves:
        raise _wrong("wave", value, "one [[wave]] at least")
    if waves[-1].share != 1:
        raise _wrong(
            f"wave[{len(waves)}].share", waves[-1].share, "1 in the last wave, which reaches every Device"
        )
    return tuple(waves)


def _read_gate(value: object) -> Gate:
    read = _table("gate", value, _GATE)
    full = {name: read.get(name, _default(Gate, name)) for name in _GATE}
    for what in ("failure", "silence"):
        good, bad = f"acceptable_{what}_rate", f"max_{what}_rate"
        if not full[good] < full[bad] < 1:
            raise _wrong(f"gate.{bad}", full[bad], f"more than {good} = {full[good]:g}, less than 1")
    if full["acceptable_silence_rate"] > full["acceptable_failure_rate"]:
        raise _wrong(
            "gate.acceptable_silence_rate",
            full["acceptable_silence_rate"],
            f"at most acceptable_failure_rate = {full['acceptable_failure_rate']:g}, for it counts in both",
        )
    return Gate(**full)


def _read_deadlines(value: object) -> Deadlines:
    deadlines = Deadlines(**_table("deadlines", value, _DEADLINES))
    for early, late in (("hub", "device"), ("device", "proof")):
        if deadlines.of(early) > deadlines.of(late):
            raise _wrong(
                f"deadlines.{late}",
                _span(deadlines.of(late)),
                f"{early} = {_span(deadlines.of(early))} or more: all three count from the order",
            )
    return deadlines


def _read_retries(value: object) -> Retries:
    read = _table("retries", value, _RETRIES)
    both = set(read.get("retryable", ())) & set(read.get("final", ()))
    if both:
        raise _wrong("retries.final", sorted(both), "a cause that is not in retryable too")
    default: Retries = _default(Plan, "retries")
    first, longest = read.get("backoff_first", default.first), read.get("backoff_cap", default.longest)
    if first > longest:
        raise _wrong("retries.backoff_cap", _span(longest), f"backoff_first = {_span(first)} or more")
    return Retries(
        attempts=read.get("attempts_max", default.attempts),
        checks=read.get("checks_max", default.checks),
        first=first,
        factor=read.get("backoff_factor", default.factor),
        longest=longest,
        retryable={Cause[name.upper()]: True for name in read.get("retryable", ())}
        | {Cause[name.upper()]: False for name in read.get("final", ())},
    )


def _read_windows(value: object) -> tuple[Window, ...]:
    windows: list[Window] = []
    for where, entry in _tables("window", value, LIST_MAX):
        read = _table(where, entry, _WINDOW, ("from", "to"))
        start, end = read["from"], read["to"]
        if start == MINUTES_A_DAY:
            raise _wrong(f"{where}.from", "24:00", '"00:00" to "23:59"')
        if start == end or not end:
            raise _wrong(
                f"{where}.to", _clock_text(end), 'another time than from, and midnight at the end is "24:00"'
            )
        window = Window(
            start,
            end,
            frozenset(Day[name.upper()] for name in read.get("days", _DAYS)),
            frozenset(map(Kind, read["orders"])) if "orders" in read else frozenset(Kind),
        )
        if window in windows:
            raise _wrong(where, entry, "a window that is not there already")
        windows.append(window)
    return tuple(windows)


def _read_rate(value: object) -> Rate:
    read = _table("rate", value, _RATE, ("per_hour",))
    growth = Growth(read.pop("kind", Growth.CONSTANT.value))
    needs = {
        Growth.CONSTANT: set(),
        Growth.STEPPED: {"step", "every"},
        Growth.EXPONENTIAL: {"factor", "every"},
    }[growth]
    grows = {"step", "factor", "every", "cap"} & read.keys()
    if missing := sorted(needs - grows):
        raise UsageError(f"plan: rate.{missing[0]} is missing, which a rate of kind {growth.value} needs")
    if surplus := sorted(grows - needs - ({"cap"} if needs else set())):
        raise _wrong(f"rate.{surplus[0]}", read[surplus[0]], f"nothing, for a rate of kind {growth.value}")
    if read.get("factor", 2) <= 1:
        raise _wrong("rate.factor", read["factor"], "more than 1")
    if read.get("cap", PER_HOUR_MAX) < read["per_hour"]:
        raise _wrong("rate.cap", read["cap"], f"per_hour = {read['per_hour']} or more")
    return Rate(growth, **read)


def _read_caps(value: object) -> Caps:
    return Caps(**_table("caps", value, _CAPS))


def _default(kind: type, name: str) -> Any:
    return kind.__dataclass_fields__[name].default  # type: ignore[attr-defined] # only dataclasses are asked


_PARTS: Final[Mapping[str, Callable[[object], object]]] = {
    "board": _read_board,
    "target": _read_target,
    "wave": _read_waves,
    "gate": _read_gate,
    "deadlines": _read_deadlines,
    "retries": _read_retries,
    "window": _read_windows,
    "rate": _read_rate,
    "caps": _read_caps,
}


def _document(plan: Plan) -> dict[str, object]:
    """What `_plan` reads, with every key that has a value."""
    target, rate = plan.target, plan.rate
    grown = {
        Growth.CONSTANT: {},
        Growth.STEPPED: {"step": rate.step, "every": _span(rate.every), "cap": rate.cap},
        Growth.EXPONENTIAL: {"factor": rate.factor, "every": _span(rate.every), "cap": rate.cap},
    }[rate.growth]
    return {
        "name": plan.name,
        "stratify": list(plan.stratify),
        **_word_document(plan),
        "allow_downgrade": plan.allow_downgrade,
        "batch_max": plan.batch_max,
        "sweep_every": _span(plan.sweep_every),
        "lasts": _span(plan.lasts),
        "blackout": sorted(day.isoformat() for day in plan.blackout),
        "jitter": _span(plan.jitter),
        "target": {
            "types": sorted(kind.value for kind in target.types),
            "manufacturers": [f"{code:04X}" for code in sorted(target.manufacturers)],
            "models": [f"{model:04X}" for model in sorted(target.models)],
            "hardware": "-".join(f"{version:04X}" for version in target.hardware),
            "firmware": [str(version) for version in sorted(target.firmware)],
            "regions": sorted(target.regions),
            "hub_models": sorted(target.hub_models),
            "tags": sorted(target.tags),
        },
        "wave": [
            {
                "name": it.name,
                "share": it.share,
                "minimum": it.minimum,
                "soak": _span(it.soak),
                "gate": it.gated,
            }
            for it in plan.waves
        ],
        "gate": {name: getattr(plan.gate, name) for name in _GATE},
        "deadlines": {name: _span(plan.deadlines.of(name)) for name in _DEADLINES},
        "retries": {
            "attempts_max": plan.retries.attempts,
            "checks_max": plan.retries.checks,
            "backoff_first": _span(plan.retries.first),
            "backoff_factor": plan.retries.factor,
            "backoff_cap": _span(plan.retries.longest),
            "retryable": sorted(cause.name.lower() for cause, may in plan.retries.retryable.items() if may),
            "final": sorted(cause.name.lower() for cause, may in plan.retries.retryable.items() if not may),
        },
        "window": [
            {
                "days": [day.name.lower() for day in Day if day in window.days],
                "from": _clock_text(window.start),
                "to": _clock_text(window.end),
                "orders": [kind.value for kind in Kind if kind in window.kinds],
            }
            for window in plan.windows
        ],
        "rate": {"kind": rate.growth.value, "per_hour": rate.per_hour} | grown,
        "caps": {name: cap for name in _CAPS if (cap := getattr(plan.caps, name)) is not None},
    } | _quiet_document(plan)


def _quiet_document(plan: Plan) -> dict[str, object]:
    """When activations are, and until when they can be called off: what is as usual is left out."""
    found: dict[str, object] = {}
    if plan.activate_at:
        found["activate_at"] = "-".join(map(_clock_text, plan.activate_at))
    # Left out where it is as usual, as from every plan that was approved before there was this key.
    if plan.call_off_ahead != _default(Plan, "call_off_ahead"):
        found["call_off_ahead"] = _span(plan.call_off_ahead)
    return found


def _word_document(plan: Plan) -> dict[str, Any]:
    """Whose word is needed."""
    if plan.board is None:
        return {"approvals": plan.approvals}
    found: dict[str, Any] = {
        "board": [{"category": it.name, "members": list(it.members)} for it in plan.board.categories]
    }
    return found if plan.board.quorum is None else found | {"quorum": plan.board.quorum}


EXAMPLE: Final[str] = """\
# A campaign plan. The release is named when the campaign is created:
#     lamplighter campaign create --release NAME PLAN.toml
# Durations are "90m", "24h", "3d" or "1d12h". Rates are 0.02 or "2 %". Times are Great Britain's clocks, in
# summer and winter. What is left out has the value shown here; filters, windows, caps and rate: no limit.

name = "PPMID spring update"

# Devices that are alike in all of these are one stratum: gates judge it, and hold it, alone. Out of:
# hub_model, hub_firmware, hardware, region, gbcs_version, model, firmware, tag.
stratify = ["hub_model", "hub_firmware", "hardware"]

# How many people, other than those who wrote it, must approve this plan and this image, 0 to 10. Where there
# are accounts, one at least. Left out where a board votes instead: see [[board]].
approvals = 1

# Whether Devices that run a later version are brought back to this one.
allow_downgrade = false

# Devices in one request (SRV 11.1, 11.4), at most 50000. Fewer at a time: fewer in flight when a gate holds.
batch_max = 5000

# How often late joiners are looked for, and Devices whose home was busy.
sweep_every = "6h"

# How long after its start the campaign ends in any case. What is held or waiting then is cancelled.
lasts = "60d"

# Local days without any order. Left out: none.
blackout = [2026-12-24, 2026-12-25, 2026-12-26]

# Orders are spread by up to this, and half of the window at most, so that not all go out as it opens: each
# region and model of hub begins at a moment of its own. Left out: not at all.
jitter = "15m"

# SRV 11.3 only: activation is future-dated to a moment in this stretch. Left out: at once.
# activate_at = "02:00-04:00"

# Where a stratum is held, or the campaign is aborted or over, activations that lie so far ahead at least are
# called off (SRV 11.3 once more). Those that fall due sooner are left: the word might come too late.
call_off_ahead = "1h"

# A board that votes instead of `approvals`. A category approves if more approve than reject; the board, if
# more categories approve than reject; who abstains takes neither side. Who wrote the plan has no vote.
# `quorum`, at the top of the file, is how many must have voted, abstentions included; left out: all.
# quorum = 3
# [[board]]
# category = "Large Suppliers"
# members = ["a.ahmed", "b.brown", "c.clark"]
# [[board]]
# category = "Network Parties"
# members = ["d.davies"]

# Which Devices: those that fit every filter. A filter that is left out fits all.
[target]
types = ["PPMID"]                  # PPMID, HCALCS, ESME, GSME
# manufacturers = ["121D"]         # Zigbee manufacturer codes, hex
# models = ["0001"]                # model identifiers, hex
# hardware = "1111-1211"           # lowest and highest hardware version, hex
# firmware = ["ACDCACDB"]          # versions that run now, hex
# regions = ["North", "Central"]   # CSP regions
# hub_models = ["CH-A"]
# tags = ["friends and family"]

# Waves, in their order. `share` is how much of each stratum has been ordered by the end of the wave, counted
# from the beginning; the last reaches 1. `minimum` is the Devices of each stratum at least (all, if it has
# fewer). `soak` is how long the next wave waits once this one is good. With `gate = false` it does not wait
# for a PASS.
[[wave]]
name = "canary"
share = 0.01
minimum = 50
soak = "24h"

[[wave]]
name = "tenth"
share = "10 %"
minimum = 200
soak = "12h"

[[wave]]
name = "everyone"
share = 1

# When a stratum is held, and when it passes: a sequential test of its failure rate, right at every look.
# Silence counts as failure, and has limits of its own.
[gate]
acceptable_failure_rate = 0.02   # at this rate or below, a hold is an error
max_failure_rate = 0.10          # at this rate or above, a pass is an error
acceptable_silence_rate = 0.02   # the same for Devices that are silent to the end; at most that of failures
max_silence_rate = 0.10
false_hold_rate = 0.0001         # how often an acceptable stratum may be held: one of 10,000
miss_rate = 0.05                 # how often a harmful stratum may pass; it can still be held afterwards
minimum_sample = 5               # no word before so many Devices have an outcome

# When silence is a failure. All count from the order.
[deadlines]
hub = "1d"           # SRV 11.1, 11.4: the image lies at the hub (N60)
device = "4d"        # the Device has it (N62)
proof = "5d"         # the Device has verified it or runs it (8F72, N39)
activation = "2d"    # SRV 11.3: the Device runs it; with activate_at, 28h and its length at least
read = "1d"          # SRV 11.2: the Device has answered

# A silent Device is asked for its version before anything is sent again.
[retries]
attempts_max = 3         # updates of one Device, 1 to 15
checks_max = 4           # activations and reads within an attempt, 1 to 15
backoff_first = "1h"     # before the second try
backoff_factor = 2.0     # each next pause is longer by this
backoff_cap = "1d"       # and none longer than this
# Causes that are to be tried again, or not, against the usual: "transfer", "discarded", "unreachable",
# "activation", "silence" and others. A wrong word is answered with all of them.
retryable = []
final = []

# When orders may go out. A kind of order for which there is no window goes out at any time.
# `days` are those on which it begins (left out: all), `orders` out of update, activate, read (left out: all).
[[window]]
days = ["mon", "tue", "wed", "thu", "fri"]
from = "08:00"
to = "20:00"
orders = ["update"]

[[window]]
days = ["sat", "sun"]
from = "10:00"
to = "16:00"
orders = ["update"]

# How many Devices an hour. A rate grows with what is ordered, not with the clock: a pause saves nothing up.
[rate]
kind = "exponential"   # constant; stepped (with step, every); exponential (with factor, every)
per_hour = 1000        # at first
factor = 2.0           # so many times as many
every = "1d"           # after so much time of ordering
cap = 20000            # but never more

# What is never exceeded, whatever the rate says. One update at a time for each home goes without saying.
[caps]
in_flight = 200000
per_region = 50000           # in flight, in each CSP region
per_hub_model = 100000       # in flight, on each model of hub
requests_per_day = 400000    # Devices in requests of one service: below the DCC's anomaly threshold
"""
"""A plan with every key and what it means; `campaign create --example` prints it."""
