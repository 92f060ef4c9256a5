"""Windows: right on both days on which the clocks change, across midnight, stepped by minutes."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.campaign.next import Order
from lamplighter.campaign.windows import (
    HORIZON,
    KIND_OF,
    LONDON,
    Day,
    Kind,
    Window,
    jitter,
    next_change,
    next_open,
    open_at,
    open_since,
    quiet_instant,
)
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND, from_datetime, from_iso, to_datetime, to_iso

NONE = frozenset()
OFFICE = Window(9 * 60, 17 * 60, frozenset(list(Day)[:5]))
NIGHT = Window(22 * 60, 6 * 60)


def at(text):
    return from_iso(text)


def spans(windows, begin, end, blackout=NONE):
    """The stretches that are open between two instants, as text."""
    here, found, since = at(begin), [], None
    last = at(end)
    while here is not None and here < last:
        if open_at(windows, blackout, here):
            since = here
        elif since is not None:
            found.append(f"{to_iso(since)[5:16]}..{to_iso(here)[5:16]}")
            since = None
        here = next_change(windows, blackout, here)
    return found


def test_summer_and_winter():
    """Nine in the morning is an hour earlier in UTC while it is summer."""
    assert ["01-13T09:00..01-13T17:00"] == spans([OFFICE], "2026-01-13T00:00:00Z", "2026-01-14T00:00:00Z")
    assert ["07-14T08:00..07-14T16:00"] == spans([OFFICE], "2026-07-14T00:00:00Z", "2026-07-15T00:00:00Z")


def test_the_hour_that_is_missing():
    """On 29 March 2026 there is no 01:30: a window from 01:00 to 02:00 does not open, a longer is shorter."""
    day = ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")
    assert [] == spans([Window(60, 120)], *day)
    assert ["03-29T00:30..03-29T01:30"] == spans([Window(30, 150)], *day)
    assert ["03-29T01:00..03-29T01:30"] == spans([Window(90, 150)], *day)


def test_the_hour_that_comes_twice():
    """On 25 October 2026 there are two 01:30: a window from 01:00 to 02:00 is open for two hours."""
    day = ("2026-10-24T23:00:00Z", "2026-10-25T23:00:00Z")
    assert ["10-25T00:00..10-25T02:00"] == spans([Window(60, 120)], *day)
    # A window that ends within it opens again when the clocks go back.
    assert ["10-24T23:30..10-25T00:30", "10-25T01:00..10-25T01:30"] == spans([Window(30, 90)], *day)


def test_across_midnight_a_window_belongs_to_the_day_on_which_it_begins():
    """Friday's night ends on Saturday morning; Saturday has none of its own."""
    friday = Window(22 * 60, 6 * 60, frozenset({Day.FRI}))
    assert ["01-16T22:00..01-17T06:00"] == spans([friday], "2026-01-12T00:00:00Z", "2026-01-19T00:00:00Z")


def test_a_blackout_is_a_local_day():
    """In summer it begins an hour before midnight in UTC."""
    blackout = frozenset({date(2026, 7, 15)})
    assert open_at([], blackout, at("2026-07-14T22:59:59Z"))
    assert not open_at([], blackout, at("2026-07-14T23:00:00Z"))
    assert not open_at([], blackout, at("2026-07-15T22:59:59Z"))
    assert open_at([], blackout, at("2026-07-15T23:00:00Z"))
    assert at("2026-07-14T23:00:00Z") == next_change([], blackout, at("2026-01-01T00:00:00Z"))
    assert at("2026-07-15T23:00:00Z") == next_open([], blackout, at("2026-07-15T12:00:00Z"))


def test_a_blackout_cuts_a_night_in_two():
    """What began the day before stops at midnight, and goes on after the day."""
    blackout = frozenset({date(2026, 1, 14)})
    assert ["01-13T22:00..01-14T00:00", "01-15T00:00..01-15T06:00", "01-15T22:00..01-16T06:00"] == spans(
        [NIGHT], "2026-01-13T12:00:00Z", "2026-01-16T12:00:00Z", blackout
    )


def test_a_window_is_for_its_kinds_of_order():
    """Reads may go on while updates may not; without a window of its kind an order goes out at any time."""
    only_updates = [Window(9 * 60, 17 * 60, kinds=frozenset({Kind.UPDATE}))]
    night = at("2026-01-13T03:00:00Z")
    assert not open_at(only_updates, NONE, night, Kind.UPDATE)
    assert open_at(only_updates, NONE, night, Kind.READ)
    assert next_change(only_updates, NONE, night, Kind.READ) is None
    assert night == next_open(only_updates, NONE, night, Kind.ACTIVATE)


