"""Tallies that are added up as they change come to what they are."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign.gates import Outcomes
from lamplighter.campaign.state import FINAL, Stage
from lamplighter.campaign.tallies import LOADING, Cell, Count, Sums

CELLS = [
    Cell(1 + number, *it)
    for number, it in enumerate(
        [(1, 0, 0, "N", "A"), (1, 0, 1, "N", "A"), (1, 1, 0, "S", "A"), (2, 0, 0, "S", "B")],
    )
]
stands = st.tuples(st.sampled_from(CELLS), st.sampled_from(Stage), st.booleans())


def comes_to(sums):
    some = [{it: n for it, n in its.items() if n} for its in (sums.ordered, sums.in_flight, sums.loading)]
    known = {
        (stratum, *at): outcomes
        for stratum, broods in sums.outcomes.items()
        for at, outcomes in broods.items()
        if outcomes != Outcomes(0, 0, 0, 0)
    }
    return *some, known, sums.unfinished, sums.queued


@given(st.lists(st.tuples(stands, st.lists(st.tuples(st.sampled_from(Stage), st.booleans()), max_size=4))))
def test_sums_that_follow_each_device_are_those_of_the_counts_at_the_end(stories):
    following, counts = Sums(), Counter()
    for (cell, *first), others in stories:
        here = first
        following.add(cell, *here, 1)
        for there in others:
            following.add(cell, *here, -1)
            assert following.outcomes  # looked at in between
            following.add(cell, *there, 1)
            here = there
        counts[(cell, *here)] += 1
    assert comes_to(following) == comes_to(Sums(Count(*its, n) for its, n in counts.items()))


@given(st.lists(stands))
def test_everybody_is_in_one_column_and_counts_against_the_caps_by_their_stage(all_of_them):
    sums = Sums(Count(*each, 1) for each in all_of_them)
    assert Counter(cell[1:3] for cell, _, _ in all_of_them) == sums.ordered
    assert sum(stage in LOADING for _, stage, _ in all_of_them) == sum(sums.loading.values())
    assert sum(stage not in FINAL for _, stage, _ in all_of_them) == sums.unfinished
    assert {cell.stratum for cell, stage, _ in all_of_them if stage is Stage.QUEUED} == sums.queued
