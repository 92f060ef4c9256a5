"""Questions to the inventory: whose turn it is, at which rate, under which counter. On both databases."""

from dataclasses import replace

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

from lamplighter.campaign.status import Act
from lamplighter.kit import Eui64, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.protocol.duis import Mpxn, Uprn
from lamplighter.registry import Device, DeviceType, Part
from lamplighter.store import LeaseLostError
from lamplighter.store import questions as module
from lamplighter.store import schema as s
from lamplighter.store.fleet import Wanted
from lamplighter.store.orders import _LOCK as COUNTERS
from lamplighter.store.orders import next_counter
from lamplighter.store.outbox import Answer
from lamplighter.store.questions import CANCELLED, TOLD, TRIES_MAX, UNANSWERED, Told
from tests.store.locks import held_up
from tests.store.test_outbox import COHORT, DEVICES, NOW, campaign, fence, store

__all__ = ["campaign", "fence", "store"]  # fixtures

ONE, TWO, THREE, *_ = DEVICES
POINT, PROPERTY = Mpxn("2000000000017"), Uprn("123456789012")


def later(microseconds):
    return Instant(NOW + microseconds)


def ask(store, *premises, per_hour=100, now=NOW):
    return store.questions.ask(premises, "a test", "operator", now, per_hour)


def home(eui, cohort=COHORT, hub=0x9000):
    return Device(Eui64.of(eui), Eui64.of(hub), cohort)


def rows(store):
    with store.database.reading() as connection:
        return connection.execute(select(s.question).order_by(s.question.c.id)).all()


def asked(store):
    """By what is asked in each inquiry, in order."""
    return [module._premises(row) for row in rows(store)]


def settle(store, fence, now=NOW, code=TOLD):
    """Answer whatever is due, and say by what it was asked."""
    found = []
    while (question := store.questions.next(fence, now)) is not None:
        found.append(question.of)
        told = Told(None, [], 1, 0) if code == TOLD else None
        store.questions.answer(fence, question, code, now, told=told)
    return found


# Who is asked about


def test_premises_are_asked_about_once_in_the_order_given(store, fence):
    """By a Device, a meter point or a property; what is named twice is one question."""
    inquiry = ask(store, TWO, POINT, ONE, TWO, PROPERTY)
    assert (4, 4, 0) == (inquiry.questions, inquiry.open, inquiry.told)
    assert [TWO, POINT, ONE, PROPERTY] == settle(store, fence)
    [after] = store.questions.inquiries()
    assert (0, 4, NOW) == (after.open, after.told, after.ended_at)


def test_a_home_is_asked_about_once_by_one_of_the_devices_looked_for(store):
    """Two Devices behind one hub answer together; of other types, or left, nobody is asked about."""
    store.registry.put_devices(
        [
            home(1, hub=0x9001),
            home(2, hub=0x9001),
            home(3, hub=0x9002),
            home(4, replace(COHORT, type=DeviceType.HCALCS), hub=0x9003),
            home(5, replace(COHORT, part=Part.NONE), hub=0x9004),
        ]
    )
    inquiry = store.questions.ask_about(Wanted(type=DeviceType.PPMID), "PPMIDs", "operator", NOW)
    assert (2, [Eui64.of(1), Eui64.of(3)]) == (inquiry.questions, asked(store))
    with pytest.raises(UsageError, match="nobody to ask about"):
        store.questions.ask_about(Wanted(region="Mars"), "Martians", "operator", NOW)
    assert 1 == len(store.questions.inquiries())


def test_whoever_was_told_of_lately_is_left_out(store, fence):
    """By the hub that the answer named; a refusal is no word."""
    store.registry.put_devices([home(1, hub=0x9001), home(2, hub=0x9002), home(3, hub=0x9003)])
    ask(store, Eui64.of(1), Eui64.of(2))
    first = store.questions.next(fence, NOW)
    store.questions.answer(fence, first, TOLD, NOW, told=Told(Eui64.of(0x9001), [Eui64.of(1)], 1, 0))
    second = store.questions.next(fence, NOW)
    store.questions.answer(fence, second, "E4", NOW)
    inquiry = store.questions.ask_about(Wanted(), "old", "operator", later(DAY), unheard_since=NOW)
    assert (2, [Eui64.of(2), Eui64.of(3)]) == (inquiry.questions, asked(store)[2:])
    again = store.questions.ask_about(Wanted(), "old", "operator", later(DAY), unheard_since=later(1))
    assert 3 == again.questions


