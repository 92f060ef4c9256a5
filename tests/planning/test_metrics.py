"""Operational metrics against a count by hand, and the columns that they can be counted from again."""

import csv
import io
import json
import math
import random
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.campaign import Cause, Progress, Stage
from lamplighter.kit import DecodeError, FirmwareVersion, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, SECOND
from lamplighter.planning import metrics as m
from lamplighter.planning.operation import duration, metrics_page, share
from lamplighter.store.metrics import NEVER, Campaign, Place, Updates

START = Instant(1_900_000_000 * SECOND)
AS_OF = Instant(START + 30 * DAY)
CHAIN = range(6)  # ordered, submitted, at the hub, on the Device, activated, proven
ENDS = (Stage.FAILED, Stage.LOST, Stage.WITHDRAWN, Stage.CANCELLED, Stage.AT_HUB)


def some(count, seed=1, campaigns=1, regions=("North", "South")):
    """Updates of random fates: milestones missing here and there, clocks that disagree."""
    rng = random.Random(seed)
    places = tuple(
        Place(f"C{number}", "all", wave, region, hub, "PPMID", 0x1234, 1, 1)
        for number in range(campaigns)
        for wave in range(2)
        for region in regions
        for hub in ("A", "B")
    )
    first = np.full((count, 8), NEVER)
    progress = np.zeros(count, np.int64)
    for row in range(count):
        at = START + rng.randrange(5 * DAY)
        reached = rng.randrange(6)
        for milestone in range(reached + 1):
            if milestone == 0 or rng.random() < 0.8:
                first[row, milestone] = at
            at += rng.randrange(-10 * SECOND, 8 * HOUR)
        if first[row, 5] < NEVER:
            progress[row] = Progress.of(16, Stage.PROVEN).number
        else:
            stage = rng.choice(ENDS)
            cause = rng.choice((Cause.SILENCE, Cause.TRANSFER, Cause.REMOVED))
            progress[row] = Progress.of(16, stage, cause).number
            if stage is not Stage.AT_HUB:
                first[row, 6] = at
    owners = tuple(
        Campaign(
            it + 1, f"C{it}", FirmwareVersion(0x20), START, count, f"R{it}", 'CVE, "one"' if it else None
        )
        for it in range(campaigns)
    )
    place = np.array([rng.randrange(len(places)) for _ in range(count)], np.int64)
    return Updates(owners, places, np.arange(count) + 5, np.arange(count), place, progress, first)


def implied(row):
    """A later milestone implies those before; an order is our own word."""
    times = list(row[:6])
    for index in range(4, 0, -1):
        times[index] = min(times[index], times[index + 1])
    return times


def by_hand(updates, rows):
    """Counts and times of some rows, one by one."""
    counts = dict.fromkeys(("delivered", "transferred", "activated", "proven"), 0)
    ends = dict.fromkeys(("failed", "lost", "withdrawn", "cancelled"), 0)
    took = {name: [] for name in m.SPANS}
    for row in rows:
        times = implied(updates.first[row].tolist())
        for name, index in zip(counts, range(2, 6), strict=True):
            counts[name] += times[index] < NEVER
        stage = Progress(int(updates.progress[row])).stage
        if stage.name.lower() in ends:
            ends[stage.name.lower()] += 1
        for name, (begin, end) in m.SPANS.items():
            if times[begin] < NEVER and times[end] < NEVER:
                took[name].append(max(times[end] - times[begin], 0))
    return m.Counts(updates=len(rows), **counts, **ends), took


@pytest.mark.parametrize("seed", range(3))
def test_counts_and_times_are_those_of_a_count_by_hand(seed):
    """Every count, rate and percentile, in total and in each group."""
    updates = some(400, seed)
    found = m.measure(updates, AS_OF, by=("region", "hub-model", "wave", "model", "stratum", "campaign"))
    groups = [(found.total, range(400))]
    for name, of in found.groups.items():
        for group in of:
            key = m.DIMENSIONS[name]
            rows = [it for it in range(400) if key(updates.places[updates.place[it]]) == group.value]
            groups.append((group, rows))
        assert 400 == sum(it.counts.updates for it in of)
    for group, rows in groups:
        counts, took = by_hand(updates, rows)
        assert counts == group.counts
        for name, values in took.items():
            times = group.times[name]
            if not values:
                assert times is None
                continue
            ordered = sorted(values)
            assert len(values) == times.updates
            assert math.isclose(sum(values) / len(values) / SECOND, times.mean)
            for per_cent, value in ((50, times.p50), (90, times.p90), (95, times.p95), (99, times.p99)):
                # The least that so many per cent do not exceed.
                exact = round(value * SECOND)
                assert exact in ordered
                assert sum(it <= exact for it in ordered) * 100 >= per_cent * len(ordered)
                assert sum(it < exact for it in ordered) * 100 < per_cent * len(ordered)
            assert ordered[-1] / SECOND == times.max


