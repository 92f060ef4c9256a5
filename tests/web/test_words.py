"""Words, paths and drawings of the pages: pure, and right for any value."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign.state import Stage, State
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND, from_iso
from lamplighter.registry import DeviceType
from lamplighter.service.web import words
from lamplighter.service.web.history import Model, at_moment, histories
from lamplighter.service.web.security import local_path
from lamplighter.store.fleet import Sample

SUMMER = from_iso("2030-07-01T09:00:00Z")
MODEL = Model(DeviceType.PPMID, 0x121D, 0x0084)


@given(st.text(alphabet=st.sampled_from("/\\:@?#.%09\t\n ehtpsjavril"), max_size=24))
def test_open_redirect_no_path_leaves_this_host(text):
    """Whatever somebody puts behind `next=`, a browser reads a path of this host."""
    path = local_path(text)
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    assert ("", "") == urlsplit(path)[:2]
    assert path.isprintable()


@pytest.mark.parametrize("path", ["/", "/devices?region=North&q=", "/campaigns/7/compare?with=3", "/x#y"])
def test_a_path_of_ours_is_kept_as_it_is(path):
    assert path == local_path(path)


def test_a_moment_is_shown_in_utc_and_told_in_london_time():
    """Windows are kept in London's time, messages in UTC: an hour apart all summer."""
    said = words.moment(SUMMER)
    assert ">2030-07-01 09:00:00<" in said
    assert "10:00:00 BST in London" in said


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (0, "0 s"),
        (SECOND - 1, "0 s"),
        (59 * SECOND, "59 s"),
        (MINUTE, "1 min"),
        (200 * SECOND, "3 min 20 s"),
        (HOUR + SECOND, "1 h"),
        (DAY + 4 * HOUR + MINUTE, "1 d 4 h"),
        (400 * DAY, "400 d"),
        (-SECOND, "0 s"),
        (None, words.NONE),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(length, said):
    assert said == words.span(length)


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 10, "0.0 %"),
        (10, 10, "100.0 %"),
        (1, 10_000_000, "< 0.1 %"),
        (9_999_999, 10_000_000, "> 99.9 %"),
        (1, 3, "33.3 %"),
        (0, 0, words.NONE),
    ],
)
def test_what_is_not_quite_nothing_or_all_is_not_called_so(part, whole, said):
    """One Device of ten million that is exposed is not 0 %, and one that is left is not 100 %."""
    assert said == words.percent(part, whole)


def test_every_state_has_a_tone():
    """A state that is new is quiet until somebody says otherwise, and never an error."""
    tones = {tone.value for tone in words.Tone}
    for state in (*State, *Stage, *CampaignStatus):
        assert words.tone(state) in tones
    assert "good" == words.tone(Stage.PROVEN)
    assert "quiet" == words.tone("something new")


def test_an_address_leaves_out_what_is_empty():
    assert "/x?a=1&b=a%26b" == words.query("/x", {"a": 1, "b": "a&b", "c": "", "d": None})
    assert "/x" == words.query("/x", {})


def _sample(at, version, devices):
    return Sample(Instant(at), MODEL.type, MODEL.manufacturer, MODEL.model, FirmwareVersion(version), devices)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**15), st.integers(0, 12), st.integers(0, 10**7)), min_size=1, max_size=40
    ),
    st.integers(0, 10**15),
)
def test_any_history_can_be_drawn(rows, since):
    """Numbers, not markup, and all of them on the paper."""
    until = max(since, *(at for at, _, _ in rows))
    history = histories([_sample(*row) for row in rows], Instant(since), Instant(until))[MODEL]
    drawn = history.svg("a & b")
    assert "a &amp; b" in drawn
    assert "nan" not in drawn
    for series in history.series:
        assert history.colour(series.version).startswith("s")
        assert series.points[-1][1] == at_moment(series, Instant(until))
        assert 0 == at_moment(series, Instant(series.points[0][0] - 1))


def test_a_history_in_which_nothing_changed_is_no_drawing():
    flat = histories([_sample(SUMMER, 1, 5)], Instant(SUMMER - DAY), Instant(SUMMER + DAY))[MODEL]
    assert flat.is_flat
    moved = histories(
        [_sample(SUMMER, 1, 5), _sample(SUMMER + HOUR, 1, 4)], Instant(SUMMER - DAY), Instant(SUMMER + DAY)
    )[MODEL]
    assert not moved.is_flat
    assert SUMMER == moved.since, "it begins where something is known"


def test_an_entry_of_the_audit_is_told_in_words():
    """Of JSON its values with their names; what only looks like it, and text, as it is."""
    order = (
        '{"srv":"11.3","step":17,"devices":2,"first_counter":1768372746743,"sha256":"082c7e1f5b52dd48a1ed65"}'
    )
    said = "SRV 11.3, step 17, Devices: 2, counters from 1768372746743, SHA-256 082c7e1f5b52…"
    assert said == words.told(order)
    for it in ("hardware=1111: half", "{oops", "{", ""):
        assert it == words.told(it)
