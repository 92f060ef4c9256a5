"""The one reader of TOML; attacks by name."""

from __future__ import annotations

import tracemalloc

import pytest

from lamplighter.campaign import plan
from lamplighter.kit import UsageError, toml
from lamplighter.planning import business, fleet


def test_what_people_write_is_read():
    """Dotted keys, quoted ones, tables, texts full of dots."""
    text = 'a.b = 1\n["x y".z]\nq = "e.g. 1.2.3.4, that is a.b.c.d.e.f.g.h and so on ... "\n'
    assert toml.loads(text)["a"] == {"b": 1}
    assert toml.loads(".".join("a" * toml.KEYS_MAX) + " = 1")


HUGE = "0x" + "f" * 4_000  # Python reads it, and refuses to print it


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (plan.parse, f"name = {HUGE}"),
        (plan.parse, f"rate = {{ kind = {HUGE}, per_hour = 1 }}"),
        (business.parse, f"years = {HUGE}"),
        (fleet.parse, f"[release]\noctets = {HUGE}"),
        (fleet.parse, f"[release]\nhardware = {HUGE}"),
    ],
)
def test_a_number_that_cannot_be_printed_is_refused_like_any_other(parse, text):
    """Not as a fault of ours: it is somebody's file."""
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 50_000 + " = 1",
        "\n[" + "a . " * 50_000 + "a]",
        '"a b".' * 50_000 + "x = 1",
        "x = {" + "'q'. " * 50_000 + "b = 1}",
        '"\\"".' * 50_000 + "x = 1",
    ],
    ids=["bare", "table", "quoted", "inline", "escaped"],
)
def test_a_key_of_fifty_thousand_names_takes_no_gigabytes(text):
    """The standard library's reader keeps each beginning of such a key: 100 kB take four gigabytes."""
    tracemalloc.start()
    for parse in (toml.loads, plan.parse, business.parse, fleet.parse):
        with pytest.raises((ValueError, UsageError), match=r"more than 16 names in one key.*line [12]"):
            parse(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize(
    "text", ["a" * 900_000, '"' * 900_000, "'a" * 450_000, "a." * 15 + "a=" + "." * 900_000]
)
def test_a_long_line_that_is_no_toml_is_refused_at_once(text):
    """The look for such keys goes over each character a few times, and no more."""
    with pytest.raises(ValueError, match=r"line 1|end of document"):
        toml.loads(text)
