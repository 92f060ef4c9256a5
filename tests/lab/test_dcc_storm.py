"""Alert storms: few of many equal alerts go on, and those say for how many they stand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import Eui64, ImageHash, Instant
from lamplighter.kit.instant import HOUR, MINUTE, SECOND
from lamplighter.lab.dcc import StormLimits
from lamplighter.lab.dcc.storm import StormKey, Throttle
from lamplighter.lab.homes import FACTORY_VERSION, SUPPLIER
from lamplighter.protocol import duis, gbcs

from .user import Desk, a_desk, heard

LIMITS = StormLimits(most=3, window=HOUR, period=HOUR)
NO_HASH = ImageHash(bytes(32))


class Storm:
    """A desk, and an HCALCS and a PPMID that will not be quiet."""

    def __init__(self, limits: StormLimits = LIMITS) -> None:
        self.desk: Desk = a_desk(storm=limits)
        self.home = self.desk.lab.homes[0]
        self.counter = 0

    def receipts(self, count: int, code=gbcs.AlertCode.IMAGE_VERIFIED) -> list[duis.Response]:
        """So many 8F72, a second apart, and what the User was told."""
        return self._raise(count, self.home.hcalcs, SUPPLIER, lambda at: gbcs.ReceiptAlert(code, at, NO_HASH))

    def activations(self, count: int) -> list[duis.Response]:
        code = gbcs.AlertCode.PPMID_ACTIVATION
        return self._raise(
            count,
            self.home.ppmid,
            self.desk.dcc.acb,
            lambda at: gbcs.Cs09Alert(code, at, FACTORY_VERSION, gbcs.Outcome.FAILURE),
        )

    def _raise(self, count, device, recipient, payload) -> list[duis.Response]:
        for _ in range(count):
            self.counter += 1
            at = Instant(self.desk.now // SECOND * SECOND)
            self.desk.hear(self.desk.spoken(device, payload(at), self.counter, recipient))
            self.desk.later(SECOND)
        return self.desk.told()

    def wait(self, period: int) -> list[duis.Response]:
        self.desk.later(period)
        return self.desk.told()


def throttles(responses: list[duis.Response]) -> list[tuple[int, int] | None]:
    return [
        None if r.body.throttled is None else (r.body.throttled.sequence, r.body.throttled.count)
        for r in responses
    ]


def test_below_the_threshold_every_device_alert_goes_on():
    assert [None] * 3 == throttles(Storm().receipts(3))


def test_a_storm_of_device_alerts_is_one_a_period_with_sequence_id_and_count():
    storm = Storm()
    assert [None] * 3 == throttles(storm.receipts(100))
    assert [(1, 97)] == throttles(storm.wait(HOUR))
    assert [] == storm.receipts(10)
    assert [(2, 10)] == throttles(storm.wait(HOUR))


def test_a_storm_of_decoded_alerts_is_throttled_alike():
    storm = Storm()
    told = storm.activations(10)
    assert (["N39"] * 3, [None] * 3) == (heard(told), throttles(told))
    told = storm.wait(HOUR)
    assert (["N39"], [(1, 7)]) == (heard(told), throttles(told))


def test_what_goes_on_is_the_latest():
    storm = Storm()
    storm.receipts(10)
    (alert,) = storm.wait(HOUR)
    assert 10 == gbcs.decode(alert.body.payload).message.counter
    assert duis.RequestId(storm.home.hcalcs, SUPPLIER, 10) == alert.response_id


def test_a_quiet_period_ends_the_storm():
    storm = Storm()
    storm.receipts(10)
    storm.wait(2 * HOUR)
    assert [None] * 3 == throttles(storm.receipts(3))
    storm.receipts(2)
    assert [(1, 2)] == throttles(storm.wait(HOUR))


def test_alerts_of_another_code_go_on():
    storm = Storm()
    storm.receipts(10)
    assert [None] == throttles(storm.receipts(1, gbcs.AlertCode.IMAGE_REJECTED))


def test_alerts_on_the_exclusion_list_are_never_throttled():
    storm = Storm(StormLimits(most=3, excluded=frozenset({0x8F72})))
    assert [None] * 20 == throttles(storm.receipts(20))


def test_alerts_now_and_then_are_no_storm():
    storm = Storm()
    for _ in range(12):
        assert [None] == throttles(storm.receipts(1))
        storm.wait(30 * MINUTE)


def test_the_dcc_is_not_done_before_it_has_told_of_a_storm():
    storm = Storm()
    storm.receipts(4)
    assert storm.desk.dcc.open == 1
    storm.wait(HOUR)
    assert storm.desk.dcc.open == 0


KEYS = [StormKey(SUPPLIER, Eui64.of(n), 0x8F72) for n in range(3)]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 2 * HOUR)), max_size=80))
def test_whatever_is_raised_every_alert_is_told_or_counted(raised):
    """And when all is over, nothing is remembered."""
    throttle: Throttle[int] = Throttle(LIMITS)
    now, told = Instant(0), 0

    def pass_time(until: Instant) -> int:
        counted = 0
        while (due := throttle.next_due) is not None and due <= until:
            counted += sum(spell.throttled.count for spell in throttle.wake(due))
        return counted

    for key, pause in raised:
        now = Instant(now + pause)
        told += pass_time(now)
        told += throttle.admit(key, 0, now)
    told += pass_time(Instant(now + 10 * HOUR))
    throttle.wake(Instant(now + 10 * HOUR))
    assert len(raised) == told
    assert (0, {}, {}) == (throttle.pending, throttle._storms, throttle._seen)
    assert not throttle._recent
