"""`lamplighter report`: what came of updates, and which alerts storm."""

import os
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from cyclopts import App, Parameter
from rich.text import Text

from lamplighter.cli import files, output
from lamplighter.cli.arguments import DATABASE, Database, Force, Who
from lamplighter.cli.output import Report
from lamplighter.cli.place import now, opened, person
from lamplighter.kit import DecodeError, Instant, UsageError
from lamplighter.kit.instant import MINUTE, from_day, from_iso, to_iso
from lamplighter.planning import metrics as measures
from lamplighter.planning.operation import duration, interval, metrics_page, moment, number, of_whom, share
from lamplighter.planning.reporter import BY, STORMS_MAX, gather, tell_of
from lamplighter.planning.reports import to_pdf
from lamplighter.planning.storms import Told, as_facts, cure, storms_page
from lamplighter.service.people import Scope
from lamplighter.store import Store

app: Final = App(
    name="report",
    help="Figures and reports: what came of updates, which alerts storm.",
    help_format="markdown",
)

Moment = Annotated[
    str | None, Parameter(metavar="DATE", help="2026-11-24 or 2026-11-24T09:00:00Z, UTC.", show_default=False)
]
Html = Annotated[Path | None, Parameter(help="Write the report as one HTML file.", negative="")]
Pdf = Annotated[Path | None, Parameter(help="Write the report as PDF, by Chromium.", negative="")]


class _Period(NamedTuple):
    start: Instant | None
    end: Instant | None


@app.command
def metrics(
    *,
    campaign: Annotated[
        list[str] | None, Parameter(negative="", help="Name or id; may be repeated. Default: all.")
    ] = None,
    start: Annotated[Moment, Parameter(name="--from")] = None,
    end: Annotated[Moment, Parameter(name="--to")] = None,
    by: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help=f"Group by one of {', '.join(measures.DIMENSIONS)}; may be repeated. "
            "Default: region, hub-model, model, wave.",
        ),
    ] = None,
    csv: Annotated[Path | None, Parameter(help="Write the groups as CSV.", negative="")] = None,
    html: Html = None,
    pdf: Pdf = None,
    force: Force = False,
    database: Database = DATABASE,
) -> Report:
    """Rates and times of updates: delivery, transfer, activation, proof; causes; visits avoided.

    An update belongs to the period in which it was first ordered. docs/reports.md defines each figure.
    """
    period = _period(start, end)
    with opened(database) as store:
        ids = None if campaign is None else [_campaign(store, it) for it in campaign]
        _look(store, now())
        found, storms = gather(store, ids, period.start, period.end, by or BY, now)
    if csv is not None:
        files.write(csv, measures.as_csv(found).encode(), force=force)
    if html is not None or pdf is not None:
        _write(metrics_page(found, storms=storms), html, pdf, force=force)
    return Report(measures.as_facts(found), _view(found))


