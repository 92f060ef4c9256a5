"""Hold, pass or wait: a sequential test of one stratum's failure rate, right whenever it is looked at.

Devices of a stratum fail with some probability p. The gate tests `p <= p0` (acceptable) against `p >= p1`
(harmful), after every batch of outcomes, as long as it likes:

    HOLD  when  M = integral over q in [p1, 1] of (q/p0)^f ((1-q)/(1-p0))^s dq / (q ln(1/p1))  >=  1 / alpha
    PASS  when  N = integral over q in [0, p1] of (q/p1)^f ((1-q)/(1-p1))^s dq / p1            >=  1 / beta

f failures, s successes. Under `p <= p0` M is a nonnegative supermartingale that starts at 1, so the
probability that it *ever* reaches 1/alpha is at most alpha (Ville 1939); N likewise under `p >= p1`. These
are likelihood ratios and boundaries as Wald's (1945, "Sequential tests of statistical hypotheses"), mixed
over the alternatives (Robbins 1970, "Statistical methods related to the law of the iterated logarithm";
Howard et al. 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences"). Where all of a
stratum fails, the mixture needs three failures where Wald's ratio of p1 to p0 needs six; where one in ten
does, it loses little, for it weighs each order of magnitude of q alike. Between p0 and p1 it ends, too:
below their middle it passes, above it holds; where it passes, a rate a little over p0 is not held by sheer
numbers.

Outcomes come in the order of their speed, not of the orders: refusals in seconds, proofs in hours, silence
when a deadline passes. A test of those that have come would see the fast kind first. So this one judges
*groups*, Devices that were ordered together, in the order of their orders, and counts the Devices in flight
against its own conclusion: HOLD takes them for successes, PASS for failures. With f failures known of F
that will be, f <= F and M grows with f: what is seen never exceeds what the test would say if it knew them
all, so alpha and beta hold for any delays at all, also where failures are quicker or slower than successes.
HOLD looks at the first group, the first two, and so on: the youngest, of which little is known, do not
dilute the older.

Silence is a failure, and has a limit of its own besides: M is the mean of the M of failures and the M of
silences, which is a supermartingale again, and PASS needs both N. A Device that proves late was not silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from math import exp, inf, lgamma, log, log1p, log10
from typing import TYPE_CHECKING, Final

from lamplighter.kit import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEVICES_MAX: Final = 10**9
"""Of one stratum, in one gate: thirty times the homes of the whole country, and still exact in a float."""
CONFIDENCE: Final = 0.95
"""Of the interval that is shown beside a rate. No ruling depends on it."""

_ROUNDS_MAX: Final = 100_000  # of the continued fraction; it needs about the square root of its arguments
_PRECISION: Final = 1e-14
_TINY: Final = 1e-300
_LN_10: Final = log(10)
_BISECTIONS: Final = 60  # halvings of [0, 1] until a float has no more digits


class Ruling(Enum):
    """What a gate says of a stratum."""

    WAIT = "wait"
    """There is no telling yet: what is under way may go on, no later wave may begin."""
    PASS = "pass"  # noqa: S105 # a ruling, no password
    """Its failure rate is below the harmful one: the next wave may begin."""
    HOLD = "hold"
    """Its failure rate is above the acceptable one: nothing more may be ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Which failure rates of a stratum are good and bad, and how often the gate may err. Rates: 0..1."""

    acceptable_failure_rate: float = 0.02
    """p0: at this rate or below, a hold is an error."""
    max_failure_rate: float = 0.10
    """p1: at this rate or above, a pass is an error. Between the two, either is right."""
    acceptable_silence_rate: float = 0.02
    """p0 of Devices that were not heard of before their deadline. They count as failures, too."""
    max_silence_rate: float = 0.10
    """p1 of silence."""
    false_hold_rate: float = 0.0001
    """alpha: probability that an acceptable stratum is ever held. It is for each stratum: a campaign with 100
    of them errs up to 100 times as often."""
    miss_rate: float = 0.05
    """beta: probability that a harmful stratum ever passes; a hold may still come after it."""
    minimum_sample: int = 5
    """Devices that must have an outcome before the gate says anything but WAIT. The test does not need it."""

    def __post_init__(self) -> None:
        for name in ("failure", "silence"):
            good, bad = getattr(self, f"acceptable_{name}_rate"), getattr(self, f"max_{name}_rate")
            if not 0 < good < bad < 1:
                raise UsageError(
                    f"gate: acceptable_{name}_rate = {good!r} and max_{name}_rate = {bad!r}: "
                    "allowed is 0 < acceptable < max < 1"
                )
        for name, most in (("false_hold_rate", 0.5), ("miss_rate", 0.5)):
            if not 0 < getattr(self, name) <= most:
                raise UsageError(
                    f"gate: {name} = {getattr(self, name)!r}: allowed is more than 0 and at most {most}"
                )
        if not 1 <= self.minimum_sample <= DEVICES_MAX:
            raise UsageError(f"gate: minimum_sample = {self.minimum_sample!r}: allowed is 1 to {DEVICES_MAX}")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Devices of one stratum that were ordered together (a batch, a wave), and what came of them.

    A Device belongs to the group of its first order for good; a later attempt does not move it.
    """

    proven: int = 0
    """Their new version is proven."""
    failed: int = 0
    """They, or somebody on the way to them, said that it failed for good."""
    silent: int = 0
    """Their deadline passed and nothing was heard."""
    in_flight: int = 0
    """Ordered, and neither of the three yet. Whoever was withdrawn (left, was suspended) is not counted."""

    def __post_init__(self) -> None:
        counts = (self.proven, self.failed, self.silent, self.in_flight)
        if min(counts) < 0 or sum(counts) > DEVICES_MAX:
            raise UsageError(f"a group has counts from 0 to {DEVICES_MAX} in all, not {counts}")

    def __add__(self, other: Outcomes) -> Outcomes:
        return Outcomes(
            self.proven + other.proven,
            self.failed + other.failed,
            self.silent + other.silent,
            self.in_flight + other.in_flight,
        )

    @property
    def failures(self) -> int:
        """Failed or silent."""
        return self.failed + self.silent

    @property
    def resolved(self) -> int:
        """Those with an outcome."""
        return self.proven + self.failed + self.silent

    @property
    def ordered(self) -> int:
        """All."""
        return self.resolved + self.in_flight


