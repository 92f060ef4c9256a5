"""Keys on a PKCS#11 token, with SoftHSM's real module: signing, refusals, and a token that goes away."""

import shutil
import subprocess
import sys
import threading

import pytest
import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from lamplighter.kit import UsageError
from lamplighter.protocol.smki import Role, SigningError, Use, is_signed_by
from lamplighter.service import keyfiles

from .parties import PKI, SUPPLIER

KEYS = dict(PKI.supplier_keys(SUPPLIER))
SIGNING = {it: key for it, key in KEYS.items() if it.use is Use.DIGITAL_SIGNATURE}
CERTIFICATE, KEY = next((it, key) for it, key in SIGNING.items() if it.role == Role.SUPPLIER)
FILE = keyfiles.file_name(CERTIFICATE)
NAMED = {CERTIFICATE: 'label = "key 1"'}
OCTETS = b"an image, or whatever else is to be signed"


@pytest.fixture
def directory(tmp_path):
    """A key directory with the Supplier's certificates, and no private key."""
    directory = tmp_path / "keys"
    keyfiles.create(directory)
    for certificate in KEYS:
        keyfiles.store(directory, certificate)
    return directory


@pytest.fixture
def held(hsm, directory):
    """The same, where the token holds the private signing keys."""
    hsm.keep(directory, SIGNING)
    return directory


def signer_of(directory):
    return keyfiles.load(directory).signer(SUPPLIER, Role.SUPPLIER)


def refusal(directory):
    """What is said where nothing can be signed."""
    with pytest.raises(SigningError) as raised:
        signer_of(directory).sign(OCTETS)
    return str(raised.value)


def log_in_by_hand(hsm, pin):
    """As somebody does with another program."""
    script = (
        "import pkcs11, sys\n"
        "for slot in pkcs11.lib(sys.argv[1]).get_slots(token_present=True):\n"
        "    token = slot.get_token()\n"
        "    if token.label == sys.argv[2]:\n"
        "        token.open(user_pin=sys.argv[3]).close()\n"
    )
    subprocess.run([sys.executable, "-c", script, hsm.module, "supplier's own", pin], check=True)


def test_a_token_signs_what_strangers_verify(held):
    """64 octets r || s that our own verifier takes, and cryptography; two of the same octets differ."""
    ring = keyfiles.load(held)
    for certificate in SIGNING:
        key = ring.private_key(certificate)
        one, other = key.sign(OCTETS), key.sign(OCTETS)
        assert (64, True) == (len(one), one != other)
        assert is_signed_by(certificate.public_key, OCTETS, one)
        der = encode_dss_signature(int.from_bytes(other[:32], "big"), int.from_bytes(other[32:], "big"))
        certificate.public_key.verify(der, OCTETS, ec.ECDSA(hashes.SHA256()))


def test_the_directory_says_which_keys_the_token_holds(held):
    """Ours to use, and on the token: two of three; the key for agreement is nowhere."""
    said = {entry.certificate: (entry.private, entry.token) for entry in keyfiles.entries(held)}
    assert {it: (True, "supplier's own") if it in SIGNING else (False, None) for it in KEYS} == said


def test_threads_may_sign_at_once(held):
    """Eight of them share a token; every signature is right."""
    key, good = signer_of(held), []

    def sign(number):
        for turn in range(20):
            octets = b"%d %d" % (number, turn)
            good.append(is_signed_by(CERTIFICATE.public_key, octets, key.sign(octets)))

    threads = [threading.Thread(target=sign, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [True] * 160 == good


def test_who_only_verifies_needs_neither_token_nor_pin(held, hsm):
    """The ring is there while the token is away; only a signature is missed."""
    hsm.pin.unlink()
    hsm.take_away()
    ring = keyfiles.load(held)
    assert KEYS.keys() == set(ring)
    with pytest.raises(SigningError):
        ring.signer(SUPPLIER, Role.SUPPLIER).sign(OCTETS)


def test_the_pin_may_stand_in_the_environment(held, hsm, monkeypatch):
    """Where `token.toml` names no file."""
    hsm.describe(held, NAMED, **{"pin-file": None})
    assert "LAMPLIGHTER_TOKEN_PIN" in refusal(held)
    monkeypatch.setenv("LAMPLIGHTER_TOKEN_PIN", hsm.pin.read_text().strip())
    assert 64 == len(signer_of(held).sign(OCTETS))


# What is refused


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"module": "/nowhere/libhsm.so"}, "there is no PKCS#11 module /nowhere/libhsm.so"),
        ({"module": shutil.which("true")}, "is no PKCS#11 module that works"),
        ({"token": "another"}, "knows no token with the label 'another'"),
        ({"pin-file": "/nowhere/pin"}, "cannot read /nowhere/pin"),
    ],
    ids=["no module", "no PKCS#11", "no such token", "no PIN"],
)
def test_what_is_not_there_is_named(held, hsm, changes, reason):
    hsm.describe(held, NAMED, **changes)
    assert reason in refusal(held)


