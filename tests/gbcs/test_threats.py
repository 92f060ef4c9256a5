"""What an attacker tries with GBCS messages, each test named after the attempt."""

import dataclasses

import pytest

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, UsageError, VerificationError
from lamplighter.kit.instant import from_iso
from lamplighter.protocol import gbcs
from lamplighter.protocol.smki import Ring

from .parties import (
    AT_BROKER,
    AT_DEVICE,
    AT_SUPPLIER,
    BROKER,
    DEVICE,
    DEVICE_SIGNING,
    SECRET,
    SUPPLIER,
    SUPPLIER_SIGNING,
    SUPPLIER_XML,
)

INTENT = gbcs.Activation(SUPPLIER, DEVICE, 1000, ImageHash(b"\x11" * 32), from_iso("2030-01-15T09:00:00Z"))
PRE_COMMAND = gbcs.encode_message(gbcs.pre_command(INTENT))
SIGNED = gbcs.sign_pre_command(PRE_COMMAND, INTENT, SUPPLIER_SIGNING)
COMMAND = gbcs.mac.wrap(SIGNED, SECRET)
RECEIPT = gbcs.compose(
    gbcs.ReceiptAlert(gbcs.AlertCode.IMAGE_VERIFIED, INTENT.execution, INTENT.hash),
    originator=DEVICE, recipient=SUPPLIER, counter=5,
)  # fmt: skip


def refused(check, octets, ring):
    with pytest.raises(VerificationError) as refusal:
        gbcs.open_message(octets, ring, broker=BROKER)
    assert check == refusal.value.check


def test_the_real_command_is_believed_by_its_device():
    """The control for all that follows."""
    opened = gbcs.open_message(COMMAND, AT_DEVICE, broker=BROKER)
    assert (INTENT.hash, SUPPLIER_SIGNING.certificate) == (opened.payload.hash, opened.signer)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", Eui64.of(0xBAD)),
        ("supplier", Eui64.of(0xBAD)),
        ("counter", 1001),
        ("hash", ImageHash(b"\x22" * 32)),
        ("execution", None),
        ("execution", gbcs.CANCELLED),
        ("execution", from_iso("2030-01-15T09:00:01Z")),
    ],
)
def test_a_pre_command_that_says_something_else_is_never_signed(field, value):
    """A compromised DSP changes one word of the pre-command: the Supplier's key is not touched."""
    other = gbcs.encode_message(gbcs.pre_command(dataclasses.replace(INTENT, **{field: value})))
    with pytest.raises(VerificationError, match="pre-command"):
        gbcs.sign_pre_command(other, INTENT, SUPPLIER_SIGNING)


def test_every_single_changed_octet_of_a_pre_command_is_refused():
    """No octet of a pre-command is outside the comparison."""
    for at in range(len(PRE_COMMAND)):
        for bit in (0x01, 0x80):
            other = PRE_COMMAND[:at] + bytes((PRE_COMMAND[at] ^ bit,)) + PRE_COMMAND[at + 1 :]
            with pytest.raises((DecodeError, VerificationError)):
                gbcs.sign_pre_command(other, INTENT, SUPPLIER_SIGNING)


def test_a_pre_command_for_another_use_case_is_never_signed():
    """Asked to activate, handed a read: refused."""
    message = gbcs.compose(gbcs.Cs08Command(), originator=SUPPLIER, recipient=DEVICE, counter=1000)
    with pytest.raises(VerificationError, match="pre-command-code"):
        gbcs.sign_pre_command(gbcs.encode_message(message), INTENT, SUPPLIER_SIGNING)


def test_an_already_signed_pre_command_is_refused():
    """A second signature over a first could be used to smuggle octets."""
    with pytest.raises(VerificationError, match="pre-command-already-signed"):
        gbcs.sign_pre_command(SIGNED, INTENT, SUPPLIER_SIGNING)


def test_a_wrapped_pre_command_is_refused():
    """A pre-command carries no MAC."""
    with pytest.raises(VerificationError, match="pre-command-wrapped"):
        gbcs.sign_pre_command(gbcs.mac.wrap(PRE_COMMAND, SECRET), INTENT, SUPPLIER_SIGNING)


def test_both_published_endings_of_a_pre_command_are_signed_alike():
    """Some pre-commands end in a 00 signature length, some omit it."""
    assert SIGNED == gbcs.sign_pre_command(PRE_COMMAND + b"\x00", INTENT, SUPPLIER_SIGNING)


def test_another_partys_key_does_not_sign_our_command():
    """Our own mistake is named as ours."""
    with pytest.raises(UsageError, match="cannot sign"):
        gbcs.sign_pre_command(PRE_COMMAND, INTENT, DEVICE_SIGNING)


def test_a_command_without_mac_is_refused():
    """A party on the HAN replays the Supplier's signed message without the ACB."""
    refused("mac-missing", SIGNED, AT_DEVICE)


