"""Errors say whose fault it is, and keep their parts for machines."""

import pickle

import pytest

from lamplighter.kit import DecodeError, LamplighterError, PeerError, UsageError, VerificationError


def test_a_decode_error_names_structure_field_offset_expected_and_found():
    error = DecodeError("OTA header", "header length", 6, "60", "59")
    assert str(error) == "OTA header: header length at 6: expected 60, found 59"
    assert (error.what, error.field, error.offset) == ("OTA header", "header length", 6)


def test_a_verification_error_names_the_check():
    error = VerificationError("image-size", "at most 10 octets", "11")
    assert str(error) == "image-size: expected at most 10 octets, found 11"
    assert error.check == "image-size"


@pytest.mark.parametrize(
    "error",
    [DecodeError("a", "b", 1, "c", "d"), VerificationError("a", "b", "c"), UsageError("a")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_crosses_a_process_boundary_whole(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_the_family_tree_says_whose_fault_it_is():
    assert issubclass(DecodeError, PeerError)
    assert not issubclass(VerificationError, PeerError)
    assert not issubclass(UsageError, PeerError)
    assert all(issubclass(kind, LamplighterError) for kind in (PeerError, VerificationError, UsageError))
