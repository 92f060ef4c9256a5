"""The loop against a DCC that answers as we tell it, under real signatures, on both databases."""

from dataclasses import replace

import pytest
from sqlalchemy import insert, update

from lamplighter.campaign import Cause, Fact, Stage
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.kit import Eui64, FirmwareVersion, ImageHash
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.smki import Role
from lamplighter.registry import DeviceType
from lamplighter.service.reconciler import LEASE
from lamplighter.store import Store
from lamplighter.store import schema as s

from .dcc import (
    HCALCS_DEVICE,
    PPMID_DEVICE,
    Side,
    no_answer,
    of_another_home,
    refuse,
    trouble,
    unacceptable,
    unreachable,
)
from .parties import (
    HCALCS,
    NEW,
    PARTIES,
    PPMID,
    STRANGER,
    SUPPLIER,
    accepted_for_later,
    activated,
    activation_response,
    answer,
    by_dsp,
    delivered,
    outcome,
    read_answer,
    receipt,
    transferred,
)

OTHER_HUB = Eui64.of(0x00DB_1234_5678_90B2)


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


@pytest.fixture
def side(store):
    return Side(store)


@pytest.fixture
def ppmid(side):
    side.register(PPMID_DEVICE)
    return side.begin(DeviceType.PPMID)


@pytest.fixture
def hcalcs(side):
    side.register(HCALCS_DEVICE)
    return side.begin(DeviceType.HCALCS)


def last(side):
    return side.dcc.requests[-1][1].id


def status(side, campaign):
    return side.store.campaigns.find(campaign).status


# What goes out, and what it means


def test_a_ppmid_is_proven_in_one_request(side, ppmid):
    """SRV 11.4 once; N60, N62, N39; nothing more is asked, and the campaign ends."""
    side.settle()
    assert Stage.ACCEPTED is side.stage()
    [(service, request)] = side.dcc.requests
    assert ("serviceD", (PPMID,), NEW) == (service, request.body.devices, request.body.version)
    side.arrive(delivered(request=last(side)), transferred(), activated())
    assert Stage.PROVEN is side.stage()
    assert NEW == side.store.registry.device(PPMID).cohort.firmware
    side.pass_(DAY)
    side.settle()
    assert (1, CampaignStatus.FINISHED) == (len(side.dcc.requests), status(side, ppmid))


@pytest.mark.usefixtures("hcalcs")
def test_an_hcalcs_is_activated_only_after_it_verified_the_image(side):
    """SRV 11.1; 8F72; transform, signed pre-command; CS06 with the new version."""
    side.settle()
    side.arrive(delivered(HCALCS, request=last(side)), transferred(HCALCS, request=last(side)))
    assert (Stage.ON_DEVICE, ["UpdateFirmware"]) == (side.stage(), side.dcc.asked)
    side.arrive(receipt())
    assert Stage.ACTIVATION_SENT is side.stage()
    assert ["UpdateFirmware", "ActivateFirmware", "SignedPreCommand"] == side.dcc.asked
    side.arrive(activation_response(counter=last(side).counter))
    assert Stage.PROVEN is side.stage()


@pytest.mark.usefixtures("hcalcs")
def test_the_command_bears_our_signature_and_its_requests_counter(side):
    """What goes to the Send Command service is the pre-command, signed, under the transform's counter."""
    side.settle()
    side.arrive(receipt())
    (_, transform), (_, command) = side.dcc.requests[1:]
    signed = gbcs.decode(command.body.payload)
    assert (transform.id, transform.id.counter) == (command.id, signed.message.counter)
    key = PARTIES.ring.signer(SUPPLIER, Role.SUPPLIER)
    assert signed.message.signature == key.sign(command.body.payload[1:-65])


@pytest.mark.usefixtures("ppmid")
def test_a_silent_device_is_asked_before_anything_is_sent_again(side):
    """No word by the deadline: SRV 11.2; the Device says that it runs the image, and nothing is flashed."""
    side.settle()
    side.pass_(2 * DAY)
    side.settle()
    assert ["UpdatePpmidFirmware", "ReadFirmwareVersion"] == side.dcc.asked
    assert Stage.CHECKING is side.stage()
    side.arrive(activated())
    side.pass_(20 * DAY)
    side.settle()
    assert (Stage.PROVEN, 2) == (side.stage(), len(side.dcc.requests))


