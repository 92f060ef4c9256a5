"""Threats to the trust store: who else could put a key there, and files made to break its reading."""

import base64
import json
import os
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lamplighter.kit import Eui64, Instant, UsageError
from lamplighter.lab.pki import Pki
from lamplighter.protocol.smki import Role, Use, issue
from lamplighter.service import keyfiles

from .disk import full_disk

SUPPLIER = Eui64.of(0x90B3D51F30010000)
STRANGER = 4711
P256 = bytes.fromhex("06082a8648ce3d030107")
EC = bytes.fromhex("06072a8648ce3d0201")
ODD = {"curve": (P256, P256[:-1] + b"\x77"), "algorithm": (EC, EC[:-1] + b"\x77")}
KEY = ec.derive_private_key(77, ec.SECP256R1())
CERTIFICATE = Pki("seed").issued(SUPPLIER, Role.SUPPLIER, Use.DIGITAL_SIGNATURE).certificate


def twin(holder, serial=9):
    """A certificate of one issuer and serial number, whoever holds it."""
    return issue(
        issuer="CN=Z",
        issuer_key=KEY,
        holder=Eui64.of(holder),
        role=Role.SUPPLIER,
        use=Use.DIGITAL_SIGNATURE,
        public_key=KEY.public_key(),
        serial=serial,
        not_before=Instant(0),
        not_after=Instant(10**15),
    )


def pem(label, der):
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n".encode()


def odd_private_key(part):
    return pem(
        "PRIVATE KEY",
        KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()).replace(*ODD[part]),
    )


def give_away(path, monkeypatch):
    """Make the file a stranger's, or where only root could, us."""
    if os.geteuid() == 0:
        os.chown(path, STRANGER, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)


@pytest.fixture
def store(tmp_path):
    """A key directory with one certificate."""
    directory = tmp_path / "keys"
    keyfiles.create(directory)
    keyfiles.store(directory, CERTIFICATE)
    return directory


@pytest.fixture
def file(store):
    return next(store.iterdir())


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777])
def test_a_directory_to_which_group_or_others_can_add_keys_is_refused_with_its_remedy(store, mode):
    store.chmod(mode)
    with pytest.raises(UsageError, match=f"writable by others .mode {mode:04o}") as refusal:
        keyfiles.load(store)
    assert f"chmod go-w {store}" in str(refusal.value)
    store.chmod(0o755)
    assert CERTIFICATE in keyfiles.load(store)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_certificate_that_group_or_others_can_swap_is_refused_with_its_remedy(store, file, mode):
    file.chmod(mode)
    with pytest.raises(UsageError, match="writable by others") as refusal:
        keyfiles.load(store)
    assert f"chmod go-w {file}" in str(refusal.value)


def test_what_we_write_under_a_careless_umask_is_trusted(tmp_path):
    before = os.umask(0o002)
    try:
        keyfiles.create(tmp_path / "keys")
        keyfiles.store(tmp_path / "keys", CERTIFICATE)
        assert CERTIFICATE in keyfiles.load(tmp_path / "keys")
    finally:
        os.umask(before)


@pytest.mark.parametrize("owned", ["directory", "file"])
def test_a_trust_store_of_another_user_is_refused_with_its_remedy(store, file, monkeypatch, owned):
    give_away(store if owned == "directory" else file, monkeypatch)
    with pytest.raises(UsageError, match=f"belongs to user .*chown {os.geteuid()} "):
        keyfiles.load(store)


def test_a_link_out_of_the_trust_store_is_refused(store, file, tmp_path):
    outside = file.rename(tmp_path / "outside.pem")
    file.symlink_to(outside)
    with pytest.raises(UsageError, match=f"{file} is a symbolic link"):
        keyfiles.load(store)


def test_a_link_to_a_trust_store_is_refused(store, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(store)
    with pytest.raises(UsageError, match="symbolic link"):
        keyfiles.load(link)


def test_a_trust_anchor_that_others_can_swap_is_refused(file, tmp_path, monkeypatch):
    """The manufacturer's public key, as good as a certificate, lies outside the directory."""
    link = tmp_path / "link.pub"
    link.symlink_to(file)
    with pytest.raises(UsageError, match="symbolic link"):
        keyfiles.load_public_key(link)
    file.chmod(0o666)
    with pytest.raises(UsageError, match="writable by others"):
        keyfiles.load_public_key(file)
    file.chmod(0o644)
    give_away(file, monkeypatch)
    with pytest.raises(UsageError, match="belongs to user"):
        keyfiles.load_public_key(file)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["FIFO", "directory"])
