"""Fleet files: the example, what is said of each fault, and files that mean harm."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import UsageError
from lamplighter.planning.assumptions import Assumptions, Range
from lamplighter.planning.fleet import EXAMPLE, _shared, parse

ONE = '[[devices]]\ncount = {count}\ntype = "PPMID"\n'


def test_the_example_is_what_is_usual():
    """Its ranges are the defaults, as it says; its Devices add up, whatever the shares."""
    fleet, usual = parse(EXAMPLE), Assumptions()
    assert 100_000 == sum(fleet.devices.values())
    north, expected = fleet.assumptions.regions["North"], usual.regions["North"]
    assert expected.latency == north.latency
    assert expected.outage_every == north.outage_every
    for name in ("octets_per_second", "outage_hours", "coverage"):
        low, high = getattr(expected, name).low, getattr(expected, name).high
        assert (pytest.approx(low), pytest.approx(high)) == (
            getattr(north, name).low,
            getattr(north, name).high,
        )
    assert usual == replace(fleet.assumptions, regions=usual.regions)


def test_a_known_figure_is_a_range_of_one():
    """Nothing is drawn then."""
    assumed = parse("[unknown]\noff = 0.25").assumptions
    assert Range(0.25, 0.25) == assumed.off
    assert 0.25 == assumed.draw("a").off


def test_a_figure_that_becomes_known_changes_no_other():
    """So that two rehearsals differ by what was changed alone."""
    usual, known = Assumptions().draw("a"), Assumptions(off=Range(0, 0)).draw("a")
    assert usual.sleeping == known.sleeping
    assert usual.links == known.links


def test_whole_devices_are_shared_out_and_none_is_lost():
    """By largest remainder."""
    text = ONE.format(count=10) + "regions = { North = 0.25, South = 0.25, Central = 0.5 }"
    assert [2, 3, 5] == sorted(parse(text).devices.values())


def test_a_slip_in_a_key_is_told_with_what_was_meant():
    """As in a plan and a case."""
    with pytest.raises(UsageError, match=r"devices\[1\]\.cuont: no such key; did you mean count\?"):
        parse(ONE.format(count=1) + "cuont = 2")


THREATS = {
    "more Devices than a machine holds": ONE.format(count=10**18),
    "more Devices than a machine holds, in parts": "".join(
        ONE.format(count=30_000_000) + f'tag = "{n}"\n' for n in range(3)
    ),
    "a count beyond printing": ONE.format(count="9" * 5000),
    "a negative count": ONE.format(count=-1),
    "no count": '[[devices]]\ntype = "PPMID"',
    "half a Device": ONE.format(count=0.5),
    "true Devices": ONE.format(count="true"),
    "NaN Devices": ONE.format(count="nan"),
    "a share of NaN": ONE.format(count=1) + "regions = { North = nan, South = 0.5 }",
    "shares beyond 1": ONE.format(count=1) + "regions = { North = 0.9, South = 0.9 }",
    "a negative share": ONE.format(count=1) + "regions = { North = 1.5, South = -0.5 }",
    "no shares": ONE.format(count=1) + "regions = { }",
    "an unknown region": ONE.format(count=1) + "regions = { Atlantis = 1.0 }",
    "a region twice": ONE.format(count=1) + "regions = { North = 0.5, North = 0.5 }",
    "a region's link twice": '[region.North]\nlatency = "1s"\n[region.North]\nlatency = "2s"',
    "the same Devices twice": ONE.format(count=1) + ONE.format(count=2),
    "an endless range": "[unknown]\noff = [0.0, inf]",
    "a range of NaN": "[unknown]\noff = [nan, nan]",
    "a range upside down": "[unknown]\noff = [0.5, 0.1]",
    "a range of three": "[unknown]\noff = [0.1, 0.2, 0.3]",
    "more Devices off than there are": "[unknown]\noff = 0.9\nrefused = 0.2",
    "a link without bandwidth": "[region.North]\noctets_per_second = 0",
    "a link of NaN": "[region.North]\noctets_per_second = nan",
    "a latency of years": '[region.North]\nlatency = "9999d"',
    "an image of petabytes": "[release]\noctets = 1000000000000000",
    "hardware upside down": '[release]\nhardware = "FFFF-0000"',
    "a type that nothing updates": '[[devices]]\ncount = 1\ntype = "Toaster"',
    "a hub": '[[devices]]\ncount = 1\ntype = "CHF"',
    "an unknown key": "devises = 1",
    "escapes for a terminal": '[region."\\u001b[2J"]\nlatency = "1s"',
    "a name without end": ONE.format(count=1) + f'hub_model = "{"x" * 1000}"',
    "a file without end": "#" * 2_000_000,
    "brackets without end": "a = " + "[" * 100_000,
    "no TOML": "\x00",
}


@pytest.mark.parametrize("threat", THREATS)
def test_a_hostile_fleet_file_is_refused_at_once_and_on_one_line(threat):
    """With the word "fleet", and nothing that a terminal would obey."""
    began = time.monotonic()
    with pytest.raises(UsageError) as refused:
        parse(THREATS[threat])
    said = str(refused.value)
    assert said.isprintable()
    assert len(said) < 1_000
    assert time.monotonic() - began < 5, "reading is quick, whatever is in the file"


@given(
    st.text(max_size=200)
    | st.just(EXAMPLE).flatmap(lambda text: st.integers(0, len(text)).map(lambda n: text[:n]))
)
def test_any_text_is_a_fleet_or_refused(text):
    """Reading is total."""
    with suppress(UsageError):
        parse(text)


@pytest.mark.parametrize("slip", [1e-6, -1e-6])
def test_shares_that_nearly_make_a_whole_share_out_every_device_and_no_more(slip):
    """Fifty millions with a share that is a millionth off are still fifty millions."""
    counts = _shared(50_000_000, {"a": 0.5, "b": 0.5 + 0.9 * slip})
    assert 50_000_000 == sum(counts.values())