@pytest.mark.usefixtures("ppmid")
@pytest.mark.parametrize(
    ("code", "cause"), [("E4", Cause.ACCESS), ("E110401", Cause.REQUEST), ("E110402", Cause.REQUEST)]
)
def test_a_refusal_is_recorded_with_its_code_and_not_repeated(side, code, cause):
    """The DCC says no for good: the Device has failed, and the timeline says why."""
    side.dcc.reply = refuse(code)
    side.settle()
    [refusal] = side.evidence(PPMID, Fact.REFUSED)
    assert (code, cause, Stage.FAILED) == (refusal.message, refusal.cause, side.stage())
    assert 1 == len(side.dcc.requests)


def test_a_warning_refuses_only_the_devices_that_it_lists(side):
    """W110401: one PPMID of two is left out, the other goes on."""
    side.register(PPMID_DEVICE, of_another_home(STRANGER, OTHER_HUB))
    side.begin(DeviceType.PPMID)
    warning = duis.FirmwareWarning((), (), (), (PPMID,), (), ppmid=True)
    side.dcc.reply = lambda request: by_dsp(answer(request, "W110401", warning))
    side.settle()
    assert {PPMID: Stage.REFUSED, STRANGER: Stage.ACCEPTED} == side.stages()
    [refusal] = side.evidence(PPMID, Fact.REFUSED)
    assert (Cause.OTHER_REQUEST, "another request in progress") == (refusal.cause, refusal.detail)


@pytest.mark.usefixtures("ppmid")
def test_an_unsigned_acknowledgement_is_taken_as_the_dcc_sends_it(side):
    """Some synchronous acknowledgements come unsigned; the proof does not rest on them."""
    side.dcc.reply = lambda request: duis.encode_response(answer(request, "I99"))
    side.settle()
    assert Stage.ACCEPTED is side.stage()


@pytest.mark.usefixtures("ppmid")
def test_an_answer_to_another_request_is_not_believed(side):
    """A replayed I99 of an earlier request acknowledges nothing."""
    earlier = duis.RequestId(SUPPLIER, PARTIES.broker, 1)
    side.dcc.reply = lambda request: by_dsp(answer(replace(request, id=earlier), "I99"))
    side.settle()
    [evidence] = side.evidence(PPMID, Fact.SUBMITTED)
    assert "answer-to-another" in evidence.detail


@pytest.mark.usefixtures("ppmid")
def test_an_answer_that_cannot_be_believed_is_no_refusal(side):
    """The DCC may have taken the request: the home stays busy, the Device is asked, nothing is guessed."""
    side.dcc.reply = lambda _: b"<html>maintenance</html>"
    side.settle()
    assert (Stage.SUBMITTED, []) == (side.stage(), side.open())
    side.dcc.reply = side.dcc.accept
    side.pass_(MINUTE)
    side.settle()
    assert 1 == len(side.dcc.requests)
    side.pass_(DAY)
    side.settle()
    assert "ReadFirmwareVersion" == side.dcc.asked[-1]
    side.arrive(activated())
    assert Stage.PROVEN is side.stage()


@pytest.mark.usefixtures("ppmid")
def test_an_answer_that_cannot_be_believed_holds_the_lane_back_for_a_while(side):
    """A certificate that we do not know signs every answer: not all that is ordered goes out at once."""
    side.register(replace(HCALCS_DEVICE, hub=OTHER_HUB))
    side.begin(DeviceType.HCALCS, "another")
    side.dcc.reply = lambda _: b"<html>maintenance</html>"
    side.settle()
    assert 1 == len(side.dcc.requests)
    side.pass_(MINUTE)
    side.settle()
    assert (2, {Stage.SUBMITTED}) == (len(side.dcc.requests), set(side.stages().values()))


@pytest.mark.parametrize("end", ["abort", "withdraw"])
def test_an_activation_that_was_not_sent_is_not_sent_after_the_end(side, hcalcs, end):
    """Ordered while the DCC was not there; then the firmware turns out to be bad."""
    side.settle()
    side.dcc.reply = unreachable
    side.arrive(receipt())
    assert Stage.QUEUED is side.stage()
    asked = len(side.dcc.asked)
    if end == "abort":
        side.act(hcalcs, Act.ABORT)
    else:
        side.store.registry.withdraw_release("release for HCALCS", side.now)
    side.dcc.reply = side.dcc.accept
    side.pass_(MINUTE)
    side.settle()
    assert (Stage.CANCELLED, []) == (side.stage(), side.dcc.asked[asked:])
    assert status(side, hcalcs) in {CampaignStatus.ABORTED, CampaignStatus.FINISHED}


def test_a_plan_that_cannot_be_read_does_not_stop_the_other_campaigns(side, ppmid):
    """It was written by another version, or by hand."""
    side.register(replace(HCALCS_DEVICE, hub=OTHER_HUB))
    side.begin(DeviceType.HCALCS, "another")
    with side.store.database.writing() as connection:
        connection.execute(update(s.campaign).where(s.campaign.c.id == ppmid).values(plan="nonsense"))
    side.settle()
    assert {HCALCS: Stage.ACCEPTED} == side.stages()