def test_what_is_no_file_is_refused_and_never_waited_for(store, make):
    odd = store / "odd.pem"
    make(odd)
    readers = (
        lambda: keyfiles.load(store),
        lambda: keyfiles.load_public_key(odd),
        lambda: keyfiles.import_file(store, odd),
    )
    for read in readers:
        with pytest.raises(UsageError, match=f"{odd} is no regular file"):
            read()


@pytest.mark.parametrize("part", ODD)
def test_a_key_of_an_unknown_kind_is_refused_by_name(tmp_path, part):
    private, public = tmp_path / "odd.key", tmp_path / "odd.pub"
    private.write_bytes(odd_private_key(part))
    private.chmod(0o600)
    with pytest.raises(UsageError, match="private key that cannot be read"):
        keyfiles.load_private_key(private)
    der = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public.write_bytes(pem("PUBLIC KEY", der.replace(*ODD[part])))
    public.chmod(0o644)
    with pytest.raises(UsageError, match="holds no public key"):
        keyfiles.load_public_key(public)


def keystore(path, **entries):
    path.write_text(json.dumps(entries))
    return path


def entry(certificate, private_key=None):
    key = {} if private_key is None else {"privateKey": private_key.decode()}
    return {"digitalSignature": {str(certificate.serial): {"certificate": certificate.pem.decode(), **key}}}


@pytest.mark.parametrize("part", ODD)
def test_a_key_of_an_unknown_kind_costs_an_import_one_entry_only(tmp_path, part):
    good, bad = twin(1, 8), twin(2, 9)
    path = keystore(
        tmp_path / "keystore.json",
        **{str(good.holder): entry(good), str(bad.holder): entry(bad, odd_private_key(part))},
    )
    done = keyfiles.import_file(tmp_path / "keys", path)
    assert [good] == [each.certificate for each in done.added]
    assert ["the keystore holds a private key that cannot be read"] == [each.reason for each in done.rejected]


@pytest.mark.parametrize("odd", [5, None, [], "text", {"digitalSignature": 5}], ids=ascii)
def test_a_holder_that_is_no_object_costs_an_import_that_holder_only(tmp_path, odd):
    good = twin(1)
    path = keystore(
        tmp_path / "keystore.json", **{"00-00-00-00-00-00-00-02": odd, str(good.holder): entry(good)}
    )
    done = keyfiles.import_file(tmp_path / "keys", path)
    assert [good] == [each.certificate for each in done.added]
    assert ["00-00-00-00-00-00-00-02"] == [each.name.split()[0] for each in done.rejected]


def test_a_second_certificate_of_one_serial_number_cannot_poison_the_directory(tmp_path):
    """It would be written, and then nothing in the directory could be loaded any more."""
    first, second, other, path = twin(1), twin(2), twin(3, 10), tmp_path / "twins.pem"
    path.write_bytes(first.pem + second.pem + other.pem)
    done = keyfiles.import_file(tmp_path / "keys", path)
    assert [first, other] == [each.certificate for each in done.added]
    assert [f"two different certificates claim to be {second}"] == [each.reason for each in done.rejected]
    path.write_bytes(second.pem)
    assert len(keyfiles.import_file(tmp_path / "keys", path).rejected) == 1
    assert {first, other} == set(keyfiles.load(tmp_path / "keys"))


def test_beginnings_without_ends_are_refused_in_one_pass(tmp_path):
    path = tmp_path / "begin.pem"
    path.write_bytes(b"-----BEGIN A-----\n" * (keyfiles.MAX_PEM_OCTETS // 18))
    started = time.process_time()
    with pytest.raises(UsageError, match="begins and does not end"):
        keyfiles.import_file(tmp_path / "keys", path)
    assert time.process_time() - started < 1


def test_an_import_is_what_was_checked_though_the_file_be_swapped_meanwhile(tmp_path, monkeypatch):
    """The file is opened once: what follows speaks of those octets."""
    path, opened = tmp_path / "one.pem", []
    path.write_bytes(CERTIFICATE.pem)
    genuine = os.open

    def swapping(name, *rest, **more):
        descriptor = genuine(name, *rest, **more)
        if name == path:
            opened.append(name)
            path.unlink()
            path.write_bytes(twin(2).pem)
        return descriptor

    monkeypatch.setattr(os, "open", swapping)
    done = keyfiles.import_file(tmp_path / "keys", path)
    assert ([path], [CERTIFICATE]) == (opened, [each.certificate for each in done.added])


def test_a_key_file_that_cannot_be_written_whole_is_not_left_half_written(store):
    with full_disk(), pytest.raises(UsageError, match="cannot write"):
        keyfiles.store(store, twin(1))
    assert {CERTIFICATE} == set(keyfiles.load(store))
