"""The value of knowing: what a decision would gain if an uncertain input were known before it is taken.

EVPPI, the expected value of partial perfect information, by regression on the futures that were drawn anyway:
Strong, Oakley and Brennan, Estimating multiparameter partial expected value of perfect information from a
probabilistic sensitivity analysis sample, Medical Decision Making 34 (2014) 311-326. The gain of changing the
decision is regressed on the input by a natural cubic spline; the mean of the best of the fitted gains is the
estimate, its standard error comes from draws of the fitted coefficients (their section on uncertainty).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lamplighter.planning.business.draws import stream

if TYPE_CHECKING:
    from numpy.random import Generator

    from lamplighter.planning.business.draws import Floats

_KNOTS: Final = (0.05, 0.275, 0.5, 0.725, 0.95)  # Harrell, Regression Modeling Strategies, table 2.3
_FEW: Final = 10
"""With so many different values or fewer, each has a mean of its own, and no curve is fitted."""
_SIMULATIONS: Final = 400


class Value(NamedTuple):
    """What knowing is worth."""

    amount: float
    """In money; never less than 0."""
    error: float
    """Standard error of the estimate."""

    @property
    def is_told(self) -> bool:
        """Whether it can be told from nothing: noise alone makes a small positive amount."""
        return self.amount > 2 * self.error and self.amount > 0


def perfect(costs: Floats) -> float:
    """The value of knowing everything, luck included: no study is worth more.

    costs  one row an option, one column a future
    """
    return float(costs.mean(axis=1).min() - costs.min(axis=0).mean())


def partial(costs: Floats, known: Floats, name: str, seed: int) -> Value:
    """The value of knowing one input.

    costs  one row an option, one column a future
    known  the input in each future
    """
    best = int(costs.mean(axis=1).argmin())
    gains = np.delete(costs[best] - costs, best, axis=0)
    distinct = np.unique(known)
    if len(distinct) == 1:
        return Value(0.0, 0.0)
    basis = (known[:, np.newaxis] == distinct).astype(np.float64) if len(distinct) <= _FEW else _spline(known)
    # The curves of a skewed input are nearly alike. Columns at right angles span the same, and fit the same,
    # without an inverse; and their coefficients do not err together.
    basis, _ = np.linalg.qr(basis)
    fitted = basis.T @ gains.T
    amount = float(np.maximum(basis @ fitted, 0.0).max(axis=1).mean())
    amount = min(amount, perfect(costs))  # a curve that fits badly may swing beyond what all is worth
    return Value(amount, _error(basis, gains, fitted, stream(seed, f"value of {name}", 0)))


def _error(basis: Floats, gains: Floats, fitted: Floats, dice: Generator) -> float:
    """Standard error: the estimate again and again, with coefficients as uncertain as the fit says.

    basis  columns at right angles, each of length 1
    """
    futures, size = basis.shape
    left = gains.T - basis @ fitted
    together = left.T @ left / max(futures - size, 1)  # gains of several options err together
    cross = _root(together)
    # On a grid of the futures: the error needs no more.
    sample = basis[:: max(1, futures // 1_000)]
    shaken = dice.standard_normal((_SIMULATIONS, size, len(cross))) @ cross.T
    found = np.maximum(sample @ (fitted + shaken), 0.0).max(axis=2).mean(axis=1)
    return float(found.std())


def _root(matrix: Floats) -> Floats:
    """A square root of a covariance, which may have no full rank."""
    values, vectors = np.linalg.eigh(matrix)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _spline(known: Floats) -> Floats:
    """Natural cubic spline with five knots: 1, x and three curves, straight beyond the outer knots."""
    knots = np.quantile(known, _KNOTS)
    if len(np.unique(knots)) < len(knots):  # so many alike that quantiles fall together
        knots = np.quantile(np.unique(known), _KNOTS)
    centre, width = knots[2], knots[-1] - knots[0]
    x, at = (known - centre) / width, (knots - centre) / width

    def curve(number: int) -> Floats:
        cubes = (np.maximum(x - at[number], 0) ** 3 - np.maximum(x - at[-1], 0) ** 3) / (at[-1] - at[number])
        return np.asarray(cubes)

    last = curve(len(at) - 2)
    columns = [np.ones_like(x), x, *(curve(number) - last for number in range(len(at) - 2))]
    return np.column_stack(columns)