def test_a_key_that_is_not_there_is_named(held, hsm):
    hsm.describe(held, {CERTIFICATE: 'label = "none"\nid = "07"'})
    assert "no private EC key with label 'none' and id 07 on the token" in refusal(held)


def test_two_keys_of_one_label_are_told_apart_by_their_id(held, hsm):
    """None is guessed."""
    hsm.put(ec.derive_private_key(7, ec.SECP256R1()), "key 1", "0a")
    assert "there are 2 private EC keys with label 'key 1'" in refusal(held)
    hsm.describe(held, {CERTIFICATE: 'label = "key 1"\nid = "01"'})
    assert 64 == len(signer_of(held).sign(OCTETS))


def test_a_key_that_does_not_fit_its_certificate_signs_nothing(held, hsm):
    """The other key of the same token: its signature does not get out."""
    hsm.describe(held, {CERTIFICATE: 'label = "key 2"'})
    assert f"is not that of {CERTIFICATE}" in refusal(held)


def test_a_wrong_pin_is_given_once_and_never_again(held, hsm):
    """Not by this process, though the file is right by now; nor by the next, until somebody logs in."""
    right = hsm.pin.read_text().strip()
    hsm.say_pin("00000000")
    key = signer_of(held)
    with pytest.raises(SigningError, match=r"refuses the PIN .PinIncorrect., which is not tried again"):
        key.sign(OCTETS)
    hsm.say_pin(right)
    with pytest.raises(SigningError, match="not tried again"):
        key.sign(OCTETS)
    assert "none is tried until somebody has logged in with the right one" in refusal(held)
    log_in_by_hand(hsm, right)
    assert 64 == len(signer_of(held).sign(OCTETS))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_pin_that_others_can_read_is_refused_with_its_remedy(held, hsm, mode):
    hsm.pin.chmod(mode)
    assert f"holds a PIN that others can read: expected mode 0600, found {mode:04o}" in refusal(held)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [(b"\n", "holds no PIN: it is empty"), (b"sesame\xff\n", "holds no PIN: it is not text")],
)
def test_what_is_no_pin_is_not_tried(held, hsm, octets, reason):
    """A try with it would count as a wrong one."""
    right = hsm.pin.read_text()
    hsm.pin.write_bytes(octets)
    said = refusal(held)
    assert (True, False) == (reason in said, "sesame" in said)
    hsm.pin.write_text(right)
    assert 64 == len(signer_of(held).sign(OCTETS))


def test_a_pin_behind_a_link_is_refused(held, hsm):
    link = hsm.folder / "link"
    link.symlink_to(hsm.pin)
    hsm.describe(held, NAMED, **{"pin-file": str(link)})
    assert "is a symbolic link" in refusal(held)


def test_a_module_that_others_can_swap_is_not_loaded(held, hsm):
    """It would run with all our rights."""
    copy = shutil.copyfile(hsm.module, hsm.folder / "libhsm.so")
    copy.chmod(0o666)
    hsm.describe(held, NAMED, module=str(copy))
    assert f"{copy} is writable by others" in refusal(held)


