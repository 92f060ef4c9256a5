"""The one way in which octets are read: it never runs past the end, and says what failed and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import Cursor, DecodeError, Record, TracingCursor

reads = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(-3, 9)),
        st.tuples(st.just("big"), st.integers(0, 9)),
        st.tuples(st.just("little"), st.integers(0, 9)),
        st.tuples(st.just("u8"), st.none()),
        st.tuples(st.just("rest"), st.none()),
        st.tuples(st.just("finish"), st.none()),
        st.tuples(st.just("exactly"), st.binary(max_size=3)),
    ),
    max_size=12,
)


def drive(cursor, plan):
    """What a sequence of reads gives, or where it was refused."""
    got = []
    for name, argument in plan:
        try:
            match name:
                case "rest" | "finish":
                    got.append(getattr(cursor, name)())
                case "u8":
                    got.append(cursor.u8("field"))
                case "exactly":
                    got.append(cursor.exactly(argument, "field"))
                case _:
                    got.append(getattr(cursor, name)(argument, "field"))
        except DecodeError as refusal:
            got.append((refusal.field, refusal.offset, refusal.expected, refusal.found))
            break
    return got, cursor.at


@given(st.binary(max_size=30), reads)
def test_any_reads_of_any_octets_stay_within_them(octets, plan):
    _, at = drive(Cursor("thing", octets), plan)
    assert 0 <= at <= len(octets)


@given(st.binary(max_size=30), reads)
def test_tracing_changes_nothing_but_the_notes(octets, plan):
    tracing = TracingCursor("thing", octets)
    assert drive(Cursor("thing", octets), plan) == drive(tracing, plan)


@given(st.binary(max_size=30), reads)
def test_the_notes_are_the_octets_that_were_read(octets, plan):
    cursor = TracingCursor("thing", octets, base=100)
    _, at = drive(cursor, [read for read in plan if read[0] != "exactly"])
    assert b"".join(field.octets for field in cursor.fields) == octets[:at]
    assert all(octets[field.offset - 100 :].startswith(field.octets) for field in cursor.fields)


@given(st.binary(min_size=8, max_size=8))
def test_integers_are_read_in_either_order(octets):
    assert int.from_bytes(octets, "big") == Cursor("thing", octets).big(8, "number")
    assert int.from_bytes(octets, "little") == Cursor("thing", memoryview(octets)).little(8, "number")


def test_reading_past_the_end_names_the_field_and_the_offset_in_the_whole():
    inner = Cursor("message", b"\x01\x02\x03").inside(2, "part", "body")
    inner.u8("kind")
    with pytest.raises(DecodeError, match="part: length at 1: expected 2 octets, found 1 left"):
        inner.big(2, "length")


def test_an_inner_cursor_keeps_the_offsets_of_the_whole():
    outer = TracingCursor("message", bytes(6))
    outer.take(3, "header")
    inner = outer.inside(2, "part", "body")
    inner.u8("first")
    assert [(field.what, field.name, field.offset) for field in outer.fields] == [
        ("message", "header", 0),
        ("part", "first", 3),
    ]


def test_a_constant_that_differs_is_refused_where_it_starts():
    cursor = Cursor("message", b"\xdf\x08")
    cursor.exactly(b"\xdf", "tag")
    with pytest.raises(DecodeError, match="message: length at 1: expected 09, found 08"):
        cursor.exactly(b"\x09", "length")


def test_octets_left_over_are_refused_and_shown():
    cursor = Cursor("message", b"\x01\x02\x03")
    cursor.u8("kind")
    with pytest.raises(DecodeError, match="end at 1: expected no more octets, found 2 more, starting 0203"):
        cursor.finish()


PAIR = Record(">", ("B", "first"), ("H", "second"), ("2s", "third"))


def test_a_record_is_read_in_one_go():
    """Values in order, and the cursor behind them."""
    cursor = Cursor("thing", b"\x01\x00\x02abrest")
    assert (1, 2, b"ab") == cursor.unpack(PAIR)
    assert b"rest" == cursor.rest()


@pytest.mark.parametrize(("octets", "field", "offset"), [(b"", "first", 0), (b"\x01\x00", "second", 1)])
def test_a_record_that_is_cut_names_its_first_missing_field(octets, field, offset):
    """The error is the one that field by field reading would give."""
    with pytest.raises(DecodeError) as refusal:
        Cursor("thing", octets).unpack(PAIR)
    assert (field, offset) == (refusal.value.field, refusal.value.offset)


def test_a_traced_record_notes_each_field():
    """Fast reading and explaining share one grammar."""
    cursor = TracingCursor("thing", b"\x01\x00\x02ab", 10)
    assert (1, 2, b"ab") == cursor.unpack(PAIR)
    assert [(10, "first", b"\x01"), (11, "second", b"\x00\x02"), (13, "third", b"ab")] == [
        (field.offset, field.name, field.octets) for field in cursor.fields
    ]
