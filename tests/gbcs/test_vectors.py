"""The published reference messages: parsed, re-encoded octet for octet, every MAC and signature verified."""

import pytest

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, VerificationError
from lamplighter.kit.instant import from_iso
from lamplighter.protocol import gbcs
from lamplighter.protocol.smki import Role

BROKER = Eui64.parse("90-B3-D5-1F-30-00-00-02")
SUPPLIER = Eui64.parse("90-B3-D5-1F-30-01-00-00")
ESME = Eui64.parse("00-DB-12-34-56-78-90-A0")
GSME = Eui64.parse("00-DB-12-34-56-78-90-A1")
HUB = Eui64.parse("00-DB-12-34-56-78-90-A2")
PPMID = Eui64.parse("00-DB-12-34-56-78-90-A4")
HASH = ImageHash.parse("AA758690730934FF0685AA758690730934FF0685657788990011223344556677")
JANUARY_2015 = from_iso("2015-01-01T00:00:00Z")
JANUARY_2030 = from_iso("2030-01-15T09:00:00Z")
NINES = gbcs.CosemDateTime(bytes.fromhex("07DF0101FF000000008000FF"))

# Name of the file, signer, and what its content says.
VECTORS = [
    ("CCS08_NA_NA_ALERT", HUB, gbcs.Ccs08Alert(
        gbcs.AlertCode.TRANSFER_SUCCEEDED, JANUARY_2015, PPMID, FirmwareVersion(0x0123ABCD),
        gbcs.TransferResult.SUCCESS)),
    ("CS06_11.3_8F66_FUTURE_DATED_SUCCESS_ALERT", ESME, gbcs.OutcomeAlert(
        gbcs.AlertCode.FUTURE_DATED_SUCCESS, JANUARY_2030, 1001, gbcs.ActivationResult.SUCCESS,
        FirmwareVersion(0x0123ABCF))),
    ("CS06_11.3_FUTURE_DATED_SUCCESS_COMMAND", SUPPLIER, gbcs.Cs06Command(HASH, 1001, JANUARY_2030)),
    ("CS06_11.3_FUTURE_DATED_SUCCESS_RESPONSE", ESME, gbcs.Cs06Accepted()),
    ("CS06_11.3_IMMEDIATE_SUCCESS_COMMAND", SUPPLIER, gbcs.Cs06Command(HASH, 1000, None)),
    ("CS06_11.3_IMMEDIATE_SUCCESS_RESPONSE", ESME, gbcs.Cs06Response(
        gbcs.ActivationResult.SUCCESS, FirmwareVersion(0x0123ABCE))),
    ("CS08_11.2_SUCCESS_COMMAND", None, gbcs.Cs08Command()),
    ("CS08_11.2_SUCCESS_RESPONSE", None, gbcs.Cs08Response(
        FirmwareVersion(0x0123ABCD), gbcs.Outcome.SUCCESS)),
    ("CS09_NA_8F8B_ALERT", PPMID, gbcs.Cs09Alert(
        gbcs.AlertCode.PPMID_ACTIVATION, JANUARY_2015, FirmwareVersion(0x1234ABCD), gbcs.Outcome.SUCCESS)),
    ("FDRA-DLMS_NA_8F72_ALERT", ESME, gbcs.ReceiptAlert(
        gbcs.AlertCode.IMAGE_VERIFIED, NINES, ImageHash(b"\x01" * 32), 0x200007D0)),
    ("FDRA-ZigBee_NA_8F72_ALERT", GSME, gbcs.ReceiptAlert(
        gbcs.AlertCode.IMAGE_VERIFIED, JANUARY_2015, ImageHash(b"\xa1" * 32))),
]  # fmt: skip
PRE_COMMANDS = {
    "CS06_11.3_IMMEDIATE_SUCCESS": gbcs.Activation(SUPPLIER, ESME, 1000, HASH, None),
    "CS06_11.3_FUTURE_DATED_SUCCESS": gbcs.Activation(SUPPLIER, ESME, 1001, HASH, JANUARY_2030),
}


