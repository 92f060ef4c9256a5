"""SRV 8.2 in the lane of the outbox, against a DCC that answers as we tell it, on both databases."""

import gzip
from dataclasses import replace

import httpx2
import pytest
from sqlalchemy import update

from lamplighter.campaign import Stage
from lamplighter.campaign import plan as plans
from lamplighter.kit import FirmwareVersion, VerificationError
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.protocol import duis
from lamplighter.registry import DeviceStatus, DeviceType, Verdict
from lamplighter.service.inquirer import GIVEN_UP, UNBELIEVABLE
from lamplighter.service.reconciler import LEASE
from lamplighter.store import Store
from lamplighter.store import schema as s
from lamplighter.store.questions import TOLD, TRIES_MAX, UNANSWERED

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
    DSP,
    HCALCS,
    HUB,
    NEW,
    NOW,
    PPMID,
    STRANGER,
    activated,
    answer,
    by_dsp,
    delivered,
    transferred,
)

POINT = duis.Mpxn("2000000000017")


def entry(eui, kind, firmware="00000002", **changes):
    fields = {
        "status": duis.DeviceStatus.COMMISSIONED,
        "manufacturer": "121D",
        "model": "00841111",
        "firmware_version": firmware,
        "region": duis.CspRegion.NORTH,
        "gbcs_version": "4.2",
    }
    return duis.InventoryDevice(eui, kind, **fields | changes)


CHF = entry(HUB, duis.DeviceType.CHF, "0102")
HOME = duis.DspInventory((CHF, entry(PPMID, duis.DeviceType.PPMID), entry(HCALCS, duis.DeviceType.HCALCS)))


def tells(inventory=HOME, code="I0"):
    """A DCC with this inventory, which takes all orders."""

    def reply(request):
        if isinstance(request.body, duis.ReadInventory):
            return by_dsp(answer(request, code, inventory))
        return by_dsp(answer(request, "I99"))

    return reply


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


@pytest.fixture
def side(store):
    side = Side(store)
    side.dcc.reply = tells()
    return side


def ask(side, *premises, per_hour=1000):
    return side.store.questions.ask(premises or (PPMID,), "a test", "operator", side.now, per_hour).id


def codes(side):
    return {it.id: dict(it.codes) for it in side.store.questions.inquiries()}


def outcome(side):
    """What came of the only question."""
    [found] = side.store.questions.outcomes(1)
    return found


# What is asked, and what follows from the answer


def test_the_registry_is_what_the_inventory_says(side):
    """Asked by a Device of a home, all of its Devices are taken in; an unknown one is known from then on."""
    side.register(PPMID_DEVICE)
    ask(side)
    side.settle()
    [(service, request)] = side.dcc.requests
    assert ("serviceD", duis.ReadInventory(PPMID)) == (service, request.body)
    registry = side.store.registry
    assert FirmwareVersion(2) == registry.device(PPMID).cohort.firmware
    assert ("0102", HUB) == (registry.hub(HUB).firmware, registry.device(HCALCS).hub)
    assert (TOLD, 3, 0) == (outcome(side).code, outcome(side).devices, outcome(side).bad)


def test_a_new_home_is_found_by_its_meter_point(side):
    """Nothing was known of it."""
    meter = entry(STRANGER, duis.DeviceType.ESME, import_mpxn=POINT.number)
    side.dcc.reply = tells(duis.DspInventory((*HOME.devices, meter)))
    ask(side, POINT)
    side.settle()
    assert [duis.ReadInventory(POINT)] == [request.body for _, request in side.dcc.requests]
    assert DeviceType.ESME is side.store.registry.device(STRANGER).cohort.type


def test_a_row_that_cannot_be_taken_in_is_reported_and_the_others_are_kept(side):
    """As in a file: its number, its column and the reason."""
    cad = entry(STRANGER, duis.DeviceType.PPMID, manufacturer="GEO")
    side.dcc.reply = tells(duis.DspInventory((*HOME.devices, cad)))
    ask(side)
    side.settle()
    [bad] = side.store.questions.outcomes(1, bad_only=True)
    assert (TOLD, 3, 1) == (bad.code, bad.devices, bad.bad)
    assert bad.detail.startswith("row 4, DeviceManufacturer: expected 4 hex digits")
    assert side.store.registry.device(HCALCS) is not None