def test_a_command_with_a_guessed_mac_is_refused():
    """The MAC is compared whole."""
    refused("mac", COMMAND[:-1] + bytes((COMMAND[-1] ^ 1,)), AT_DEVICE)


def test_a_command_signed_by_an_xml_key_is_refused():
    """The XML signing key of the right Supplier is the wrong key for a Device command."""
    forged = gbcs.sign(gbcs.pre_command(INTENT), SUPPLIER_XML)
    refused("signature", gbcs.mac.wrap(forged, SECRET), AT_DEVICE)


def test_a_command_signed_by_another_party_is_refused():
    """The ACB alone cannot order an activation: it has the MAC key but not the Supplier's."""
    forged = gbcs.sign(gbcs.pre_command(INTENT), DEVICE_SIGNING)
    refused("signature", gbcs.mac.wrap(forged, SECRET), AT_DEVICE)


def test_an_unsigned_command_is_refused():
    """A pre-command with a MAC is still only a pre-command."""
    refused("signature-missing", gbcs.mac.wrap(PRE_COMMAND + b"\x00", SECRET), AT_DEVICE)


def test_an_unsigned_alert_is_refused():
    """A missing signature is never read as nothing to check."""
    refused("signature-missing", gbcs.encode_message(RECEIPT), AT_SUPPLIER)


def test_an_alert_of_an_unknown_device_is_refused():
    """A Device whose certificate is not in the key ring is not believed."""
    refused("signature-key", gbcs.sign(RECEIPT, DEVICE_SIGNING), Ring())


def test_an_alert_in_anothers_name_is_refused():
    """A Device signs an alert that names another Device as originator."""
    forged = gbcs.sign(RECEIPT._replace(originator=SUPPLIER), DEVICE_SIGNING)
    refused("signature", forged, AT_SUPPLIER)


def test_a_mac_where_none_belongs_is_refused():
    """An alert to the Supplier bears no MAC: a wrapping could only hide something."""
    refused("mac-unexpected", gbcs.mac.wrap(gbcs.sign(RECEIPT, DEVICE_SIGNING), SECRET), AT_SUPPLIER)


def test_a_signature_where_none_belongs_is_refused():
    """CS08 bears no signature."""
    message = gbcs.compose(gbcs.Cs08Command(), originator=BROKER, recipient=DEVICE, counter=1)
    signed = gbcs.sign(message, SUPPLIER_SIGNING)
    refused("signature-unexpected", gbcs.mac.wrap(signed, SECRET), AT_DEVICE)


def test_a_response_cannot_be_reflected_as_a_command():
    """The mode octet of the key derivation keeps directions apart: a response's MAC fits no command."""
    response = gbcs.encode_message(
        gbcs.compose(
            gbcs.Cs08Response(FirmwareVersion(1), gbcs.Outcome.SUCCESS),
            originator=DEVICE, recipient=BROKER, counter=1,
        )
    )  # fmt: skip
    mac = gbcs.mac.mac_of(response, SECRET)
    command = gbcs.encode_message(
        gbcs.compose(gbcs.Cs08Command(), originator=DEVICE, recipient=BROKER, counter=1)
    )
    assert mac != gbcs.mac.mac_of(command, SECRET)
    assert gbcs.open_message(gbcs.mac.wrap(response, SECRET), AT_BROKER, broker=BROKER).signer is None


def test_a_stranger_without_secrets_cannot_check_a_mac():
    """The Supplier, who shares no secret with the Device, is told so by name."""
    refused("mac-key", COMMAND, AT_SUPPLIER)


@pytest.mark.parametrize("length", ["ff", "84ffffffff", "83ffffff"])
def test_a_length_bomb_costs_nothing(length):
    """A content length of gigabytes in a short message is refused at once."""
    header = PRE_COMMAND[:33]
    with pytest.raises(DecodeError):
        gbcs.decode(header + bytes.fromhex(length))


def test_an_explanation_of_a_forgery_says_that_it_failed():
    """A human sees which check failed and why."""
    forged = COMMAND[:-1] + bytes((COMMAND[-1] ^ 1,))
    mac, signature = gbcs.explain(forged, AT_DEVICE, BROKER).verdicts
    assert (False, True) == (mac.passed, signature.passed)


def test_an_explanation_without_keys_claims_nothing():
    """No keys: the verdicts are open, neither passed nor failed."""
    assert [None, None] == [verdict.passed for verdict in gbcs.explain(COMMAND).verdicts]


def test_an_unknown_message_code_is_refused_where_it_stands():
    """A message of another use case, wrapped: the error names the code's own offset."""
    foreign = gbcs.encode_message(gbcs.pre_command(INTENT)._replace(code=0x0059, signature=b""))
    wrapped = gbcs.mac.wrap(foreign, SECRET)
    for octets in (foreign, wrapped):
        with pytest.raises(DecodeError) as refusal:
            gbcs.decode(octets)
        assert octets[refusal.value.offset :][:2] == b"\x00\x59"
