"""`lamplighter campaign`: plan, approve, start, watch, pause, resume, abort."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.live import Live
from rich.text import Text

from lamplighter.campaign import plan as plans
from lamplighter.campaign.board import Choice
from lamplighter.campaign.forecast import departure
from lamplighter.campaign.plan import Plan
from lamplighter.campaign.state import State
from lamplighter.campaign.status import EFFECTS, Act
from lamplighter.cli import campaign_pages as pages
from lamplighter.cli import files, output
from lamplighter.cli.arguments import DATABASE, Database, Eui, Source, Who
from lamplighter.cli.output import Report
from lamplighter.cli.place import now, office, opened, person
from lamplighter.kit import UsageError
from lamplighter.service.office import look
from lamplighter.store import Store

app: Final = App(
    name="campaign",
    help="Bring a fleet to a release: plan, approve, start, watch, pause, resume, abort.",
    help_format="markdown",
)

_EVERY: Final = 2.0  # seconds between two looks

Name = Annotated[str, Parameter(help="The campaign's name.", allow_leading_hyphen=True)]
Because = Annotated[str, Parameter(help="Why, for the record.", show_default=False)]


@app.command
def create(
    plan: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    release: Annotated[str | None, Parameter(help="Name of the release, as `release list` shows it.")] = None,
    example: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print a commented plan to begin from.")
    ] = False,
    revise: Annotated[
        bool, Parameter(negative="", show_default=False, help="Change the plan of a draft with this name.")
    ] = False,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Write down a draft, and show whom it is for; nothing is ordered before it is approved and started.

    Parameters
    ----------
    plan
        A plan in TOML, or `-` for stdin.
    """
    if example:
        return Report({"example": plans.EXAMPLE}, output.Uncut(Text(plans.EXAMPLE.rstrip())))
    if plan is None:
        raise UsageError("missing: a file with a plan; `campaign create --example` prints one to begin from")
    if release is None:
        raise UsageError("missing: --release NAME; `release list` shows the names")
    asked = _plan(plan)
    with opened(database) as store:
        me = person(store, by)
        if revise:
            office(store).revise(me, asked.name, asked, release)
        else:
            office(store).create(me, asked, release)
        return _show(store, asked.name)


@app.command
def show(
    name: Name,
    /,
    *,
    verify: Annotated[
        bool, Parameter(negative="", show_default=False, help="Count everything anew from the evidence.")
    ] = False,
    database: Database = DATABASE,
) -> Report:
    """Where a campaign stands: its waves, what the gates say and by which numbers, what was done to it.

    With `--verify`, each state and tally is derived anew from the evidence; exit code 1 where one differs.
    """
    with opened(database) as store:
        return _show(store, name, verify=verify)


@app.command(name="list")
def list_(*, database: Database = DATABASE) -> Report:
    """All campaigns, the oldest first."""
    with opened(database) as store:
        rows = [(it, store.registry.registered(it.release).name) for it in store.campaigns.list()]
    some = output.page("campaigns", f"{len(rows)}", pages.lines(rows))
    none = Text("there is no campaign; `campaign create --example` prints a plan to begin from", "dim")
    return Report([pages.line_facts(*row) for row in rows], some if rows else none)