def test_what_a_device_says_of_itself_after_the_question_holds(side):
    """An inventory that is behind does not take a proven Device back to its old version."""
    side.register(PPMID_DEVICE)
    side.begin(DeviceType.PPMID)
    side.settle()
    ask(side)

    def slow(request):
        last = side.dcc.requests[0][1].id
        side.receiver.store(
            [
                side.receiver.read(by_dsp(it))
                for it in (
                    delivered(request=last, at=later),
                    transferred(at=later),
                    activated(at=later),
                )
            ]
        )
        side.reconciler.tick_records()
        old = duis.DspInventory((CHF, entry(PPMID, duis.DeviceType.PPMID, "00000001")))
        return by_dsp(answer(request, "I0", old))

    later = NOW + MINUTE
    side.dcc.reply = slow
    side.now = NOW + 1
    side.settle()
    assert {PPMID: Stage.PROVEN} == side.stages()
    assert NEW == side.store.registry.device(PPMID).cohort.firmware


@pytest.mark.parametrize("code", ["E1", "E4", "E5", "E19", "E080201"])
def test_a_refusal_is_reported_with_its_code_and_reason_and_not_repeated(side, code):
    """And the next question goes on."""
    side.dcc.reply = lambda request: (
        by_dsp(answer(request, code)) if request.body.of == PPMID else tells()(request)
    )
    ask(side, PPMID, HUB)
    side.settle()
    [refused] = side.store.questions.outcomes(1, bad_only=True)
    assert (PPMID, code) == (refused.of, refused.code)
    assert refused.detail
    assert (2, {code: 1, TOLD: 1}) == (len(side.dcc.requests), codes(side)[1])


# Answers that must not be believed


def stripped(octets):
    head, _, rest = octets.partition(b"<ds:Signature")
    return head + rest.partition(b"</ds:Signature>")[2]


