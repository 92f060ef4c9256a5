"""The Postman: in order and one at a time, for days if need be; never lost; mischief only when asked for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import Eui64, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, SECOND
from lamplighter.lab.dcc.postman import Outcome, Postman, PostmanSettings
from lamplighter.lab.wire import ToUser

ONE, OTHER = Eui64.of(1), Eui64.of(2)
START = Instant(1_000 * DAY)


class Dice:
    """A die for tests."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def chance(self, probability):
        return self._random.random() < probability

    def integer(self, low, high):
        return self._random.randint(low, high)


def mail(number: int, user: Eui64 = ONE) -> ToUser:
    return ToUser(user, str(number).encode())


def deliver_all(postman: Postman, now: Instant = START) -> list[bytes]:
    """An endpoint that takes everything: what it got, in order."""
    got = []
    while (at := postman.next_at) is not None:
        now = max(now, at)
        for letter in postman.attempt(now):
            got.append(letter.mail.octets)
            postman.outcome(letter, Outcome.TAKEN, now)
    return got


def test_messages_come_in_the_order_in_which_they_were_offered():
    postman = Postman()
    for number in range(10):
        postman.offer(mail(number), START)
    assert [str(number).encode() for number in range(10)] == deliver_all(postman)
    assert (postman.taken, postman.waiting, postman.next_at) == (10, 0, None)


def test_one_message_is_tried_at_a_time_and_users_do_not_wait_for_each_other():
    postman = Postman()
    for user in (ONE, ONE, OTHER):
        postman.offer(mail(0, user), START)
    assert [ONE, OTHER] == [letter.mail.user for letter in postman.attempt(START)]
    assert () == postman.attempt(START)
    assert 3 == postman.waiting


def test_the_pause_doubles_up_to_its_cap_and_trying_never_ends():
    postman = Postman(PostmanSettings(first_pause=10 * SECOND, longest_pause=HOUR))
    postman.offer(mail(1), START)
    pauses, now = [], START
    while now < START + 5 * DAY:
        (letter,) = postman.attempt(now)
        postman.outcome(letter, Outcome.UNREACHABLE, now)
        assert () == postman.attempt(now)
        pauses.append(postman.next_at - now)
        now = postman.next_at
    assert [10 * SECOND, 20 * SECOND, 40 * SECOND] == pauses[:3]
    assert HOUR == max(pauses) == pauses[-1]
    assert [b"1"] == deliver_all(postman, now)


def test_an_endpoint_that_comes_back_gets_everything_at_once_and_the_pause_starts_anew():
    postman = Postman()
    for number in range(3):
        postman.offer(mail(number), START)
    now = START
    for _ in range(12):
        (letter,) = postman.attempt(now)
        postman.outcome(letter, Outcome.UNREACHABLE, now)
        now = postman.next_at
    for _ in range(3):
        (letter,) = postman.attempt(now)
        postman.outcome(letter, Outcome.TAKEN, now)
    postman.offer(mail(3), now)
    (letter,) = postman.attempt(now)
    postman.outcome(letter, Outcome.UNREACHABLE, now)
    assert now + PostmanSettings().first_pause == postman.next_at


def test_a_message_that_the_user_refused_is_settled():
    postman = Postman()
    postman.offer(mail(1), START)
    (letter,) = postman.attempt(START)
    postman.outcome(letter, Outcome.REFUSED, START)
    assert (1, 0, 0) == (postman.refused, postman.taken, postman.waiting)


def test_the_outcome_of_a_message_that_nobody_tries_is_a_mistake():
    postman = Postman()
    postman.offer(mail(1), START)
    (letter,) = postman.attempt(START)
    postman.outcome(letter, Outcome.TAKEN, START)
    with pytest.raises(UsageError):
        postman.outcome(letter, Outcome.TAKEN, START)


def test_mischief_needs_dice():
    with pytest.raises(UsageError):
        Postman(PostmanSettings(duplicate=0.5))


def test_duplicated_on_purpose_each_message_comes_once_more():
    postman = Postman(PostmanSettings(duplicate=1.0), Dice(1))
    for number in range(3):
        postman.offer(mail(number), START)
    assert [b"0", b"1", b"2"] * 2 == deliver_all(postman)


def test_reordered_on_purpose_some_messages_overtake_others():
    postman = Postman(PostmanSettings(reorder=0.5), Dice(1))
    offered = [str(number).encode() for number in range(30)]
    for octets in offered:
        postman.offer(ToUser(ONE, octets), START)
    got = deliver_all(postman)
    assert offered != got
    assert sorted(offered) == sorted(got)


@given(
    st.lists(st.sampled_from([*Outcome, "offer", "offer", "wait"]), max_size=60),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 9),
)
def test_whatever_the_endpoint_does_no_message_is_lost(doings, duplicate, reorder, seed):
    """Offered = got by the User, in one way or the other, once the endpoint takes everything."""
    settings = PostmanSettings(duplicate=duplicate, reorder=reorder)
    postman = Postman(settings, Dice(seed))
    now, offered, seen = START, set(), set()
    for doing in doings:
        if doing == "offer":
            offered.add(str(len(offered)).encode())
            postman.offer(mail(len(offered) - 1), now)
        elif doing == "wait":
            now = Instant(now + HOUR)
        else:
            for letter in postman.attempt(now):
                if doing is not Outcome.UNREACHABLE:
                    seen.add(letter.mail.octets)
                postman.outcome(letter, doing, now)
    seen.update(deliver_all(postman, now))
    assert offered == seen
    assert 0 == postman.waiting
