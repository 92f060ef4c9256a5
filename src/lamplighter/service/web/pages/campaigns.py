"""Campaigns: all of them; one as it stands, with what happens next; and what an operator does to it."""

from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from time import monotonic
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.campaign.decide import Stratum
from lamplighter.campaign.evidence import CAUSES
from lamplighter.campaign.forecast import departure
from lamplighter.campaign.gates import Judgement, Ruling
from lamplighter.campaign.state import State
from lamplighter.campaign.status import CHART, EFFECTS, Act, CampaignStatus
from lamplighter.kit import UsageError
from lamplighter.registry import Verdict
from lamplighter.service.office import OPERATOR_ACTS, CampaignView, Office
from lamplighter.service.people import Person
from lamplighter.service.web import chart, plan_form
from lamplighter.service.web.page import REASON_MAX, Operator, Reader, TheOffice, go, reason_of, render
from lamplighter.store.gauges import Gauges
from lamplighter.store.standings import Failed, Standing

router: Final = APIRouter()

"""Characters of a reason."""
_EVENTS_SHOWN: Final = 12
_STRATA_SHOWN: Final = 60
_CAUSES_SHOWN: Final = 12
_AT_ONCE: Final = 200_000
"""Updates among which a page counts failures while somebody waits for it."""
_CAUSES_REST: Final = 20.0
"""Times the time that counting failures took, after which they are counted anew."""
UNDER_WAY: Final = frozenset({CampaignStatus.RUNNING, CampaignStatus.PAUSED, CampaignStatus.ABORTING})
"""Where things change by themselves; in a draft only people do something."""
ENDED: Final = frozenset({CampaignStatus.FINISHED, CampaignStatus.ABORTED})

_ASKED: Final = {
    Act.START: "Start",
    Act.PAUSE: "Pause",
    Act.RESUME: "Resume",
    Act.ABORT: "Abort",
}
_DONE: Final = {
    Act.START: "started",
    Act.PAUSE: "paused",
    Act.RESUME: "resumed",
    Act.ABORT: "aborted",
}
HOLD_EFFECT: Final = (
    "The failures so far are pardoned: the gate counts only those to come. What waits in this stratum is "
    "ordered again at once, as far as windows, rate and caps allow."
)


@dataclass(frozen=True, slots=True)
class Row:
    """A campaign in the list."""

    campaign: Any
    release: str
    standing: Standing

    @property
    def proven(self) -> int:
        """Devices that run the release."""
        return self.standing.states.get(State.PROVEN, 0)


@dataclass(frozen=True, slots=True)
class StratumRow:
    """A stratum with what the gate says of it."""

    stratum: Stratum
    wave: str
    """Its open wave, with its place among all."""
    judgement: Judgement
    ruling: Ruling
    """HOLD where it is held, whatever the gate would say by now."""
    states: dict[State, int]
    waiting: int
    """Devices that no order was made for yet, later waves included."""

    @property
    def reason(self) -> str:
        """Why."""
        return self.stratum.held or self.judgement.reason

    @property
    def shares(self) -> list[tuple[str, int, str]]:
        """For a bar: what became of its Devices."""
        total = self.judgement.total
        return [
            ("proven", total.proven, "good"),
            ("failed", total.failed, "bad"),
            ("silent", total.silent, "warn"),
            ("in flight", total.in_flight, "busy"),
            ("not ordered yet", self.waiting, "rest"),
        ]

    @property
    def whole(self) -> int:
        """All of them."""
        return self.judgement.total.ordered + self.waiting


@router.get("/campaigns")
def campaigns(
    request: Request, person: Reader, office: TheOffice, status: str = "", sort: str = "-id", q: str = ""
) -> Response:
    """All campaigns, the latest first."""
    everything = rows(office, person)
    counts = Counter(row.campaign.status for row in everything)
    found = [
        row
        for row in everything
        if (not status or row.campaign.status.value == status)
        and (not q or q.casefold() in f"{row.campaign.name} {row.release}".casefold())
    ]
    key = sort.removeprefix("-")
    found.sort(key=_SORTS.get(key, _SORTS["id"]), reverse=sort.startswith("-"))
    return render(
        request,
        "campaigns.html",
        rows=found,
        everything=len(everything),
        statuses=[(it.value, counts[it]) for it in CampaignStatus if counts[it]],
        asked={"status": status, "sort": sort, "q": q},
        held=sum(row.standing.held for row in everything if row.campaign.status not in ENDED),
    )


