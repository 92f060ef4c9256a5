"""Laws: what an assumption says of a number. One value, or how likely each value is.

A law draws from a `numpy` generator that it is given, knows its mean, and refuses parameters that make none.
Draws are cut to the range that the input allows; only a lognormal can leave it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import exp, isfinite, log
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

from lamplighter.kit import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.random import Generator
    from numpy.typing import NDArray

VALUES_MAX: Final = 1_000
"""Values of one `choice`."""
_PERT_WEIGHT: Final = 4.0  # Malcolm et al. 1959: the mode counts four times as much as either end
_Z90: Final = 1.2815515655446004  # the 90th percentile of the standard normal
_COUNT_MAX: Final = 1e9
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class Law:
    """A distribution, by name and parameters; `checked` makes those that hold."""

    kind: str
    """A key of `KINDS`."""
    parameters: tuple[float, ...]
    """In the order that `KINDS` says; a `choice` has its values, then as many weights."""
    low: float
    """The input's least value."""
    high: float
    """The input's greatest value."""

    @property
    def is_fixed(self) -> bool:
        """Whether there is one value only."""
        return self.kind == "value"

    @property
    def mean(self) -> float:
        """Its expected value, what is cut to the range included."""
        if self.kind == "lognormal":
            return _mean_lognormal(self.parameters, self.low, self.high)
        return _LAWS[self.kind].mean(self.parameters)

    @property
    def greatest(self) -> float:
        """The greatest value that it draws; of a lognormal, which has none, the input's."""
        if self.kind in {"lognormal", "beta"}:
            return self.high
        return max(self.parameters[: len(self.parameters) // 2 if self.kind == "choice" else None])

    def mean_times(self, factor: float) -> float:
        """Mean of a factor times its value, cut to the greatest that the input allows.

        Exact for a lognormal of an input that may be 0, and for other laws where no value is cut.
        """
        if self.kind == "lognormal" and factor > 1:
            low, high = self.parameters
            return _mean_lognormal((factor * low, factor * high), self.low, self.high)
        return factor * self.mean

    def draw(self, dice: Generator, count: int) -> NDArray[np.float64]:
        """So many values; one, where it is fixed: it stands for all."""
        if self.is_fixed:
            return np.array(self.parameters)
        drawn = _LAWS[self.kind].draw(dice, count, self.parameters)
        if self.kind == "lognormal":
            np.clip(drawn, self.low, self.high, out=drawn)
        return drawn

    def __str__(self) -> str:
        return _LAWS[self.kind].text(self.parameters)


@dataclass(frozen=True, slots=True)
class _Kind:
    parameters: tuple[str, ...]
    fault: Callable[[tuple[float, ...], float, float], str | None]
    mean: Callable[[tuple[float, ...]], float]
    draw: Callable[[Generator, int, tuple[float, ...]], NDArray[np.float64]]
    text: Callable[[tuple[float, ...]], str]


def checked(kind: str, parameters: tuple[float, ...], low: float, high: float) -> Law:
    """A law whose parameters make sense, and whose values the input allows.

    Raises `UsageError` that says what is allowed, and no more: the reader knows where it stands.
    """
    names = _LAWS[kind].parameters
    if kind != "choice" and len(parameters) != len(names):
        raise UsageError(f"{len(names)} numbers: {', '.join(names)}")
    if not all(isfinite(number) for number in parameters):
        raise UsageError("finite numbers")
    fault = _LAWS[kind].fault(parameters, low, high)
    if fault:
        raise UsageError(fault)
    return Law(kind, parameters, low, high)


def _text(number: float) -> str:
    for size, word in ((1e9, " bn"), (1e6, " M")):
        if abs(number) >= size:
            return f"{number / size:.4g}{word}"
    return f"{number:,.0f}" if abs(number) >= 1e4 and number == int(number) else f"{number:.4g}"


def _span(low: float, high: float) -> str:
    return f"numbers from {_text(low)} to {_text(high)}"


def _ordered(parameters: tuple[float, ...], low: float, high: float) -> str | None:
    rising = all(one <= other for one, other in itertools.pairwise(parameters))
    if not rising or parameters[0] == parameters[-1]:
        return "the least first, the greatest last, and these two not alike"
    return None if low <= parameters[0] and parameters[-1] <= high else _span(low, high)


def _lognormal(parameters: tuple[float, ...], low: float, high: float) -> str | None:
    if not 0 < parameters[0] < parameters[1]:
        return "the 10th and the 90th percentile, more than 0, the lower first"
    return None if low <= parameters[0] and parameters[1] <= high else _span(low, high)


def _beta(parameters: tuple[float, ...], low: float, high: float) -> str | None:
    if not all(0 < it <= _COUNT_MAX for it in parameters):
        return f"two numbers of more than 0 and at most {_COUNT_MAX:g}"
    return None if (low, high) == (0, 1) else "no beta distribution: the input is not a share from 0 to 1"


def _choice(parameters: tuple[float, ...], low: float, high: float) -> str | None:
    count = len(parameters) // 2
    values, weights = parameters[:count], parameters[count:]
    if not 2 <= count <= VALUES_MAX or len(parameters) % 2:
        return f"2 to {VALUES_MAX} values, and as many weights"
    if len(set(values)) < count:
        return "each value once"
    if not all(it > 0 for it in weights) or not isfinite(sum(weights)):
        return "weights of more than 0"
    return None if all(low <= it <= high for it in values) else _span(low, high)


def _pert_shape(parameters: tuple[float, ...]) -> tuple[float, float]:
    low, mode, high = parameters
    first = 1 + _PERT_WEIGHT * (mode - low) / (high - low)
    return first, 2 + _PERT_WEIGHT - first


def _draw_pert(dice: Generator, count: int, parameters: tuple[float, ...]) -> NDArray[np.float64]:
    drawn = dice.beta(*_pert_shape(parameters), count)
    drawn *= parameters[2] - parameters[0]
    drawn += parameters[0]
    return drawn


def _logs(parameters: tuple[float, ...]) -> tuple[float, float]:
    low, high = map(log, parameters)
    return (low + high) / 2, (high - low) / (2 * _Z90)


def _mean_lognormal(parameters: tuple[float, ...], low: float, high: float) -> float:
    """Mean of a lognormal of which every draw is cut to the range."""
    middle, sigma = _logs(parameters)
    below = _NORMAL.cdf((log(low) - middle) / sigma) if low > 0 else 0.0
    above = 1 - _NORMAL.cdf((log(high) - middle) / sigma)
    inside = _NORMAL.cdf((log(high) - middle) / sigma - sigma)
    inside -= _NORMAL.cdf((log(low) - middle) / sigma - sigma) if low > 0 else 0.0
    return low * below + high * above + exp(middle + sigma**2 / 2) * inside


def _halves(parameters: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    count = len(parameters) // 2
    total = sum(parameters[count:])
    return parameters[:count], tuple(weight / total for weight in parameters[count:])


def _mean_choice(parameters: tuple[float, ...]) -> float:
    return sum(value * weight for value, weight in zip(*_halves(parameters), strict=True))


def _draw_choice(dice: Generator, count: int, parameters: tuple[float, ...]) -> NDArray[np.float64]:
    values, weights = _halves(parameters)
    return np.array(values)[np.searchsorted(np.cumsum(weights)[:-1], dice.random(count), side="right")]


def _words(parameters: tuple[float, ...]) -> str:
    values, weights = _halves(parameters)
    said = ", ".join(f"{_text(v)} ({100 * w:.3g} %)" for v, w in zip(values[:6], weights, strict=False))
    return said + (", ..." if len(values) > 6 else "")


_LAWS: Final[Mapping[str, _Kind]] = {
    "value": _Kind(
        ("value",),
        lambda it, low, high: (
            None if low <= it[0] <= high else f"a number from {_text(low)} to {_text(high)}"
        ),
        lambda it: it[0],
        lambda _dice, _count, it: np.array(it),
        lambda it: _text(it[0]),
    ),
    "uniform": _Kind(
        ("least", "greatest"),
        _ordered,
        lambda it: (it[0] + it[1]) / 2,
        lambda dice, count, it: dice.uniform(it[0], it[1], count),
        lambda it: f"{_text(it[0])} to {_text(it[1])}, each as likely",
    ),
    "triangular": _Kind(
        ("least", "most likely", "greatest"),
        _ordered,
        lambda it: sum(it) / 3,
        lambda dice, count, it: dice.triangular(it[0], it[1], it[2], count),
        lambda it: f"{_text(it[0])} to {_text(it[2])}, most likely {_text(it[1])} (triangular)",
    ),
    "pert": _Kind(
        ("least", "most likely", "greatest"),
        _ordered,
        lambda it: (it[0] + _PERT_WEIGHT * it[1] + it[2]) / (2 + _PERT_WEIGHT),
        _draw_pert,
        lambda it: f"{_text(it[0])} to {_text(it[2])}, most likely {_text(it[1])} (PERT)",
    ),
    "lognormal": _Kind(
        ("10th percentile", "90th percentile"),
        _lognormal,
        lambda it: exp(_logs(it)[0] + _logs(it)[1] ** 2 / 2),
        lambda dice, count, it: dice.lognormal(*_logs(it), count),
        lambda it: f"8 times of 10 from {_text(it[0])} to {_text(it[1])} (lognormal)",
    ),
    "beta": _Kind(
        ("alpha", "beta"),
        _beta,
        lambda it: it[0] / (it[0] + it[1]),
        lambda dice, count, it: dice.beta(it[0], it[1], count),
        lambda it: f"{it[0] / (it[0] + it[1]):.4g} on average (beta {_text(it[0])}, {_text(it[1])})",
    ),
    "choice": _Kind(("values", "weights"), _choice, _mean_choice, _draw_choice, _words),
}

KINDS: Final[Mapping[str, tuple[str, ...]]] = {name: it.parameters for name, it in _LAWS.items()}
"""The laws, and the names of their parameters."""