def test_an_inquiry_is_bounded_and_says_so(store, monkeypatch):
    """One more than may be is refused, and nothing of it is kept."""
    monkeypatch.setattr(module, "QUESTIONS_MAX", 2)
    store.registry.put_devices([home(n, hub=0x9000 + n) for n in range(3)])
    for refused in (
        lambda: ask(store, ONE, TWO, THREE),
        lambda: store.questions.ask_about(Wanted(), "all", "operator", NOW),
        lambda: ask(store),
        lambda: ask(store, ONE, per_hour=0),
    ):
        with pytest.raises(UsageError):
            refused()
    assert ([], []) == (store.questions.inquiries(), asked(store))


# Whose turn it is


def test_one_home_does_not_wait_for_a_hundred_thousand(store, fence):
    """The smallest inquiry comes first, whichever was there first."""
    ask(store, ONE, TWO, THREE)
    assert ONE == store.questions.next(fence, NOW).of
    ask(store, POINT)
    assert POINT == store.questions.next(fence, NOW).of


def test_no_more_go_out_in_an_hour_than_the_inquiry_lets(store, fence):
    """All inquiries' questions of the last hour count; another that lets more goes on."""
    ask(store, ONE, TWO, THREE, per_hour=2)
    assert [ONE, TWO] == settle(store, fence)
    assert not store.questions.is_any_due(later(HOUR - 1))
    ask(store, POINT, PROPERTY, DEVICES[4], DEVICES[5], per_hour=3)
    assert [POINT] == settle(store, fence)
    assert THREE in settle(store, fence, later(HOUR))


@pytest.mark.usefixtures("campaign")
def test_nothing_is_asked_while_an_order_waits(store, fence):
    """And none of its counters is overtaken: a question gets its own only when the lane is free."""
    ask(store, ONE)
    assert store.questions.next(fence, NOW) is None
    orders = [it.counter for it in store.outbox.open_requests()]
    store.outbox.note_attempts(fence, orders, NOW)
    store.outbox.answer(fence, [Answer(counter, "I99", None) for counter in orders], NOW)
    question = store.questions.next(fence, NOW)
    assert question.counter > max(orders)
    assert question.counter == store.outbox.last_attempted()
    with store.database.writing() as connection:
        assert next_counter(store.database, connection, Instant(0)) == question.counter + 1


def test_a_paused_campaign_does_not_hold_questions_up(store, fence, campaign):
    """What it had ordered and not sent is taken back."""
    store.campaigns.act(campaign, Act.PAUSE, "operator", NOW)
    ask(store, ONE)
    assert ONE == store.questions.next(fence, NOW).of


@pytest.mark.usefixtures("campaign")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_order_that_is_just_being_written_is_overtaken(store, fence):
    """Whoever writes one has the lock of counters: the question waits for it, sees the order, and stays."""
    [first, _] = orders = [it.counter for it in store.outbox.open_requests()]
    store.outbox.answer(fence, [Answer(counter, "I99", None) for counter in orders], NOW)
    ask(store, ONE)
    given = []
    lock = select(func.pg_advisory_xact_lock(COUNTERS))
    with held_up(store.database, lock, lambda: given.append(store.questions.next(fence, NOW))) as ordering:
        batch = select(s.request.c.batch).where(s.request.c.counter == first).scalar_subquery()
        ordering.execute(insert(s.request).values(counter=max(orders) + 1, batch=batch, device=ONE))
    assert ([None], [None]) == (given, [it.asked_at for it in rows(store)])


# What is sent again, and what is not


def test_a_question_that_was_not_answered_keeps_its_counter_until_something_else_is_sent(store, fence):
    """After a crash it is asked under its own id; once another counter is spent, under a fresh one."""
    ask(store, ONE, TWO)
    first = store.questions.next(fence, NOW)
    again = store.questions.next(fence, later(MINUTE))
    assert (first.counter, ONE, True) == (again.counter, again.of, again.again)
    ask(store, POINT)
    between = store.questions.next(fence, later(MINUTE))
    store.questions.answer(fence, between, TOLD, NOW, told=Told(None, [], 1, 0))
    overtaken = store.questions.next(fence, later(MINUTE))
    assert (ONE, False) == (overtaken.of, overtaken.again)
    assert overtaken.counter > between.counter > first.counter


def test_a_question_that_the_dcc_never_answers_ends(store, fence):
    """After so many times; the next one has its turn."""
    ask(store, ONE, TWO)
    assert [ONE] * TRIES_MAX == [store.questions.next(fence, NOW).of for _ in range(TRIES_MAX)]
    assert store.questions.next(fence, NOW) is None
    assert TWO == store.questions.next(fence, NOW).of
    [outcome] = store.questions.outcomes(1)
    assert (ONE, UNANSWERED) == outcome[:2]


def test_an_attempt_that_never_left_counts_for_nothing(store, fence):
    """Neither as a try, nor for the rate; its counter stays its own."""
    ask(store, ONE, per_hour=1)
    counters = set()
    for _ in range(TRIES_MAX + 1):
        question = store.questions.next(fence, NOW)
        assert (ONE, False) == (question.of, question.again)
        counters.add(question.counter)
        store.questions.take_back(fence, question)
    assert (1, 0) == (len(counters), store.outbox.last_attempted())