_SORTS: Final[dict[str, Any]] = {
    "id": lambda row: row.campaign.id,
    "name": lambda row: row.campaign.name.casefold(),
    "status": lambda row: row.campaign.status.value,
    "release": lambda row: row.release.casefold(),
    "devices": lambda row: row.standing.total,
    "proven": lambda row: row.proven / row.standing.total if row.standing.total else -1.0,
    "started": lambda row: row.campaign.started_at or 0,
}


def rows(office: Office, person: Person) -> list[Row]:
    """Every campaign with its release and where its Devices stand."""
    releases = {it.id: it.name for it in office.releases(person)}
    standings = office.store.standings.states()
    return [
        Row(it, releases.get(it.release, "?"), standings.get(it.id, Standing()))
        for it in office.campaigns(person)
    ]


@router.get("/campaigns/{number:int}")
def campaign(
    request: Request, person: Reader, office: TheOffice, number: int, act: str = "", stratum: int = 0
) -> Response:
    """One campaign, as it stands; `act` opens the form of what is to be done to it."""
    return _page(request, person, office, number, act, stratum)


def _page(
    request: Request,
    person: Person,
    office: Office,
    number: int,
    act: str = "",
    stratum: int = 0,
    *,
    reason: str = "",
    refusal: UsageError | None = None,
) -> Response:
    """The same; where an act was refused, with why, and the reason that was typed."""
    seen = view_of(office, person, number)
    acts = [it for it in OPERATOR_ACTS if CHART.allows(seen.campaign.status, it)]
    plan = seen.campaign.plan
    return render(
        request,
        "campaign.html",
        HTTPStatus.OK if refusal is None else HTTPStatus.BAD_REQUEST,
        **live_context(office, seen, causes_of(request, office).of(seen, wait=False)),
        acts=[(it, _ASKED[it], EFFECTS[it]) for it in acts],
        asked_act=act,
        asked_stratum=stratum,
        refusal=str(refusal or ""),
        typed=reason,
        hold_effect=HOLD_EFFECT,
        reason_max=REASON_MAX,
        plan_text=plan_form.document_of(plan),
        approvals=seen.approvals,
        events=list(reversed(seen.events[-_EVENTS_SHOWN:])),
        events_in_all=len(seen.events),
        left_out=left_out(seen),
        others=[it for it in office.campaigns(person) if it.id != number and it.started_at is not None],
        is_live=seen.campaign.status in UNDER_WAY,
    )


@router.post("/campaigns/{number:int}/act")
def do(
    request: Request,
    person: Operator,
    office: TheOffice,
    number: int,
    act: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Start, pause, resume or abort it."""
    wanted = next((it for it in OPERATOR_ACTS if it.value == act), None)
    if wanted is None:
        raise UsageError(
            f"a campaign can be told to {', '.join(it.value for it in OPERATOR_ACTS)}, not {act[:40]!r}"
        )
    seen = view_of(office, person, number)
    try:
        if not CHART.allows(seen.campaign.status, wanted):
            raise UsageError(
                f"campaign {seen.campaign.name!r} is {seen.campaign.status.value} by now: "
                f"it cannot {wanted.value} from there"
            )
        office.act(person, number, wanted, reason_of(reason, needed=wanted is not Act.START))
    except UsageError as refusal:
        return _page(request, person, office, number, act, reason=reason, refusal=refusal)
    said = f"{seen.campaign.name} was {_DONE[wanted]}. {EFFECTS[wanted]}"
    return go(request, f"/campaigns/{number}", said)


@router.post("/campaigns/{number:int}/release-hold")
def release_hold(
    request: Request,
    person: Operator,
    office: TheOffice,
    number: int,
    stratum: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Let a held stratum go on."""
    seen = view_of(office, person, number)
    try:
        office.release_hold(person, number, stratum, reason_of(reason, needed=True))
    except UsageError as refusal:
        asked = next((it.id for it in seen.view.strata if it.name == stratum), 0)
        return _page(request, person, office, number, "release", asked, reason=reason, refusal=refusal)
    return go(request, f"/campaigns/{number}", f"The hold of {stratum} was released. {HOLD_EFFECT}")


# --- what pages and the poller show alike


def view_of(office: Office, person: Person, number: int) -> CampaignView:
    """One campaign; a 404 where there is none."""
    try:
        return office.campaign(person, number)
    except UsageError as cause:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(cause)) from cause


