"""All that a person can see and do, in one place: the web, the API and the command line come through here.

Each method takes the person first and checks their scope; then it calls the store, which writes down in the
audit, in the same transaction, who did it. What must hold whoever asks (four eyes, digests, the status chart)
the store holds itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from lamplighter.campaign import board as boards
from lamplighter.campaign import fold, next_action
from lamplighter.campaign import plan as plans
from lamplighter.campaign.decide import judge
from lamplighter.campaign.outlook import outlook
from lamplighter.campaign.state import FINAL, FLYING, State
from lamplighter.campaign.status import EFFECTS, Act, CampaignStatus
from lamplighter.kit import FirmwareVersion, IllegalTransitionError, Instant, UsageError
from lamplighter.protocol import image as images
from lamplighter.registry import Procedure, Verdict
from lamplighter.service import candidates, told
from lamplighter.service.clock import wall_clock
from lamplighter.service.people import Scope
from lamplighter.store.campaigns import check_name
from lamplighter.store.orders import READS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lamplighter.campaign.board import Ballot, Choice
    from lamplighter.campaign.decide import View
    from lamplighter.campaign.forecast import Forecast
    from lamplighter.campaign.gates import Judgement
    from lamplighter.campaign.outlook import Outlook
    from lamplighter.campaign.plan import Plan
    from lamplighter.campaign.state import Progress
    from lamplighter.kit import Eui64
    from lamplighter.kit.chain import Entry, Head
    from lamplighter.protocol.smki import Ring
    from lamplighter.registry import Cohort, CplEntry, Device, Hub
    from lamplighter.service.candidates import Candidate, Check
    from lamplighter.service.gateway import Parties
    from lamplighter.service.people import Person
    from lamplighter.store import Store
    from lamplighter.store.campaigns import Approval, Campaign, Event, Vote
    from lamplighter.store.inbox import DeadLetter, Letter
    from lamplighter.store.record import TimelineEntry
    from lamplighter.store.registry import Registered

OPERATOR_ACTS: Final = (Act.START, Act.PAUSE, Act.RESUME, Act.ABORT)
"""What a person does to a campaign; the rest follows by itself."""
LETTERS_MAX: Final = 1_000
"""Dead letters that are read again, or put away, in one act."""
_NEVER: Final = Instant(0)
_GROUP: Final = ("type", "manufacturer", "model", "hardware", "region", "hub_model")


class Forecaster(Protocol):
    """Expects how a plan goes; the command line brings one along, where planning is installed."""

    def __call__(
        self, plan: Plan, release: Registered, devices: Mapping[Cohort, int], start: Instant
    ) -> Forecast:
        """The forecast for so many Devices of each cohort, all of them eligible."""


class Reporter(Protocol):
    """Makes reports for somebody who waits; the command line brings one along, as it does a forecaster."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What updates can be grouped by."""

    def metrics(
        self,
        store: Store,
        campaigns: Sequence[int] | None,
        start: Instant | None,
        end: Instant | None,
        by: Sequence[str],
        clock: Callable[[], Instant],
        form: str,
    ) -> str:
        """What came of updates first ordered in [start, end): as html, csv or json."""

    def storms(self, store: Store, as_of: Instant) -> str:
        """The register of alert storms as a page."""


@dataclass(frozen=True, slots=True)
class CampaignView:
    """A campaign at one moment."""

    campaign: Campaign
    """What was asked for, and where it stands."""
    registered: Registered
    """Its release, without the octets."""
    view: View
    """What a decision looks at."""
    judgements: Mapping[int, Judgement]
    """What the gate says, by stratum."""
    verdicts: Mapping[Verdict, int]
    """Devices; before the start as they are now, afterwards as they were counted then."""
    approvals: Sequence[Approval]
    """Who gave their word; those that are void too."""
    events: Sequence[Event]
    """What was done to it."""
    votes: Sequence[Vote] = ()
    """How the members of its board voted, where it has one; those that are void too."""
    ballot: Ballot | None = None
    """How that vote stands; None: it has no board."""
    at: Instant = _NEVER
    """When it was looked at."""

    @property
    def states(self) -> Counter[State]:
        """Devices in each state; those without an order are queued."""
        found: Counter[State] = Counter()
        for count in self.view.counts:
            found[count.stage.state] += count.devices
        if left := sum(self.view.waiting.values()):
            found[State.QUEUED] += left
        return found

    @property
    def total(self) -> int:
        """Devices that are ordered, or may be."""
        return sum(self.states.values())

    @property
    def approved(self) -> bool:
        """Whether those have given their word whom the plan asks for."""
        if self.ballot is not None:
            return self.ballot.approved
        return sum(it.valid for it in self.approvals) >= self.campaign.plan.approvals

    @property
    def outlook(self) -> Outlook:
        """What happens next, and when."""
        valid = sum(it.valid for it in self.approvals)
        return outlook(self.campaign.plan, self.view, self.at, approvals=valid)