FORGERIES = {
    "changed after signing": (
        lambda request: tells()(request).replace(b"00000002", b"00000003"),
        "xml-digest",
    ),
    "unsigned": (lambda request: stripped(tells()(request)), "xml-unsigned"),
    "to another request": (
        lambda request: tells()(replace(request, id=replace(request.id, counter=request.id.counter - 1))),
        "answer-to-another",
    ),
    "of another home": (
        tells(duis.DspInventory((CHF, entry(STRANGER, duis.DeviceType.PPMID)))),
        "inventory-of-another",
    ),
    "of another service": (
        lambda request: by_dsp(
            duis.Response(request.id, None, "I0", NOW, duis.ResponseMessage("11.2", "11.2", HOME))
        ),
        "inventory-answer",
    ),
    "a refusal with an inventory": (tells(code="E4"), "inventory-answer"),
    "a success with nothing in it": (tells(None), "inventory-missing"),
    "larger than any answer": (
        lambda request: tells()(request) + b" " * duis.MAX_OCTETS,
        "answer-oversize",
    ),
    "compressed, to be larger than any": (
        lambda request: httpx2.Response(
            200,
            content=gzip.compress(tells()(request) + b" " * duis.MAX_OCTETS),
            headers={"Content-Encoding": "gzip"},
        ),
        "answer-encoding",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_answer_that_is_not_the_dccs_to_this_question_changes_nothing(side, forgery):
    """The question ends with the name of the check that failed; the registry is as it was."""
    reply, check = FORGERIES[forgery]
    side.register(PPMID_DEVICE)
    side.dcc.reply = reply
    ask(side)
    side.settle()
    found = outcome(side)
    assert (UNBELIEVABLE, 0) == (found.code, found.devices)
    assert check in found.detail
    assert PPMID_DEVICE.cohort.firmware == side.store.registry.device(PPMID).cohort.firmware
    assert side.store.registry.device(HCALCS) is None


def test_more_devices_than_a_home_can_have_are_refused(side):
    """The schema lets 17 be; an answer with one more cannot even be written by us."""
    many = duis.DspInventory(tuple(replace(CHF) for _ in range(17)))

    def eighteen(request):
        octets = duis.encode_response(answer(request, "I0", many))
        one = octets[octets.index(b"<sr:Device>") : octets.index(b"</sr:Device>") + len(b"</sr:Device>")]
        return duis.sign(octets.replace(one, one + one, 1), DSP)

    side.dcc.reply = eighteen
    ask(side)
    side.settle()
    assert UNBELIEVABLE == outcome(side).code
    assert "Device" in outcome(side).detail


def test_after_an_answer_that_cannot_be_believed_the_next_question_waits(side):
    """And orders do not."""
    side.register(PPMID_DEVICE)
    side.dcc.reply = lambda request: tells()(request).replace(b"4.2", b"4.3")
    ask(side, HUB, PPMID)
    side.settle()
    assert 1 == len(side.dcc.requests)
    side.begin(DeviceType.PPMID)
    side.settle()
    assert (["ReadInventory", "UpdatePpmidFirmware"], {PPMID: Stage.ACCEPTED}) == (
        side.dcc.asked,
        side.stages(),
    )
    side.pass_(MINUTE)
    side.settle()
    assert 3 == len(side.dcc.requests)


def test_a_question_that_is_accepted_and_not_answered_may_be_held_back(side):
    """Anomaly detection: it is reported, and no more of them are sent into it at once."""
    side.dcc.reply = refuse("I99")
    ask(side, PPMID, HUB)
    side.settle()
    [held] = side.store.questions.outcomes(1)
    assert ("I99", 1) == (held.code, len(side.dcc.requests))
    assert "anomaly detection" in held.detail


def test_a_question_that_the_dcc_cannot_take_is_given_up(side):
    """An HTTP status that says so of the request itself."""
    side.dcc.reply = unacceptable
    ask(side)
    side.settle()
    assert GIVEN_UP == outcome(side).code


# Crashes, and a DCC that does not answer


def crash(side):
    """A reconciler that dies between a question's attempt and its answer; the next takes over later."""

    def dies(_):
        raise KeyboardInterrupt

    side.dcc.reply = dies
    with pytest.raises(KeyboardInterrupt):
        side.settle()
    side.pass_(LEASE + 1)
    side.reconciler = side.another("two")


def test_after_a_crash_a_question_is_asked_again_under_its_own_id(side):
    """The DCC had nothing of it, and answers."""
    ask(side)
    crash(side)
    side.dcc.reply = tells()
    side.settle()
    [first, second] = side.dcc.counters
    assert (first, {1: {TOLD: 1}}) == (second, codes(side))


def test_a_question_that_the_dcc_had_before_the_crash_is_asked_under_a_fresh_id(side):
    """It refuses the repetition; no answer is lost by that, for a question only reads."""
    ask(side)
    crash(side)
    taken = set(side.dcc.counters)

    def once(request):
        if request.id.counter in taken:
            return by_dsp(answer(request, "E57"))
        return tells()(request)

    side.dcc.reply = once
    side.settle()
    first, again, fresh = side.dcc.counters
    assert (first == again < fresh, {1: {TOLD: 1}}) == (True, codes(side))


def test_a_crash_between_answer_and_registry_takes_in_neither(side, monkeypatch):
    """What an answer tells and that it was answered are one transaction."""
    ask(side)

    def dies(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(side.store.questions, "answer", dies)
        with pytest.raises(KeyboardInterrupt):
            side.settle()
    assert (None, {1: {}}) == (side.store.registry.device(PPMID), codes(side))
    side.settle()
    assert ({1: {TOLD: 1}}, 2) == (codes(side), len(side.dcc.requests))


def test_a_dcc_that_never_answers_a_question_is_not_asked_for_ever(side):
    """After a few tries, each later than the one before, it is reported as unanswered."""
    side.dcc.reply = no_answer
    ask(side)
    for _ in range(2 * TRIES_MAX):
        side.settle()
        side.pass_(HOUR)
    assert (TRIES_MAX, UNANSWERED) == (len(side.dcc.requests), outcome(side).code)


@pytest.mark.parametrize("reply", [trouble, unreachable])
def test_orders_go_out_past_a_question_that_the_dcc_does_not_answer(side, reply):
    """Its inventory may be down while all else works: the question has its own pause."""
    side.register(PPMID_DEVICE)
    side.dcc.reply = lambda request: (
        reply(request) if isinstance(request.body, duis.ReadInventory) else by_dsp(answer(request, "I99"))
    )
    ask(side)
    side.settle()
    side.begin(DeviceType.PPMID)
    side.settle()
    assert {PPMID: Stage.ACCEPTED} == side.stages()
    side.dcc.reply = tells()
    side.pass_(MINUTE)
    side.settle()
    assert {1: {TOLD: 1}} == codes(side)
    assert sorted(side.dcc.counters) == side.dcc.counters


# Beside campaigns


def test_a_campaign_is_not_delayed_behind_a_bulk_of_questions(side):
    """Orders that come while a thousand homes wait go out next, and no counter is overtaken."""
    side.register(PPMID_DEVICE)
    homes = [of_another_home(type(PPMID).of(0x0300_0000_0000_0000 + n), HUB).eui for n in range(40)]
    answered = tells()

    def each(request):
        if isinstance(request.body, duis.ReadInventory):
            inventory = duis.DspInventory((CHF, entry(request.body.of, duis.DeviceType.PPMID)))
            return by_dsp(answer(request, "I0", inventory))
        return answered(request)

    side.dcc.reply = each
    ask(side, *homes)
    for _ in range(3):
        assert side.reconciler.tick_outbox()
    side.begin(DeviceType.PPMID)
    while not any("Update" in asked for asked in side.dcc.asked):
        assert side.reconciler.tick()
    assert 1 <= side.dcc.asked.index("UpdatePpmidFirmware") <= 4
    while side.reconciler.tick():
        pass
    counters = side.dcc.counters
    assert (41, sorted(set(counters))) == (len(counters), counters)
    assert {1: {TOLD: 40}} == codes(side)


def test_an_order_that_a_question_has_overtaken_gets_a_fresh_counter(side):
    """It could not be sent when the question went out; sent as it was, the DCC would refuse it."""
    side.register(PPMID_DEVICE)
    campaign = side.begin(DeviceType.PPMID)
    side.reconciler.tick_records()
    [ordered] = side.open()

    def stands(status):
        with side.store.database.writing() as connection:
            connection.execute(update(s.campaign).where(s.campaign.c.id == campaign).values(status=status))

    stands("paused")
    ask(side, HUB)
    side.reconciler.tick_outbox()
    assert ["ReadInventory"] == side.dcc.asked
    stands("running")
    side.settle()
    question, order = side.dcc.counters
    assert ordered.counter < question < order
    assert {PPMID: Stage.ACCEPTED} == side.stages()


def test_a_daily_cap_of_a_campaign_leaves_room_for_orders(side):
    """Questions go out as long as a day's orders and questions stay below the lowest cap."""
    side.register(PPMID_DEVICE, replace(HCALCS_DEVICE, hub=STRANGER))
    campaign = side.begin(DeviceType.PPMID)
    plan = side.store.campaigns.find(campaign).plan
    capped = replace(plan, caps=replace(plan.caps, requests_per_day=2))
    with side.store.database.writing() as connection:
        values = {"plan": plans.encode(capped)}
        connection.execute(update(s.campaign).where(s.campaign.c.id == campaign).values(**values))
    side.settle()
    ask(side, HUB, STRANGER)
    side.settle()
    assert ["UpdatePpmidFirmware", "ReadInventory"] == side.dcc.asked
    side.pass_(DAY)
    side.settle()
    assert duis.ReadInventory(STRANGER) in [request.body for _, request in side.dcc.requests]


def verdicts(side):
    return {it.verdict for it in side.store.registry.verdicts("release for PPMID")}


def test_an_answer_makes_a_device_eligible_that_was_not(side):
    """It was suspended; the inventory says that it is commissioned; the campaign that runs takes it up."""
    cohort = replace(PPMID_DEVICE.cohort, status=DeviceStatus.SUSPENDED)
    side.register(replace(PPMID_DEVICE, cohort=cohort), of_another_home(STRANGER, STRANGER))
    side.begin(DeviceType.PPMID)
    side.settle()
    assert {STRANGER: Stage.ACCEPTED} == side.stages()
    assert Verdict.NOT_COMMISSIONED in verdicts(side)
    side.dcc.reply = tells(duis.DspInventory((CHF, entry(PPMID, duis.DeviceType.PPMID, "00000001"))))
    ask(side)
    side.settle()
    assert Verdict.NOT_COMMISSIONED not in verdicts(side)
    assert {PPMID: Stage.ACCEPTED, STRANGER: Stage.ACCEPTED} == side.stages()


def test_the_gateway_names_the_check_that_an_inventory_fails(side):
    """By meter point: an answer that has some, and not this one."""
    meter = entry(STRANGER, duis.DeviceType.ESME, import_mpxn="2000000000099")
    side.dcc.reply = tells(duis.DspInventory((CHF, meter)))
    with pytest.raises(VerificationError, match="inventory-of-another"):
        side.gateway.read_inventory(7, POINT)
    side.dcc.reply = tells()
    assert HOME == side.gateway.read_inventory(8, POINT)
    mine = duis.DspInventory((replace(CHF, uprn="00123"),))
    side.dcc.reply = tells(mine)
    assert mine == side.gateway.read_inventory(9, duis.Uprn("123"))
    with pytest.raises(VerificationError, match="inventory-of-another"):
        side.gateway.read_inventory(10, duis.Uprn("124"))