class Causes:
    """Why Devices fail, by campaign: counted where their number has changed, and not all the time.

    Counting looks at every update there is: seconds at ten million. A page waits for that only where there
    are few; else it shows what was counted last, and the poller counts.
    """

    def __init__(self, office: Office) -> None:
        self._standings = office.store.standings
        self._lock = Lock()
        self._known: dict[int, tuple[float, dict[State, int], list[Failed]]] = {}

    def of(self, seen: CampaignView, *, wait: bool) -> list[Failed]:
        """Those of a campaign; `wait`: count, however many there are."""
        number = seen.campaign.id
        failing = {state: devices for state, devices in seen.states.items() if state in FAILING and devices}
        if not failing:
            return []
        nothing: tuple[float, dict[State, int], list[Failed]] = (0.0, {}, [])
        with self._lock:
            due, counted, known = self._known.get(number, nothing)
            if failing == counted or monotonic() < due or (not wait and seen.view.ordered > _AT_ONCE):
                return known
            began = monotonic()
            found = self._standings.causes(number)
            ended = monotonic()
            self._known[number] = ended + _CAUSES_REST * (ended - began), failing, found
            return found


def causes_of(request: Request, office: Office) -> Causes:
    """Those of this process."""
    state = request.app.state
    found: Causes | None = getattr(state, "causes", None)
    if found is None:
        found = state.causes = Causes(office)
    return found


def _failing(seen: CampaignView) -> int:
    return sum(devices for state, devices in seen.states.items() if state in FAILING)


def live_context(office: Office, seen: CampaignView, causes: list[Failed]) -> dict[str, Any]:
    """What changes from minute to minute."""
    now = office.clock()
    store, campaign = office.store, seen.campaign
    states = seen.states
    failing = _failing(seen)
    forecast = store.forecasts.latest(campaign.id)
    proven = states[State.PROVEN]
    drawn, left = None, None
    if campaign.started_at is not None:
        until = campaign.ended_at or now
        drawn = chart.progress(
            campaign.started_at, store.forecasts.actual(campaign.id), (until, proven), forecast
        )
        if forecast is not None:
            left = departure(forecast, until - campaign.started_at, proven)
    strata = strata_of(seen)
    return {
        "campaign": campaign,
        "release": seen.registered,
        "states": [(state, states[state], state_tone(state)) for state in State if states[state]],
        "total": seen.total,
        "proven": proven,
        "strata": strata[:_STRATA_SHOWN],
        "strata_in_all": len(strata),
        "held": [row for row in strata if row.ruling is Ruling.HOLD and campaign.status not in ENDED],
        "ended": campaign.status in ENDED,
        "outlook": seen.outlook,
        "causes": [(it, CAUSES[it.cause][0]) for it in causes[:_CAUSES_SHOWN]],
        "causes_in_all": len(causes),
        "failing": failing,
        "chart": drawn,
        "forecast": forecast,
        "departure": left,
        "idle": campaign.status in UNDER_WAY and not Gauges(store.database).leases(now).get("inbox"),
        "at": now,
    }


FAILING: Final = frozenset(
    {
        State.REFUSED, State.HUB_FAILED, State.TRANSFER_FAILED, State.IMAGE_REJECTED, State.ACTIVATION_FAILED,
        State.SILENT, State.UNCHANGED, State.FAILED, State.LOST,
    }
)  # fmt: skip


def state_tone(state: State) -> str:
    """The colour of a state's bar."""
    if state is State.PROVEN:
        return "good"
    if state in FAILING:
        return "warn" if state in {State.SILENT, State.LOST} else "bad"
    return "quiet" if state in {State.QUEUED, State.CANCELLED, State.WITHDRAWN} else "busy"


def strata_of(seen: CampaignView) -> list[StratumRow]:
    """Each stratum with its numbers, those that are held first."""
    plan = seen.campaign.plan
    states: dict[int, Counter[State]] = {it.id: Counter() for it in seen.view.strata}
    for count in seen.view.counts:
        states[count.cell.stratum][count.stage.state] += count.devices
    waiting: Counter[int] = Counter()
    for place, devices in seen.view.waiting.items():
        waiting[place.stratum] += devices
    found = [
        StratumRow(
            it,
            f"{plan.waves[it.wave].name} ({it.wave + 1}/{len(plan.waves)})",
            seen.judgements[it.id],
            Ruling.HOLD if it.held is not None else seen.judgements[it.id].ruling,
            {state: states[it.id][state] for state in State if states[it.id][state]},
            waiting[it.id],
        )
        for it in seen.view.strata
    ]
    return sorted(found, key=lambda it: (it.ruling is not Ruling.HOLD, it.stratum.name))


def left_out(seen: CampaignView) -> list[tuple[Verdict, int]]:
    """Devices that the campaign is not for, by the reason, the most first."""
    some = {it: devices for it, devices in seen.verdicts.items() if devices and it is not Verdict.ELIGIBLE}
    if seen.campaign.started_at is not None:
        some.pop(Verdict.ALREADY_THERE, None)  # by now also those that it has brought there itself
    return sorted(some.items(), key=lambda it: -it[1])