@pytest.fixture
def vector(shared):
    def read(name):
        return bytes.fromhex((shared / "vectors" / "gbcs" / f"{name}_GBCS.HEX").read_text())

    return read


def test_no_published_message_is_forgotten(shared):
    """Every file in the folder is in one of the tables above."""
    names = {path.name.removesuffix("_GBCS.HEX") for path in (shared / "vectors" / "gbcs").glob("*.HEX")}
    assert names == {name for name, *_ in VECTORS} | {f"{name}_PRECOMMAND" for name in PRE_COMMANDS}


@pytest.mark.parametrize(("name", "signer", "payload"), VECTORS)
def test_a_published_message_is_read_believed_and_written(vector, keystore, name, signer, payload):
    """Its value is the expected one, all its checks pass, and encoding gives the same octets."""
    octets = vector(name)
    opened = gbcs.open_message(octets, keystore, broker=BROKER)
    assert payload == opened.payload
    assert signer == (opened.signer and opened.signer.holder)
    assert octets == gbcs.encode(gbcs.decode(octets))


@pytest.mark.parametrize("name", PRE_COMMANDS)
def test_a_published_pre_command_is_what_we_would_build(vector, name):
    """The pre-command of an intent equals the published one octet for octet."""
    octets = vector(f"{name}_PRECOMMAND")
    assert octets == gbcs.encode_message(gbcs.pre_command(PRE_COMMANDS[name]))
    assert octets == gbcs.encode(gbcs.decode(octets))


@pytest.mark.parametrize("name", PRE_COMMANDS)
def test_the_published_command_is_rebuilt_from_its_pre_command(vector, keystore, name):
    """Pre-command + Supplier key + ACB key give the published command; ECDSA is random, so verify that."""
    signed = gbcs.sign_pre_command(
        vector(f"{name}_PRECOMMAND"), PRE_COMMANDS[name], keystore.signer(SUPPLIER, Role.SUPPLIER)
    )
    published = vector(f"{name}_COMMAND")
    inner, mac = gbcs.mac.unwrap(published)
    assert inner[:-64] == signed[:-64]
    for secret in keystore.secrets(BROKER, ESME):
        rebuilt = gbcs.mac.wrap(signed, secret)
        if gbcs.mac.mac_of(inner, secret) == mac:
            assert published == gbcs.mac.wrap(inner, secret)
            break
    else:
        pytest.fail("no pair of ACB and Device certificates gives the published MAC")
    assert gbcs.open_message(rebuilt, keystore, broker=BROKER).payload == gbcs.decode(published).payload


@pytest.mark.parametrize(("name", "signer"), [(name, signer) for name, signer, _ in VECTORS])
def test_one_changed_octet_is_never_believed(vector, keystore, name, signer):
    """Change each octet of a real message in turn: nothing that comes out of it is believed."""
    octets = vector(name)
    believed = []
    # A wrapped message is authenticated but for its framing, where a change is nonsense.
    for at in range(0, len(octets), 1 if signer is None else 5):
        forged = octets[:at] + bytes((octets[at] ^ 0x01,)) + octets[at + 1 :]
        try:
            gbcs.open_message(forged, keystore, broker=BROKER)
        except (DecodeError, VerificationError):
            continue
        believed.append(at)
    assert believed == []


@pytest.mark.parametrize("name", [name for name, *_ in VECTORS])
def test_an_explanation_covers_every_octet_once(vector, keystore, name):
    """The fields of an explanation, put together, are the message."""
    octets = vector(name)
    explanation = gbcs.explain(octets, keystore, BROKER)
    assert octets == b"".join(line.field.octets for line in explanation.lines)
    assert all(verdict.passed for verdict in explanation.verdicts)
    assert explanation.verdicts