def test_every_order_has_a_kind():
    """No order slips through a window that closes the others."""
    assert set(Order) - {Order.CALL_OFF_ACTIVATION} == set(KIND_OF)


def test_windows_that_touch_do_not_change_between():
    """Two that follow each other are as one."""
    two = [Window(9 * 60, 12 * 60), Window(12 * 60, 17 * 60)]
    assert at("2026-01-13T17:00:00Z") == next_change(two, NONE, at("2026-01-13T10:00:00Z"))


def test_what_never_changes_has_no_next_change():
    """A whole day, every day, is found out within the horizon."""
    assert next_change([Window(0, 1440)], NONE, at("2026-01-13T10:00:00Z")) is None
    never = frozenset(date(2026, 1, 1) + timedelta(days=days) for days in range(1000))
    assert next_open([OFFICE], never, at("2026-01-13T10:00:00Z")) is None


@pytest.mark.parametrize(("start", "end"), [(-1, 60), (1440, 60), (60, 0), (60, 1441)])
def test_a_window_out_of_the_day_is_refused(start, end):
    """Also where no plan was parsed."""
    with pytest.raises(UsageError, match="a window goes from"):
        Window(start, end)


def test_a_window_without_days_or_kinds_is_refused():
    """It would never open."""
    with pytest.raises(UsageError, match="needs a day"):
        Window(0, 60, NONE)
    with pytest.raises(UsageError, match="needs a day"):
        Window(0, 60, kinds=NONE)


# --- against a stranger: a wall clock, stepped by the minute

minutes = st.integers(0, 1439)
windows = st.builds(
    Window,
    minutes,
    minutes.map(lambda minute: minute + 1),
    st.frozensets(st.sampled_from(Day), min_size=1),
)
# The days around the changes of the clocks are as likely as all others together.
dates = st.dates(date(2024, 1, 1), date(2031, 12, 31)) | st.sampled_from(
    [
        date(2024, 3, 31),
        date(2025, 10, 26),
        date(2026, 3, 29),
        date(2026, 10, 25),
        date(2028, 3, 26),
        date(2031, 10, 26),
    ]
)
instants = st.builds(
    lambda day, minute: Instant(
        from_datetime(datetime(day.year, day.month, day.day, tzinfo=UTC)) + minute * MINUTE
    ),
    dates,
    st.integers(-1440, 1440),
)


def by_the_wall_clock(chosen, blackout, instant):
    """The same by looking at a clock on the wall, which knows nothing of UTC."""
    local = to_datetime(instant).astimezone(ZoneInfo("Europe/London"))
    if local.date() in blackout:
        return False
    here = local.hour * 60 + local.minute
    for window in chosen:
        today, before = Day(local.weekday()), Day((local.weekday() - 1) % 7)
        if window.end > window.start:
            if today in window.days and window.start <= here < window.end:
                return True
        elif (today in window.days and here >= window.start) or (before in window.days and here < window.end):
            return True
    return not chosen


@settings(max_examples=60, deadline=None)
@given(st.lists(windows, max_size=4), st.frozensets(dates, max_size=3), instants)
def test_it_is_open_when_the_wall_clock_says_so(chosen, blackout, instant):
    """Minute by minute for two days, around every change of the clocks, over the years."""
    steps = [Instant(instant + minute * MINUTE) for minute in range(0, 2 * 1440, 7)]
    assert [by_the_wall_clock(chosen, blackout, step) for step in steps] == [
        open_at(chosen, blackout, step) for step in steps
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(windows, max_size=3), st.frozensets(dates, max_size=3), instants)
def test_the_next_change_is_the_first_minute_that_differs(chosen, blackout, instant):
    """Stepping by the minute from an instant finds the change where it is said to be, and none before."""
    now = by_the_wall_clock(chosen, blackout, instant)
    change = next_change(chosen, blackout, instant)
    limit = instant + 3 * DAY if change is None else min(change, instant + 3 * DAY)
    step = instant + MINUTE
    while step < limit:
        assert now is by_the_wall_clock(chosen, blackout, Instant(step))
        step += MINUTE
    if change is not None:
        assert change > instant
        assert now is not by_the_wall_clock(chosen, blackout, change)
        assert now is by_the_wall_clock(chosen, blackout, Instant(change - 1))