def test_a_forked_process_does_not_touch_its_parents_session(held):
    """The child is refused; the parent signs on."""
    script = (
        "import os, sys, pathlib\n"
        "from lamplighter.protocol.smki import Role, SigningError\n"
        "from lamplighter.service import keyfiles\n"
        "ring = keyfiles.load(pathlib.Path(sys.argv[1]))\n"
        "[key] = [k for c in ring if c.role == Role.SUPPLIER and (k := ring.private_key(c))]\n"
        "key.sign(b'parent')\n"
        "child = os.fork()\n"
        "try:\n"
        "    key.sign(b'either')\n"
        "except SigningError as refused:\n"
        "    os._exit(7 if 'forked' in str(refused) else 1)\n"
        "sys.exit(0 if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7 else 1)\n"
    )
    subprocess.run([sys.executable, "-c", script, held], check=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("module = ", "is not TOML"),
        ("", "module: expected a text, found nothing"),
        ('module = "/m\\u0000"', "module: expected a text, found '/m"),
        ('module = "libhsm.so"', "module: expected the whole path of a library, found 'libhsm.so'"),
        ('module = "/m"\npin = "1234"', "expected only key, module, pin-file, token, found pin"),
        ('module = "/m"\ntoken = "t"', "key: expected [[key]] at least once, found none"),
        ('module = "/m"\ntoken = "t"\nkey = "k"', "key: expected [[key]] at least once, found 'k'"),
        ('module = "/m"\n[[key]]\nlabel = "k"', "certificate: expected a text, found nothing"),
        ('module = "/m"\n[[key]]\ncertificate = "c.pem"', "c.pem: expected a label or an id, found neither"),
        ('module = "/m"\n[[key]]\ncertificate = "c.pem"\nid = "xy"', "id: expected hexadecimal digits"),
        ('module = "/m"\n[[key]]\ncertificate = "c.pem"\nlabel = 1', "label: expected a text, found 1"),
    ],
)
def test_a_mistake_in_token_toml_is_named(directory, text, reason):
    (directory / "token.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        keyfiles.load(directory)
    assert reason in str(refused.value)


def described(directory, *names):
    entries = [f'[[key]]\ncertificate = "{name}"\nlabel = "k"' for name in names]
    (directory / "token.toml").write_text("\n".join(['module = "/m"', 'token = "t"', *entries]))
    (directory / "token.toml").chmod(0o644)


def test_a_certificate_is_given_one_key(directory):
    described(directory, FILE, FILE)
    with pytest.raises(UsageError, match="expected each file once"):
        keyfiles.load(directory)


def test_a_key_without_its_certificate_is_refused(directory):
    """A file that is not there, and one whose certificate is for agreement: a token only signs."""
    agreement = next(keyfiles.file_name(it) for it in KEYS if it.use is Use.KEY_AGREEMENT)
    for name in ("none.pem", agreement):
        described(directory, name)
        with pytest.raises(UsageError, match=f"{name}: expected a file here that holds one certificate for"):
            keyfiles.load(directory)


def test_a_private_key_is_on_the_token_or_in_a_file_and_not_in_both(directory):
    (directory / FILE).unlink()
    keyfiles.store(directory, CERTIFICATE, KEY)
    described(directory, FILE)
    with pytest.raises(UsageError, match="lies in a file here too; take it out"):
        keyfiles.load(directory)


def test_a_token_toml_that_others_can_change_is_refused(directory, tmp_path):
    """It names a library that is loaded, and the key that signs."""
    described(directory, FILE)
    (directory / "token.toml").chmod(0o666)
    with pytest.raises(UsageError, match="writable by others"):
        keyfiles.load(directory)
    outside = (directory / "token.toml").rename(tmp_path / "outside.toml")
    (directory / "token.toml").symlink_to(outside)
    with pytest.raises(UsageError, match="symbolic link"):
        keyfiles.load(directory)


# A token that goes, and what is told of it


def test_a_token_that_was_away_signs_again(held, hsm):
    """The session is lost; while the token is away each try says so, and then one opens it anew."""
    key = signer_of(held)
    key.sign(OCTETS)
    hsm.take_away()
    for _ in range(2):
        with pytest.raises(SigningError):
            key.sign(OCTETS)
    hsm.bring_back()
    assert is_signed_by(CERTIFICATE.public_key, OCTETS, key.sign(OCTETS))


def test_another_token_of_the_same_label_is_not_taken_for_ours(held, hsm):
    """Swapped while it was away: the same label, another key."""
    key = signer_of(held)
    key.sign(OCTETS)
    hsm.take_away()
    hsm.store.mkdir()
    hsm.initialise()
    hsm.put(ec.derive_private_key(7, ec.SECP256R1()), "key 1", "01")
    with pytest.raises(SigningError):
        key.sign(OCTETS)
    with pytest.raises(SigningError, match="is not that of"):
        key.sign(OCTETS)


def test_neither_pin_nor_key_is_shown(held, hsm):
    """Not in the log, in an error, or in what a debugger prints."""
    pin = hsm.pin.read_text().strip()
    key = signer_of(held)
    with structlog.testing.capture_logs() as logged:
        hsm.say_pin("00000000")
        told = [refusal(held), refusal(held)]
        log_in_by_hand(hsm, pin)
        hsm.say_pin(pin)
        key.sign(OCTETS)
    told += [repr(key), repr(vars(key._token)), repr(logged)]
    secrets = [pin, "00000000", f"{KEY.private_numbers().private_value:064x}"]
    assert [] == [(secret, it) for secret in secrets for it in told if secret in it]
    assert ["token opened"] == [event["event"] for event in logged]
