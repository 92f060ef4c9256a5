"""The outbox: what may be sent, in which order, and what becomes of an answer. On both databases."""

import pytest
from sqlalchemy import select, update

from lamplighter.campaign import Cause, Fact, Progress, Stage
from lamplighter.campaign import plan as plans
from lamplighter.campaign.decide import decide
from lamplighter.campaign.status import Act
from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant
from lamplighter.kit.instant import MINUTE
from lamplighter.registry import (
    Cohort,
    CplEntry,
    CplStatus,
    Device,
    DeviceStatus,
    DeviceType,
    Procedure,
    Release,
)
from lamplighter.store import Fence, LeaseLostError, Store
from lamplighter.store import schema as s
from lamplighter.store.orders import next_counter
from lamplighter.store.outbox import RENEWED, Answer, Exclusion
from tests.store.locks import held_up

NOW = Instant(1_795_000_000_000_000)
NEW = FirmwareVersion(2)
HASH = ImageHash(b"\x07" * 32)
COHORT = Cohort(DeviceType.PPMID, 0x121D, 0x84, 0x1111, FirmwareVersion(1), DeviceStatus.COMMISSIONED)
DEVICES = tuple(Eui64.of(0x0200_0000_0000_0000 + number) for number in range(6))
PLAN = """
name = "update"
approvals = 0
stratify = []
batch_max = 4
[target]
types = ["PPMID"]
[[wave]]
name = "all"
share = 1
"""


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


@pytest.fixture
def fence(store):
    return store.leases.take("outbox", "us", NOW, MINUTE)


@pytest.fixture
def campaign(store):
    """A campaign for six PPMIDs that has ordered 11.4 for four and for two of them."""
    registry = store.registry
    registry.put_devices(Device(eui, Eui64.of(int(eui) + 0x1000), COHORT) for eui in DEVICES)
    registry.put_cpl([CplEntry(0x121D, 0x84, 0x1111, NEW, HASH, CplStatus.ACTIVE)])
    release = registry.add_release("release", Release(Procedure.ONE_STEP, 0x121D, NEW, HASH, 0, 0xFFFF, b"i"))
    number = store.campaigns.create(plans.parse(PLAN), release, "operator", NOW)
    store.campaigns.act(number, Act.START, "operator", NOW)
    found = store.campaigns.find(number)
    view = store.campaigns.view(found, NOW)
    store.orders.commit(None, found, view, decide(found.plan, view, [], NOW), [], NOW)
    return number


def stages(store):
    with store.database.reading() as connection:
        rows = connection.execute(select(s.device_update.c.device, s.device_update.c.progress))
        return {device: Progress(progress).stage for device, progress in rows}


def codes(store):
    with store.database.reading() as connection:
        query = select(s.request.c.response_code).order_by(s.request.c.counter)
        return list(connection.execute(query).scalars())


@pytest.mark.usefixtures("campaign")
def test_what_is_ordered_comes_in_the_order_of_its_counters(store):
    """Two requests, the lower counter first, and together for every Device once."""
    first, second = store.outbox.open_requests()
    assert first.counter < second.counter
    assert (first.attempted_at, first.wanted, first.device) == (None, True, None)
    devices = [*store.outbox.devices_of(first), *store.outbox.devices_of(second)]
    assert (4, 6) == (len(store.outbox.devices_of(first)), len(devices))
    assert set(DEVICES) == set(devices)
    assert [first] == store.outbox.open_requests(limit=1)


@pytest.mark.usefixtures("campaign")
def test_an_attempt_is_noted_once_and_before_anything_is_sent(store, fence):
    """The first attempt's time stays; what is answered meanwhile may not be sent."""
    first, second = (it.counter for it in store.outbox.open_requests())
    assert {first, second} == store.outbox.note_attempts(fence, [first, second], NOW)
    assert second == store.outbox.last_attempted()
    store.outbox.answer(fence, [Answer(first, "I99", Fact.ACCEPTED)], NOW)
    later = Instant(NOW + MINUTE)
    assert {second} == store.outbox.note_attempts(fence, [first, second], later)
    [left] = store.outbox.open_requests()
    assert NOW == left.attempted_at
    assert (1, 1) == store.outbox.counts()


@pytest.mark.usefixtures("campaign")
def test_an_attempt_that_never_left_is_taken_back(store, fence):
    """Nobody could be connected to: the request may be recalled again."""
    first, second = (it.counter for it in store.outbox.open_requests())
    store.outbox.note_attempts(fence, [first, second], NOW)
    store.outbox.take_back_attempts(fence, [second])
    assert [NOW, None] == [it.attempted_at for it in store.outbox.open_requests()]
    assert first == store.outbox.last_attempted()


@pytest.mark.usefixtures("campaign")
def test_an_answer_moves_all_devices_of_its_request_and_no_other(store, fence):
    """I99 to the first: its four are accepted, the other two wait; the tallies agree."""
    first, _ = store.outbox.open_requests()
    theirs = store.outbox.devices_of(first)
    store.outbox.answer(fence, [Answer(first.counter, "I99", Fact.ACCEPTED)], NOW)
    found = stages(store)
    assert {Stage.ACCEPTED} == {found[device] for device in theirs}
    assert {Stage.QUEUED} == {found[device] for device in set(DEVICES) - set(theirs)}
    assert [] == store.record.recount(1)