@app.command
def storms(
    *,
    storm: Annotated[
        list[int] | None,
        Parameter(negative="", help="Number in the register; may be repeated. Default: all."),
    ] = None,
    start: Annotated[Moment, Parameter(name="--from")] = None,
    end: Annotated[Moment, Parameter(name="--to")] = None,
    cured_by: Annotated[
        str | None,
        Parameter(
            negative="",
            help="Say that this release cures the storms named; `-` that none does.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    html: Html = None,
    pdf: Pdf = None,
    force: Force = False,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """The register of alert storms: what storms, what would cure it, and whether it did."""
    period = _period(start, end)
    if cured_by is not None and not storm:
        raise UsageError("--cured-by needs --storm: which storm does it cure?")
    with opened(database) as store:
        as_of = now()
        _look(store, as_of)
        if cured_by is not None:
            whose = person(store, by)
            whose.require(Scope.OPERATE)
            release = None if cured_by == "-" else store.registry.listed(_key(cured_by)).id
            for it in storm or ():
                store.storms.link(it, release, whose.name, as_of)
        if storm:
            found = [store.storms.find(it) for it in storm]
        else:
            low, high = period.start or Instant(0), period.end or Instant(as_of + 1)
            found = store.storms.between(low, high)[-STORMS_MAX:]
        told = [tell_of(store, it, as_of) for it in found]
        names = {it.id: it.name for it in store.registry.releases()}
    if html is not None or pdf is not None:
        _write(storms_page(told, as_of, names), html, pdf, force=force)
    facts = {"storms": [as_facts(it) for it in told]}
    return Report(facts, _storm_view(told, names))


def _look(store: Store, as_of: Instant) -> None:
    """Bring the register up to date, unless a reconciler is at it."""
    lease = store.leases.take("storms", f"report-{os.getpid()}", as_of, MINUTE)
    if lease is not None:
        store.storms.watch(lambda: lease, as_of)
        store.leases.release(lease)


def _campaign(store: Store, key: str) -> int:
    return store.campaigns.find(_key(key)).id


def _key(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() else text


def _period(start: str | None, end: str | None) -> _Period:
    low, high = _moment("--from", start), _moment("--to", end)
    if low is not None and high is not None and high <= low:
        raise UsageError(f"--to {end} is not after --from {start}")
    return _Period(low, high)


def _moment(option: str, text: str | None) -> Instant | None:
    if text is None:
        return None
    try:
        return from_iso(text) if "T" in text else from_day(text)
    except DecodeError as cause:
        raise UsageError(
            f"{option} takes a date such as 2026-11-24 or 2026-11-24T09:00:00Z, not {text!r}"
        ) from cause


def _write(page: str, html: Path | None, pdf: Path | None, *, force: bool) -> None:
    if html is not None:
        files.write(html, page.encode(), force=force)
    if pdf is not None:
        if pdf.exists() and not force:
            raise UsageError(f"{pdf} exists already; --force replaces it")
        to_pdf(page, pdf)


# --- for people


def _view(found: measures.Metrics) -> Any:
    total = found.total.counts
    whole = found.total.times["order to proof"]
    rows = [
        ("proven", f"{number(total.proven)} of {number(total.updates)} ({share(total.proof_rate)})"),
        ("settled proof rate", f"{share(total.settled_proof_rate)} (95 %: {interval(total)})"),
        ("delivery", share(total.delivery_rate)),
        ("transfer", share(total.transfer_rate)),
        ("activation", share(total.activation_rate)),
        (
            "order to proof",
            "none yet"
            if whole is None
            else f"half within {duration(whole.p50)}, 90 % within {duration(whole.p90)}",
        ),
        ("failed, silent", f"{number(total.failed)}, {number(total.lost)}"),
        ("left, cancelled", f"{number(total.withdrawn)}, {number(total.cancelled)}"),
        ("under way", number(total.in_flight)),
        ("visits", f"{number(total.visits_avoided)} avoided, {number(total.visits_due)} due"),
    ]
    for it in found.exposures:
        half = "not reached" if it.half_life is None else duration(it.half_life)
        left = f", {number(it.left)} left" if it.left else ""
        cures = "" if it.security is None else f"; security {it.security}"
        rows.append(
            (
                f"half-life, {it.campaign}",
                f"{half} ({number(it.proven)} of {number(it.exposed)} exposed{left}{cures})",
            )
        )
    parts: list[Any] = [output.pairs(rows)]
    for name, groups in found.groups.items():
        table = output.grid(
            name, "updates", "delivery", "transfer", "activation", "proof", "settled", "half in", "90 % in",
            right=("updates", "delivery", "transfer", "activation", "proof", "settled", "half in", "90 % in"),
            folded=0,
        )  # fmt: skip
        for group in groups:
            counts, times = group.counts, group.times["order to proof"]
            table.add_row(
                group.value,
                number(counts.updates),
                share(counts.delivery_rate),
                share(counts.transfer_rate),
                share(counts.activation_rate),
                share(counts.proof_rate),
                share(counts.settled_proof_rate),
                "" if times is None else duration(times.p50),
                "" if times is None else duration(times.p90),
            )
        parts.append(table)
    if found.endings:
        table = output.grid("updates", "ended without a proof because", right=("updates",))
        for ending in found.endings:
            table.add_row(number(ending.updates), ending.meaning)
        parts.append(table)
    title = ", ".join(found.campaigns[:3]) or "no campaign"
    if len(found.campaigns) > 3:
        title = f"{len(found.campaigns)} campaigns"
    return output.page(title, f"as of {moment(found.as_of)}", *parts)


def _storm_view(told: list[Told], names: dict[int, str]) -> Any:
    if not told:
        return Text("no alert storm is in the register for that time", "dim")
    table = output.grid(
        "storm", "code", "of", "version", "from", "to", "alerts", "Devices", "worst hour", "cure",
        right=("alerts", "Devices", "worst hour"),
    )  # fmt: skip
    for it in told:
        storm = it.storm
        table.add_row(
            str(storm.id),
            storm.code,
            of_whom(storm),
            "" if storm.version is None else str(storm.version),
            moment(storm.first_at),
            "goes on" if storm.is_open else to_iso(storm.last_at)[:16].replace("T", " "),
            number(storm.alerts),
            number(storm.devices),
            number(storm.peak),
            _cure_text(it, names),
        )
    going = sum(it.storm.is_open for it in told)
    return output.page("alert storms", f"{len(told)}, of which {going} go on", table)


def _cure_text(told: Told, names: dict[int, str]) -> str:
    release = told.storm.cured_by
    if release is None:
        return (
            f"none named; could be {', '.join(names[it] for it in told.candidates[:3])}"
            if told.candidates
            else "none"
        )
    found = cure(told.relative)
    if found is None or found.falls_by is None:
        return names.get(release, str(release))
    sign = "-" if found.falls_by >= 0 else "+"
    return f"{names.get(release, release)}: {sign}{abs(found.falls_by) * 100:.0f} %"
