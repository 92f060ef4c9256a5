"""Errors say whose fault it is: ours (`UsageError`), theirs (`PeerError`), or a check that failed.

A peer's *refusal* (a response code, an alert that reports failure) is a value and never one of these.
"""

from __future__ import annotations


class LamplighterError(Exception):
    """The root of every error that this package raises on purpose."""


class UsageError(LamplighterError):
    """The caller asked for something that cannot be: a value out of range, a missing key, a bad option."""


class IllegalTransitionError(UsageError):
    """A state machine was driven along an arrow that its table does not have."""


class PeerError(LamplighterError):
    """The other side sent nonsense."""


class DecodeError(PeerError):
    """Octets or XML that are not what they claim to be.

    what      the structure that was being read, such as "OTA header"
    field     the field that failed, in the words of the specification
    offset    octets from the start of the structure; for XML the line number
    expected  what the specification allows there
    found     what was there
    """

    def __init__(self, what: str, field: str, offset: int, expected: str, found: str) -> None:
        super().__init__(what, field, offset, expected, found)
        self.what = what
        self.field = field
        self.offset = offset
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"{self.what}: {self.field} at {self.offset}: expected {self.expected}, found {self.found}"


class VerificationError(LamplighterError):
    """Well-formed input that failed a named check: a signature, a MAC, a hash, a correlation.

    check     the name of the check, a stable slug such as "xml-signature-moved"
    expected  what would have passed
    found     what was there
    """

    def __init__(self, check: str, expected: str, found: str) -> None:
        super().__init__(check, expected, found)
        self.check = check
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"{self.check}: expected {self.expected}, found {self.found}"
