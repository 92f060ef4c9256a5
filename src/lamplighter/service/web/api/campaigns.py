"""Campaigns: try a plan, write it down, approve, start, pause, resume, abort; where each stands, and why."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from pydantic import Field, StringConstraints
from starlette.responses import Response

from lamplighter.campaign import plan as plans
from lamplighter.campaign.board import Choice
from lamplighter.campaign.forecast import Forecast as CampaignForecast
from lamplighter.campaign.plan import PLAN_CHARACTERS_MAX, Plan
from lamplighter.campaign.state import State
from lamplighter.campaign.status import EFFECTS, Act, CampaignStatus
from lamplighter.kit import Eui64, UsageError
from lamplighter.kit.instant import SECOND, to_iso
from lamplighter.service.office import CampaignView, Office, look
from lamplighter.service.people import Person
from lamplighter.service.web.api import cursors, releases
from lamplighter.service.web.api.problems import Kind, ProblemError
from lamplighter.service.web.api.shapes import (
    ID_MAX,
    WHOLE,
    Approver,
    Cursor,
    Digest,
    Eui,
    Given,
    Id,
    Limit,
    Moment,
    Operator,
    Page,
    Reader,
    Reason,
    TheAct,
    TheOffice,
    Told,
    Version,
    moment,
    page,
    routes_of,
)
from lamplighter.store.campaigns import Campaign as StoreCampaign

router: Final = routes_of("campaigns")


_PLAN_MAX: Final = min(PLAN_CHARACTERS_MAX, 64 * 1024)  # the body of a request has twice as many

Toml = Annotated[
    str,
    StringConstraints(min_length=1, max_length=_PLAN_MAX),
    Field(description="A plan in TOML, as `lamplighter campaign create --example` prints one."),
]
ReleaseId = Annotated[int, Field(ge=1, le=ID_MAX, description="Number of the release."), WHOLE]


class NewCampaign(Given):
    """A plan, and what it brings."""

    plan: Toml
    release: ReleaseId


class Revision(Given):
    """Another plan."""

    plan: Toml


class Approval(Given):
    """One's word."""

    digest: Digest


class Ballot(Given):
    """One's vote."""

    choice: Literal["approve", "reject", "abstain"]
    digest: Digest


class Because(Given):
    """Why."""

    reason: Reason = ""


class HoldRelease(Given):
    """Which stratum goes on."""

    stratum: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] = Field(
        description="Its name, as the campaign shows it."
    )
    reason: Reason = ""


class WhichActivations(Given):
    """Whose activations are called off: all of the campaign's, a stratum's, or one Device's."""

    stratum: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] | None = Field(
        default=None, description="Its name, as the campaign shows it; left out: all."
    )
    device: Eui | None = Field(default=None, description="One Device alone; left out: all.")
    reason: Reason = ""


class NamedRelease(Told):
    """A release, by name."""

    id: int
    name: str
    version: Version


class CampaignLine(Told):
    """A campaign in a list."""

    id: int
    name: str
    status: Literal["draft", "running", "paused", "aborting", "aborted", "finished"]
    release: NamedRelease
    digest: str = Field(description="What an approval binds to: image, targets and policy.")
    created_by: str
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None


class GivenApproval(Told):
    """Somebody's word."""

    by: str
    at: Moment
    valid: bool = Field(description="false: what they approved was changed since.")


class GivenVote(Told):
    """Somebody's vote."""

    by: str
    choice: Literal["approve", "reject", "abstain"]
    at: Moment
    valid: bool


class CategoryCount(Told):
    """The votes of one category."""

    category: str
    approve: int
    reject: int
    abstain: int
    missing: int
    outcome: Literal["approve", "reject", "abstain"]


class VoteCount(Told):
    """How the vote of a board stands."""

    categories: list[CategoryCount]
    cast: int
    needed: int
    outcome: Literal["approve", "reject", "abstain"]
    approved: bool


class StratumLine(Told):
    """Devices that are judged together."""

    name: str
    wave: str
    held: str | None = Field(description="Why it is held; null: it is not.")
    ruling: Literal["wait", "pass", "hold"]
    reason: str
    ordered: int
    proven: int
    failed: int
    silent: int
    in_flight: int
    failure_rate: float
    failure_interval: tuple[float, float] = Field(description="95 % confidence.")
    silence_rate: float
    harm: float = Field(description="log10 of the evidence for harm; from `harm_bound` on it is held.")
    harm_bound: float
    health: float
    health_bound: float
    states: dict[str, int]