@pytest.mark.usefixtures("hcalcs")
@pytest.mark.parametrize(
    "changes",
    [{"hash": ImageHash(b"\x66" * 32)}, {"device": STRANGER}, {"counter": 1}, {"execution": gbcs.CANCELLED}],
)
def test_a_transform_that_says_something_else_is_never_signed(side, changes):
    """A compromised DSP hands us another pre-command: nothing goes to the Send Command service."""
    side.settle()
    side.dcc.reply = lambda request: by_dsp(answer(request, "I0", side.dcc.pre_command(request, **changes)))
    side.arrive(receipt())
    assert "SignedPreCommand" not in side.dcc.asked
    assert "pre-command-" in side.evidence(HCALCS, Fact.ACTIVATION_REFUSED)[0].detail


# The DCC is not there, or its answer is lost


@pytest.mark.usefixtures("ppmid")
def test_an_unreachable_dcc_is_asked_again_under_the_same_request_id(side):
    """Nobody listens: the order stays in the outbox as if it had never been tried, and keeps its counter."""
    side.dcc.reply = unreachable
    side.settle()
    [waiting] = side.open()
    assert (Stage.QUEUED, None) == (side.stage(), waiting.attempted_at)
    side.dcc.reply = side.dcc.accept
    side.pass_(MINUTE)
    side.settle()
    assert (Stage.ACCEPTED, {waiting.counter}) == (side.stage(), set(side.dcc.counters))


@pytest.mark.usefixtures("ppmid")
def test_a_dcc_in_trouble_is_asked_again_later(side):
    """HTTP 503 is no answer: asked again after a pause, longer each time, under the same id."""
    side.dcc.reply = trouble
    for _ in range(100):
        side.settle()
        side.pass_(SECOND)
    assert 5 < len(side.dcc.requests) < 12
    side.dcc.reply = side.dcc.accept
    side.pass_(MINUTE)
    side.settle()
    assert (Stage.ACCEPTED, 1) == (side.stage(), len(set(side.dcc.counters)))


@pytest.mark.usefixtures("ppmid")
def test_a_request_that_the_dcc_cannot_take_does_not_stop_the_lane(side):
    """HTTP 413: sent again it would be the same, so it is given up, and what is behind it goes out."""
    side.register(replace(HCALCS_DEVICE, hub=OTHER_HUB))
    side.begin(DeviceType.HCALCS, "another")
    side.dcc.reply = lambda request: (
        unacceptable(request)
        if isinstance(request.body, duis.UpdatePpmidFirmware)
        else side.dcc.accept(request)
    )
    side.settle()
    assert {PPMID: Stage.FAILED, HCALCS: Stage.ACCEPTED} == side.stages()


@pytest.mark.usefixtures("ppmid")
def test_nothing_overtakes_a_request_that_could_not_be_sent(side):
    """The first post fails: the second is not sent before it, for the DCC takes no lower counter later."""
    side.register(replace(HCALCS_DEVICE, hub=OTHER_HUB))
    side.begin(DeviceType.HCALCS, "another")
    side.dcc.reply = no_answer
    side.settle()
    assert 1 == len(side.dcc.requests)
    side.dcc.reply = side.dcc.accept
    side.pass_(MINUTE)
    side.settle()
    assert sorted(side.dcc.counters) == side.dcc.counters
    assert {Stage.ACCEPTED} == set(side.stages().values())


def test_a_forecast_that_cannot_be_read_delays_no_campaign(side, ppmid):
    """What is only looked at fails by itself: the campaign goes on at the same pace."""
    with side.store.database.writing() as connection:
        connection.execute(insert(s.forecast).values(campaign=ppmid, made_at=1, document="{}"))
    side.settle()
    side.arrive(delivered(request=last(side)), transferred(), activated())
    assert Stage.PROVEN is side.stage()
    side.settle()
    assert CampaignStatus.FINISHED is status(side, ppmid)
    assert side.reconciler.failures


@pytest.mark.usefixtures("ppmid")
def test_a_refused_repetition_is_no_refusal_of_the_first(side):
    """The answer was lost and the DCC refuses the same counter again: the Devices' own evidence decides."""
    side.dcc.reply = no_answer
    side.settle()
    side.dcc.reply = refuse("E57")
    side.pass_(MINUTE)
    side.settle()
    assert Stage.SUBMITTED is side.stage()
    side.arrive(delivered(request=last(side)), activated())
    assert (Stage.PROVEN, 1) == (side.stage(), len(set(side.dcc.counters)))