@dataclass(frozen=True, slots=True)
class Judgement:
    """A ruling with the numbers behind it."""

    gate: Gate
    """What was asked for."""
    ruling: Ruling
    """HOLD, PASS or WAIT."""
    total: Outcomes
    """The counts of all groups."""
    harm: float
    """log10 of M, the largest of all leading groups, at least 0."""
    health: float
    """log10 of N, the smaller of those for failures and silences."""

    @property
    def harm_bound(self) -> float:
        """log10 of 1/alpha: HOLD where `harm` reaches it."""
        return -log10(self.gate.false_hold_rate)

    @property
    def health_bound(self) -> float:
        """log10 of 1/beta: PASS where `health` reaches it."""
        return -log10(self.gate.miss_rate)

    @property
    def failure_rate(self) -> float:
        """Failures of those with an outcome, 0..1; 0 where there is none."""
        return self.total.failures / self.total.resolved if self.total.resolved else 0.0

    @property
    def silence_rate(self) -> float:
        """Silent of those with an outcome, 0..1; 0 where there is none."""
        return self.total.silent / self.total.resolved if self.total.resolved else 0.0

    @property
    def failure_interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the failure rate (Clopper and Pearson 1934), as of this moment."""
        return interval(self.total.failures, self.total.resolved)

    @property
    def silence_interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the silence rate, as of this moment."""
        return interval(self.total.silent, self.total.resolved)

    @property
    def reason(self) -> str:
        """Why, for people."""
        gate, total = self.gate, self.total
        seen = f"{total.failures} of {total.resolved} failed, {total.silent} of them in silence"
        match self.ruling:
            case Ruling.HOLD:
                return (
                    f"{seen}: more than the acceptable {gate.acceptable_failure_rate:.3g} "
                    f"(silence {gate.acceptable_silence_rate:.3g}) explains"
                )
            case Ruling.PASS:
                return (
                    f"{seen}: below the harmful {gate.max_failure_rate:.3g} (silence "
                    f"{gate.max_silence_rate:.3g}) even if the {total.in_flight} in flight fail"
                )
        if total.resolved < gate.minimum_sample:
            return f"{seen}; no ruling before {gate.minimum_sample} have an outcome"
        more = wanting(gate, total)
        waits = f"for {total.in_flight} in flight"
        return f"{seen}; waits {waits}" + (f" and at least {more} not yet ordered" if more else "")