def test_rates_divide_what_the_page_says():
    """Delivered by updates, transferred by delivered, activated by transferred, proven by updates."""
    counts = m.Counts(100, 90, 80, 70, 60, 10, 5, 3, 2)
    assert (0.9, 80 / 90, 70 / 80, 0.6, 60 / 75) == (
        counts.delivery_rate,
        counts.transfer_rate,
        counts.activation_rate,
        counts.proof_rate,
        counts.settled_proof_rate,
    )
    assert (20, 75, 60, 15) == (counts.in_flight, counts.settled, counts.visits_avoided, counts.visits_due)
    nothing = m.Counts(*[0] * 9)
    assert [None] * 4 == [
        nothing.delivery_rate, nothing.transfer_rate, nothing.proof_rate, nothing.proof_interval,
    ]  # fmt: skip


def test_the_interval_is_wilsons():
    """Against values from the textbook (Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29)."""
    for successes, trials, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = m.wilson(successes, trials)
        assert (low, high) == pytest.approx(found, abs=5e-5)


def test_exposure_half_life_counts_from_the_start_to_half_of_the_exposed():
    """Ten exposed, proofs at 1 h to 7 h: half at the fifth, 90 % never; Device-days of all ten."""
    first = np.full((7, 8), NEVER)
    first[:, 0] = START
    first[:, 5] = START + np.arange(1, 8) * HOUR
    proven = np.full(7, Progress.of(16, Stage.PROVEN).number)
    place = Place("C", "all", 0, "North", "A", "PPMID", 1, 1, 1)
    owner = Campaign(1, "C", FirmwareVersion(1), START, 10)
    updates = Updates((owner,), (place,), np.arange(7), np.arange(7), np.zeros(7, np.int64), proven, first)
    (found,) = m.measure(updates, Instant(START + DAY)).exposures
    assert (10, 7, 5 * 3600.0, None) == (found.exposed, found.proven, found.half_life, found.to_90)
    assert math.isclose((28 + 3 * 24) / 24, found.device_days)
    assert () == m.measure(updates, AS_OF, start=START).exposures


@pytest.mark.parametrize(("days", "expected"), [(3, 1_100.0), (30, 1_100.0), (365, 1_100.0)])
def test_a_device_that_left_is_exposed_no_longer(days, expected):
    """900 of 1,000 proven after a day, 100 gone after two: no Device-day is added whenever one looks."""
    first = np.full((1_000, 8), NEVER)
    first[:, 0] = START
    first[:900, 5] = START + DAY
    first[900:, 6:] = START + 2 * DAY
    progress = np.full(1_000, Progress.of(16, Stage.PROVEN).number)
    progress[900:] = Progress.of(16, Stage.WITHDRAWN, Cause.REMOVED).number
    updates = exposed_updates(first, progress, 1_000)
    (found,) = m.measure(updates, Instant(START + days * DAY)).exposures
    assert (1_000, 100, 900, 900) == (found.exposed, found.left, found.stayed, found.proven)
    assert (86_400.0, 86_400.0) == (found.half_life, found.to_90)
    assert math.isclose(expected, found.device_days)


def exposed_updates(first, progress, exposed):
    """Updates of one campaign with these milestones."""
    place = Place("C", "all", 0, "North", "A", "PPMID", 1, 1, 1)
    owner = Campaign(1, "C", FirmwareVersion(1), START, exposed, "R", "CVE-2026-1234")
    count = np.arange(len(first))
    return Updates((owner,), (place,), count, count, np.zeros(len(first), np.int64), progress, first)


def test_shares_of_exposure_are_of_those_that_stayed():
    """Of ten two left: half is four proofs, 90 % eight. Who failed first is exposed until it left."""
    first = np.full((10, 8), NEVER)
    first[:, 0] = START
    first[:5, 5] = START + np.arange(1, 6) * DAY
    first[5:7, 6] = START + DAY  # given up
    first[5:7, 7] = START + 8 * DAY
    progress = np.full(10, Progress.of(16, Stage.AT_HUB).number)
    progress[:5] = Progress.of(16, Stage.PROVEN).number
    progress[5:7] = Progress.of(16, Stage.WITHDRAWN, Cause.SUPPLIER).number
    first[0, 7] = START + 9 * DAY  # proven, and gone since: it is no less proven
    found = m.measure(exposed_updates(first, progress, 10), Instant(START + 10 * DAY))
    (it,) = found.exposures
    assert (10, 2, 8, 5, 4 * 86_400.0, None) == (
        it.exposed, it.left, it.stayed, it.proven, it.half_life, it.to_90,
    )  # fmt: skip
    assert math.isclose(1 + 2 + 3 + 4 + 5 + 2 * 8 + 3 * 10, it.device_days)
    row = list(csv.DictReader(io.StringIO(m.as_csv(found))))[-1]
    assert ("10", "2", "5") == (row["exposed"], row["left"], row["proven"])
    assert 2 == m.as_facts(found)["exposure"][0]["left"]
    assert "half of 8 exposed Devices, 2 that left not counted" in metrics_page(found)


