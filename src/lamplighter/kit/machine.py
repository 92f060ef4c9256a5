"""The one shape of every actor, and of every state table.

An actor has `receive(frame, now) -> Step` and, where it keeps time, `wake(now) -> Step`. It never reads a
clock, sleeps or sends: it says in its `Step` what to send, what to report, and when to wake it.
A state machine is a `Chart`: a literal table of arrows. The table serves the code, the diagrams in the
docs and the property tests alike.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from lamplighter.kit.errors import IllegalTransitionError
from lamplighter.kit.instant import Instant  # noqa: TC001 # NamedTuple fields are read at run time

if TYPE_CHECKING:
    from collections.abc import Mapping

State = TypeVar("State", bound=Enum)
Signal = TypeVar("Signal", bound=Enum)


class Step(NamedTuple):
    """What an actor wants done after one input.

    send    frames for its peers, in order; what a frame is, is the actor's business
    events  what happened, for whoever holds the actor
    wake    when to call `wake`, which replaces any earlier wish; None: no wish
    """

    send: tuple[Any, ...] = ()
    events: tuple[Any, ...] = ()
    wake: Instant | None = None


class Chart(Generic[State, Signal]):
    """A literal transition table: `(state, signal) -> state`."""

    __slots__ = ("arrows", "name", "start")

    def __init__(self, name: str, start: State, arrows: Mapping[tuple[State, Signal], State]) -> None:
        self.name = name
        self.start = start
        self.arrows = dict(arrows)

    def fire(self, state: State, signal: Signal) -> State:
        """Follow the arrow, or refuse one that the table does not have."""
        try:
            return self.arrows[state, signal]
        except KeyError:
            raise IllegalTransitionError(
                f"{self.name}: no arrow for {signal.name} from {state.name}; "
                f"from there: {', '.join(s.name for (t, s) in self.arrows if t is state) or 'none'}"
            ) from None

    def allows(self, state: State, signal: Signal) -> bool:
        """Whether the table has this arrow."""
        return (state, signal) in self.arrows

    def mermaid(self) -> str:
        """The diagram for the docs."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.start.name}"]
        lines += [f"    {a.name} --> {b.name}: {s.name}" for (a, s), b in self.arrows.items()]
        ends = {b for b in self.arrows.values() if not any(a is b for a, _ in self.arrows)}
        lines += sorted(f"    {end.name} --> [*]" for end in ends)
        return "\n".join(lines)