def test_every_hour_of_eight_years():
    """A night window, hour by hour from 2024 to 2031."""
    here, end = at("2024-01-01T00:00:00Z"), at("2032-01-01T00:00:00Z")
    wrong = []
    while here < end:
        if by_the_wall_clock([NIGHT], NONE, here) is not open_at([NIGHT], NONE, here):
            wrong.append(to_iso(here))
        here = Instant(here + HOUR)
    assert [] == wrong


# --- jitter, quiet hours


def test_jitter_follows_from_the_key_and_is_spread_evenly():
    """The same key waits as long every time; many keys fill the width."""
    delays = [jitter(f"batch {number}", HOUR) for number in range(6000)]
    assert delays == [jitter(f"batch {number}", HOUR) for number in range(6000)]
    tenths = [sum(1 for delay in delays if delay * 10 // HOUR == tenth) for tenth in range(10)]
    assert sum(tenths) == 6000
    assert all(abs(count - 600) < 5 * 600**0.5 for count in tenths), tenths


def test_no_width_no_jitter():
    """A plan without jitter has none."""
    assert 0 == jitter("batch", 0)


@given(minutes, minutes, instants, st.text(max_size=5))
def test_a_quiet_instant_is_within_its_stretch_and_not_at_once(start, end, after, key):
    """A future-dated activation happens in the quiet hour on the wall, later than now, in whole seconds."""
    if start == end:
        return
    found = quiet_instant(start, end or 1440, after, key)
    assert after < found <= after + 3 * DAY
    assert 0 == found % SECOND
    assert by_the_wall_clock([Window(start, end or 1440)], NONE, found)


def test_a_quiet_hour_that_does_not_exist_is_passed_over():
    """01:00 to 02:00 of 29 March 2026 comes on the 30th."""
    assert at("2026-03-30T00:00:00Z") == quiet_instant(60, 120, at("2026-03-28T12:00:00Z"))


def test_a_quiet_hour_that_has_begun_is_not_used():
    """An activation must not be dated to a moment that is past by the time it arrives."""
    assert at("2026-01-14T02:00:00Z") == quiet_instant(120, 240, at("2026-01-13T02:30:00Z"))


def test_a_quiet_day_is_refused():
    """It has no beginning."""
    with pytest.raises(UsageError, match="24 hours"):
        quiet_instant(0, 1440, at("2026-01-13T02:30:00Z"))


def test_the_zone_is_great_britains():
    """Windows are in the time of the homes, wherever the server stands."""
    assert "Europe/London" == LONDON.key
    assert HORIZON > 2 * 366 * DAY


@pytest.mark.parametrize(
    ("now", "opened"),
    [
        ("2026-03-03T12:00:00Z", "2026-03-03T09:00:00Z"),
        ("2026-03-03T09:00:00Z", "2026-03-03T09:00:00Z"),
        ("2026-03-03T08:59:59Z", None),
        ("2026-03-30T12:00:00Z", "2026-03-30T08:00:00Z"),  # summer has begun
    ],
)
def test_a_window_knows_since_when_it_is_open(now, opened):
    """To the minute, by British clocks; closed, it is open since never."""
    found = open_since((OFFICE,), NONE, from_iso(now))
    assert (None if opened is None else from_iso(opened)) == found


def test_what_is_always_open_has_no_opening():
    """Without windows there is nothing to spread over; but the end of a blackout is an opening."""
    now = from_iso("2026-12-27T12:00:00Z")
    assert open_since((), NONE, now) is None
    assert from_iso("2026-12-27T00:00:00Z") == open_since((), frozenset({date(2026, 12, 26)}), now)


@given(st.integers(0, 40 * 366 * DAY))
def test_between_opening_and_now_it_was_open(offset):
    """It opened at that moment, was closed just before, and has not changed since."""
    now = Instant(from_iso("2020-01-01T00:00:00Z") + offset)
    for windows in ((OFFICE,), (NIGHT,), (OFFICE, NIGHT)):
        opened = open_since(windows, NONE, now)
        assert open_at(windows, NONE, now) is (opened is not None)
        if opened is not None:
            assert not open_at(windows, NONE, Instant(opened - 1))
            assert opened == next_change(windows, NONE, Instant(opened - 1))
            assert opened <= now < next_change(windows, NONE, opened)