def test_older_packs_leave_who_left_exposed():
    """By the first form's reckoning, word for word: nothing is said of who left."""
    first = np.full((2, 8), NEVER)
    first[:, 0] = START
    first[:, 6:] = START + DAY
    gone = np.full(2, Progress.of(16, Stage.WITHDRAWN, Cause.REMOVED).number)
    found = m.measure(exposed_updates(first, gone, 2), Instant(START + 10 * DAY), departures=False)
    assert (None, 20.0) == (found.exposures[0].left, found.exposures[0].device_days)
    assert "left" not in m.as_facts(found)["exposure"][0]


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def of_security(security, *, name="C", release="R"):
    """One update of ten Devices, proven after an hour, of a release that is marked so."""
    first = np.full((5, 8), NEVER)
    first[:, 0] = START
    first[:, 5] = START + HOUR
    proven = np.full(5, Progress.of(16, Stage.PROVEN).number)
    place = Place(name, "all", 0, "North", "A", "PPMID", 1, 1, 1)
    owner = Campaign(1, name, FirmwareVersion(1), START, 10, release, security)
    return Updates((owner,), (place,), np.arange(5), np.arange(5), np.zeros(5, np.int64), proven, first)


def test_a_security_release_is_told_with_its_reference():
    """Half-life of each campaign that brings it, in report, CSV and JSON alike."""
    found = m.measure(of_security("CVE-2026-1234"), AS_OF)
    [facts] = m.as_facts(found)["exposure"]
    assert ("R", "CVE-2026-1234", 3600.0) == (
        facts["release"], facts["security"], facts["half_life_seconds"],
    )  # fmt: skip
    row = list(csv.DictReader(io.StringIO(m.as_csv(found))))[-1]
    assert ("exposure", "C", "R", "CVE-2026-1234", "10", "5", "3600.0", "") == tuple(
        row[it]
        for it in ("dimension", "value", "release", "security", "exposed", "proven", "half_life_seconds",
                   "seconds_to_90_percent")
    )  # fmt: skip
    html = metrics_page(found)
    assert "Exposure: security releases" in html
    assert "CVE-2026-1234: from the start to half of 10 exposed Devices" in html


def test_another_release_is_told_as_none():
    """Its half-life is known too, and nobody calls it a security release."""
    found = m.measure(of_security(None), AS_OF)
    assert () == found.of_security
    assert [(3600.0, None)] == [(it.half_life, it.security) for it in found.exposures]
    assert "Exposure: security releases" not in metrics_page(found)


def test_threat_xss_through_a_security_reference():
    """The report shows what was typed, and runs none of it."""
    html = metrics_page(m.measure(of_security(HOSTILE), AS_OF))
    assert (2, 0, 0) == tuple(
        html.count(it) for it in ("&lt;script&gt;alert(1)&lt;/script&gt;", "<script>alert", "<img src=x")
    )


def test_threat_formula_through_a_security_reference():
    """No spreadsheet runs what somebody called a reference, a release or a campaign."""
    updates = of_security("=cmd|'/c calc'!A1", name="@SUM(1)", release="+1")
    row = list(csv.DictReader(io.StringIO(m.as_csv(m.measure(updates, AS_OF)))))[-1]
    assert ("'@SUM(1)", "'+1", "'=cmd|'/c calc'!A1") == (row["value"], row["release"], row["security"])


def test_columns_of_before_releases_could_be_marked_are_read():
    """An older evidence pack gives the figures that it gave then, word for word."""
    updates = of_security("CVE-2026-1234")
    campaigns, places, lines = m.write_updates(updates)
    head = b"id,name,version,started_at,exposed"
    assert campaigns.startswith(head + b",release,security\n")
    older = campaigns.replace(b",release,security\n", b"\n").replace(b",R,CVE-2026-1234\n", b"\n")
    facts = m.as_facts(m.measure(m.read_updates(older, places, lines), AS_OF))
    expected = m.as_facts(m.measure(updates, AS_OF))
    for it in expected["exposure"]:
        del it["release"], it["security"]
    assert expected == facts