def verdict(gate: Gate, groups: Outcomes | Sequence[Outcomes]) -> Judgement:
    """Judge a stratum by its groups, in the order of their orders. A HOLD is for the caller to remember."""
    proven = failed = silent = in_flight = 0
    harm = 0.0
    failures_below = _harmless(gate.acceptable_failure_rate, gate.max_failure_rate)
    silences_below = _harmless(gate.acceptable_silence_rate, gate.max_silence_rate)
    # Sums as bare numbers: a look at all strata adds up thousands of groups.
    for group in (groups,) if isinstance(groups, Outcomes) else groups:
        proven += group.proven
        failed += group.failed
        silent += group.silent
        in_flight += group.in_flight
        if group.failed or group.silent:  # without one, M cannot have grown
            failures = failed + silent
            ordered = proven + failures + in_flight
            if failures > failures_below * ordered or silent > silences_below * ordered:
                harm = max(harm, _harm(gate, failures, silent, ordered) / _LN_10)
    total = Outcomes(proven, failed, silent, in_flight)
    health = _health(gate, total) / _LN_10
    if total.resolved < gate.minimum_sample:
        ruling = Ruling.WAIT
    elif harm >= -log10(gate.false_hold_rate):
        ruling = Ruling.HOLD
    elif health >= -log10(gate.miss_rate):
        ruling = Ruling.PASS
    else:
        ruling = Ruling.WAIT
    return Judgement(gate, ruling, total, harm, health)


def has_passed(gate: Gate, groups: Sequence[Outcomes]) -> bool:
    """Whether the gate passes the first of the groups, or the first two, and so on, whatever flies since.

    N of each leading run of groups is a value of one supermartingale: the error rate of PASS holds for all of
    them together. Where a wave has opened on a PASS, those that it orders must not take that back by flying.
    """
    total = Outcomes()
    for group in groups:
        total += group
        if total.resolved >= gate.minimum_sample and _health(gate, total) >= -log(gate.miss_rate):
            return True
    return False