class Group(NamedTuple):
    """Devices that are alike and have one verdict."""

    what: Mapping[str, str]
    """What they have in common, by name."""
    verdict: Verdict
    devices: int


class Portion(NamedTuple):
    """The Devices of one stratum, wave by wave."""

    stratum: str
    devices: int
    waves: tuple[int, ...]
    """About so many in each, in the plan's order."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a plan would do; nothing of it is kept."""

    plan: Plan
    digest: bytes
    """What an approval of it would bind to."""
    release: Registered
    verdicts: Mapping[Verdict, int]
    """Devices that the plan's target has, by verdict."""
    groups: Sequence[Group]
    """The same in groups that are alike, the largest first."""
    strata: Sequence[Portion]
    """Who is in, by stratum."""
    waves: Sequence[int]
    """Devices in each wave, all strata together."""
    requests: Mapping[str, int]
    """Requests to the DCC at least, by SRV, where nothing fails."""
    forecast: Forecast | None
    """What is expected; None: there is no forecaster, or nobody is in."""
    unforeseen: str = ""
    """Why there is no forecast, where one could have been."""

    @property
    def eligible(self) -> int:
        """Devices that are in."""
        return self.verdicts.get(Verdict.ELIGIBLE, 0)


@dataclass(frozen=True, slots=True)
class Journey:
    """A Device's way through one campaign."""

    campaign: Campaign
    version: FirmwareVersion
    """What it is to be brought to."""
    progress: Progress
    """How far it has come."""
    entries: Sequence[TimelineEntry]
    """The evidence, in the order of time."""
    next: str
    """What is to be done about it."""

    @property
    def waits_for(self) -> str:
        """What has to happen next."""
        stage = self.progress.stage
        if stage in FINAL:
            return "nothing: it is over"
        return "word from the DCC, the hub or the Device" if stage in FLYING else f"us: {self.next}"

    @property
    def since(self) -> Instant:
        """When it was last heard of."""
        return max(it.evidence.at for it in self.entries)


@dataclass(frozen=True, slots=True)
class DevicePage:
    """All that is known of one Device."""

    eui: Eui64
    device: Device | None
    """As the registry has it; None: it is not there (any more)."""
    hub: Hub | None
    """Its hub's own row, where there is one."""
    journeys: Sequence[Journey]
    """Its way through each campaign that ordered something for it, the latest last."""


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """A release with all that is in it."""

    registered: Registered
    candidate: Candidate
    """Its image."""
    fields: Sequence[tuple[str, int, str, str]]
    """Every field of the image: name, offset, hex or so many octets, meaning."""
    checks: Sequence[Check]
    cpl: Sequence[CplEntry]
    """The CPL's entries of its version."""
    verdicts: Mapping[Verdict, int]
    """Devices by verdict, as the last count of the fleet has it."""
    campaigns: Sequence[Campaign]


class Added(NamedTuple):
    """What became of an image that was to be a release."""

    registered: Registered | None
    """None: a check failed."""
    candidate: Candidate
    checks: Sequence[Check]


class MessagePage(NamedTuple):
    """A message from the DCC, told."""

    letter: Letter
    dead: str | None
    """Why it could not be applied; None: it could."""
    tree: told.Node