class NextThing(Told):
    """What happens next, or is waited for."""

    at: Moment | None = Field(description="null: when what is waited for has come.")
    what: str
    stratum: str
    person: bool = Field(description="Whether it waits for a person.")


class Campaign(CampaignLine):
    """A campaign at one moment."""

    plan: dict[str, Any] = Field(description="All of the plan, with the keys of its TOML.")
    approved: bool = Field(description="Whether those have given their word whom the plan asks for.")
    approvals: list[GivenApproval]
    votes: list[GivenVote]
    ballot: VoteCount | None
    devices: int = Field(description="Ordered, or still to be.")
    states: dict[str, int] = Field(description="Devices by state.")
    verdicts: dict[str, int] = Field(description="Devices by verdict: who is in, who is out and why.")
    strata: list[StratumLine]
    next: list[NextThing]


class GroupLine(Told):
    """Devices that are alike and have one verdict."""

    what: dict[str, str]
    verdict: str
    reason: str
    devices: int


class PortionLine(Told):
    """The Devices of one stratum, wave by wave."""

    stratum: str
    devices: int
    waves: list[int]


class Range(Told):
    """A value with its band."""

    low: int
    middle: int
    high: int


class Forecast(Told):
    """What is expected."""

    made_at: Moment
    level: float = Field(description="How likely the truth lies in the band, 0..1.")
    devices: int
    seconds: list[int] = Field(description="Since the start.")
    low: list[int] = Field(description="Devices proven by then.")
    middle: list[int]
    high: list[int]
    ends: Range = Field(description="Seconds from the start to the end.")
    failures: Range


class DryRun(Told):
    """What a plan would do; nothing of it is kept."""

    name: str
    digest: str
    release: NamedRelease
    eligible: int
    verdicts: dict[str, int]
    groups: list[GroupLine]
    strata: list[PortionLine]
    waves: list[int] = Field(description="Devices in each wave.")
    requests: dict[str, int] = Field(description="Requests to the DCC at least, by SRV.")
    forecast: Forecast | None
    unforeseen: str = Field(description="Why there is no forecast, where one could have been.")


class Point(Told):
    """So many were proven by then."""

    at: Moment
    proven: int


class Series(Told):
    """How a campaign went."""

    campaign: int
    points: list[Point]
    alarmed_at: Moment | None = Field(description="Since when it is outside its forecast; null: it is not.")
    states: dict[str, int] = Field(description="Devices by state, now.")


