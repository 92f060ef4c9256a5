"""Cells of tables that people open in a spreadsheet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit.cell import guard, unguard

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 # OWASP's list, full-width ones too


@pytest.mark.parametrize("start", STARTS)
def test_threat_a_cell_that_a_spreadsheet_takes_for_a_formula(start):
    """However it begins, an apostrophe stands before it."""
    assert f"'{start}1+1" == guard(f"{start}1+1")


@pytest.mark.parametrize("text", ["", "North", "A-1", "it's", "1,000", "a=b"])
def test_a_text_that_is_no_formula_stays_as_it_is(text):
    """Nobody wants apostrophes before ordinary words."""
    assert text == guard(text)


@given(st.builds("{}{}".format, st.sampled_from(("", "'", "''", *STARTS)), st.text()))
def test_what_was_guarded_can_be_had_back(text):
    """Whatever the text, apostrophes of its own included, and none that runs."""
    assert text == unguard(guard(text))
    assert not guard(text).startswith(STARTS)