@dataclass(slots=True)
class Office:
    """What persons do to one store.

    clock       what time it is
    forecaster  expects how a plan goes; None: nobody does
    parties     who we are and the keys at hand, to read messages again with; None: there are none here
    reporter    makes reports; None: nobody does
    """

    store: Store
    clock: Callable[[], Instant] = wall_clock
    forecaster: Forecaster | None = None
    parties: Parties | None = field(default=None, repr=False)
    reporter: Reporter | None = None

    # --- releases

    def releases(self, person: Person) -> Sequence[Registered]:
        """All releases, the oldest first, without their octets."""
        person.require(Scope.READ)
        return self.store.registry.releases()

    def release(self, person: Person, key: int | str) -> ReleaseView:
        """One release, opened up; by id or name."""
        person.require(Scope.READ)
        registered = self.store.registry.registered(key)
        candidate = candidates.read(registered.release.image, registered.release.procedure.value)
        cpl = self.store.registry.cpl(registered.release.version)
        fields = [
            (
                it.name,
                it.offset,
                it.octets.hex() if len(it.octets) <= 64 else f"{len(it.octets)} octets",
                meaning,
            )
            for it, meaning in images.explain(candidate.octets, candidate.image.layout)
        ]
        return ReleaseView(
            registered,
            candidate,
            fields,
            candidates.checks(candidate, registered.release, cpl, self._ring),
            cpl,
            self.store.fleet.verdicts(registered.release, self.clock()),
            [it for it in self.store.campaigns.list() if it.release == registered.id],
        )

    def examine(self, person: Person, octets: bytes, srv: str | None = None) -> Added:
        """Check an image as if it were to be a release; nothing is kept. Raises as `add_release`."""
        person.require(Scope.READ)
        candidate = candidates.read(octets, srv)
        release = candidate.release()
        cpl = self.store.registry.cpl(release.version)
        return Added(None, candidate, candidates.checks(candidate, release, cpl, self._ring))

    def add_release(
        self,
        person: Person,
        name: str,
        octets: bytes,
        *,
        after: Iterable[FirmwareVersion] = (),
        security: str | None = None,
        srv: str | None = None,
        max_octets: int = images.MAX_IMAGE_OCTETS,
        ring: Ring | None = None,
    ) -> Added:
        """Register an image, if no check fails.

        octets    an OTA file, or the DUIS request that carries one
        after     versions that it may follow; none: any lower one
        security  what it cures for security, a reference of one's own; None: nothing that is said

        Raises `DecodeError`, which says which field of the image is not as it must be, and `UsageError`.
        """
        person.require(Scope.OPERATE)
        candidates.check_name(name)
        if security is not None:
            candidates.check_security(security)
        candidate = candidates.read(octets, srv)
        release = candidate.release(after)
        cpl = self.store.registry.cpl(release.version)
        found = candidates.checks(candidate, release, cpl, ring or self._ring, max_octets)
        if any(it.passed is False for it in found):
            return Added(None, candidate, found)
        number = self.store.registry.add_release(name, release, person.name, self.clock(), security=security)
        return Added(self.store.registry.listed(number), candidate, found)

    def withdraw(self, person: Person, release: int | str, reason: str = "") -> Registered:
        """Let nothing more be ordered of a release; what the DCC has already goes on."""
        person.require(Scope.OPERATE)
        return self.store.registry.withdraw_release(release, self.clock(), person.name, reason)

    def mark(self, person: Person, release: int | str, security: str | None) -> Registered:
        """Say what a release cures for security; None: nothing. Approvals stay as they are."""
        person.require(Scope.OPERATE)
        if security is not None:
            candidates.check_security(security)
        return self.store.registry.mark_release(release, security, self.clock(), person.name)

    # --- campaigns

    def campaigns(self, person: Person) -> Sequence[Campaign]:
        """All campaigns, the oldest first."""
        person.require(Scope.READ)
        return self.store.campaigns.list()

    def campaign(self, person: Person, key: int | str) -> CampaignView:
        """One campaign as it stands; by id or name."""
        person.require(Scope.READ)
        return look(self.store, key, self.clock())

    def dry_run(self, person: Person, plan: Plan | str, release: int | str) -> DryRun:
        """What a plan (or its TOML) would do: who is in, who is out and why; nothing of it is kept."""
        person.require(Scope.READ)
        wanted = plans.parse(plan) if isinstance(plan, str) else plan
        check_name(wanted.name)
        registered = self.store.registry.listed(release)
        judged = self.store.registry.verdicts(
            registered.id, allow_downgrade=wanted.allow_downgrade, only=wanted.target.matches
        )
        verdicts: Counter[Verdict] = Counter()
        groups: Counter[tuple[tuple[str, ...], Verdict]] = Counter()
        strata: Counter[str] = Counter()
        devices: Counter[Cohort] = Counter()
        for it in judged:
            verdicts[it.verdict] += it.devices
            groups[_alike(it.cohort), it.verdict] += it.devices
            if it.verdict is Verdict.ELIGIBLE:
                strata[wanted.stratum_of(it.cohort)] += it.devices
                devices[it.cohort] += it.devices
        portions = [Portion(name, n, _waves(wanted, n)) for name, n in sorted(strata.items())]
        waves = [sum(it.waves[number] for it in portions) for number in range(len(wanted.waves))]
        forecast, unforeseen = self._forecast(wanted, registered, devices)
        return DryRun(
            wanted,
            self.store.campaigns.digest_of(registered.id, wanted),
            registered,
            verdicts,
            [
                Group(dict(zip(_GROUP, what, strict=True)), verdict, n)
                for (what, verdict), n in groups.most_common()
            ],
            portions,
            waves,
            _requests(wanted, registered.release.procedure, waves),
            forecast,
            unforeseen,
        )

    def create(self, person: Person, plan: Plan | str, release: int | str) -> Campaign:
        """Write down a draft."""
        person.require(Scope.OPERATE)
        wanted = plans.parse(plan) if isinstance(plan, str) else plan
        number = self.store.registry.listed(release).id
        created = self.store.campaigns.create(wanted, number, person.name, self.clock())
        return self.store.campaigns.find(created)

    def revise(
        self, person: Person, campaign: int | str, plan: Plan | str, release: int | str | None = None
    ) -> Campaign:
        """Change the plan of a draft, which makes all approvals and votes void.

        release  None: as it is; another one is refused
        """
        person.require(Scope.OPERATE)
        wanted = plans.parse(plan) if isinstance(plan, str) else plan
        found = self.store.campaigns.find(campaign)
        if release is not None and self.store.registry.listed(release).id != found.release:
            raise UsageError(f"campaign {found.name!r} is of another release: abort it, and create one anew")
        self.store.campaigns.revise(found.id, wanted, person.name, self.clock())
        return self.store.campaigns.find(found.id)

    def approve(self, person: Person, campaign: int | str, digest: bytes | None = None) -> Campaign:
        """Give one's word for what has this digest; None: for what it is now, whatever that is."""
        person.require(Scope.APPROVE)
        found = self.store.campaigns.find(campaign)
        given = found.digest if digest is None else digest
        self.store.campaigns.approve(found.id, person.name, given, self.clock())
        return found

    def vote(
        self, person: Person, campaign: int | str, choice: Choice, digest: bytes | None = None
    ) -> Campaign:
        """Vote as a member of the campaign's board on what has this digest; a later vote takes the place."""
        person.require(Scope.APPROVE)
        found = self.store.campaigns.find(campaign)
        given = found.digest if digest is None else digest
        self.store.campaigns.vote(found.id, person.name, choice, given, self.clock())
        return found

    def act(self, person: Person, campaign: int | str, act: Act, reason: str = "") -> Campaign:
        """Start, pause, resume or abort; `status.EFFECTS` says what that does."""
        person.require(Scope.OPERATE)
        if act not in OPERATOR_ACTS:
            raise UsageError(f"nobody can {act.value} a campaign: that follows by itself")
        found = self.store.campaigns.find(campaign)
        try:
            self.store.campaigns.act(found.id, act, person.name, self.clock(), reason)
        except IllegalTransitionError as cause:
            raise UsageError(
                f"campaign {found.name!r} is {found.status.value}: it cannot {act.value} from there"
            ) from cause
        return self.store.campaigns.find(found.id)

    def release_hold(self, person: Person, campaign: int | str, stratum: str, reason: str = "") -> Campaign:
        """Let a held stratum go on; its failures so far are pardoned."""
        person.require(Scope.OPERATE)
        found = self.store.campaigns.find(campaign)
        self.store.campaigns.release_hold(found.id, stratum, person.name, self.clock(), reason)
        return found

    def call_off(
        self,
        person: Person,
        campaign: int | str,
        stratum: str | None = None,
        device: Eui64 | None = None,
        reason: str = "",
    ) -> int:
        """Call off activations that are dated ahead: of a paused campaign, of a stratum of it, of one Device.

        Returns of how many Devices: the order is taken back unsent, or they are told to drop it. They are
        ordered again once it is resumed. Raises `UsageError` where the campaign is not paused: a
        running one would order them again at once; held strata, and aborted campaigns, have it done anyway.
        """
        person.require(Scope.OPERATE)
        found, now = self.store.campaigns.find(campaign), self.clock()
        if found.status is not CampaignStatus.PAUSED:
            raise UsageError(
                f"campaign {found.name!r} is {found.status.value}: pause it first, or what is called off is "
                "ordered again; where a stratum is held or a campaign aborted, it is done by itself"
            )
        seen = self.store.campaigns.view(found, now)
        strata = {it.id for it in seen.strata if stratum is None or it.name == stratum}
        if not strata:
            raise UsageError(f"campaign {found.name!r} has no stratum {stratum!r}")
        told = "" if stratum is None else stratum
        told = told if device is None else f"{told} {device}".strip()
        detail = f"{told}: {reason}" if told and reason else told or reason
        orders, called_off, more = self.store.orders, 0, True
        while more:
            dated = orders.dated(found, strata, now, device, READS_MAX)
            some = orders.call_off(found, seen, dated, person.name, now, detail)
            called_off += some
            more = some > 0 and len(dated) == READS_MAX
            seen = self.store.campaigns.view(found, now)
        return called_off

    # --- Devices and messages

    def device(self, person: Person, eui: Eui64) -> DevicePage:
        """Where one Device is, why it waits, and what comes next; raises `UsageError` for an unknown one."""
        person.require(Scope.READ)
        device = self.store.registry.device(eui)
        found = journeys(self.store, eui)
        if device is None and not found:
            raise UsageError(f"{eui} is not in the registry, and no campaign knows it")
        hub = None if device is None else self.store.registry.hub(device.hub)
        return DevicePage(eui, device, hub, found)

    def message(self, person: Person, number: int) -> MessagePage:
        """A message of the inbox with every field; raises `UsageError` where there is none."""
        person.require(Scope.READ)
        letters = self.store.inbox.letters([number])
        if not letters:
            raise UsageError(f"there is no message {number}")
        dead = next(
            (it.reason for it in self.store.inbox.dead_letters(1, number - 1) if it.letter.id == number), None
        )
        broker = None if self.parties is None else self.parties.broker
        return MessagePage(letters[0], dead, told.tell(letters[0].octets, self._ring, broker))

    def dead_letters(self, person: Person, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
        """Messages that could not be applied, by number from above `after`."""
        person.require(Scope.READ)
        return self.store.inbox.dead_letters(max(1, min(limit, LETTERS_MAX)), after)

    def replay(self, person: Person, ids: Iterable[int]) -> int:
        """Read dead letters again; how many are dead no more. `UsageError` for a number that is none."""
        person.require(Scope.OPERATE)
        asked = _so_many(ids, "read again")
        from lamplighter.service.receiver import replay  # noqa: PLC0415 # a server: commands start without it

        if self.parties is None:
            raise UsageError("there are no keys here: what is inside a message is verified anew")
        chosen = self.store.inbox.chosen(asked)
        return replay(self.store, self.parties, chosen, self.clock(), person.name)

    def dismiss(self, person: Person, ids: Iterable[int], reason: str) -> int:
        """Put dead letters away that are nobody's fault; how many. The messages stay, the audit says why.

        Raises `UsageError` for a number that is none, and where nothing is said.
        """
        person.require(Scope.OPERATE)
        asked = _so_many(ids, "put away")
        if not reason.strip():
            raise UsageError("say why: what is put away is not looked at again")
        inbox = self.store.inbox
        return inbox.dismiss(inbox.chosen(asked), self.clock(), person.name, reason.strip())

    # --- the audit

    def audit(
        self,
        person: Person,
        after: int = 0,
        limit: int = 100,
        *,
        campaign: int | None = None,
        who: str | None = None,
        what: str | None = None,
        before: int | None = None,
    ) -> Sequence[Entry]:
        """What was done, by whom; see `store.audit.Audit.entries`."""
        person.require(Scope.READ)
        return self.store.audit.entries(after, limit, campaign=campaign, who=who, what=what, before=before)

    def audit_head(self, person: Person) -> Head:
        """The end of the audit's chain, to be kept somewhere else."""
        person.require(Scope.READ)
        return self.store.audit.head()

    # --- inside

    @property
    def _ring(self) -> Ring | None:
        return None if self.parties is None else self.parties.ring

    def _forecast(
        self, plan: Plan, release: Registered, devices: Mapping[Cohort, int]
    ) -> tuple[Forecast | None, str]:
        if self.forecaster is None:
            return None, ""
        if not devices:
            return None, "nobody is in"
        try:
            return self.forecaster(plan, release, devices, self.clock()), ""
        except UsageError as cause:
            return None, str(cause)


def look(store: Store, key: int | str, at: Instant) -> CampaignView:
    """All that is to be seen of a campaign, whoever asks."""
    campaign = store.campaigns.find(key)
    registered = store.registry.listed(campaign.release)
    verdicts: Mapping[Verdict, int]
    if campaign.started_at is not None:
        verdicts = store.campaigns.verdicts(campaign.id)
    else:
        found: Counter[Verdict] = Counter()
        for it in store.registry.verdicts(
            campaign.release, allow_downgrade=campaign.plan.allow_downgrade, only=campaign.plan.target.matches
        ):
            found[it.verdict] += it.devices
        verdicts = found
    view = store.campaigns.view(campaign, at)
    votes = store.campaigns.votes(campaign.id) if campaign.plan.board else []
    return CampaignView(
        campaign,
        registered,
        view,
        judge(campaign.plan, view),
        verdicts,
        store.campaigns.approvals(campaign.id),
        store.campaigns.events(campaign.id),
        votes,
        None
        if campaign.plan.board is None
        else boards.count(campaign.plan.board, {it.member: it.choice for it in votes if it.valid}),
        at,
    )


def journeys(store: Store, device: Eui64) -> list[Journey]:
    """A Device's way through each campaign that ordered something for it."""
    timeline = sorted(store.record.timeline(device), key=lambda it: it.campaign)
    found = []
    for name, some in groupby(timeline, lambda it: it.campaign):
        campaign = store.campaigns.find(name)
        release = store.registry.listed(campaign.release).release
        entries = list(some)
        progress = fold(((it.step, it.evidence) for it in entries), release.version)
        due = next_action(release.procedure, progress, campaign.plan.retries)
        found.append(Journey(campaign, release.version, progress, entries, due.action.value))
    return sorted(found, key=lambda it: it.campaign.id)


def _so_many(ids: Iterable[int], done: str) -> list[int]:
    """Numbers of dead letters, each once; `UsageError` where they are none, or more than one act takes."""
    asked = sorted(set(ids))
    if not 0 < len(asked) <= LETTERS_MAX:
        raise UsageError(f"1 to {LETTERS_MAX} dead letters are {done} at one time, not {len(asked)}")
    return asked


def _alike(cohort: Cohort) -> tuple[str, ...]:
    """What a group is known by, as `_GROUP`."""
    return (
        cohort.type.value,
        f"{cohort.manufacturer:04X}",
        f"{cohort.model:04X}",
        f"{cohort.hardware:04X}",
        cohort.region,
        cohort.hub_model,
    )


def _waves(plan: Plan, devices: int) -> tuple[int, ...]:
    """About how many Devices of a stratum come in each wave."""
    before = 0
    found = []
    for wave in plan.waves:
        reached = max(before, min(devices, max(ceil(wave.share * devices), wave.minimum)))
        found.append(reached - before)
        before = reached
    return tuple(found)


def _requests(plan: Plan, procedure: Procedure, waves: Sequence[int]) -> dict[str, int]:
    """Updates by batches, of each wave anew; where activation is a step of its own, one for each Device."""
    updates = sum(ceil(devices / plan.batch_max) for devices in waves)
    activations = {"11.3": sum(waves)} if procedure is Procedure.TWO_STEP else {}
    return {procedure.value: updates} | activations


__all__ = [
    "EFFECTS", "OPERATOR_ACTS", "Act", "Added", "CampaignStatus", "CampaignView", "DevicePage", "DryRun",
    "Forecaster", "Group", "Journey", "MessagePage", "Office", "Portion", "ReleaseView", "journeys", "look",
]  # fmt: skip