def wanting(gate: Gate, groups: Outcomes | Sequence[Outcomes]) -> int:
    """How many Devices beyond those in flight must be ordered before a PASS is possible at all.

    0: those in flight would do, if they succeed; or failures already speak of harm, and those in flight are
    heard first. A wave that has ended in WAIT grows by so many in its stratum; a wave with less of a stratum
    than `wanting(gate, Outcomes())` can never pass by itself. At most `DEVICES_MAX` in all, which a gate with
    tiny rates may never pass.
    """
    total = sum([groups] if isinstance(groups, Outcomes) else groups, Outcomes())
    if total.in_flight and total.failures and _harm(gate, total.failures, total.silent, total.ordered) > 0:
        return 0
    bound = -log(gate.miss_rate)
    most = DEVICES_MAX - total.ordered

    def enough(more: int) -> bool:
        if more >= most:
            return True
        best = Outcomes(total.proven + total.in_flight + more, total.failed, total.silent)
        return best.resolved >= gate.minimum_sample and _health(gate, best) >= bound

    if enough(0):
        return 0
    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def interval(failures: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The Clopper-Pearson interval of a rate: for one look, not for many; (0, 1) where nothing is counted."""
    if not 0 <= failures <= count:
        raise UsageError(f"{failures} failures of {count}")
    tail = log((1 - confidence) / 2)
    low, high = 0.0, 1.0
    if failures > 0:
        low = _root(lambda p: log_beta_tail(p, failures, count - failures + 1) < tail)
    if failures < count:
        high = _root(lambda p: log_beta_tail(1 - p, count - failures, failures + 1) >= tail)
    return low, high


def log_beta_tail(x: float, a: float, b: float) -> float:
    """Log of the regularised incomplete beta function I_x(a, b), exact also where the tail is tiny.

    For whole a and b it is the log probability that of a+b-1 coins, each heads with probability x, at least
    a fall heads. 0 <= x <= 1, a > 0, b > 0. By the continued fraction 26.5.8 of Abramowitz and Stegun.
    """
    if x <= 0:
        return -inf
    if x >= 1:
        return 0.0
    if x > (a + 1) / (a + b + 2):
        rest = log_beta_tail(1 - x, b, a) if 1 - x <= (b + 1) / (a + b + 2) else _fraction_tail(1 - x, b, a)
        return log1p(-exp(rest)) if rest < 0 else -inf
    return _fraction_tail(x, a, b)


def _fraction_tail(x: float, a: float, b: float) -> float:
    front = a * log(x) + b * log1p(-x) - log(a) - _log_beta(a, b)
    return min(front + log(_continued(x, a, b)), 0.0)


def _continued(x: float, a: float, b: float) -> float:
    """The continued fraction, by Lentz's method."""
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1 / (d or _TINY)
    value = d
    for m in range(1, _ROUNDS_MAX):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + term * d) or _TINY)
            c = (1 + term / c) or _TINY
            value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return value


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _harm(gate: Gate, failures: int, silent: int, ordered: int) -> float:
    """Log M, with all in flight taken for successes."""
    return _log_harms(
        failures,
        silent,
        ordered,
        gate.acceptable_failure_rate,
        gate.max_failure_rate,
        gate.acceptable_silence_rate,
        gate.max_silence_rate,
    )


def _health(gate: Gate, seen: Outcomes) -> float:
    """Log N, the smaller of those of failures and silences, with all in flight taken for such."""
    failures, silences = seen.failures + seen.in_flight, seen.silent + seen.in_flight
    return min(
        _log_health(failures, seen.ordered, gate.max_failure_rate),
        _log_health(silences, seen.ordered, gate.max_silence_rate),
    )


@lru_cache(maxsize=64)
def _harmless(good_rate: float, bad_rate: float) -> float:
    """The rate at which what was seen is as likely under both: up to it M is at most 1.

    M averages the likelihood ratio over rates from the harmful one up. Where it is at most 1 for the harmful
    rate, it is for all above.
    """
    good, bad = log1p(-good_rate) - log1p(-bad_rate), log(bad_rate / good_rate)
    return good / (good + bad)


@lru_cache(maxsize=1 << 14)  # most strata are as they were at the last look
def _log_harms(
    failures: int,
    silent: int,
    ordered: int,
    good_failure_rate: float,
    bad_failure_rate: float,
    good_silence_rate: float,
    bad_silence_rate: float,
) -> float:
    return _mean(
        _log_harm(failures, ordered, good_failure_rate, bad_failure_rate),
        _log_harm(silent, ordered, good_silence_rate, bad_silence_rate),
    )


@lru_cache(maxsize=1 << 14)
def _log_harm(bad: int, count: int, good_rate: float, bad_rate: float) -> float:
    if not bad:
        return -inf  # too little to reach any bound, and less than M is as safe
    f, s = bad, count - bad + 1
    mass = _log_beta(f, s) + log_beta_tail(1 - bad_rate, s, f) - log(-log(bad_rate))
    return mass - bad * log(good_rate) - (count - bad) * log1p(-good_rate)


@lru_cache(maxsize=1 << 14)
def _log_health(bad: int, count: int, bad_rate: float) -> float:
    f, s = bad + 1, count - bad + 1
    mass = _log_beta(f, s) + log_beta_tail(bad_rate, f, s) - log(bad_rate)
    return mass - bad * log(bad_rate) - (count - bad) * log1p(-bad_rate)


def _mean(a: float, b: float) -> float:
    """Log of the mean of two numbers whose logs are given."""
    top = max(a, b)
    return top + log((exp(a - top) + exp(b - top)) / 2) if top > -inf else -inf


def _root(above: Callable[[float], bool]) -> float:
    """The p in 0..1 up to which `above` holds."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return (low + high) / 2