@router.get("/campaigns")
def list_campaigns(
    person: Reader,
    office: TheOffice,
    status: Annotated[CampaignStatus | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[CampaignLine]:
    """All campaigns, the oldest first."""
    filters = {"status": status}
    after = cursors.decode("campaigns", filters, cursor, int) or 0
    found = [it for it in office.campaigns(person) if it.id > after and status in {None, it.status}]
    items, more = page("campaigns", filters, found[: limit + 1], limit, lambda at: found[at].id)
    named = _names(office, person)
    return Page[CampaignLine](
        items=[CampaignLine(**_values(it, named[it.release])) for it in items], next=more
    )


@router.post("/campaigns/dry-run")
def dry_run(given: NewCampaign, person: Reader, office: TheOffice) -> DryRun:
    """What a plan would do; nothing of it is kept."""
    plan = _plan(given.plan)
    releases.known(office, given.release)
    seen = office.dry_run(person, plan, given.release)
    return DryRun(
        name=seen.plan.name,
        digest=seen.digest.hex(),
        release=_named(seen.release.id, seen.release.name, str(seen.release.release.version)),
        eligible=seen.eligible,
        verdicts={verdict.name.lower(): n for verdict, n in seen.verdicts.items() if n},
        groups=[
            GroupLine(
                what=dict(it.what),
                verdict=it.verdict.name.lower(),
                reason=it.verdict.value,
                devices=it.devices,
            )
            for it in seen.groups
        ],
        strata=[
            PortionLine(stratum=it.stratum, devices=it.devices, waves=list(it.waves)) for it in seen.strata
        ],
        waves=list(seen.waves),
        requests=dict(seen.requests),
        forecast=None if seen.forecast is None else _forecast(seen.forecast),
        unforeseen=seen.unforeseen,
    )


def _telling(office: Office) -> Callable[[int], Campaign]:
    """What is answered to whoever did something to a campaign: how it stands then."""
    return lambda number: _seen(look(office.store, number, office.clock()))


@router.post("/campaigns", status_code=201, response_model=Campaign)
def create_campaign(given: NewCampaign, person: Operator, office: TheOffice, act: TheAct) -> Response:
    """Write down a draft."""

    def do() -> int:
        plan = _plan(given.plan)
        releases.known(office, given.release)
        return office.create(person, plan, given.release).id

    return act.act_then_tell(person, do, _telling(office), 201)


@router.get("/campaigns/{number}")
def show_campaign(number: Id, person: Reader, office: TheOffice) -> Campaign:
    """Where a campaign stands, and why."""
    known(office, number)
    return _seen(office.campaign(person, number))


@router.put(
    "/campaigns/{number}/plan",
    response_model=Campaign,
)
def revise_campaign(
    number: Id, given: Revision, person: Operator, office: TheOffice, act: TheAct
) -> Response:
    """Change the plan of a draft, which makes approvals and votes void."""

    def do() -> int:
        known(office, number)
        return office.revise(person, number, _plan(given.plan)).id

    return act.act_then_tell(person, do, _telling(office))


@router.post(
    "/campaigns/{number}/approvals",
    response_model=Campaign,
)
def approve_campaign(
    number: Id, given: Approval, person: Approver, office: TheOffice, act: TheAct
) -> Response:
    """Give one's word for what has this digest."""

    def do() -> int:
        known(office, number)
        return office.approve(person, number, bytes.fromhex(given.digest)).id

    return act.act_then_tell(person, do, _telling(office))


@router.post("/campaigns/{number}/votes", response_model=Campaign)
def vote(number: Id, given: Ballot, person: Approver, office: TheOffice, act: TheAct) -> Response:
    """Vote as a member of its board."""

    def do() -> int:
        known(office, number)
        return office.vote(person, number, Choice(given.choice), bytes.fromhex(given.digest)).id

    return act.act_then_tell(person, do, _telling(office))


def _doing(what: Act) -> Callable[..., Response]:
    """The route of one act."""

    def act_on(number: Id, given: Because, person: Operator, office: TheOffice, act: TheAct) -> Response:
        def do() -> int:
            known(office, number)
            return office.act(person, number, what, given.reason).id

        return act.act_then_tell(person, do, _telling(office))

    act_on.__name__ = f"{what.value}_campaign"
    return act_on


for _act in (Act.START, Act.PAUSE, Act.RESUME, Act.ABORT):
    router.post(
        f"/campaigns/{{number}}/{_act.value}",
        response_model=Campaign,
        summary=f"{_act.value.capitalize()} a campaign",
        description=f"{_act.value.capitalize()} a campaign. {EFFECTS[_act]}",
    )(_doing(_act))


@router.post(
    "/campaigns/{number}/release-hold",
    response_model=Campaign,
)
def release_hold(
    number: Id, given: HoldRelease, person: Operator, office: TheOffice, act: TheAct
) -> Response:
    """Let a held stratum go on; its failures so far are pardoned."""

    def do() -> int:
        known(office, number)
        return office.release_hold(person, number, given.stratum, given.reason).id

    return act.act_then_tell(person, do, _telling(office))


@router.post(
    "/campaigns/{number}/call-off",
    response_model=Campaign,
)
def call_off(
    number: Id, given: WhichActivations, person: Operator, office: TheOffice, act: TheAct
) -> Response:
    """Call off activations of a paused campaign that are dated ahead."""

    def do() -> int:
        known(office, number)
        device = None if given.device is None else Eui64.parse(given.device)
        office.call_off(person, number, given.stratum, device, given.reason)
        return number

    return act.act_then_tell(person, do, _telling(office))


@router.get("/campaigns/{number}/series")
def series(number: Id, person: Reader, office: TheOffice) -> Series:
    """How many were proven when, for charts."""
    known(office, number)
    seen = office.campaign(person, number)
    forecasts = office.store.forecasts
    return Series(
        campaign=number,
        points=[Point(at=to_iso(at), proven=proven) for at, proven in forecasts.actual(number)],
        alarmed_at=moment(forecasts.alarmed(number)),
        states=_states(seen.states),
    )


@router.get("/campaigns/{number}/forecast")
def forecast(
    number: Id,
    person: Reader,  # noqa: ARG001 # it is that which lets them in
    office: TheOffice,
) -> Forecast:
    """The latest forecast of a campaign."""
    known(office, number)
    found = office.store.forecasts.latest(number)
    if found is None:
        raise ProblemError(Kind.NOT_FOUND, f"Nobody has made a forecast of campaign {number}.")
    return _forecast(found)


def known(office: Office, number: int) -> StoreCampaign:
    """A campaign that is asked for; raises a 404 where there is none."""
    try:
        return office.store.campaigns.find(number)
    except UsageError as cause:
        raise ProblemError(Kind.NOT_FOUND, f"There is no campaign {number}.") from cause


def _plan(text: str) -> Plan:
    try:
        return plans.parse(text)
    except UsageError as cause:
        raise ProblemError(Kind.PLAN, str(cause)) from cause


def _names(office: Office, person: Person) -> dict[int, NamedRelease]:
    return {it.id: _named(it.id, it.name, str(it.release.version)) for it in office.releases(person)}


def _named(number: int, name: str, version: str) -> NamedRelease:
    return NamedRelease(id=number, name=name, version=version)


def _values(it: StoreCampaign, release: NamedRelease) -> dict[str, Any]:
    return {
        "id": it.id,
        "name": it.name,
        "status": it.status.value,
        "release": release,
        "digest": it.digest.hex(),
        "created_by": it.created_by,
        "created_at": to_iso(it.created_at),
        "started_at": moment(it.started_at),
        "ended_at": moment(it.ended_at),
    }


def _states(states: Counter[State]) -> dict[str, int]:
    return {state.value: n for state in State if (n := states[state])}


def _seen(seen: CampaignView) -> Campaign:
    registered = seen.registered
    named = _named(registered.id, registered.name, str(registered.release.version))
    ballot = seen.ballot
    return Campaign(
        **_values(seen.campaign, named),
        plan=json.loads(plans.encode(seen.campaign.plan)),
        approved=seen.approved,
        approvals=[GivenApproval(by=it.approver, at=to_iso(it.at), valid=it.valid) for it in seen.approvals],
        votes=[
            GivenVote(by=it.member, choice=it.choice.value, at=to_iso(it.at), valid=it.valid)
            for it in seen.votes
        ],
        ballot=None
        if ballot is None
        else VoteCount(
            categories=[
                CategoryCount(**(it._asdict() | {"outcome": it.outcome.value})) for it in ballot.categories
            ],
            cast=ballot.cast,
            needed=ballot.needed,
            outcome=ballot.outcome.value,
            approved=ballot.approved,
        ),
        devices=seen.total,
        states=_states(seen.states),
        verdicts={verdict.name.lower(): n for verdict, n in seen.verdicts.items() if n},
        strata=_strata(seen),
        next=[
            NextThing(at=moment(it.at), what=it.what, stratum=it.stratum, person=it.person)
            for it in seen.outlook.next
        ],
    )


def _strata(seen: CampaignView) -> list[StratumLine]:
    by_stratum: dict[int, Counter[str]] = defaultdict(Counter)
    for count in seen.view.counts:
        by_stratum[count.cell.stratum][count.stage.state.value] += count.devices
    lines = []
    for stratum in seen.view.strata:
        found = seen.judgements[stratum.id]
        total = found.total
        lines.append(
            StratumLine(
                name=stratum.name,
                wave=seen.campaign.plan.waves[stratum.wave].name,
                held=stratum.held,
                ruling=found.ruling.value,
                reason=found.reason,
                ordered=total.ordered,
                proven=total.proven,
                failed=total.failed,
                silent=total.silent,
                in_flight=total.in_flight,
                failure_rate=found.failure_rate,
                failure_interval=found.failure_interval,
                silence_rate=found.silence_rate,
                harm=found.harm,
                harm_bound=found.harm_bound,
                health=found.health,
                health_bound=found.health_bound,
                states=dict(by_stratum[stratum.id]),
            )
        )
    return lines


def _forecast(it: CampaignForecast) -> Forecast:
    def band(low: int, middle: int, high: int, unit: int = 1) -> Range:
        return Range(low=low // unit, middle=middle // unit, high=high // unit)

    return Forecast(
        made_at=to_iso(it.made_at),
        level=it.level,
        devices=it.devices,
        seconds=[since // SECOND for since in it.since_start],
        low=list(it.low),
        middle=list(it.middle),
        high=list(it.high),
        ends=band(*it.ends, unit=SECOND),
        failures=band(*it.failures),
    )
