"""A state machine is a table and one `fire`."""

from enum import Enum, auto

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import Chart, IllegalTransitionError, UsageError


class State(Enum):
    IDLE = auto()
    BUSY = auto()
    DONE = auto()


class Signal(Enum):
    START = auto()
    END = auto()


CHART = Chart(
    "job", State.IDLE, {(State.IDLE, Signal.START): State.BUSY, (State.BUSY, Signal.END): State.DONE}
)


@given(st.sampled_from(State), st.sampled_from(Signal))
def test_an_arrow_of_the_table_is_followed_and_any_other_refused(state, signal):
    if CHART.allows(state, signal):
        assert CHART.arrows[state, signal] == CHART.fire(state, signal)
    else:
        with pytest.raises(IllegalTransitionError, match=f"no arrow for {signal.name} from {state.name}"):
            CHART.fire(state, signal)


def test_a_refusal_says_which_arrows_there_are():
    with pytest.raises(UsageError, match="from there: START"):
        CHART.fire(State.IDLE, Signal.END)
    with pytest.raises(UsageError, match="from there: none"):
        CHART.fire(State.DONE, Signal.END)


def test_the_table_does_not_change_with_the_mapping_it_was_made_from():
    arrows = {(State.IDLE, Signal.START): State.BUSY}
    chart = Chart("job", State.IDLE, arrows)
    arrows.clear()
    assert chart.fire(State.IDLE, Signal.START) == State.BUSY


def test_the_diagram_shows_every_arrow_the_start_and_the_ends():
    assert CHART.mermaid().splitlines() == [
        "stateDiagram-v2",
        "    [*] --> IDLE",
        "    IDLE --> BUSY: START",
        "    BUSY --> DONE: END",
        "    DONE --> [*]",
    ]