@pytest.mark.usefixtures("hcalcs")
def test_a_signed_command_survives_a_crash_between_its_two_sends(side):
    """Transform answered, Send failed: the kept command is sent, and no second transform is asked for."""
    side.settle()
    side.dcc.reply = lambda request: (
        trouble(request) if isinstance(request.body, duis.SignedPreCommand) else side.dcc.accept(request)
    )
    side.arrive(receipt())
    [request] = side.open()
    assert request.command is not None
    side.dcc.reply = side.dcc.accept
    side.pass_(2 * LEASE)
    side.settle(side.another("after the crash"))
    assert ["ActivateFirmware", "SignedPreCommand", "SignedPreCommand"] == side.dcc.asked[1:]
    assert Stage.ACTIVATION_SENT is side.stage()


@pytest.mark.usefixtures("hcalcs")
def test_a_pre_command_that_was_lost_is_asked_for_under_a_fresh_counter(side):
    """The DCC has spent the counter and we never got the answer: a transform has no effect, so ask anew."""
    side.settle()
    side.dcc.reply = no_answer
    side.arrive(receipt())
    side.dcc.reply = lambda request: (
        by_dsp(answer(request, "E57"))
        if request.id.counter in side.dcc.counters[:-1] and isinstance(request.body, duis.ActivateFirmware)
        else side.dcc.accept(request)
    )
    side.pass_(MINUTE)
    side.settle()
    assert ["ActivateFirmware"] * 3 + ["SignedPreCommand"] == side.dcc.asked[1:]
    assert side.dcc.counters[1] == side.dcc.counters[2] < side.dcc.counters[3] == side.dcc.counters[4]
    assert Stage.ACTIVATION_SENT is side.stage()


@pytest.mark.usefixtures("hcalcs")
def test_a_refused_repetition_of_a_command_counts_as_sent(side):
    """The signed pre-command went out and the answer was lost: E58 now says no more than that."""
    side.settle()
    side.dcc.reply = lambda request: (
        no_answer(request) if isinstance(request.body, duis.SignedPreCommand) else side.dcc.accept(request)
    )
    side.arrive(receipt())
    side.dcc.reply = refuse("E58")
    side.pass_(MINUTE)
    side.settle()
    assert Stage.ACTIVATION_SENT is side.stage()


# Operators


def test_what_was_not_sent_when_a_campaign_is_paused_is_not_sent(side, ppmid):
    """Pause during an outage: nothing goes out when it ends; resume orders anew, under a higher counter."""
    side.dcc.reply = unreachable
    side.settle()
    tried = side.dcc.counters
    side.act(ppmid, Act.PAUSE)
    side.dcc.reply = side.dcc.accept
    side.pass_(MINUTE)
    side.settle()
    assert (tried, []) == (side.dcc.counters, side.open())
    side.act(ppmid, Act.RESUME)
    side.pass_(MINUTE)
    side.settle()
    assert Stage.ACCEPTED is side.stage()
    assert max(tried) < side.dcc.counters[-1]


@pytest.mark.parametrize("act", [Act.PAUSE, Act.ABORT])
def test_what_may_have_been_sent_when_a_campaign_is_stopped_is_not_sent_again(side, ppmid, act):
    """A bad image, an answer lost, and then a pause: to send it again might flash what nobody wants."""
    side.dcc.reply = no_answer
    side.settle()
    side.act(ppmid, act)
    side.dcc.reply = side.dcc.accept
    side.pass_(MINUTE)
    side.settle()
    assert (1, Stage.SUBMITTED) == (len(side.dcc.requests), side.stage())
    assert [] == side.open()


def test_abort_cancels_what_was_not_sent_and_ends(side, ppmid):
    """Abort takes effect within a tick: what waits is taken back, and the campaign comes to its end."""
    side.dcc.reply = unreachable
    side.settle()
    tried = len(side.dcc.requests)
    side.act(ppmid, Act.ABORT)
    side.pass_(MINUTE)
    side.settle()
    assert (Stage.CANCELLED, CampaignStatus.ABORTED) == (side.stage(), status(side, ppmid))
    assert tried == len(side.dcc.requests)


@pytest.mark.usefixtures("ppmid")
def test_a_request_that_was_overtaken_is_sent_under_a_fresh_counter(side):
    """The DCC has a later counter of ours already: the old one would be refused as a replay."""
    side.dcc.reply = unreachable
    side.settle()
    [waiting] = side.open()
    with side.store.database.writing() as connection:
        row = {"batch": waiting.batch, "counter": waiting.counter + 5, "attempted_at": side.now}
        answered = {"answered_at": side.now, "response_code": "I99"}
        connection.execute(s.request.insert().values(**row, **answered))
    side.dcc.reply = side.dcc.accept
    side.pass_(2 * LEASE)
    side.settle(side.another("two"))
    assert waiting.counter + 5 < side.dcc.counters[-1]
    assert Stage.ACCEPTED is side.stage()


