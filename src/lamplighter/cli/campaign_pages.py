"""How campaigns look on a terminal, and as facts for machines."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from rich.padding import Padding
from rich.text import Text

from lamplighter.campaign.gates import Ruling
from lamplighter.campaign.state import State
from lamplighter.campaign.status import CampaignStatus
from lamplighter.cli import output
from lamplighter.kit.instant import DAY, HOUR, to_iso
from lamplighter.registry import Verdict
from lamplighter.service.office import CampaignView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from lamplighter.campaign.board import Ballot
    from lamplighter.campaign.decide import Stratum
    from lamplighter.campaign.forecast import Departure, Forecast
    from lamplighter.kit import Instant
    from lamplighter.store.campaigns import Campaign, Event
    from lamplighter.store.record import Difference

_BAR: Final = 32  # cells of a bar
_EVENTS_SHOWN: Final = 8
_STRATA_IN_SHORT: Final = 8  # three lines each: what a terminal has room for
_STRATA_SHOWN: Final = 100
_DIGEST_DIGITS: Final = 12  # enough to tell one from another; a draft's page has it in full
_DIFFERENCES_SHOWN: Final = 20
_SIDES: Final = ("approve", "reject", "abstain", "missing")
_STATUS: Final = {
    CampaignStatus.DRAFT: "yellow",
    CampaignStatus.RUNNING: "green",
    CampaignStatus.PAUSED: "yellow",
    CampaignStatus.ABORTING: "red",
    CampaignStatus.ABORTED: "red",
    CampaignStatus.FINISHED: "bold green",
}
_RULINGS: Final = {Ruling.PASS: "green", Ruling.HOLD: "bold red", Ruling.WAIT: "yellow"}
ENDED: Final = frozenset({CampaignStatus.FINISHED, CampaignStatus.ABORTED})


Seen = CampaignView
"""A campaign at one moment."""


def page(seen: Seen, *, short: bool = False) -> RenderableType:
    """Everything about one campaign; `short`: what changes from minute to minute."""
    campaign = seen.campaign
    parts: list[RenderableType] = [_head(seen)]
    if seen.ballot is not None and campaign.status is CampaignStatus.DRAFT:
        parts.append(_ballot(seen.ballot))
    if seen.total:
        parts.append(_funnel(seen))
    if seen.view.strata:
        parts.append(_strata(seen, _STRATA_IN_SHORT if short else _STRATA_SHOWN))
    if not short:
        others: dict[Verdict, int] = {v: n for v, n in seen.verdicts.items() if n}
        others.pop(Verdict.ELIGIBLE, None)
        if campaign.started_at is not None:
            others.pop(Verdict.ALREADY_THERE, None)  # by now also those that it has brought there itself
        if others:
            parts.append(_left_out(others))
        parts.append(_events(seen.events))
    title = f"campaign {campaign.name}"
    release = seen.registered.release
    subtitle = f"release {seen.registered.name}, version {release.version}, SRV {release.procedure.value}"
    return output.page(title, subtitle, *parts)


def _head(seen: Seen) -> RenderableType:
    campaign = seen.campaign
    plan = campaign.plan
    rows: list[tuple[str, str | Text]] = [
        ("status", Text(campaign.status.value, _STATUS[campaign.status])),
    ]
    if campaign.status is CampaignStatus.DRAFT:
        rows += [
            ("created by", campaign.created_by),
            _word(seen),
            ("digest", campaign.digest.hex()),
            ("Devices", f"{seen.verdicts.get(Verdict.ELIGIBLE, 0):,} eligible"),
            ("waves", ", ".join(f"{wave.name} to {wave.share:.3g}" for wave in plan.waves)),
        ]
    else:
        proven = seen.states[State.PROVEN]
        rows += [
            ("proven", f"{proven:,} of {seen.total:,}{_percent(proven, seen.total)}"),
            ("started", _moment(campaign.started_at)),
        ]
        if campaign.ended_at is not None:
            rows.append(("ended", _moment(campaign.ended_at)))
    return output.pairs(rows)


def _word(seen: Seen) -> tuple[str, str]:
    """Who has given their word, and who is missing."""
    if seen.ballot is not None:
        ballot = seen.ballot
        said = f"{ballot.outcome.value}, {ballot.cast} votes cast of {ballot.needed} needed"
        return (
            "vote",
            said if ballot.is_quorate else f"open, {ballot.cast} votes cast of {ballot.needed} needed",
        )
    valid = [it.approver for it in seen.approvals if it.valid]
    void = [it.approver for it in seen.approvals if not it.valid]
    said = f"{len(valid)} of {seen.campaign.plan.approvals}"
    said += f": {', '.join(valid)}" if valid else ""
    said += f"; void, for the plan was changed since: {', '.join(void)}" if void else ""
    return "approvals", said


def _ballot(ballot: Ballot) -> RenderableType:
    table = output.grid("category", "approve", "reject", "abstain", "missing", "outcome", right=_SIDES)
    for it in ballot.categories:
        numbers = (it.approve, it.reject, it.abstain, it.missing)
        table.add_row(it.category, *map(str, numbers), it.outcome.value)
    return table


def _funnel(seen: Seen) -> RenderableType:
    """A bar for each state that holds Devices, the earliest first."""
    states, total = seen.states, seen.total
    table = output.grid("state", "Devices", "", right=("Devices",))
    for state in State:
        if devices := states[state]:
            wide = max(1, round(_BAR * devices / total))
            color = "green" if state is State.PROVEN else "red" if _bad(state) else "cyan"
            table.add_row(state.value, f"{devices:,}", Text("█" * wide, color))
    return table


def _bad(state: State) -> bool:
    return state in {State.SILENT, State.LOST, State.UNCHANGED} or state.name.endswith(
        ("FAILED", "REFUSED", "REJECTED")
    )


def _strata(seen: Seen, most: int) -> RenderableType:
    """What the gate says of each stratum, and by which numbers; the held ones first, at most so many.

    A stratum's name is as long as the plan makes it, so it has a line of its own.
    """
    ended = seen.campaign.status in ENDED
    strata = sorted(seen.view.strata, key=lambda it: it.held is None)
    rows = [_numbers(seen, it) for it in strata[:most]]
    widths = [max(map(len, column)) for column in zip(_NUMBERS, *rows, strict=True)]
    parts: list[RenderableType] = [Text(f"{_aligned(_NUMBERS, widths)}  gate", "dim")]
    for stratum, row in zip(strata, rows, strict=False):
        found = seen.judgements[stratum.id]
        ruling = Ruling.HOLD if stratum.held is not None else found.ruling
        line = Text(_aligned(row, widths))
        line.append(f"  {ruling.value}" if not ended or ruling is not Ruling.WAIT else "", _RULINGS[ruling])
        parts += [Text(stratum.name, "bold", overflow="fold"), line]
        if not ended:
            parts.append(Padding(Text(stratum.held or found.reason, "dim"), (0, 0, 0, 4)))
    if len(strata) > most:
        parts.append(Text(f"and {len(strata) - most:,} more; --json has them all", "dim"))
    return output.stacked(*parts)


_NUMBERS: Final = ("wave", "ordered", "proven", "failed", "silent", "in flight")


def _numbers(seen: Seen, stratum: Stratum) -> tuple[str, ...]:
    """The cells of a stratum's line, without what the gate says."""
    total = seen.judgements[stratum.id].total
    numbers = (total.ordered, total.proven, total.failed, total.silent, total.in_flight)
    return (_wave(seen, stratum), *(f"{number:,}" for number in numbers))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left, the numbers to the right."""
    numbers = zip(cells[1:], widths[1:], strict=True)
    return "  ".join(["", cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in numbers)])


def _wave(seen: Seen, stratum: Stratum) -> str:
    waves = seen.campaign.plan.waves
    return f"{waves[stratum.wave].name} ({stratum.wave + 1}/{len(waves)})"


def _left_out(verdicts: Mapping[Verdict, int]) -> RenderableType:
    table = output.grid("left out", "why", right=("left out",))
    for verdict, devices in sorted(verdicts.items(), key=lambda it: -it[1]):
        table.add_row(f"{devices:,}", verdict.value)
    return table


def _events(events: Sequence[Event]) -> RenderableType:
    table = output.grid("when", "who", "what", "")
    for event in events[-_EVENTS_SHOWN:]:
        if event.what in {"create", "revise"}:
            detail = ""  # the digest; a draft's page has it in full
        else:
            detail = f"{event.detail[:_DIGEST_DIGITS]}…" if event.what == "approve" else event.detail
        table.add_row(_moment(event.at), event.who, event.what, detail)
    return table


def lines(rows: Sequence[tuple[Campaign, str]]) -> RenderableType:
    """Campaigns, a line each."""
    table = output.grid("name", "status", "release", "created by", "started", "ended")
    for campaign, release in rows:
        table.add_row(
            campaign.name,
            Text(campaign.status.value, _STATUS[campaign.status]),
            release,
            campaign.created_by,
            _moment(campaign.started_at),
            _moment(campaign.ended_at),
        )
    return table


def recount(differences: Sequence[Difference]) -> RenderableType:
    """What a recount found."""
    if not differences:
        return Text.assemble(("✓ ", "green"), "every state and tally is what the evidence says")
    table = output.grid("differs", "kept", "counted anew")
    for it in differences[:_DIFFERENCES_SHOWN]:
        table.add_row(it.what, it.kept, it.counted)
    more = len(differences) - _DIFFERENCES_SHOWN
    heading = Text.assemble(("✗ ", "bold red"), f"{len(differences)} differ from the evidence")
    return output.stacked(heading, table, *([Text(f"and {more} more", "dim")] if more > 0 else []))


def forecast(
    it: Forecast, since: int | None, left: Departure | None, alarmed_at: Instant | None
) -> RenderableType:
    """What is expected of a campaign, and whether reality keeps to it."""
    ends = " to ".join(f"{end / DAY:.1f}" for end in (it.ends.low, it.ends.high))
    said = f"ends {ends} days after its start; {it.failures.low:,} to {it.failures.high:,} Devices left over"
    lines = [Text.assemble(("forecast  ", "dim"), said)]
    if since is not None:
        low, middle, high = it.at(since)
        lines.append(Text(f"by now {middle:,} proven, {low:,} to {high:,} in 8 of 10 rehearsals", "dim"))
    if left is not None:
        when = "" if alarmed_at is None else f", since {_moment(alarmed_at)}"
        lines.append(Text(f"{left.text}{when}", "bold red"))
    return output.stacked(*lines)


def forecast_facts(
    it: Forecast, since: int | None, left: Departure | None, alarmed_at: Instant | None
) -> dict[str, Any]:
    """The same, for machines."""
    return {
        "made": to_iso(it.made_at),
        "members": it.members,
        "ends_hours": [round(end / HOUR, 2) for end in it.ends],
        "failures": list(it.failures),
        "by_now": None if since is None else list(it.at(since)),
        "alarm": None if left is None else {"direction": left.direction.value, "text": left.text},
        "alarmed_at": None if alarmed_at is None else to_iso(alarmed_at),
    }


def line_facts(campaign: Campaign, release: str) -> dict[str, Any]:
    """A campaign in a list."""
    return {
        "name": campaign.name,
        "status": campaign.status.value,
        "release": release,
        "created_by": campaign.created_by,
        "started": None if campaign.started_at is None else to_iso(campaign.started_at),
        "ended": None if campaign.ended_at is None else to_iso(campaign.ended_at),
    }


def facts(seen: Seen) -> dict[str, Any]:
    """Everything about one campaign."""
    waves = seen.campaign.plan.waves
    by_stratum: dict[int, Counter[str]] = defaultdict(Counter)
    for count in seen.view.counts:
        by_stratum[count.cell.stratum][count.stage.state.value] += count.devices
    return line_facts(seen.campaign, seen.registered.name) | {
        "digest": seen.campaign.digest.hex(),
        "version": str(seen.registered.release.version),
        "approvals": [{"by": it.approver, "at": to_iso(it.at), "valid": it.valid} for it in seen.approvals],
        "votes": [
            {"by": it.member, "at": to_iso(it.at), "choice": it.choice.value, "valid": it.valid}
            for it in seen.votes
        ],
        "approved": seen.approved,
        "states": {state.value: n for state in State if (n := seen.states[state])},
        "verdicts": {verdict.name.lower(): n for verdict, n in seen.verdicts.items() if n},
        "strata": [
            {
                "name": stratum.name,
                "wave": waves[stratum.wave].name,
                "held": stratum.held,
                "ruling": (found := seen.judgements[stratum.id]).ruling.value,
                "reason": found.reason,
                "failure_rate": found.failure_rate,
                "failure_interval": found.failure_interval,
                "silence_rate": found.silence_rate,
                "harm": found.harm,
                "harm_bound": found.harm_bound,
                "health": found.health,
                "health_bound": found.health_bound,
                "states": dict(by_stratum[stratum.id]),
            }
            for stratum in seen.view.strata
        ],
        "events": [
            {"at": to_iso(it.at), "who": it.who, "what": it.what, "detail": it.detail} for it in seen.events
        ],
    }


def _percent(part: int, whole: int) -> str:
    return f" ({part / whole:.1%})" if whole else ""


def _moment(at: Instant | None) -> str:
    return "" if at is None else to_iso(at)[:16].replace("T", " ")
