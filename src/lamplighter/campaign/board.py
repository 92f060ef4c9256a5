"""A board's vote: parties by category, an outcome for each category, and one overall.

In a category those who approve must be more than those who reject; overall, the categories that approve more
than those that reject. Who abstains is counted as present and on neither side. A tie leaves all as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MEMBERS_MAX: Final = 100
"""Of one category."""
CATEGORIES_MAX: Final = 20


class Choice(Enum):
    """What a member says, and what comes of it."""

    APPROVE = "approve"
    REJECT = "reject"
    ABSTAIN = "abstain"


class Category(NamedTuple):
    """Members that are counted together."""

    name: str
    """Such as "Large Suppliers"."""
    members: tuple[str, ...]
    """The persons who vote in it, a vote each."""


@dataclass(frozen=True, slots=True)
class Board:
    """Who votes."""

    categories: tuple[Category, ...]
    """In their order; nobody is in two of them."""
    quorum: int | None = None
    """Members who must have voted, those who abstain included; None: all."""

    @property
    def members(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(member for category in self.categories for member in category.members)

    @property
    def needed(self) -> int:
        """Votes without which there is no outcome."""
        return len(self.members) if self.quorum is None else self.quorum

    def seat_of(self, person: str) -> tuple[str, str] | None:
        """The category where a person votes, and the name in it, however it is spelt; None: nowhere."""
        key = person.casefold()
        for category in self.categories:
            for member in category.members:
                if key == member.casefold():
                    return category.name, member
        return None


class Counted(NamedTuple):
    """The votes of one category, and what comes of them."""

    category: str
    approve: int
    reject: int
    abstain: int
    missing: int
    """Members who have not voted."""
    outcome: Choice
    """ABSTAIN: nobody took a side."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote as it stands."""

    categories: tuple[Counted, ...]
    """In the board's order."""
    cast: int
    """Votes that were given."""
    needed: int
    """Votes without which there is no outcome."""
    outcome: Choice
    """Overall, if it were over now."""

    @property
    def is_quorate(self) -> bool:
        """Whether enough have voted."""
        return self.cast >= self.needed

    @property
    def approved(self) -> bool:
        """Whether enough have voted, and the outcome is to approve."""
        return self.is_quorate and self.outcome is Choice.APPROVE


def count(board: Board, votes: Mapping[str, Choice]) -> Ballot:
    """Count the votes, by the person who gave each; one of nobody on the board counts for nothing."""
    given = {name.casefold(): choice for name, choice in votes.items()}
    counted = []
    for category in board.categories:
        choices = [given.get(member.casefold()) for member in category.members]
        tally = Counter(choices)
        sides = tally[Choice.APPROVE], tally[Choice.REJECT]
        counted.append(Counted(category.name, *sides, tally[Choice.ABSTAIN], tally[None], _side(*sides)))
    outcomes = Counter(it.outcome for it in counted)
    return Ballot(
        tuple(counted),
        sum(it.approve + it.reject + it.abstain for it in counted),
        board.needed,
        # Overall nobody is neutral: what has no majority of categories is not approved.
        Choice.APPROVE if outcomes[Choice.APPROVE] > outcomes[Choice.REJECT] else Choice.REJECT,
    )


def _side(approve: int, reject: int) -> Choice:
    if not approve and not reject:
        return Choice.ABSTAIN
    return Choice.APPROVE if approve > reject else Choice.REJECT


def repeated(names: Iterable[str]) -> list[str]:
    """Names that come twice, however they are spelt."""
    counts = Counter(name.casefold() for name in names)
    return sorted(name for name, times in counts.items() if times > 1)