def test_why_updates_ended_is_counted_by_their_last_cause():
    """What is proven or under way has no part in it."""
    updates = some(300)
    found = m.measure(updates, AS_OF)
    expected = {}
    for number in updates.progress.tolist():
        progress = Progress(number)
        if progress.stage in ENDS[:4]:
            expected[progress.cause.name.lower()] = expected.get(progress.cause.name.lower(), 0) + 1
    assert expected == {it.cause: it.updates for it in found.endings}
    assert [it.updates for it in found.endings] == sorted(expected.values(), reverse=True)


def test_the_curve_rises_to_what_is_proven():
    """It starts at nothing, never falls, and ends at the count of proofs."""
    found = m.measure(some(3_000), AS_OF)
    assert (0.0, 0) == found.curve[0]
    assert all(a[0] <= b[0] and a[1] < b[1] for a, b in pairwise(found.curve))
    assert found.total.counts.proven == found.curve[-1][1]
    assert len(found.curve) <= m.CURVE_POINTS + 1


def test_nothing_is_measured_of_nothing():
    """No update at all: no rate, no report that breaks."""
    nothing = some(0)
    found = m.measure(nothing, AS_OF)
    assert 0 == found.total.counts.updates
    assert None is found.total.counts.proof_rate
    assert "nothing to measure" in metrics_page(found)
    assert json.dumps(m.as_facts(found))


def test_an_unknown_dimension_is_refused():
    """With those that there are."""
    with pytest.raises(UsageError, match=r"nothing is grouped by 'moon'.*region"):
        m.measure(some(3), AS_OF, by=("moon",))


def test_the_csv_says_what_the_json_says():
    """A line a group and a campaign's exposure; and what a spreadsheet would run is kept from it."""
    updates = some(100, regions=("=1+1", "South"))
    found = m.measure(updates, AS_OF)
    rows = list(csv.DictReader(io.StringIO(m.as_csv(found))))
    facts = m.as_facts(found)
    groups = [("all", facts["total"]), *((name, it) for name, of in facts["by"].items() for it in of)]
    assert ["exposure"] == [it["dimension"] for it in rows[len(groups) :]]
    for (name, group), row in zip(groups, rows[: len(groups)], strict=True):
        assert name == row["dimension"]
        assert group["value"] == row["value"].removeprefix("'")
        assert str(group["proven"]) == row["proven"]
        assert group["settled_proof_rate"] == (
            float(row["settled_proof_rate"]) if row["settled_proof_rate"] else None
        )
        times = group["seconds"]["order to proof"]
        assert times is None or times["p90"] == float(row["order_to_proof_p90"])
    assert "'=1+1" in {row["value"] for row in rows}


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 60), seed=st.integers(0, 10_000), cut=st.integers(1, 400))
def test_updates_come_back_as_they_were_written(count, seed, cut):
    """Whatever the pieces that a file is read in: the same columns, and so the same metrics."""
    updates = some(count, seed, campaigns=2)
    campaigns, places, lines = m.write_updates(updates)
    octets = b"".join(lines)
    pieces = [octets[start : start + cut] for start in range(0, len(octets), cut)]
    found = m.read_updates(campaigns, places, pieces)
    assert (updates.campaigns, updates.places) == (found.campaigns, found.places)
    for name in ("device", "place", "progress", "first"):
        assert getattr(updates, name).tolist() == getattr(found, name).tolist()
    assert m.as_facts(m.measure(updates, AS_OF)) == m.as_facts(m.measure(found, AS_OF))


TEXTS = st.builds(
    "{}{}".format,
    st.sampled_from(("", "=cmd|'/c calc'!A1", "+", "-", "@", "'", "''", '"', ",", "＝")),  # noqa: RUF001
    st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=8),
)


