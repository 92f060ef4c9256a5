"""`lamplighter registry ask`, `asked`, `stop-asking`: have the DCC say what its inventory has, SRV 8.2."""

from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from lamplighter.cli import files, output, place, sheets
from lamplighter.cli.arguments import DATABASE, Database, Duration, Eui, Euis, Force, Hex16, Version, Who
from lamplighter.cli.arguments import duration_text as said
from lamplighter.cli.output import Report
from lamplighter.kit import DecodeError, Eui64, Instant, UsageError
from lamplighter.kit.instant import to_iso
from lamplighter.protocol.duis import DeviceStatus, DeviceType, Mpxn, Uprn
from lamplighter.service.people import Scope
from lamplighter.store.fleet import Wanted
from lamplighter.store.questions import PER_HOUR, Inquiry, Outcome, Premises

_SHOWN_FAILED: Final = 10
_MPXN_MAX, _UPRN_MAX = 13, 12  # characters, DUIS
_TITLES: Final = ("premises", "code", "answered", "taken in", "bad rows", "reason")

MaybeDuration = Annotated[Duration | None, Parameter(show_default=False)]
MaybeHex16 = Annotated[Hex16 | None, Parameter(show_default=False)]
Texts = Annotated[list[str] | None, Parameter(negative="", metavar="NUMBER")]


def ask(  # the options are the command's
    devices: Euis = None,
    /,
    *,
    file: Annotated[Path | None, Parameter(metavar="FILE", allow_leading_hyphen=True)] = None,
    mpxn: Texts = None,
    uprn: Texts = None,
    every: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    unheard_for: MaybeDuration = None,
    type: DeviceType | None = None,  # noqa: A002 # the very word
    manufacturer: MaybeHex16 = None,
    model: MaybeHex16 = None,
    hardware: MaybeHex16 = None,
    firmware: Version | None = None,
    status: DeviceStatus | None = None,
    region: str | None = None,
    hub_model: str | None = None,
    tag: str | None = None,
    hub: Eui | None = None,
    per_hour: int = PER_HOUR,
    database: Database = DATABASE,
    by: Who = "",
) -> Report:
    """Ask the DCC what its inventory has of some homes, and take in what it says: SRV 8.2, live.

    The DCC tells of a whole home at once: its hub, and all Devices behind it with their firmware and status.
    This command only writes down who is to be asked about; `serve`, or a `worker` with keys, asks one home
    after the other whenever no order of a campaign waits. `registry asked` shows how far it has come.
    Name homes, or let Devices of the registry be looked for: each home is asked about once, by one of them.

    Parameters
    ----------
    devices
        EUI-64s of Devices or hubs, known or new.
    file
        A text file with one EUI-64 a line, or `-` for stdin.
    mpxn
        A meter point, MPAN or MPRN, such as that of a new home; may be repeated.
    uprn
        A Unique Property Reference Number; may be repeated.
    every
        All homes of the registry.
    unheard_for
        Only homes of which the DCC has told nothing, when asked, for so long, such as 30d.
    type
        Homes with a Device of this type, as the registry has it, and of all that is said beside it.
    manufacturer
        Of this manufacturer.
    model
        Of this model.
    hardware
        Of this hardware version.
    firmware
        That runs this version.
    status
        In this status.
    region
        In this region.
    hub_model
        Behind a hub of this model.
    tag
        With this tag.
    hub
        The home of this hub.
    per_hour
        Ask none of these where so many questions of all inquiries went out in the last hour. Keep it well
        below the anomaly-detection threshold for SRV 8.2 that the DCC has of you.
    """
    wanted = Wanted(type, manufacturer, model, hardware, firmware, status, None, region, hub_model, tag, hub)
    named = _named(devices, file, mpxn, uprn)
    is_looked_for = every or unheard_for is not None or wanted != Wanted()
    if named and is_looked_for:
        raise UsageError("either name homes, or let them be looked for: not both in one inquiry")
    if not named and not is_looked_for:
        raise UsageError("nobody is named: which homes is the DCC to be asked about? --every asks about all")
    with place.opened(database, make=bool(named)) as store:
        me, now = place.person(store, by), place.now()
        me.require(Scope.OPERATE)
        if named:
            inquiry = store.questions.ask(named, f"{len(set(named))} named", me.name, now, per_hour)
        else:
            inquiry = store.questions.ask_about(
                wanted,
                _what(wanted, unheard_for),
                me.name,
                now,
                unheard_since=None if unheard_for is None else Instant(now - unheard_for),
                per_hour=per_hour,
            )
    parts = [
        f"{inquiry.questions:,} homes, at most {inquiry.per_hour:,} an hour",
        f"`serve` or a `worker` with keys asks; `registry asked {inquiry.id}` shows what came of it",
    ]
    return Report(_facts(inquiry), output.page(f"inquiry {inquiry.id}", inquiry.what, *parts))