def test_a_refused_repetition_gets_a_fresh_counter(store, fence):
    """Above the one that the DCC would refuse for ever; then it is no repetition any more."""
    ask(store, ONE)
    first = store.questions.next(fence, NOW)
    store.questions.renew(fence, first, NOW)
    fresh = store.questions.next(fence, NOW)
    assert (True, False) == (fresh.counter > first.counter, fresh.again)


def test_whoever_has_lost_the_lease_notes_nothing(store, fence):
    """A question that another may be asking is not asked by us, nor closed."""
    ask(store, ONE)
    question = store.questions.next(fence, NOW)
    store.leases.take("outbox", "them", later(HOUR), MINUTE)
    for late in (
        lambda: store.questions.next(fence, NOW),
        lambda: store.questions.answer(fence, question, "E4", NOW),
        lambda: store.questions.take_back(fence, question),
        lambda: store.questions.renew(fence, question, NOW),
    ):
        with pytest.raises(LeaseLostError):
            late()
    assert 1 == store.questions.inquiry(1).open


# What an answer does


def test_one_answer_does_for_all_who_wait_to_be_asked_about_its_devices(store, fence):
    """In every inquiry, and each of them ends with its last question."""
    ask(store, ONE, THREE)
    ask(store, TWO)
    question = store.questions.next(fence, NOW)
    assert TWO == question.of
    hub = Eui64.of(0x9000)
    store.questions.answer(fence, question, TOLD, NOW, told=Told(hub, [hub, ONE, TWO], 3, 0))
    small, large = store.questions.inquiries()
    assert (0, 1, NOW) == (small.open, small.told, small.ended_at)
    assert (1, 1, None) == (large.open, large.told, large.ended_at)
    assert (3, 0) == (small.devices, large.devices)
    assert [(ONE, "told with question 3")] == [
        (it.of, it.detail) for it in store.questions.outcomes(large.id)
    ]


def test_refusals_and_bad_rows_are_listed_with_their_reason(store, fence):
    """What was told in whole is not among them."""
    ask(store, ONE, TWO, THREE)
    for code, bad, detail in ((TOLD, 0, ""), (TOLD, 1, "row 4: no"), ("E4", 0, "not authorised")):
        question = store.questions.next(fence, NOW)
        told = Told(None, [], 1, bad) if code == TOLD else None
        store.questions.answer(fence, question, code, NOW, detail, told)
    listed = [(it.of, it.code, it.bad, it.detail) for it in store.questions.outcomes(1, bad_only=True)]
    assert [(TWO, TOLD, 1, "row 4: no"), (THREE, "E4", 0, "not authorised")] == listed
    found = store.questions.inquiry(1)
    assert (2, 1, 1) == (found.told, found.failed, found.bad)


def test_what_is_cancelled_is_not_asked(store, fence):
    """But for the one that is out: its answer finds it closed, and changes nothing."""
    ask(store, ONE, TWO)
    out = store.questions.next(fence, NOW)
    cancelled = store.questions.cancel(1, "somebody", NOW)
    assert (0, 2, 0, NOW) == (cancelled.open, cancelled.cancelled, cancelled.failed, cancelled.ended_at)
    store.questions.answer(fence, out, "E4", NOW)
    assert {CANCELLED: 2} == store.questions.inquiry(1).codes
    assert store.questions.next(fence, NOW) is None
    store.questions.cancel(1, "somebody", later(HOUR))
    noted = [(it.who, it.what, it.detail) for it in store.audit.entries()]
    assert [
        ("operator", "ask inventory", "a test"),
        ("somebody", "stop asking", "2 not asked"),
        ("lamplighter", "inventory asked", "2 premises: 0 told, 0 failed, 2 cancelled"),
    ] == [(who.replace(module.audit.SYSTEM, "lamplighter"), what, detail) for who, what, detail in noted]
    with pytest.raises(UsageError, match="no inquiry 7"):
        store.questions.cancel(7, "somebody", NOW)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE question SET answered_at = 0",
        "UPDATE question SET mpxn = '1'",
        "UPDATE question SET device = NULL",
        "UPDATE question SET asked_at = 0, counter = NULL",
        "UPDATE question SET inquiry = 99",
        "UPDATE inquiry SET per_hour = 0",
    ],
)
def test_the_schema_refuses_a_question_that_cannot_be(store, statement):
    """Even from someone at a prompt of the database."""
    ask(store, ONE)
    with pytest.raises(IntegrityError), store.database.writing() as connection:
        connection.execute(text(statement))
