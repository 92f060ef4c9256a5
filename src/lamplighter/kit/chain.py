"""A chain of entries: each one's digest is of its own words and of all that came before.

Whoever changes, takes out, puts in or moves an entry breaks every link from there on. Whoever cuts the end
off, or makes the whole chain anew, breaks nothing in it: only a head that was kept somewhere else tells.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lamplighter.kit.errors import DecodeError, VerificationError
from lamplighter.kit.instant import Instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DIGEST_OCTETS: Final = 32
LINE_OCTETS_MAX: Final = 4_000_000
"""Of one line of an export: the longest entry is a list of dead letters that were replayed."""


class Head(NamedTuple):
    """The end of a chain: who keeps it can tell later that nothing before it was touched."""

    id: int
    """Number of the last entry; 0: there is none."""
    digest: bytes
    """Its digest, 32 octets."""

    def __str__(self) -> str:
        return f"{self.id}:{self.digest.hex()}"


START: Final = Head(0, bytes(DIGEST_OCTETS))
"""Before the first entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was done."""

    id: int
    """Counted up from 1, without gaps."""
    at: Instant
    """When."""
    who: str
    """A person, or the part of the system that did it by itself."""
    what: str
    """A word or two: "create", "approve", "order", "sign in", ..."""
    campaign: int | None
    """The campaign that it was done to; None: to none."""
    subject: str
    """The thing that it was done to: a name, "batch 17"."""
    detail: str
    """The rest: text, or JSON where it is many values."""
    digest: bytes
    """SHA-256 of the digest before and of all of the above, 32 octets."""


def seal(
    before: bytes, number: int, at: int, who: str, what: str, campaign: int | None, subject: str, detail: str
) -> bytes:
    """The digest of an entry: SHA-256 of the one before, and the entry's columns as a JSON array in ASCII."""
    words = [number, at, who, what, campaign, subject, detail]
    return sha256(before + json.dumps(words, ensure_ascii=True, separators=(",", ":")).encode()).digest()


def encode(entry: Entry) -> str:
    """One line of an export, without its line feed."""
    return json.dumps(
        {
            "id": entry.id,
            "at": entry.at,
            "who": entry.who,
            "what": entry.what,
            "campaign": entry.campaign,
            "subject": entry.subject,
            "detail": entry.detail,
            "digest": entry.digest.hex(),
        },
        ensure_ascii=True,
        separators=(",", ":"),
    )


def decode(line: str | bytes, number: int = 1) -> Entry:
    """Read one line of an export; `number` is the line's, for the error."""
    if len(line) > LINE_OCTETS_MAX:
        raise _malformed(number, "line", f"at most {LINE_OCTETS_MAX} octets", f"{len(line)}")
    try:
        fields = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as cause:
        raise _malformed(number, "line", "a JSON object, each key once", str(cause)[:80]) from cause
    if not isinstance(fields, dict) or fields.keys() != _KINDS.keys():
        found = ", ".join(map(str, fields))[:160] if isinstance(fields, dict) else type(fields).__name__
        raise _malformed(number, "keys", ", ".join(_KINDS), found)
    for name, kinds in _KINDS.items():
        if type(fields[name]) not in kinds:  # True is no number
            raise _malformed(number, name, " or ".join(it.__name__ for it in kinds), repr(fields[name])[:80])
    digest = fields["digest"]
    try:
        octets = bytes.fromhex(digest)
    except ValueError:
        octets = b""
    if len(octets) != DIGEST_OCTETS or octets.hex() != digest:
        raise _malformed(number, "digest", "64 lower-case hex digits", repr(digest)[:80])
    return Entry(
        fields["id"],
        Instant(fields["at"]),
        fields["who"],
        fields["what"],
        fields["campaign"],
        fields["subject"],
        fields["detail"],
        octets,
    )


def parse_head(text: str) -> Head:
    """Read what `str(head)` wrote: a number, a colon, 64 hex digits."""
    number, colon, digits = text.strip().partition(":")
    try:
        head = Head(int(number) if number.isascii() and number.isdecimal() else -1, bytes.fromhex(digits))
    except ValueError:  # also of numbers with thousands of digits
        head = Head(-1, b"")
    if not colon or head.id < 0 or len(head.digest) != DIGEST_OCTETS:
        raise DecodeError("head", "text", 0, "NUMBER:DIGEST with 64 hex digits", repr(text[:100]))
    return head


def verify(entries: Iterable[Entry], *, after: Head = START, head: Head | None = None) -> Head:
    """Follow the chain from `after` to its end, and return that end.

    head    one that was kept somewhere else, of this end or an earlier one: the chain must pass through it

    Raises `VerificationError`, which says at which entry the chain breaks, and how.
    """
    last = after
    passed = head is None or head == after
    for entry in entries:
        last = _follow(last, entry)
        if head is not None and entry.id == head.id:
            if entry.digest != head.digest:
                raise VerificationError(
                    "audit-head", f"the digest {head.digest.hex()} at entry {head.id}", entry.digest.hex()
                )
            passed = True
    if not passed:
        assert head is not None
        raise VerificationError(
            "audit-truncated", f"an entry {head.id}, as the head that was kept says", f"an end at {last.id}"
        )
    return last


def read(lines: Iterable[str | bytes]) -> Iterator[Entry]:
    """The entries of an export, one of `encode`'s lines each; lines without anything are skipped."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield decode(line, number)


def _follow(last: Head, entry: Entry) -> Head:
    """One link; or what is wrong with it."""
    wanted = last.id + 1
    if entry.id != wanted:
        check = "audit-deleted" if entry.id > wanted else "audit-order"
        raise VerificationError(check, f"entry {wanted} after {last.id}", f"entry {entry.id}")
    digest = seal(
        last.digest,
        entry.id, entry.at, entry.who, entry.what, entry.campaign, entry.subject, entry.detail,
    )  # fmt: skip
    if digest != entry.digest:
        raise VerificationError(
            "audit-digest",
            f"the digest {digest.hex()} of entry {entry.id}, from its words and the entry before",
            entry.digest.hex(),
        )
    return Head(entry.id, digest)


_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "id": (int,),
    "at": (int,),
    "who": (str,),
    "what": (str,),
    "campaign": (int, type(None)),
    "subject": (str,),
    "detail": (str,),
    "digest": (str,),
}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key comes twice")
    return fields


def _malformed(line: int, field: str, expected: str, found: str) -> DecodeError:
    return DecodeError(f"audit export, line {line}", field, 0, expected, found)