# Activations that are called off


@pytest.fixture
def dated(side):
    """An HCALCS that holds its activation for the coming night, as it said; and its campaign's number."""
    side.register(HCALCS_DEVICE)
    campaign = side.begin(DeviceType.HCALCS, activate_at=(120, 240))
    side.settle()
    side.arrive(receipt())
    side.arrive(accepted_for_later(counter=last(side).counter))
    assert Stage.ACTIVATION_SCHEDULED is side.stage()
    return campaign


def counters_of(side, *kinds):
    """The counters of what was asked, by the kind of its body."""
    return [it.id.counter for _, it in side.dcc.requests if type(it.body).__name__ in kinds]


def commands(side):
    """The signed commands that went to the Device: (counter, execution)."""
    return [
        (request.id.counter, gbcs.decode(request.body.payload).payload.execution)
        for _, request in side.dcc.requests
        if isinstance(request.body, duis.SignedPreCommand)
    ]


def test_an_aborted_campaign_calls_its_activation_off_and_ends(side, dated):
    """SRV 11.3 once more, with the time that never comes, under a higher counter; NULL; cancelled."""
    side.act(dated, Act.ABORT)
    side.settle()
    (first, at), (second, never) = commands(side)
    assert (True, gbcs.CANCELLED) == (first < second, never)
    assert at != never
    assert duis.CANCEL == side.dcc.requests[-2][1].body.execution
    assert Stage.CALLING_OFF is side.stage()
    side.arrive(accepted_for_later(counter=second))
    assert (Stage.CANCELLED, CampaignStatus.ABORTED) == (side.stage(), status(side, dated))


def test_what_the_device_runs_overrules_that_it_called_off(side, dated):
    """8F66 with the new version after all: proven, and the campaign ends as before."""
    side.act(dated, Act.ABORT)
    side.settle()
    (first, at), (second, _) = commands(side)
    side.arrive(accepted_for_later(counter=second))
    side.arrive(outcome(first, at=at))
    assert Stage.PROVEN is side.stage()


def test_a_withdrawn_release_calls_off_though_its_campaign_is_paused(side, dated):
    """Nobody wants the image activated, whatever the campaign does."""
    side.act(dated, Act.PAUSE)
    side.settle()
    assert Stage.ACTIVATION_SCHEDULED is side.stage()
    side.store.registry.withdraw_release("release for HCALCS", side.now)
    side.settle()
    assert Stage.CALLING_OFF is side.stage()


def test_a_call_off_survives_a_crash_between_its_two_sends_and_is_one_command(side, dated):
    """The kept command goes out again under its own counter: the Device obeys it once."""
    side.dcc.reply = lambda request: (
        no_answer(request) if isinstance(request.body, duis.SignedPreCommand) else side.dcc.accept(request)
    )
    side.act(dated, Act.ABORT)
    side.settle()
    side.dcc.reply = side.dcc.accept
    side.pass_(2 * LEASE)
    side.settle(side.another("after the crash"))
    activation, *offs = commands(side)
    assert (2, 1) == (len(offs), len(set(offs)))
    assert activation[0] < offs[0][0]
    assert Stage.CALLING_OFF is side.stage()


def test_a_call_off_whose_pre_command_was_lost_is_asked_for_anew_and_stays_behind(side, dated):
    """A transform has no effect: a fresh counter, higher still; what it calls off is not sent again."""
    side.dcc.reply = no_answer
    side.act(dated, Act.ABORT)
    side.settle()
    side.dcc.reply = lambda request: (
        by_dsp(answer(request, "E57"))
        if request.id.counter in side.dcc.counters[:-1] and isinstance(request.body, duis.ActivateFirmware)
        else side.dcc.accept(request)
    )
    side.pass_(MINUTE)
    side.settle()
    (first, _), (second, never) = commands(side)
    assert (True, gbcs.CANCELLED) == (first < second, never)
    assert Stage.CALLING_OFF is side.stage()


def ordered_and_not_sent(side, reply, activate_at=(120, 240)):
    """An HCALCS holds its image; its activation is ordered while the DCC replies so. Its campaign."""
    side.register(HCALCS_DEVICE)
    campaign = side.begin(DeviceType.HCALCS, activate_at=activate_at)
    side.settle()
    side.dcc.reply = reply
    side.arrive(receipt())
    assert Stage.QUEUED is side.stage()
    return campaign


