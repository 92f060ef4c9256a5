"""Words for the figures of a study: money, odds, frequencies, and the verdict in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lamplighter.planning.business.model import Option

if TYPE_CHECKING:
    from lamplighter.planning.business.case import Assumption
    from lamplighter.planning.business.results import Comparison, Odds, Study, Tie

OPTIONS: Final = {
    Option.OVER_THE_AIR: "Over the air",
    Option.REPLACE: "Replace",
    Option.HUB: "Fix the hub",
}
LETTERS: Final = {Option.OVER_THE_AIR: "(a)", Option.REPLACE: "(b)", Option.HUB: "(c)"}

_SIGNS: Final = {"GBP": "£", "EUR": "€", "USD": "$"}
_SIZES: Final = ((1e9, " billion", " bn"), (1e6, " million", " M"), (1e3, " thousand", " k"))
_SURE: Final = 0.9
_OFTEN: Final = 1 / 1.05
"""Events a year from which once in so many years would be once in 1.0."""


def money(amount: float, currency: str, *, short: bool = False, signed: bool = False) -> str:
    """An amount to three figures: `£26.5 million`."""
    sign = "\u2212" if amount < 0 else "+" if signed and amount > 0 else ""
    size, word, brief = next((it for it in _SIZES if abs(amount) >= 0.9995 * it[0]), (1.0, "", ""))
    number = three(abs(amount) / size)
    symbol = _SIGNS.get(currency)
    unit = brief if short else word
    return f"{sign}{symbol}{number}{unit}" if symbol else f"{sign}{number}{unit} {currency}"


def three(number: float) -> str:
    """A number to three figures, without an exponent."""
    if number == 0:
        return "0"
    if abs(number) >= 100:
        return f"{number:,.0f}"
    digits = 2 if abs(number) < 10 else 1
    if abs(number) < 0.1:
        return f"{number:.3g}"
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(number: float) -> str:
    """How many, in words where many: `2.87 million`."""
    for size, word in ((1e9, " billion"), (1e6, " million")):
        if number >= size:
            return f"{three(number / size)}{word}"
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 10 else three(number)


def of_hundred(share: float) -> str:
    """A share as people count: `33 of 100 futures`."""
    if 0 < share < 0.005:
        return "fewer than 1 of 100 futures"
    if 0.995 < share < 1:
        return "more than 99 of 100 futures"
    return f"{round(100 * share)} of 100 futures"


def percent(share: float) -> str:
    """`33 %`."""
    return f"{100 * share:.0f} %" if 0.01 <= share <= 0.99 or share in {0, 1} else f"{100 * share:.1f} %"


def frequency(a_year: float, what: str = "") -> str:
    """How often, to two figures: `1 in 3.6 years`, `2.4 a year`; with what: `1 event in 3.6 years`."""
    if a_year <= 0:
        return f"no {what}".strip()
    noun = f" {what}" if what else ""
    if a_year < _OFTEN:
        return f"1{noun} in {two(1 / a_year)} years"
    number = two(max(a_year, 1.0))
    return f"{number}{noun}{'s' if what and number != '1' else ''} a year"


def two(number: float) -> str:
    """A number to two figures, without an exponent."""
    if number == 0:
        return "0"
    if number >= 10:
        return f"{float(f'{number:.2g}'):,.0f}"
    return f"{number:.1f}".removesuffix(".0") if number >= 1 else f"{number:.2g}"


def alike(tie: Tie) -> str:
    """Which options cost the same: `(b) and (c), alike`."""
    return f"{' and '.join(LETTERS[option] for option in tie.options)}, alike"


def swung(what: Assumption) -> str:
    """What is changed where an input is put at one end: one that differs by event, for all events."""
    return what.meaning + (" (all events alike)" if what.per_event else "")


def verdict(study: Study) -> str:
    """Whether over the air pays against the better of the others, in a sentence."""
    return _VERDICTS[_sense(study.rival)]


def pays(comparison: Comparison) -> bool | None:
    """Whether over the air saves money on average; None: more futures would be needed to tell."""
    return comparison.saving.mean > 0 if comparison.saving.is_told else None


def _sense(comparison: Comparison) -> tuple[bool | None, int]:
    odds: Odds = comparison.cheaper
    sure = 2 if odds.share >= _SURE else 1 if odds.share >= 0.5 else 0 if odds.share > 1 - _SURE else -1
    return pays(comparison), sure


_INSURANCE: Final = (
    "Over the air pays on average, but not in most futures: it is an insurance against rare, large events."
)
_BARGAIN: Final = "Over the air pays in most futures, but not on average: where it loses, it loses more."
_VERDICTS: Final = {
    (True, 2): "Over the air pays.",
    (True, 1): "Over the air probably pays.",
    (True, 0): _INSURANCE,
    (True, -1): _INSURANCE,
    (False, 2): _BARGAIN,
    (False, 1): _BARGAIN,
    (False, 0): "Over the air probably does not pay.",
    (False, -1): "Over the air does not pay.",
    (None, 2): "Over the air pays in nearly all futures, but whether on average cannot be told.",
    (None, 1): "Over the air costs about as much as its alternative.",
    (None, 0): "Over the air costs about as much as its alternative.",
    (None, -1): "Over the air pays in few futures, and whether on average cannot be told.",
}
