"""A board's vote: the published one comes out as published, and the plan that asks for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign import plan as plans
from lamplighter.campaign.board import Board, Category, Choice, count
from lamplighter.kit import UsageError

# SECMP0007 "Firmware updates to IHDs and PPMIDs", Conclusions Report, Change Board vote.
PUBLISHED = {
    "Large Suppliers": (5, 1, 0),
    "Small Suppliers": (2, 0, 0),
    "Network Parties": (1, 0, 2),
    "Other SEC Parties": (3, 0, 0),
    "Consumer Representative": (1, 0, 0),
}
SIDES = (Choice.APPROVE, Choice.REJECT, Choice.ABSTAIN)


def seated(votes: dict[str, tuple[int, int, int]], quorum=None) -> tuple[Board, dict[str, Choice]]:
    """A board of as many members, and how each of them votes."""
    cast, categories = {}, []
    for category, numbers in votes.items():
        members = []
        for choice, number in zip(SIDES, numbers, strict=True):
            for _ in range(number):
                members.append(f"m{len(cast)}")
                cast[members[-1]] = choice
        categories.append(Category(category, tuple(members)))
    return Board(tuple(categories), quorum), cast


def outcome(*votes: tuple[int, int, int]) -> Choice:
    board, cast = seated({str(number): it for number, it in enumerate(votes)})
    return count(board, cast).outcome


def test_the_published_vote_approves_in_each_category_and_overall():
    """Large Suppliers 5/1/0, Small 2/0/0, Network 1/0/2, Other 3/0/0, Consumer Representative 1/0/0."""
    board, cast = seated(PUBLISHED)
    found = count(board, cast)
    assert PUBLISHED == {it.category: it[1:4] for it in found.categories}
    assert dict.fromkeys(PUBLISHED, Choice.APPROVE) == {it.category: it.outcome for it in found.categories}
    assert (Choice.APPROVE, True, 15, 15) == (found.outcome, found.approved, found.cast, found.needed)


def test_two_who_change_their_mind_turn_a_category_and_not_the_outcome():
    """Overall it is the categories that count, not the members."""
    board, cast = seated(PUBLISHED | {"Large Suppliers": (3, 3, 0)})
    found = count(board, cast)
    assert Choice.REJECT is found.categories[0].outcome  # a tie leaves all as it is
    assert found.approved


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([(1, 0, 0)], Choice.APPROVE),
        ([(0, 1, 0)], Choice.REJECT),
        ([(0, 0, 3)], Choice.REJECT),  # nobody took a side: not approved
        ([(1, 0, 0), (0, 1, 0)], Choice.REJECT),
        ([(9, 0, 0), (0, 1, 0), (0, 1, 0)], Choice.REJECT),
        ([(1, 0, 0), (0, 0, 5), (0, 0, 5)], Choice.APPROVE),
        ([(2, 1, 0), (1, 0, 0), (0, 9, 0)], Choice.APPROVE),
    ],
)
def test_more_categories_must_approve_than_reject(votes, expected):
    """A category without a side is on neither."""
    assert expected is outcome(*votes)


def test_a_vote_that_is_not_quorate_approves_nothing():
    """However clear it looks: all have voted, or as many as the plan says."""
    board, cast = seated(PUBLISHED)
    absent = cast.pop("m0")
    found = count(board, cast)
    assert (Choice.APPROVE, False, False, 1) == (
        found.outcome, found.is_quorate, found.approved, found.categories[0].missing
    )  # fmt: skip
    assert count(Board(board.categories, 14), cast).approved
    assert count(board, cast | {"m0": absent}).approved


def test_only_members_count_and_each_once():
    """A stranger's vote is none; another spelling of a name is no second one."""
    board = Board((Category("A", ("ann", "bob")),))
    cast = {"ann": Choice.REJECT, "mallory": Choice.APPROVE, "BOB": Choice.APPROVE}
    assert (1, 1, 0, 0) == count(board, cast).categories[0][1:5]
    assert (("A", "ann"), None) == (board.seat_of("Ann"), board.seat_of("mallory"))


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=6))
def test_turning_a_vote_to_approve_never_turns_the_outcome_to_reject(votes):
    """The rule is monotonous: nobody helps a plan by voting against it."""
    votes = [it if any(it) else (1, 0, 0) for it in votes]
    board, cast = seated({str(number): it for number, it in enumerate(votes)})
    before = count(board, cast).outcome
    for member, choice in cast.items():
        if choice is not Choice.APPROVE:
            after = count(board, cast | {member: Choice.APPROVE}).outcome
            assert before is not Choice.APPROVE or after is Choice.APPROVE


# --- the plan

TOP = 'name = "x"\n'
WAVE = '[[wave]]\nname = "all"\nshare = 1\n'
BOARD = '[[board]]\ncategory = "Large Suppliers"\nmembers = ["bob", "ann"]\n'
MORE = '[[board]]\ncategory = "Network Parties"\nmembers = ["cat"]\n'


TWICE = MORE.replace('"cat"', '"ANN"')


def test_a_plan_says_who_votes():
    """With a quorum or without; and it comes back from the store as it was."""
    read = plans.parse(f"{TOP}quorum = 2\n{WAVE}{BOARD}{MORE}")
    categories = (Category("Large Suppliers", ("ann", "bob")), Category("Network Parties", ("cat",)))
    assert Board(categories, 2) == read.board
    assert read == plans.decode(plans.encode(read))
    assert (None, 3) == ((all_ := plans.parse(f"{TOP}{WAVE}{BOARD}{MORE}").board).quorum, all_.needed)


def test_who_votes_is_part_of_what_is_voted_on():
    """Another member, another quorum: another digest, and what was said before is void."""
    texts = (
        f"{TOP}{WAVE}",
        f"{TOP}{WAVE}{BOARD}",
        f"{TOP}{WAVE}{BOARD}{MORE}",
        f"{TOP}quorum = 1\n{WAVE}{BOARD}",
    )
    assert len(texts) == len({plans.parse(text).digest for text in texts})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{TOP}quorum = 2\n{WAVE}", "quorum = 2: allowed is nothing where no"),
        (f"{TOP}quorum = 3\n{WAVE}{BOARD}", "at most the 2 members"),
        (f"{TOP}approvals = 1\n{WAVE}{BOARD}", "approvals = 1: allowed is nothing where a"),
        (f"{TOP}{WAVE}{BOARD}{BOARD}", "a category that is not there already"),
        (f"{TOP}{WAVE}{BOARD}{TWICE}", "each member in one category"),
        (f'{TOP}{WAVE}[[board]]\ncategory = "A"\nmembers = []\n', "members = "),
        (f'{TOP}{WAVE}[[board]]\ncategory = "A"\n', "members is missing"),
        (f"{TOP}board = []\n{WAVE}", "one [[board]] at least"),
    ],
    ids=range(8),
)
def test_a_board_that_cannot_be_names_what_is_wrong(text, words):
    """The key, the value and what is allowed."""
    with pytest.raises(UsageError) as caught:
        plans.parse(text)
    assert words in str(caught.value)