def test_threat_an_activation_under_a_fresh_counter_does_not_overtake_what_calls_it_off(side):
    """Its pre-command was lost, and then it was called off: asked for anew it would have the last word."""
    campaign = ordered_and_not_sent(side, no_answer)
    with side.store.database.writing() as connection:
        connection.execute(update(s.stratum).values(held_at=side.now, held_because="harm"))
    side.reconciler.tick_records()
    assert Stage.CALLING_OFF is side.stage()
    side.dcc.reply = side.dcc.accept
    side.pass_(MINUTE)
    side.settle()
    assert [gbcs.CANCELLED] == [execution for _, execution in commands(side)]
    [(counter, _)] = commands(side)
    side.arrive(accepted_for_later(counter=counter))
    assert (Stage.CALLED_OFF, CampaignStatus.RUNNING) == (side.stage(), status(side, campaign))


def test_what_is_held_in_the_outbox_is_taken_back_and_the_dcc_never_hears_of_it(side):
    """Ordered while the DCC was not there; then a gate finds harm."""
    ordered_and_not_sent(side, unreachable)
    asked = len(side.dcc.asked)
    with side.store.database.writing() as connection:
        connection.execute(update(s.stratum).values(held_at=side.now, held_because="harm"))
    side.dcc.reply = side.dcc.accept
    side.reconciler.tick_records()
    side.pass_(MINUTE)
    side.settle()
    assert (Stage.CALLED_OFF, []) == (side.stage(), side.dcc.asked[asked:])


def test_what_calls_off_is_not_sent_after_the_time(side, dated):
    """The DCC was not there until it was due: an answer would say nothing, so the version is read."""
    side.dcc.reply = unreachable
    side.act(dated, Act.ABORT)
    side.settle()
    side.dcc.reply = side.dcc.accept
    side.pass_(DAY)
    asked = len(side.dcc.asked)
    side.settle()
    assert (Stage.CALLING_OFF, []) == (side.stage(), side.dcc.asked[asked:])
    [said] = side.evidence(HCALCS, Fact.CALL_OFF_REFUSED)
    assert ("too late", Cause.TOO_LATE) == (said.message, said.cause)
    side.pass_(3 * DAY)
    side.settle()
    assert ["ReadFirmwareVersion"] == side.dcc.asked[asked:]
    side.arrive(read_answer(FirmwareVersion(1), HCALCS, last(side).counter))
    assert (Stage.CANCELLED, CampaignStatus.ABORTED) == (side.stage(), status(side, dated))


def test_a_call_off_that_the_dcc_refuses_leaves_the_device_to_its_activation(side, dated):
    """E4: the Device does what it was told, and its proof is taken."""
    side.dcc.reply = refuse("E4")
    side.act(dated, Act.ABORT)
    side.settle()
    assert Stage.CALLING_OFF is side.stage()
    [said] = side.evidence(HCALCS, Fact.CALL_OFF_REFUSED)
    assert ("E4", Cause.ACCESS) == (said.message, said.cause)
    [(first, at)] = commands(side)
    side.arrive(outcome(first, at=at))
    assert (Stage.PROVEN, CampaignStatus.ABORTED) == (side.stage(), status(side, dated))


# Activations that are dated, and a lane that is late


@pytest.fixture
def nightly(side):
    """An HCALCS that holds its image; its activation is ordered for the night while nobody can send it."""
    return ordered_and_not_sent(side, unreachable, (60, 120))


def until_next(side, hour, minute=0):
    """Let time pass until it is that time of day (UTC); in November clocks in London show it, too."""
    side.pass_((hour * HOUR + minute * MINUTE - side.now) % DAY)


def night_of(at):
    """The day, and the hour of it, of a time."""
    return at // DAY, at % DAY // HOUR


def executions(side):
    """When Devices were told to activate."""
    return [execution for _, execution in commands(side)]


