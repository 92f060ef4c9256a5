"""The chain of the audit: whatever is done to it is found; named after what is done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import DecodeError, Instant, VerificationError, chain
from lamplighter.kit.chain import START, Entry, Head

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
acts = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1), words, words, st.none() | st.integers(1, 2**31 - 1), words, words
    ),
    min_size=1,
    max_size=8,
)


def chained(done) -> list[Entry]:
    """Entries as the store makes them."""
    entries, digest = [], START.digest
    for number, (at, who, what, campaign, subject, detail) in enumerate(done, 1):
        digest = chain.seal(digest, number, at, who, what, campaign, subject, detail)
        entries.append(Entry(number, Instant(at), who, what, campaign, subject, detail, digest))
    return entries


def act(number: int) -> tuple:
    return (number, "operator1", "pause", 7, "", f"because of {number}")


TEN = chained(act(number) for number in range(10))
HEAD = Head(10, TEN[-1].digest)


def refusal(entries, **more) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        chain.verify(entries, **more)
    return caught.value


@given(acts)
def test_what_was_exported_reads_back_and_verifies(done):
    """Each entry is one line of ASCII, whatever stands in it, and the chain ends at its head."""
    entries = chained(done)
    lines = [chain.encode(it) for it in entries]
    assert entries == list(chain.read(lines))
    assert all(line.isascii() and "\n" not in line for line in lines)
    assert Head(len(entries), entries[-1].digest) == chain.verify(chain.read(lines))


@given(acts, st.data())
def test_any_other_word_in_any_entry_is_found(done, data):
    """Every column counts: there is none that could be changed unseen."""
    entries = chained(done)
    at = data.draw(st.integers(0, len(entries) - 1))
    column = data.draw(st.sampled_from(["at", "who", "what", "campaign", "subject", "detail", "digest"]))
    was = getattr(entries[at], column)
    other = {
        "at": lambda: Instant(was ^ 1),
        "campaign": lambda: 1 if was is None else None,
        "digest": lambda: bytes([was[0] ^ 1]) + was[1:],
    }.get(column, lambda: was + "x")()
    entries[at] = replace(entries[at], **{column: other})
    assert "audit-digest" == refusal(entries).check


def test_changed():
    """An entry whose words are others is named."""
    forged = [*TEN[:4], replace(TEN[4], who="mallory"), *TEN[5:]]
    assert ("audit-digest", True) == ((found := refusal(forged)).check, "entry 5" in found.expected)


def test_changed_and_sealed_anew():
    """Whoever also makes that entry's digest anew is found at the next one."""
    other = chain.seal(TEN[3].digest, 5, 4, "mallory", "pause", 7, "", "")
    forged = replace(TEN[4], at=Instant(4), who="mallory", detail="", digest=other)
    found = refusal([*TEN[:4], forged, *TEN[5:]])
    assert ("audit-digest", True) == (found.check, "entry 6" in found.expected)


def test_deleted():
    """An entry that is missing leaves a gap in the numbers, at the beginning too."""
    assert ("audit-deleted", "entry 6") == ((found := refusal(TEN[:4] + TEN[5:])).check, found.found)
    assert "audit-deleted" == refusal(TEN[1:]).check


def test_deleted_and_numbered_anew():
    """Closing the gap breaks the digests."""
    closed = TEN[:4] + [replace(it, id=it.id - 1) for it in TEN[5:]]
    assert "audit-digest" == refusal(closed).check


def test_inserted():
    """One more entry has a number twice, or moves the others'."""
    extra = replace(TEN[4], what="approve")
    assert "audit-order" == refusal([*TEN[:5], extra, *TEN[5:]]).check
    moved = [*TEN[:5], replace(extra, id=6), *(replace(it, id=it.id + 1) for it in TEN[5:])]
    assert "audit-digest" == refusal(moved).check


def test_reordered():
    """Two entries that change places are found, with their numbers or without."""
    assert "audit-deleted" == refusal([*TEN[:4], TEN[5], TEN[4], *TEN[6:]]).check
    swapped = [*TEN[:4], replace(TEN[5], id=5), replace(TEN[4], id=6), *TEN[6:]]
    assert "audit-digest" == refusal(swapped).check


def test_truncated():
    """What is cut off at the end is found by a head that was kept, and by nothing else."""
    assert Head(7, TEN[6].digest) == chain.verify(TEN[:7])
    found = refusal(TEN[:7], head=HEAD)
    assert ("audit-truncated", "an end at 7") == (found.check, found.found)
    assert HEAD == chain.verify(TEN, head=Head(7, TEN[6].digest))  # an older head is passed on the way


def test_made_anew_as_a_whole():
    """Another history with good digests throughout is found by a head that was kept."""
    other = chained((number, "mallory", "pause", 7, "", "") for number in range(10))
    assert Head(10, other[-1].digest) == chain.verify(other)
    assert "audit-head" == refusal(other, head=HEAD).check


def test_a_part_is_verified_from_where_it_begins():
    """An export that goes on from an earlier end needs that end; from another it does not follow."""
    middle = Head(4, TEN[3].digest)
    assert HEAD == chain.verify(TEN[4:], after=middle, head=HEAD)
    assert "audit-digest" == refusal(TEN[4:], after=Head(4, TEN[2].digest)).check


def test_no_two_acts_have_one_encoding():
    """What stands in one column cannot be taken for what stands in the next."""
    first = chain.seal(START.digest, 1, 0, "a", "bc", None, "", "")
    assert first != chain.seal(START.digest, 1, 0, "ab", "c", None, "", "")
    assert first != chain.seal(START.digest, 1, 0, 'a","bc', "", None, "", "")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda it: it.encode("utf-8", "replace")))
def test_any_line_is_an_entry_or_refused(octets):
    """Reading is total: nothing but an entry, or `DecodeError`."""
    try:
        entry = chain.decode(octets)
    except DecodeError:
        return
    assert entry == chain.decode(chain.encode(entry))


LINE = chain.encode(TEN[0])


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        LINE[:-1],
        LINE.replace('"id":1', '"id":true'),
        LINE.replace('"id":1', '"id":1.0'),
        LINE.replace('"id":1', '"id":1,"id":1'),
        LINE.replace('"who":"operator1"', '"who":null'),
        LINE.replace('"campaign":7', '"campaign":"7"'),
        LINE.replace('"digest":"', '"digest":"A'),
        LINE.replace('"at":0', '"at":0,"more":0'),
        "[" * 100_000,
        '{"id":' + "9" * 5_000 + "}",
    ],
    ids=range(12),
)
def test_a_line_that_is_none_names_what_is_wrong(line):
    """One spelling for each value, and every key once."""
    with pytest.raises(DecodeError, match="line 3"):
        chain.decode(line, 3)


def test_a_head_is_read_as_it_is_printed():
    """It is what people keep on paper."""
    assert HEAD == chain.parse_head(f" {HEAD}\n")
    arabic = "\N{ARABIC-INDIC DIGIT ONE}:"
    for text in ("", "10", "10:", "x:" + "00" * 32, "-1:" + "00" * 32, "10:" + "0" * 63, arabic + "00" * 32):
        with pytest.raises(DecodeError, match="NUMBER:DIGEST"):
            chain.parse_head(text)