def asked(
    number: int | None = None,
    /,
    *,
    out: Annotated[Path | None, Parameter(alias="-o", metavar="CSV")] = None,
    database: Database = DATABASE,
    force: Force = False,
) -> Report:
    """Show what the DCC was asked and how far that has come; exit code 1 if it refused any of one inquiry.

    Parameters
    ----------
    number
        One inquiry: what was refused, came to nothing, or was not taken in whole, and why.
    out
        Write all of these there: premises, code, time, reason.
    """
    if number is None:
        if out is not None:
            raise UsageError("--out is of one inquiry: which?")
        with place.opened(database) as store:
            inquiries = store.questions.inquiries()
        counts = ("open", "told", "failed")
        table = output.grid("inquiry", "asked", "by", *counts, "homes", right=("inquiry", *counts), folded=1)
        for it in inquiries:
            numbers = (f"{count:,}" for count in (it.open, it.told, it.failed))
            table.add_row(str(it.id), to_iso(it.at)[:10], it.who, *numbers, it.what)
        facts = {"inquiries": [_facts(it) for it in inquiries]}
        return Report(facts, output.page("inventory asked", f"{len(inquiries)} inquiries", table))
    first: list[Outcome] = []
    with place.opened(database) as store, sheets.writing(out, _TITLES, force=force) as write:
        found = store.questions.inquiry(number)
        for outcome in store.questions.outcomes(number, bad_only=True):
            if len(first) < _SHOWN_FAILED:
                first.append(outcome)
            write(_cells(outcome))
    rows = {
        "asked": f"{to_iso(found.at)[:16]} by {found.who}, at most {found.per_hour:,} an hour",
        "told": f"{found.told:,} of {found.questions:,} homes; {found.devices:,} Devices and hubs taken in",
        "open": f"{found.open:,}",
        "failed": f"{found.failed:,}",
        "cancelled": f"{found.cancelled:,}",
        "bad rows": f"{found.bad:,}",
    }
    parts: list[Any] = [output.pairs(rows.items())]
    if first:
        table = output.grid(*_TITLES, right=_TITLES[3:5], folded=1)
        for outcome in first:
            table.add_row(*_cells(outcome))
        parts.append(table)
        if out is None:
            parts.append("--out FILE.csv lists all that failed")
    whole = {
        **_facts(found),
        "first_failed": [dict(zip(_TITLES, _cells(outcome), strict=True)) for outcome in first],
        "file": None if out is None else str(out),
    }
    return Report(whole, output.page(f"inquiry {found.id}", found.what, *parts), passed=not found.failed)


def stop_asking(number: int, /, *, database: Database = DATABASE, by: Who = "") -> Report:
    """Ask nothing more of an inquiry. What was told stays, and a question that is out is answered.

    Parameters
    ----------
    number
        Its number, as `registry asked` has it.
    """
    with place.opened(database) as store:
        me = place.person(store, by)
        me.require(Scope.OPERATE)
        found = store.questions.cancel(number, me.name, place.now())
    what = f"{found.told:,} told, {found.failed:,} failed, {found.cancelled:,} not asked"
    return Report(_facts(found), output.page(f"inquiry {found.id}", what))


def _named(
    devices: list[Eui64] | None, file: Path | None, mpxns: list[str] | None, uprns: list[str] | None
) -> list[Premises]:
    listed: list[Premises] = [*(devices or ()), *(_read(file) if file is not None else ())]
    for number in mpxns or ():
        if not 0 < len(number) <= _MPXN_MAX or not number.isprintable():
            raise UsageError(f"a meter point has 1 to {_MPXN_MAX} characters, not {number[:40]!r}")
        listed.append(Mpxn(number))
    for number in uprns or ():
        if not (number.isascii() and number.isdigit() and len(number) <= _UPRN_MAX and number.strip("0")):
            raise UsageError(f"a UPRN has 1 to {_UPRN_MAX} digits, not {number[:40]!r}")
        listed.append(Uprn(number))
    return listed


def _read(path: Path) -> list[Eui64]:
    """The EUI-64s in a file, a line each; all of them are good, or none is asked about."""
    found = []
    for line, text in enumerate(files.read(path).decode("utf-8-sig", "replace").splitlines(), 1):
        if not (word := text.strip().strip('"')):
            continue
        try:
            found.append(Eui64.parse(word))
        except DecodeError as cause:
            raise UsageError(
                f"{files.name_of(path)}, line {line}: expected {cause.expected}, found {cause.found}"
            ) from cause
    if not found:
        raise UsageError(f"{files.name_of(path)} names no Device")
    return found


def _what(wanted: Wanted, unheard_for: int | None) -> str:
    """How homes were looked for, in words."""
    words = {name: getattr(value, "value", value) for name, value in wanted.cohorts.items()}
    words |= {name: f"{words[name]:04X}" for name in ("manufacturer", "model", "hardware") if name in words}
    if wanted.hub is not None:
        words["hub"] = wanted.hub
    looked = " ".join(f"{name}={value}" for name, value in words.items()) or "every home"
    return looked if unheard_for is None else f"{looked}, unheard for {said(unheard_for)}"


def _cells(outcome: Outcome) -> tuple[str, ...]:
    counts = f"{outcome.devices:,}", f"{outcome.bad:,}"
    return str(outcome.of), outcome.code, to_iso(outcome.answered_at), *counts, outcome.detail


def _facts(inquiry: Inquiry) -> dict[str, Any]:
    return {
        "inquiry": inquiry.id,
        "at": to_iso(inquiry.at),
        "who": inquiry.who,
        "what": inquiry.what,
        "per_hour": inquiry.per_hour,
        "homes": inquiry.questions,
        "open": inquiry.open,
        "told": inquiry.told,
        "failed": inquiry.failed,
        "cancelled": inquiry.cancelled,
        "codes": dict(inquiry.codes),
        "devices": inquiry.devices,
        "bad": inquiry.bad,
        "ended_at": None if inquiry.ended_at is None else to_iso(inquiry.ended_at),
    }