def test_threat_an_activation_that_missed_its_hour_is_not_sent_at_breakfast(side, nightly):
    """A Device that is told too late activates at once: it is told of the next night instead."""
    until_next(side, 8)
    side.dcc.reply = side.dcc.accept
    side.settle()
    assert [(side.now // DAY + 1, 1)] == [night_of(at) for at in executions(side)]
    assert (Stage.ACTIVATION_SENT, CampaignStatus.RUNNING) == (side.stage(), status(side, nightly))
    assert [] == side.store.record.recount(nightly)


@pytest.mark.parametrize(("minutes", "nights"), [(11, 0), (10, 1), (1, 1)])
@pytest.mark.usefixtures("nightly")
def test_an_activation_is_not_sent_just_before_its_time(side, minutes, nights):
    """Ten minutes are for the way to the Device; with more there is time."""
    [waiting] = side.open()
    today = waiting.execution_at // DAY
    side.pass_(waiting.execution_at - minutes * MINUTE - side.now)
    side.dcc.reply = side.dcc.accept
    side.settle()
    assert [(today + nights, 1)] == [night_of(at) for at in executions(side)]


@pytest.mark.usefixtures("nightly")
def test_a_lane_that_stands_still_for_weeks_uses_no_attempt_and_no_step_up(side):
    """Night after night it is ordered anew; at last it is sent, and proven as if nothing had been."""
    [(device, before)] = side.progress().items()
    for _ in range(20):
        until_next(side, 3)
        side.settle()
    assert {device: before} == side.progress()
    side.dcc.reply = side.dcc.accept
    until_next(side, 8)
    side.settle()
    [(counter, at)] = commands(side)
    assert (side.now // DAY + 1, 1) == night_of(at)
    side.arrive(outcome(counter, at=at))
    assert (Stage.PROVEN, 1) == (side.stage(), side.progress()[device].attempt)
    assert ["UpdateFirmware"] == [it for it in side.dcc.asked if it.startswith("Update")]


@pytest.mark.usefixtures("nightly")
def test_what_was_postponed_can_still_be_called_off(side):
    """A hold in the morning: what lies in the outbox for the next night is taken back."""
    until_next(side, 3)
    side.settle()
    with side.store.database.writing() as connection:
        connection.execute(update(s.stratum).values(held_at=side.now, held_because="harm"))
    asked = len(side.dcc.asked)
    side.dcc.reply = side.dcc.accept
    side.reconciler.tick_records()
    side.pass_(MINUTE)
    side.settle()
    assert (Stage.CALLED_OFF, []) == (side.stage(), side.dcc.asked[asked:])


@pytest.mark.usefixtures("nightly")
def test_transforms_that_take_until_the_hour_are_not_sent(side):
    """The pre-command came, and came too late: it is not signed over to the Device, but asked for anew."""
    [waiting] = side.open()
    side.pass_(waiting.execution_at - 11 * MINUTE - side.now)

    def slow(request):
        side.dcc.reply = side.dcc.accept
        side.pass_(2 * MINUTE)
        return side.dcc.accept(request)

    side.dcc.reply = slow
    side.settle()
    assert ["ActivateFirmware", "ActivateFirmware", "SignedPreCommand"] == side.dcc.asked[-3:]
    assert [(waiting.execution_at // DAY + 1, 1)] == [night_of(at) for at in executions(side)]


@pytest.mark.usefixtures("nightly")
def test_a_command_that_may_have_been_sent_is_not_sent_after_its_hour(side):
    """The DCC's answer was lost, and then the DCC: what the Device says, or runs, decides."""
    side.dcc.reply = lambda request: (
        no_answer(request) if isinstance(request.body, duis.SignedPreCommand) else side.dcc.accept(request)
    )
    side.pass_(MINUTE)
    side.settle()
    [(counter, at)] = commands(side)
    until_next(side, 8)
    side.dcc.reply = side.dcc.accept
    side.settle()
    assert ([(counter, at)], Stage.ACTIVATION_SENT, []) == (commands(side), side.stage(), side.open())
    side.arrive(outcome(counter, at=at))
    assert Stage.PROVEN is side.stage()


def test_a_paused_campaign_lets_its_activations_go_to_the_next_night(side, nightly):
    """A pause lets go out what was ordered; but never by day."""
    side.act(nightly, Act.PAUSE)
    until_next(side, 8)
    side.dcc.reply = side.dcc.accept
    side.settle()
    assert [(side.now // DAY + 1, 1)] == [night_of(at) for at in executions(side)]


def test_an_activation_that_missed_its_hour_is_not_ordered_anew_for_an_ended_campaign(side, nightly):
    """Aborted in the morning, before the lane is back: nothing goes out."""
    asked = len(side.dcc.asked)
    until_next(side, 8)
    side.act(nightly, Act.ABORT)
    side.dcc.reply = side.dcc.accept
    side.settle()
    assert (Stage.CANCELLED, []) == (side.stage(), side.dcc.asked[asked:])


# Leases, failures, clocks


@pytest.mark.usefixtures("ppmid")
def test_work_is_taken_over_when_a_lease_is_over_and_not_before(side):
    """A second reconciler does nothing while the first lives; then it does all there is."""
    side.dcc.reply = unreachable
    side.settle()
    second = side.another("two")
    side.dcc.reply = side.dcc.accept
    assert 0 == side.settle(second)
    side.pass_(LEASE + SECOND)
    assert 0 < side.settle(second)
    assert Stage.ACCEPTED is side.stage()


@pytest.mark.usefixtures("ppmid")
def test_a_reconciler_that_was_stopped_past_its_lease_drops_its_work(side):
    """It wakes up in the middle of a post: another has sent the request and closed it, and that stands."""
    second = side.another("two")

    def while_it_sleeps(request):
        side.dcc.reply = side.dcc.accept
        side.pass_(LEASE + SECOND)
        side.settle(second)
        return refuse("E57")(request)

    side.dcc.reply = while_it_sleeps
    side.settle()
    assert (Stage.ACCEPTED, [Fact.ORDERED, Fact.ACCEPTED]) == (side.stage(), side.facts(PPMID))
    assert 0 == side.reconciler.failures
    assert 1 == len(set(side.dcc.counters))


@pytest.mark.usefixtures("ppmid")
def test_leases_given_back_are_there_for_others_at_once(side):
    """A stop in good order: nobody has to wait for the end of a lease."""
    side.dcc.reply = unreachable
    side.settle()
    side.reconciler.release()
    side.dcc.reply = side.dcc.accept
    assert 0 < side.settle(side.another("two"))


def test_a_campaign_that_cannot_be_looked_at_does_not_stop_the_others(side, ppmid):
    """Somebody has written nonsense over a plan: that campaign alone stands still."""
    side.register(replace(HCALCS_DEVICE, hub=OTHER_HUB))
    side.begin(DeviceType.HCALCS, "another")
    [(view_of)] = [side.store.campaigns.view]

    def broken(campaign, now):
        if campaign.id == ppmid:
            raise ValueError("nonsense")
        return view_of(campaign, now)

    side.store.campaigns.view = broken
    side.settle()
    assert {HCALCS: Stage.ACCEPTED} == side.stages()
    assert 1 == side.reconciler.failures


@pytest.mark.usefixtures("ppmid")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_cannot_be_written_down_is_not_sent(side):
    """A full disk: no attempt can be noted, so nothing goes out; when there is room again, work goes on."""

    def full(word):
        with side.store.database.reading() as connection:
            connection.exec_driver_sql(f"PRAGMA query_only = {word}")

    side.dcc.reply = unreachable
    side.settle()
    tried = len(side.dcc.requests)
    side.dcc.reply = side.dcc.accept
    full("ON")
    side.pass_(MINUTE)
    side.settle()
    assert tried == len(side.dcc.requests)
    assert 0 < side.reconciler.failures
    full("OFF")
    side.pass_(MINUTE)
    side.settle()
    assert Stage.ACCEPTED is side.stage()


@pytest.mark.usefixtures("ppmid")
@pytest.mark.parametrize("jump", [-40 * DAY, -HOUR, HOUR, 3 * HOUR])
def test_a_clock_that_jumps_orders_nothing_twice(side, jump):
    """Back or forth, by hours or weeks: one request, rising counters, no tally below nothing."""
    side.settle()
    side.pass_(jump)
    side.settle()
    side.arrive(delivered(request=last(side)), transferred())
    side.pass_(-jump)
    side.arrive(activated())
    assert (Stage.PROVEN, ["UpdatePpmidFirmware"]) == (side.stage(), side.dcc.asked)
    assert [] == side.store.record.recount(1)


@pytest.mark.usefixtures("ppmid")
def test_a_clock_that_leaps_weeks_asks_and_flashes_nothing(side):
    """Every deadline seems over at once: the Device is asked, and not sent the image again."""
    side.settle()
    side.pass_(21 * DAY)
    side.settle()
    assert ["UpdatePpmidFirmware", "ReadFirmwareVersion"] == side.dcc.asked


@pytest.mark.usefixtures("ppmid")
def test_counters_rise_though_the_clock_was_put_back(side):
    """The next order of another campaign, by a clock of last month, still bears a higher counter."""
    side.settle()
    side.pass_(-30 * DAY)
    side.register(replace(HCALCS_DEVICE, hub=OTHER_HUB))
    side.begin(DeviceType.HCALCS, "another")
    side.settle()
    assert 2 == len(side.dcc.counters)
    assert sorted(side.dcc.counters) == side.dcc.counters


@pytest.mark.usefixtures("ppmid")
def test_a_withdrawn_release_is_not_sent(side):
    """Withdrawn while its requests waited for the DCC: they are not sent when it is back."""
    side.dcc.reply = unreachable
    side.settle()
    tried = len(side.dcc.requests)
    with side.store.database.writing() as connection:
        connection.execute(update(s.release).values(withdrawn_at=side.now))
    side.dcc.reply = side.dcc.accept
    side.pass_(MINUTE)
    side.settle()
    assert tried == len(side.dcc.requests)
    assert Stage.CANCELLED is side.stage()