@app.command
def approve(
    name: Name,
    /,
    *,
    digest: Annotated[
        str | None, Parameter(help="What you approve, as `campaign show` prints it. Default: as it is now.")
    ] = None,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Approve a draft: this image and this plan. Who wrote it cannot; a change of either makes it void."""
    with opened(database) as store:
        office(store).approve(person(store, by), name, _digest(digest))
        return _show(store, name)


@app.command
def vote(
    name: Name,
    choice: Annotated[Literal["approve", "reject", "abstain"], Parameter(help="What you say.")],
    /,
    *,
    digest: Annotated[
        str | None, Parameter(help="What you vote on, as `campaign show` prints it. Default: as it is now.")
    ] = None,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Vote on a draft as a member of its board. A later vote takes the place of an earlier one."""
    with opened(database) as store:
        office(store).vote(person(store, by), name, Choice(choice), _digest(digest))
        return _show(store, name)


@app.command
def start(name: Name, /, *, by: Who = "", because: Because = "", database: Database = DATABASE) -> Report:
    """Start an approved draft."""
    return _act(Act.START, name, by, because, database)


@app.command
def pause(name: Name, /, *, by: Who = "", because: Because = "", database: Database = DATABASE) -> Report:
    """Order nothing more for now. What the DCC has already goes on; its evidence is taken."""
    return _act(Act.PAUSE, name, by, because, database)


@app.command
def resume(name: Name, /, *, by: Who = "", because: Because = "", database: Database = DATABASE) -> Report:
    """Go on with a paused campaign."""
    return _act(Act.RESUME, name, by, because, database)


@app.command
def abort(name: Name, /, *, by: Who = "", because: Because = "", database: Database = DATABASE) -> Report:
    """End a campaign for good: what is in flight comes to its end, nothing is tried again."""
    return _act(Act.ABORT, name, by, because, database)


@app.command(name="release-hold")
def release_hold(
    name: Name,
    stratum: Annotated[str, Parameter(help="The stratum, as `campaign show` prints it.")],
    /,
    *,
    by: Who = "",
    because: Because = "",
    database: Database = DATABASE,
) -> Report:
    """Let a held stratum go on. The failures so far are pardoned; the gate counts those to come."""
    with opened(database) as store:
        office(store).release_hold(person(store, by), name, stratum, because)
        return _show(store, name)


@app.command(name="call-off")
def call_off(
    name: Name,
    /,
    *,
    stratum: Annotated[
        str | None, Parameter(help="Of this stratum alone, as `campaign show` prints it.")
    ] = None,
    device: Eui | None = None,
    by: Who = "",
    because: Because = "",
    database: Database = DATABASE,
) -> Report:
    """Call off activations of a paused campaign that are dated ahead. The Devices keep the image.

    Once the campaign is resumed, they are told to activate it again.

    Parameters
    ----------
    device
        Of this Device alone.
    """
    with opened(database) as store:
        devices = office(store).call_off(person(store, by), name, stratum, device, because)
        report = _show(store, name)
    said = f"{devices:,} activation{'' if devices == 1 else 's'} called off."
    facts = report.facts | {"called_off": devices} if isinstance(report.facts, dict) else report.facts
    return Report(facts, output.stacked(Text(said, "bold"), Text(), report.view), report.passed)


@app.command
def watch(
    name: Name,
    /,
    *,
    every: Annotated[float, Parameter(help="Seconds between two looks.")] = _EVERY,
    timeout: Annotated[float | None, Parameter(help="Stop watching after so many seconds.")] = None,
    database: Database = DATABASE,
) -> Report:
    """Follow a campaign until it ends; then, or after the timeout, the same page as `show`."""
    if not 0.1 <= every <= 3600:  # a tenth of a second, an hour
        raise UsageError(f"--every takes 0.1 to 3600 seconds, not {every:g}")
    end = None if timeout is None else time.monotonic() + timeout
    with opened(database) as store:
        follow(store, name, every, lambda: end is not None and time.monotonic() >= end)
        return _show(store, name)


def follow(store: Store, name: str, every: float, is_over: Any) -> None:
    """Show a campaign on stderr, if that is a terminal, until it ends or `is_over()`."""
    console = Console(stderr=True)
    live = Live(console=console, auto_refresh=False, transient=True) if sys.stderr.isatty() else None
    try:
        if live is not None:
            live.start()
        while True:
            campaign = store.campaigns.find(name)
            if live is not None:
                live.update(pages.page(look(store, name, now()), short=True), refresh=True)
            if campaign.status in pages.ENDED or is_over():
                return
            time.sleep(every)
    finally:
        if live is not None:
            live.stop()


def _act(act: Act, name: str, by: str, because: str, database: str) -> Report:
    with opened(database) as store:
        office(store).act(person(store, by), name, act, because)
        report = _show(store, name)
    facts = report.facts | {"effect": EFFECTS[act]} if isinstance(report.facts, dict) else report.facts
    return Report(facts, output.stacked(Text(EFFECTS[act], "bold"), Text(), report.view), report.passed)


def _show(store: Store, name: str, *, verify: bool = False) -> Report:
    found = look(store, name, now())
    facts = pages.facts(found)
    parts = [pages.page(found)]
    passed = True
    campaign = found.campaign
    if (forecast := store.forecasts.latest(campaign.id)) is not None:
        alarmed_at = store.forecasts.alarmed(campaign.id)
        proven = found.states[State.PROVEN]
        at = None if campaign.started_at is None else (campaign.ended_at or now()) - campaign.started_at
        left = None if at is None else departure(forecast, at, proven)
        facts["forecast"] = pages.forecast_facts(forecast, at, left, alarmed_at)
        parts += [Text(), pages.forecast(forecast, at, left, alarmed_at)]
    if verify:
        differences = store.record.recount(found.campaign.id)
        passed = not differences
        facts["differences"] = [
            {"what": it.what, "kept": it.kept, "counted": it.counted} for it in differences
        ]
        parts += [Text(), pages.recount(differences)]
    return Report(facts, output.stacked(*parts), passed)


def _digest(text: str | None) -> bytes | None:
    try:
        return None if text is None else bytes.fromhex(text)
    except ValueError as cause:
        raise UsageError(f"--digest takes hex digits, not {text!r}") from cause


def _plan(path: Source) -> Plan:
    octets = files.read(path)
    with files.about(path):
        try:
            text = octets.decode()
        except UnicodeDecodeError as cause:
            raise UsageError(f"a plan is UTF-8 text; octet {cause.start} is not") from cause
        return plans.parse(text)