@pytest.mark.usefixtures("campaign")
def test_a_device_that_the_dcc_leaves_out_is_refused_with_its_reason(store, fence):
    """W110401 lists one: that one alone is refused."""
    first, _ = store.outbox.open_requests()
    out, *others = store.outbox.devices_of(first)
    excluded = {out: Exclusion(Cause.OTHER_REQUEST, "another request in progress")}
    store.outbox.answer(fence, [Answer(first.counter, "W110401", Fact.ACCEPTED, excluded=excluded)], NOW)
    found = stages(store)
    assert (Stage.REFUSED, {Stage.ACCEPTED}) == (found[out], {found[device] for device in others})
    evidence = store.record.timeline(out)[-1].evidence
    assert (Cause.OTHER_REQUEST, "another request in progress") == (evidence.cause, evidence.detail)


@pytest.mark.usefixtures("campaign")
def test_an_answer_counts_once(store, fence):
    """A second answer to the same request, of a worker that was slow, changes nothing."""
    first, _ = store.outbox.open_requests()
    store.outbox.answer(fence, [Answer(first.counter, "I99", Fact.ACCEPTED)], NOW)
    store.outbox.answer(fence, [Answer(first.counter, "E57", Fact.REFUSED, cause=Cause.REQUEST)], NOW)
    assert ["I99", None] == codes(store)
    assert Stage.REFUSED not in stages(store).values()


@pytest.mark.usefixtures("campaign")
def test_whoever_has_lost_the_lease_writes_nothing(store, fence):
    """A paused worker wakes up: neither its attempt, its command nor its answer is kept."""
    first, _ = store.outbox.open_requests()
    later = Instant(NOW + 2 * MINUTE)
    assert store.leases.take("outbox", "another", later, MINUTE) is not None
    for late in (
        lambda: store.outbox.note_attempts(fence, [first.counter], later),
        lambda: store.outbox.take_back_attempts(fence, [first.counter]),
        lambda: store.outbox.keep_commands(fence, {first.counter: b"signed"}),
        lambda: store.outbox.answer(fence, [Answer(first.counter, "I99", Fact.ACCEPTED)], later),
        lambda: store.outbox.renew(fence, [first.counter], later),
    ):
        with pytest.raises(LeaseLostError):
            late()
    assert first == store.outbox.open_requests()[0]


def test_what_a_paused_campaign_had_not_sent_may_not_be_sent(store, fence, campaign):
    """Between the pause and the recall, a request may still be there: it is not wanted, and not attempted."""
    first, second = store.outbox.open_requests()
    store.outbox.note_attempts(fence, [first.counter], NOW)
    with store.database.writing() as connection:
        connection.execute(update(s.campaign).where(s.campaign.c.id == campaign).values(status="paused"))
    assert {first.counter} == store.outbox.note_attempts(fence, [first.counter, second.counter], NOW)
    assert [False, False] == [it.wanted for it in store.outbox.open_requests()]


@pytest.mark.usefixtures("campaign")
def test_a_renewed_request_is_the_same_under_a_higher_counter(store, fence):
    """Its Devices are the same; the old one is closed, and the order of the others is kept."""
    first, second = store.outbox.open_requests()
    theirs = store.outbox.devices_of(first)
    store.outbox.renew(fence, [first.counter], NOW)
    assert [RENEWED, None, None] == codes(store)
    behind, renewed = store.outbox.open_requests()
    assert (second, theirs) == (behind, store.outbox.devices_of(renewed))
    assert renewed.counter > second.counter
    assert renewed.attempted_at is None


@pytest.mark.usefixtures("campaign")
def test_a_request_whose_command_is_signed_is_not_renewed(store, fence):
    """Its counter is in what the Device gets: under another one it would be another command."""
    first, _ = store.outbox.open_requests()
    store.outbox.keep_commands(fence, {first.counter: b"signed"})
    store.outbox.renew(fence, [first.counter], NOW)
    assert [None, None] == codes(store)
    assert b"signed" == store.outbox.open_requests()[0].command


@pytest.mark.usefixtures("campaign")
def test_a_fence_that_was_never_taken_is_no_fence(store):
    """Made up, or of another name: refused."""
    with pytest.raises(LeaseLostError):
        store.outbox.answer(Fence("outbox", "nobody", 1), [], NOW)


@pytest.mark.usefixtures("campaign")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_requests_are_renewed_while_others_recall_some_and_order_others(store, fence):
    """Both take requests first and then counters: none of two waits for the other, and one of them fails."""
    first, second = (it.counter for it in store.outbox.open_requests())
    row = select(s.request.c.counter).where(s.request.c.counter == first)
    with held_up(store.database, row, lambda: store.outbox.renew(fence, [first, second], NOW)) as recalling:
        assert next_counter(store.database, recalling, NOW) > second
    assert 2 == len(store.outbox.open_requests())