@settings(max_examples=100, deadline=None)
@given(TEXTS, TEXTS, TEXTS)
def test_threat_formula_through_a_hub_model_or_a_name(text, other, mark):
    """No cell of a pack is a formula, whatever an imported file says; and each text comes back as it was."""
    place = Place(text, other, 0, mark, text, "PPMID", -1, -1, -1)
    owner = Campaign(1, text, FirmwareVersion(1), START, 1, other, mark or None)
    nothing = np.zeros(0, np.int64)
    updates = Updates((owner,), (place,), nothing, nothing, nothing, nothing, np.zeros((0, 8), np.int64))
    campaigns, places, lines = m.write_updates(updates)
    for octets in (campaigns, places):
        for row in csv.reader(io.StringIO(octets.decode(), newline="")):
            assert not [it for it in row if it.startswith(("=", "+", "@")) or (it[:1] == "-" and it != "-1")]
    found = m.read_updates(campaigns, places, lines)
    assert (updates.campaigns, updates.places) == (found.campaigns, found.places)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"device,place", b"device,plaice"),
        (b"\n0000000000000000,", b"\n000000000000000G,"),
        (b"\n0000000000000000,", b"\n0000000000000000,1,"),
        (b"\n0000000000000000,", b"\n0000000000000000,999999,1,,,,,,,,\n0000000000000000,"),
        (b"\n0000000000000000,", b"\n0000000000000000," + b"9" * 5_000 + b",1,,,,,,,,\n0000000000000000,"),
    ],
)
def test_updates_that_are_none_are_refused(old, new):
    """A head, a device, a column too many, a place that is not there, a number without end."""
    campaigns, places, lines = m.write_updates(some(3))
    octets = b"".join(lines).replace(b"8000000000000000", b"0000000000000000")
    assert old in octets
    with pytest.raises(DecodeError):
        m.read_updates(campaigns, places, [octets.replace(old, new, 1)])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=300))
def test_reading_updates_is_total(campaigns, places, lines):
    """Any octets give updates or a `DecodeError`."""
    good = m.write_updates(some(2))
    octets = b"".join(good[2])
    for given_ in ((campaigns, good[1], octets), (good[0], places, octets), (good[0], good[1], lines),
                   (good[0], good[1], octets + lines)):  # fmt: skip
        with suppress(DecodeError):
            m.read_updates(given_[0], given_[1], [given_[2]])


def test_the_report_says_what_stands_out():
    """A region where far fewer are proven is named at the top."""
    updates = some(2_000)
    south = np.array([updates.places[it].region == "South" for it in updates.place.tolist()])
    spoilt = south & (updates.first[:, 5] == NEVER)
    updates.progress[spoilt] = Progress.of(16, Stage.FAILED, Cause.TRANSFER).number
    updates.progress[~south & (updates.first[:, 5] == NEVER)] = Progress.of(16, Stage.AT_HUB).number
    html = metrics_page(m.measure(updates, AS_OF))
    assert "<strong>Region South</strong> stands out" in html
    assert html == metrics_page(m.measure(updates, AS_OF))


def test_numbers_are_told_as_people_tell_them():
    """Times in two units; a share that rounds to all of it and is not says so."""
    assert ["0 s", "< 1 s", "59 s", "1 min 1 s", "2 h", "3 d 4 h", "1 d"] == [
        duration(it) for it in (0, 0.4, 59, 61, 7_200, 3 * 86_400 + 4 * 3_600 + 59, 86_400)
    ]
    assert ["100 %", "> 99.9 %", "0 %", "< 0.1 %", "50.0 %"] == [
        share(it) for it in (1, 0.99999, 0, 0.0001, 0.5)
    ]


def test_threat_a_dimension_that_is_named_a_thousand_times_is_worked_once(monkeypatch):
    """A viewer's address can name one four thousand times: two million updates would take twenty minutes."""
    worked = []
    groups = m._groups
    monkeypatch.setattr(m, "_groups", lambda *given, **more: worked.append(given) or groups(*given, **more))
    found = m.measure(some(50), AS_OF, by=["region"] * 1_000)
    assert 1 == len(worked)
    assert {"region"} == found.groups.keys()


def test_names_of_digits_are_no_waves():
    """Models of hubs called 9 and 10 stand with most updates first, as all others do."""
    updates = some(300)
    places = tuple(it._replace(hub_model={"A": "9", "B": "10"}[it.hub_model]) for it in updates.places)
    which = np.flatnonzero([it.hub_model == "10" for it in places])[updates.place % 4]
    which[:20] = np.flatnonzero([it.hub_model == "9" for it in places])[0]
    found = m.measure(replace(updates, places=places, place=which), AS_OF, by=("hub-model", "wave"))
    assert ["10", "9"] == [it.value for it in found.groups["hub-model"]]
    assert ["1", "2"] == [it.value for it in found.groups["wave"]]


def test_the_curve_does_not_begin_before_the_first_order():
    """A Device whose clock is slow proves it before it was ordered, by its word: that counts as at once."""
    first = np.full((2, 8), NEVER)
    first[:, 0], first[:, 5] = START, (START - DAY, START + DAY)
    updates = replace(some(2), first=first)
    assert [0.0, 0.0, 86_400.0] == [seconds for seconds, _ in m.measure(updates, AS_OF).curve]
