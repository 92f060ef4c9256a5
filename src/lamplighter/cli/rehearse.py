"""`lamplighter plan rehearse`: run the very plan over a model of the fleet, and say what comes of it."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.progress import Progress, TaskID
from rich.text import Text

from lamplighter.campaign import plan as plans
from lamplighter.campaign.plan import Plan
from lamplighter.campaign.status import CampaignStatus
from lamplighter.cli import files, output
from lamplighter.cli.arguments import DATABASE, ENVIRONMENT, Force, Who, duration
from lamplighter.cli.output import Report
from lamplighter.cli.place import now, opened, who
from lamplighter.kit import DecodeError, Instant, UsageError
from lamplighter.kit.instant import HOUR, MINUTE, from_iso, to_iso
from lamplighter.lab.faults import FAULTS
from lamplighter.planning import fleet as fleets
from lamplighter.planning import outlook_report as report
from lamplighter.planning.effects import BAD, effects, harms
from lamplighter.planning.estate import Estate, described, procedure_of, registered
from lamplighter.planning.forecast import cores, ensemble, forecast, members_for, rank
from lamplighter.planning.outlook_report import Rehearsed, band, span
from lamplighter.planning.rehearse import Scene
from lamplighter.planning.reports import charts, to_pdf
from lamplighter.registry import Release

_STEPS: Final = ((50_000, 15 * MINUTE), (1_000_000, 30 * MINUTE))  # up to so many Devices; beyond: an hour
_FAULTS_UP_TO: Final = 200_000  # Devices up to which all faults are tried if nothing else is said
_SHOWN: Final = 8
_BAR: Final = 30


def rehearse(
    plan: Annotated[Path | None, Parameter(metavar="PLAN.toml", allow_leading_hyphen=True)] = None,
    /,
    *,
    fleet: Annotated[Path | None, Parameter(metavar="FLEET.toml")] = None,
    database: Annotated[str | None, Parameter(env_var=f"{ENVIRONMENT}DATABASE")] = None,
    release: str | None = None,
    campaign: str | None = None,
    members: int | None = None,
    seed: str = "rehearsal",
    step: str | None = None,
    start: str | None = None,
    workers: int | None = None,
    faults: bool | None = None,
    html: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    pdf: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    force: Force = False,
    example: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    by: Who = "",
) -> Report:
    """Rehearse a campaign: when Devices are proven, the load on the WAN, what fails, what harm is stopped.

    Runs the plan many times with the code that decides in a real campaign, over a model of homes and
    networks, each time with other figures out of what nobody knows exactly. The Devices are those of the
    registry (`--database`, with `--release`), or of a described fleet (`--fleet`). With `--campaign` the
    plan, release and Devices are that campaign's, and the forecast is kept: the running campaign is held
    against it.

    Parameters
    ----------
    plan
        A plan in TOML, as `campaign create` takes it; `-` for stdin.
    fleet
        A fleet, or with `--database` only what is known of homes and networks. `--example` prints one.
    database
        sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.
    release
        Name of the release, as `release list` shows it.
    campaign
        Name of a campaign in the database.
    members
        Rehearsals: 9, 19, 29, ... Default: 39 for up to 50,000 Devices, 19 for up to a million, else 9.
    seed
        Any text; the same gives the same figures.
    step
        How often a rehearsal looks, from 1m to 6h. Default: 15m to 1h, by the size of the fleet.
    start
        When the campaign starts, such as 2026-01-12T09:00:00Z. Default: now, or when it did.
    workers
        Processes that share the work; the figures do not depend on it. Default: one a core.
    faults
        Try each named fault, and bad firmware. Default: for up to 200,000 Devices.
    html
        Write a report to this file: one page with all in it.
    pdf
        Write the report to this file too, printed by Chromium.
    example
        Print the commented example fleet, and do nothing else.
    """
    if example:
        return Report({"example": fleets.EXAMPLE}, output.Uncut(Text(fleets.EXAMPLE.rstrip())))
    for path in (html, pdf):
        if path is not None and path.exists() and not force:  # before minutes of work, not after
            raise UsageError(f"{path} exists already; --force replaces it")
    if html is not None or pdf is not None:
        charts.required()
    if members is not None:
        rank(members)
    begins, every = _instant(start), _duration(step)
    told = _fleet(fleet)
    if campaign is not None:
        if plan is not None or release is not None:
            raise UsageError("--campaign has its plan and its release already: give neither")
        with opened(database or DATABASE) as store:
            found = store.campaigns.find(campaign)
            if found.status in {CampaignStatus.FINISHED, CampaignStatus.ABORTED}:
                raise UsageError(
                    f"campaign {campaign!r} is {found.status.value}: there is nothing left to forecast"
                )
            if ordered := store.campaigns.view(found, now()).ordered:
                raise UsageError(
                    f"campaign {campaign!r} has ordered {ordered:,} updates already: a rehearsal would be of "
                    "the Devices that are left, begun anew. Make the forecast before the start"
                )
            known = store.registry.registered(found.release)
            scene = _scene(
                found.plan,
                known.release,
                registered(store, found.plan, known.release),
                known.octets,
                begins or found.started_at or now(),
                every,
            )
            rehearsed = _run(scene, told, seed, members, workers, faults=faults)
            store.forecasts.save(found.id, rehearsed.forecast, who(by), now())
        return _report(rehearsed, html, pdf, kept=campaign, force=force)
    if plan is None:
        raise UsageError(
            "missing: a file with a plan, or --campaign; `campaign create --example` prints a plan"
        )
    asked = _plan(plan)
    if database is not None and release is not None:
        with opened(database) as store:
            known = store.registry.registered(release)
            estate = registered(store, asked, known.release)
        scene = _scene(asked, known.release, estate, known.octets, begins or now(), every)
    elif release is not None:
        raise UsageError("--release wants --database, in which it is")
    elif fleet is None:
        raise UsageError("missing: --fleet FLEET.toml (--example prints one), or --database and --release")
    else:
        if not told.devices:
            raise UsageError(f"{fleet}: no [[devices]]: it describes nobody")
        its = told.release(procedure_of(asked))
        scene = _scene(
            asked, its, described(asked, its, told.devices, seed), told.octets, begins or now(), every
        )
    return _report(_run(scene, told, seed, members, workers, faults=faults), html, pdf, force=force)


def _scene(
    plan: Plan, release: Release, estate: Estate, octets: int, start: Instant, step: int | None
) -> Scene:
    if not len(estate):
        left = (
            ", ".join(f"{n:,}: {verdict.value}" for verdict, n in estate.left_out.items())
            or f"the plan is for {', '.join(sorted(it.value for it in plan.target.types))}: there is none"
        )
        raise UsageError(f"no Device may have this release ({left})")
    usual = next((it for most, it in _STEPS if len(estate) <= most), HOUR)
    return Scene(plan, release.procedure, max(1, octets), estate, start, usual if step is None else step)


def _run(
    scene: Scene,
    told: fleets.Fleet,
    seed: str,
    members: int | None,
    workers: int | None,
    *,
    faults: bool | None,
) -> Rehearsed:
    size = len(scene.estate)
    members = members_for(size) if members is None else members
    # A process takes some hundred octets a Device: no more of them than a common machine has room for.
    working = min(cores(), max(1, 20_000_000 // size)) if workers is None else workers
    if working < 1:
        raise UsageError("--workers takes 1 or more")
    with_faults = size <= _FAULTS_UP_TO if faults is None else faults
    with Progress(transient=True, console=_console(), disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task("rehearsals", total=members)
        courses = ensemble(
            scene, told.assumptions, seed=seed, members=members, workers=working, progress=_done(bars, task)
        )
        made = forecast(scene, courses, now())
        found = Rehearsed(scene, told.assumptions, seed, courses, made)
        if not with_faults:
            return found
        task = bars.add_task("faults", total=len(FAULTS))
        circumstances = told.assumptions.draw(f"{seed}/faults")
        _, changed = effects(scene, circumstances, f"{seed}/faults", progress=_done(bars, task))
        bad = harms(scene, circumstances, f"{seed}/bad")
    return Rehearsed(scene, told.assumptions, seed, courses, made, changed, bad)


def _done(bars: Progress, task: TaskID) -> Any:
    return lambda done: bars.update(task, completed=done)


def _console() -> Any:
    from rich.console import Console  # noqa: PLC0415 # as elsewhere: only where it is shown

    return Console(stderr=True)


def _report(
    found: Rehearsed, html: Path | None, pdf: Path | None, *, force: bool, kept: str | None = None
) -> Report:
    written = []
    if html is not None or pdf is not None:
        text = report.html(found)
        if html is not None:
            files.write(html, text.encode(), force=force)
            written.append(html)
        if pdf is not None:
            with tempfile.TemporaryDirectory(prefix="lamplighter-rehearsal-") as folder:
                printed = Path(folder, "report.pdf")
                to_pdf(text, printed)
                files.write(pdf, printed.read_bytes(), force=force)
            written.append(pdf)
    return Report(
        _facts(found) | {"kept": kept, "files": list(map(str, written))}, _view(found, written, kept)
    )


def _facts(found: Rehearsed) -> dict[str, Any]:
    made, scene = found.forecast, found.scene
    return {
        "campaign": scene.plan.name,
        "devices": made.devices,
        "start": to_iso(scene.start),
        "members": made.members,
        "level": made.level,
        "seed": found.seed,
        # What a business case reads: Devices proven, and those that it tried and did not bring there.
        "outcome": {"proven": made.devices - made.failures.middle, "failed": found.visits.middle},
        "left_out": {verdict.name.lower(): n for verdict, n in scene.estate.left_out.items()},
        "ends_hours": [round(it / HOUR, 2) for it in made.ends],
        "failures": list(made.failures),
        "visits": list(found.visits),
        "requests": {srv: list(count) for srv, count in made.requests.items()},
        "causes": {cause.name.lower(): list(devices) for cause, devices in report.causes(found)},
        "curve": {
            "hours": [round(it / HOUR, 3) for it in made.since_start],
            "low": list(made.low),
            "middle": list(made.middle),
            "high": list(made.high),
        },
        "alarm": {"reach": round(made.reach, 3), "sure": round(made.sure, 4)},
        "octets_to_homes": {
            it.region: {"days": it.days, "whole": list(it.whole), "busiest_day": list(it.busiest)}
            for it in found.down
        },
        "octets_from_homes": list(found.up),
        "faults": [
            {
                "fault": it.fault.name,
                "probability": it.scheduled.probability,
                "half_later_hours": None if it.half is None else round(it.half / HOUR, 2),
                "later_hours": round(it.later / HOUR, 2),
                "fewer_proven": it.fewer,
                "more_visits": it.visits,
                "more_requests": it.requests,
                "held": [held.stratum for held in it.course.held],
            }
            for it in found.effects
        ],
        "bad_firmware": [
            {
                "stratum": harm.stratum,
                "devices": harm.devices,
                "kinds": {
                    name: {
                        "reached": harm.ordered[name],
                        "held_after_hours": None
                        if (it := harm.held[name]) is None
                        else round(it.at / HOUR, 2),
                    }
                    for name in BAD
                },
            }
            for harm in found.harms
        ],
    }


def _view(found: Rehearsed, written: list[Path], kept: str | None) -> Group:
    made, scene = found.forecast, found.scene
    said = [Text(line.replace("**", "").replace("`", "")) for line in report.conclusion(found)]
    said[0].stylize("bold")
    parts: list[RenderableType] = [output.stacked(*said), _curve(found), _load(found)]
    requests = output.grid("SRV", "requests", "8 of 10", right=("requests", "8 of 10"))
    for srv, count in made.requests.items():
        requests.add_row(srv, f"{count.middle:,}", band(count))
    parts.append(requests)
    causes = output.grid("fails for good", "Devices", "8 of 10", right=("Devices", "8 of 10"))
    for cause, devices in report.causes(found)[:_SHOWN]:
        causes.add_row(cause.name.replace("_", " ").lower(), f"{devices.middle:,}", band(devices))
    parts.append(causes)
    if found.harms:
        parts.append(_bad(found))
    if found.effects:
        parts.append(_effects(found))
    drawn = (
        f"{made.members} rehearsals, each with figures of its own for what nobody knows exactly, seed "
        f"{found.seed!r}; docs/forecast.md says what the bands assume"
    )
    ends = [drawn]
    if kept is not None:
        ends.append(f"kept: campaign {kept!r} is held against this forecast from now on")
    ends += [f"written: {path}" for path in written]
    parts.append(output.stacked(*(Text(line, "dim") for line in ends)))
    return output.page(f"rehearsal of {scene.plan.name}", f"{made.devices:,} Devices", *parts)


def _curve(found: Rehearsed) -> RenderableType:
    """The completion curve at a few moments: the middle as a bar, the band beside it."""
    made = found.forecast
    table = output.grid("day", "", "proven", "8 of 10", right=("day", "proven", "8 of 10"))
    last = made.since_start[-1]
    for number in range(_SHOWN + 1):
        since = last * number // _SHOWN
        low, middle, high = made.at(since)
        bar = "█" * round(_BAR * middle / max(1, made.devices))
        reach = "░" * (round(_BAR * high / max(1, made.devices)) - len(bar))
        table.add_row(
            f"{since / (24 * HOUR):.1f}", Text(bar + reach, "cyan"), f"{middle:,}", f"{low:,} to {high:,}"
        )
    return table


def _load(found: Rehearsed) -> RenderableType:
    size, unit = report.scale(found)
    right = (f"{unit} to homes", "8 of 10", f"{unit} on the busiest day")
    table = output.grid("WAN region", *right, right=right)
    for it in found.down:
        table.add_row(
            it.region or "unknown",
            f"{it.whole.middle / size:,.2f}",
            report.volume(it.whole, size),
            report.volume(it.busiest, size),
        )
    return table


def _bad(found: Rehearsed) -> RenderableType:
    lines: list[RenderableType] = [
        Text("if the firmware is bad: Devices reached before the gate holds", "bold")
    ]
    for harm in found.harms[:_SHOWN]:
        lines.append(Text(f"{harm.stratum}: {harm.devices:,} Devices", overflow="fold"))
        for name in BAD:
            held, some = harm.held[name], harm.ordered[name]
            when = "not held" if held is None else f"held after {span(held.at)}"
            lines.append(Text(f"  {name}: {some:,} ({some / max(1, harm.devices):.1%}), {when}", "dim"))
    if len(found.harms) > _SHOWN:
        lines.append(Text(f"and {len(found.harms) - _SHOWN:,} strata more; --json has them all", "dim"))
    return output.stacked(*lines)


def _effects(found: Rehearsed) -> RenderableType:
    right = ("likely", "half", "end", "fewer proven", "visits", "holds")
    table = output.grid("fault", *right, right=right)
    for it in found.effects:
        table.add_row(
            it.fault.name,
            report.likely(it),
            "never" if it.half is None else span(it.half),
            span(it.later),
            f"{it.fewer:,}",
            f"{it.visits:+,}",
            f"{len(it.course.held)}",
        )
    heading = Text("if something goes wrong: later half proven, later end, and what else changes", "bold")
    return output.stacked(heading, table, Text(report.EFFECTS_NOTE, "dim"))


def _fleet(path: Path | None) -> fleets.Fleet:
    if path is None:
        return fleets.Fleet()
    with files.about(path):
        return fleets.parse(_text(path, "a fleet"))


def _plan(path: Path) -> Plan:
    with files.about(path):
        return plans.parse(_text(path, "a plan"))


def _text(path: Path, what: str) -> str:
    try:
        return files.read(path).decode()
    except UnicodeDecodeError as cause:
        raise UsageError(f"{what} is UTF-8 text; octet {cause.start} is not") from cause


def _duration(text: str | None) -> int | None:
    try:
        return None if text is None else duration(text)
    except DecodeError as cause:
        raise UsageError(f"--step takes a duration: {cause}") from cause


def _instant(text: str | None) -> Instant | None:
    try:
        return None if text is None else from_iso(text)
    except DecodeError as cause:
        raise UsageError(f"--start takes an instant such as 2026-01-12T09:00:00Z: {cause}") from cause
