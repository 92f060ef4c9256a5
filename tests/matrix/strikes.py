"""What is done to whom and at which moment, dealt from a deck by a seed.

No strike goes by the clock. Each waits for something that happens: a request reaches the DCC, a message is
brought to us, the operator acts. So each lands, however slow the machine is, and at the worst moments there
are.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from enum import Enum


class Victim(Enum):
    """Who is struck."""

    SENDER = "sender"
    """Whoever has sent the request: the holder of the lease "outbox"."""
    SERVE = "serve"
    """The process that takes messages, or whose children do."""
    RECEIVER = "receiver"
    """One of those children."""
    WEB = "web"
    """The pages and the API, through which the operator acts."""
    DATABASE = "database"
    """The database server: one of its backends, or all of it."""


class Blow(Enum):
    """What is done."""

    KILL = "kill -9"
    STOP = "SIGSTOP past the lease, then SIGCONT"
    FILL = "its disk is full for a while"
    CRASH = "stopped with nothing flushed, and started again"


class Moment(Enum):
    """When."""

    ASKED = "a request reaches the DCC, which has not looked at it"
    CARRIED_OUT = "the DCC has carried a request out, and has not answered"
    BROUGHT = "a message is on its way to us"
    TAKEN = "we have said that a message is taken"
    ACT = "the operator has sent an act"
    DONE = "the act is in the database, and may not be answered"


@dataclass(frozen=True, slots=True)
class Strike:
    """Something that is done to somebody."""

    victim: Victim
    blow: Blow
    moment: Moment
    nth: int = 1
    """At the how-manyth such moment from when it is laid."""
    update: bool = False
    """Of requests, only those with an image count."""

    def __str__(self) -> str:
        return f"{self.victim.value} {self.blow.name} at {self.moment.name}"


class Ending(Enum):
    """What becomes of a stratum with bad firmware."""

    SOUND = "there is none"
    ABORTED = "the operator aborts what is held"
    RELEASED = "the operator releases what is held, until it ends"


_ANYWHERE = [
    Strike(Victim.SENDER, Blow.KILL, Moment.ASKED),
    Strike(Victim.SENDER, Blow.KILL, Moment.CARRIED_OUT),
    # What it then writes down late must be refused; an answer to an update is written down at once.
    Strike(Victim.SENDER, Blow.STOP, Moment.CARRIED_OUT, update=True),
    Strike(Victim.SERVE, Blow.KILL, Moment.BROUGHT),
    Strike(Victim.SERVE, Blow.KILL, Moment.TAKEN),
    Strike(Victim.WEB, Blow.KILL, Moment.ACT),
    Strike(Victim.WEB, Blow.KILL, Moment.DONE),
    Strike(Victim.WEB, Blow.STOP, Moment.ACT),
]
DECKS = {
    "sqlite": [
        *_ANYWHERE,
        # With one process on its file, a full disk is that process's: it finds out by the message that comes.
        Strike(Victim.SERVE, Blow.FILL, Moment.BROUGHT),
    ],
    "postgresql": [
        *_ANYWHERE,
        Strike(Victim.RECEIVER, Blow.KILL, Moment.BROUGHT),
        Strike(Victim.RECEIVER, Blow.KILL, Moment.TAKEN),
        Strike(Victim.RECEIVER, Blow.STOP, Moment.BROUGHT),
        Strike(Victim.DATABASE, Blow.KILL, Moment.BROUGHT),
        Strike(Victim.DATABASE, Blow.CRASH, Moment.CARRIED_OUT),
        Strike(Victim.DATABASE, Blow.FILL, Moment.CARRIED_OUT, update=True),
    ],
}
"""All that can be done, by the kind of database."""

STRIKES = 5
"""In one case."""
_MANNERS = ("never-boots", "wrong-version 01990000")
_NTH_MAX = 4  # a street has more requests and messages than that


@dataclass(frozen=True, slots=True)
class Case:
    """One campaign after another, and who is struck meanwhile."""

    seed: int
    strikes: tuple[Strike, ...]
    ending: Ending
    manner: str = ""
    """How the bad firmware behaves; "" where there is none."""
    dated: bool = True
    """Whether some Devices are activated by commands that are dated ahead."""


def deal(seed: int, database: str) -> Case:
    """The case of this seed; six in a row hold every card of the deck, and every ending twice.

    Every other one has commands that are dated ahead: their hour is awaited, in the lab's time.
    """
    dice = random.Random(f"{database} {seed // 6}")
    deck, cards = DECKS[database], []
    while len(cards) < 6 * STRIKES:  # the whole deck over and over, each time shuffled anew
        cards += dice.sample(deck, len(deck))
    mine = cards[seed % 6 * STRIKES :][:STRIKES]
    endings = [(Ending.SOUND, ""), (Ending.SOUND, "")]
    endings += [(ending, manner) for ending in (Ending.ABORTED, Ending.RELEASED) for manner in _MANNERS]
    dice.shuffle(endings)
    ending, manner = endings[seed % 6]
    own = random.Random(f"{database} {seed}")
    own.shuffle(mine)
    strikes = tuple(
        it if it.update or it.victim is Victim.WEB else replace(it, nth=own.randint(1, _NTH_MAX))
        for it in mine
    )
    return Case(seed, strikes, ending, manner, dated=seed % 2 == 0)
