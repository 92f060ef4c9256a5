"""The policy under any plan, any events, any clock and any operator: what must never happen does not."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.campaign.ledger import OLD, TARGET, Ledger

from lamplighter.campaign.decide import FIRST_STEP, Place
from lamplighter.campaign.evidence import Cause, Fact
from lamplighter.campaign.gates import Gate
from lamplighter.campaign.next import QUIET, Order, Retries
from lamplighter.campaign.plan import Caps, Plan, Wave
from lamplighter.campaign.rates import Growth, Rate
from lamplighter.campaign.state import FINAL, IMPLIES, READY, Stage
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.campaign.tallies import LOADING
from lamplighter.campaign.windows import Kind, Window, open_at
from lamplighter.kit.instant import DAY, HOUR, MINUTE, from_iso
from lamplighter.registry import Procedure

REGIONS = ("North", "South")
HUB_MODELS = ("A", "B")
CAUSES = (Cause.TRANSFER, Cause.HARDWARE, Cause.OTHER_REQUEST, Cause.ACTIVATION)
START = from_iso("2026-03-28T23:30:00Z")  # the night on which the clocks go forward

WORDS = (
    Fact.ACCEPTED,
    Fact.REFUSED,
    Fact.AT_HUB,
    Fact.HUB_FAILED,
    Fact.ON_DEVICE,
    Fact.TRANSFER_FAILED,
    Fact.IMAGE_VERIFIED,
    Fact.ACTIVATION_SCHEDULED,
    Fact.ACTIVATED,
    Fact.ACTIVATION_FAILED,
    Fact.CALL_OFF_SENT,
    Fact.CALL_OFF_REFUSED,
    Fact.CALLED_OFF,
    Fact.READ_FAILED,
    Fact.VERSION_READ,
    Fact.LEFT,
)
VERSIONED = frozenset({Fact.ACTIVATED, Fact.VERSION_READ})
FAILURES = frozenset(
    {Stage.REFUSED, Stage.HUB_FAILED, Stage.TRANSFER_FAILED, Stage.ACTIVATION_FAILED, Stage.WITHDRAWN}
)
RESENT = frozenset(
    {
        Stage.RECALLED,
        Stage.REFUSED,
        Stage.HUB_FAILED,
        Stage.TRANSFER_FAILED,
        Stage.IMAGE_REJECTED,
        Stage.ACTIVATION_FAILED,
        Stage.UNCHANGED,
    }
)
"""What an update may be sent after: somebody said that it failed, or the Device named the old version."""
OF_CALL_OFFS = frozenset({Stage.CALLING_OFF, Stage.SILENT_IN_CALL_OFF, Stage.CALLED_OFF})
NEXT_WORD = {
    Stage.QUEUED: Fact.ACCEPTED,
    Stage.ACCEPTED: Fact.AT_HUB,
    Stage.AT_HUB: Fact.ON_DEVICE,
    Stage.ON_DEVICE: Fact.IMAGE_VERIFIED,
    Stage.IMAGE_VERIFIED: Fact.ACTIVATED,
    Stage.ACTIVATION_SENT: Fact.ACTIVATION_SCHEDULED,
    Stage.CALLING_OFF: Fact.CALLED_OFF,
    Stage.SILENT_ON_DEVICE: Fact.IMAGE_VERIFIED,
}

caps = st.none() | st.integers(1, 12)
plans = st.builds(
    Plan,
    st.just("any"),
    st.sampled_from(
        [
            (Wave("all", 1.0),),
            (Wave("canary", 0.2, soak=3 * HOUR), Wave("rest", 1.0)),
            (Wave("a", 0.1, gated=False), Wave("b", 0.5, soak=HOUR), Wave("c", 1.0)),
        ]
    ),
    gate=st.sampled_from([Gate(), Gate(false_hold_rate=0.05, minimum_sample=1)]),
    retries=st.builds(
        Retries, st.integers(1, 3), st.integers(1, 3), st.just(HOUR), st.just(2.0), st.just(DAY), st.just({})
    ),
    windows=st.sampled_from(
        [(), (), (Window(60, 300),), (Window(22 * 60, 120), Window(0, 1440, kinds=frozenset({Kind.READ})))]
    ),
    rate=st.builds(Rate, st.just(Growth.CONSTANT), st.integers(1, 40)),
    caps=st.builds(Caps, caps, caps, caps, st.none() | st.integers(5, 40)),
    activate_at=st.none() | st.sampled_from([(120, 240), (13 * 60, 14 * 60)]),
    call_off_ahead=st.sampled_from([MINUTE, HOUR]),
    lasts=st.just(90 * DAY),
)
plans_in_two_steps = plans.map(lambda plan: replace(plan, activate_at=(120, 240), windows=()))
stories = st.one_of(
    st.tuples(plans, st.sampled_from(Procedure)), st.tuples(plans_in_two_steps, st.just(Procedure.TWO_STEP))
)


class Campaign(RuleBasedStateMachine):
    """One campaign of 40 Devices and all that can befall it."""

    @initialize(story=stories)
    def begin(self, story):
        plan, procedure = story
        waiting = {
            Place(stratum, wave, region, hub_model): 2 + 3 * (wave == len(plan.waves) - 1)
            for stratum in (0, 1)
            for wave in range(len(plan.waves))
            for region in REGIONS
            for hub_model in HUB_MODELS
        }
        self.ledger = Ledger(plan, procedure, waiting, START)
        self.proofs = set()
        self.tick()

    @rule()
    def tick(self):
        before = self.ledger.status
        orders = len(self.ledger.ordered)
        strata = dict(self.ledger.strata)
        held = {n for n, stratum in strata.items() if stratum.held}
        known = {(u.cell.stratum, u.cell.wave) for u in self.ledger.updates}
        there = {(at.stratum, at.wave) for at, n in (self.ledger.waiting + self.ledger.late).items() if n}

        decision = self.ledger.tick()
        new = {kind for _, kind, _ in self.ledger.ordered[orders:]}
        if before is CampaignStatus.PAUSED:
            assert new <= {Order.CALL_OFF_ACTIVATION}, "paused means no new order but what is owed"
            assert held or self.ledger.withdrawn or not new, "and a pause alone calls nothing off"
        if before is CampaignStatus.ABORTING:
            assert new <= {Order.CALL_OFF_ACTIVATION, Order.READ_FIRMWARE_VERSION}, "nor does an end"
            questions = [again for again in decision.again if again.kind is Order.READ_FIRMWARE_VERSION]
            asked = {self.ledger.updates[n].was for again in questions for n in again.updates}
            assert asked <= {Stage.SILENT_IN_CALL_OFF}, "but for the outcome of a call-off"
        assert not held & {make.place.stratum for make in decision.makes}, "a held stratum gets nothing new"
        plan = self.ledger.plan
        for kind, _, ids in decision.again:
            if kind is Order.CALL_OFF_ACTIVATION:
                self.is_called_off_rightly(ids)
            if kind in QUIET:
                continue
            assert not held & {self.ledger.updates[n].cell.stratum for n in ids}, "nor anything again"
            if kind is not Order.ACTIVATE_FIRMWARE:
                assert {self.ledger.updates[n].was for n in ids} <= RESENT, "read before resend"
                assert not any(self.was_called_off(n) for n in ids), "a call-off sends nothing again"
        for n, wave in decision.opens:
            settled = strata[n].settled_at
            soaked = settled is not None and settled + plan.waves[wave - 1].soak <= self.ledger.now
            assert soaked or (n, wave - 1) not in known | there, "the soak time is over"
            beyond = any(of == n and number >= wave for of, number in there)
            assert soaked or beyond, "nothing opens for nobody: those whose turn it is may be shut out"
        if decision.act is Act.FINISH and not self.is_over():
            assert not self.ledger.shut.total(), "it does not finish without those who may come back"
        for kind in new - {Order.CALL_OFF_ACTIVATION}:  # which waits for no window
            of = {Order.ACTIVATE_FIRMWARE: Kind.ACTIVATE, Order.READ_FIRMWARE_VERSION: Kind.READ}
            assert open_at(plan.windows, plan.blackout, self.ledger.now, of.get(kind, Kind.UPDATE))

    def is_over(self):
        """Whether it ends in any case."""
        ledger = self.ledger
        return ledger.withdrawn or ledger.now >= ledger.started_at + ledger.plan.lasts

    def is_called_off_rightly(self, ids):
        """There is time for it, and somebody has seen harm, or the end."""
        ledger = self.ledger
        for update in (ledger.updates[n] for n in ids):
            assert update.execution - ledger.now >= ledger.plan.call_off_ahead
            stratum = ledger.strata[update.cell.stratum]
            assert (
                stratum.held is not None
                or self.is_over()
                or ledger.status in {CampaignStatus.ABORTING, CampaignStatus.ABORTED}
            )

    def was_called_off(self, n):
        """Whether a Device that says the old version has had no activation since one was called off."""
        update = self.ledger.updates[n]
        commands = [kind for kind in update.orders[:-1] if kind is not Order.READ_FIRMWARE_VERSION]
        return update.was is Stage.UNCHANGED and commands[-1] is Order.CALL_OFF_ACTIVATION

    @rule(minutes=st.sampled_from([1, 15, 60, 240, 1440, 4320]))
    def time_passes(self, minutes):
        self.ledger.now += minutes * MINUTE
        self.tick()

    @rule(minutes=st.integers(1, 120))
    def the_clock_is_put_back(self, minutes):
        self.ledger.now -= minutes * MINUTE

    @rule(part=st.integers(1, 4), offset=st.integers(0, 3))
    def all_goes_well(self, part, offset):
        """What is out comes one stage further for some Devices."""
        for update in self.ledger.updates[offset::part]:
            if (fact := NEXT_WORD.get(update.progress.stage)) is not None:
                self.say(update, fact, TARGET if fact in VERSIONED else None)

    @rule(
        fact=st.sampled_from(WORDS),
        cause=st.sampled_from(CAUSES),
        new=st.booleans(),
        late=st.booleans(),
        part=st.integers(1, 5),
        offset=st.integers(0, 4),
    )
    def word_comes(self, fact, cause, new, late, part, offset):
        """Anything is said of some Devices, fitting or not, of this step or of an older one."""
        for update in self.ledger.updates[offset::part]:
            before = update.progress
            if before.stage in FINAL or (before.stage in READY - LOADING and IMPLIES[fact] in LOADING):
                continue  # the DCC does not take a failure back
            order = update.orders[-1 - late :][:1]
            if IMPLIES[fact] in OF_CALL_OFFS and order != [Order.CALL_OFF_ACTIVATION]:
                continue  # it is only said of an order that calls off: our own word, or an answer to that
            version = (TARGET if new else OLD) if fact in VERSIONED else None
            step = before.step - (late and before.step > FIRST_STEP)
            self.say(
                update, fact, version, step=step, cause=cause if IMPLIES[fact] in FAILURES else Cause.NONE
            )

    def say(self, update, fact, version, **more):
        if version == TARGET:
            self.proofs.add(update.id)
        self.ledger.say(update, fact, version=version, **more)

    @rule()
    def requests_are_sent(self):
        for batch in self.ledger.batches:
            batch.attempted = True

    @precondition(lambda self: self.ledger.status is CampaignStatus.RUNNING)
    @rule()
    def pause(self):
        self.ledger.act(Act.PAUSE)

    @precondition(lambda self: self.ledger.status is CampaignStatus.PAUSED)
    @rule()
    def resume(self):
        self.ledger.act(Act.RESUME)

    @precondition(lambda self: self.ledger.status in {CampaignStatus.RUNNING, CampaignStatus.PAUSED})
    @rule(sure=st.integers(0, 15))
    def abort(self, sure):
        if sure == 0:
            self.ledger.act(Act.ABORT)

    @precondition(lambda self: self.ledger.status is CampaignStatus.PAUSED)
    @rule()
    def call_off(self):
        self.ledger.call_off()

    @rule(sure=st.integers(0, 15))
    def withdraw(self, sure):
        self.ledger.withdrawn |= sure == 0

    @rule(stratum=st.integers(0, 1), regions=st.sampled_from([REGIONS, REGIONS[:1], REGIONS[1:]]))
    def verdicts_shut_out(self, stratum, regions):
        """A file says that they may not have the release."""
        self.ledger.shut_out(stratum, regions)

    @rule()
    def verdicts_let_in(self):
        """The next file says that they may."""
        self.ledger.let_in()

    @precondition(lambda self: self.ledger.status is CampaignStatus.RUNNING)
    @rule(sure=st.integers(0, 3), strata=st.sampled_from([(0, 1), (0,), (1,)]))
    def a_file_is_wrong_for_a_day(self, sure, strata):
        """All that is out has ended well, nothing is held, and nobody who waits may have the release now."""
        if sure:
            return
        for update in self.ledger.updates:
            if update.progress.stage not in FINAL:
                self.say(update, Fact.VERSION_READ, TARGET)
        for stratum in (0, 1):
            self.release(stratum)
        for stratum in strata:
            self.ledger.shut_out(stratum, REGIONS)
        for _ in range(8):
            self.time_passes(240)
        self.ledger.let_in()

    @rule(stratum=st.integers(0, 1))
    def hold(self, stratum):
        """The gate finds harm."""
        self.ledger.hold(stratum)

    @rule(stratum=st.integers(0, 1))
    def release(self, stratum):
        self.ledger.release(stratum)

    @invariant()
    def caps_are_never_exceeded(self):
        limits = self.ledger.plan.caps
        if limits.in_flight is not None:
            assert self.ledger.in_flight() <= limits.in_flight
        for region in REGIONS:
            assert limits.per_region is None or self.ledger.in_flight(region=region) <= limits.per_region
        for hub_model in HUB_MODELS:
            flying = self.ledger.in_flight(hub_model=hub_model)
            assert limits.per_hub_model is None or flying <= limits.per_hub_model

    @invariant()
    def no_hour_and_no_day_sees_too_much(self):
        plan, ordered = self.ledger.plan, self.ledger.ordered
        update = Order.update(self.ledger.procedure)
        for end, _, _ in ordered:
            hour = sum(n for at, kind, n in ordered if kind is update and end - HOUR < at <= end)
            assert hour <= plan.rate.per_hour
            day = sum(n for at, _, n in ordered if end - DAY < at <= end)
            assert plan.caps.requests_per_day is None or day <= plan.caps.requests_per_day

    @invariant()
    def only_a_version_proves(self):
        proven = {u.id for u in self.ledger.updates if u.progress.stage is Stage.PROVEN}
        assert self.proofs == proven

    @invariant()
    def nobody_is_tried_too_often(self):
        retries = self.ledger.plan.retries
        assert all(u.progress.attempt <= retries.attempts for u in self.ledger.updates)

    def teardown(self):
        """Every campaign ends, though nobody ever says a word again."""
        if not hasattr(self, "ledger"):
            return
        ledger = self.ledger
        if ledger.status is CampaignStatus.PAUSED:
            ledger.act(Act.RESUME)
        for _ in range(600):
            if ledger.status in {CampaignStatus.FINISHED, CampaignStatus.ABORTED}:
                break
            ledger.tick()
            ledger.now += 6 * HOUR
        assert ledger.status in {CampaignStatus.FINISHED, CampaignStatus.ABORTED}
        assert all(u.progress.stage in FINAL for u in ledger.updates)


TestCampaign = Campaign.TestCase
TestCampaign.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
