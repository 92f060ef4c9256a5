"""Keys on disk: a directory of PEM files, a certificate each, with its private key where we hold it.

    DIR/90b3d51f30010000-supplier-ds-1f0a52c3.pem    CERTIFICATE, and after it PRIVATE KEY (PKCS #8)
    DIR/*.pem                                        whatever else: any certificates and keys, in any order
    DIR/token.toml                                   which private keys are on a PKCS#11 token: see `token`

The directory is the trust store: a certificate is believed because it lies here. So it and every file in it
must belong to us or to root, must be writable by nobody else, and may be no symbolic link; a file that holds
a private key is refused unless its owner alone can read it (mode 0600). All this is asked of what was
opened, not of its name. A private key is matched to its certificate by its public half, never by a file's
name. Keys are held in `PrivateKey`, which does not show them; no error here quotes what a file holds.

A manufacturer's seal key stands outside SMKI and has no certificate: `load_private_key`, `load_public_key`.
They demand the same of their one file. An import does not: who names a file to import vouches for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from lamplighter.kit import DecodeError, Eui64, LamplighterError, UsageError
from lamplighter.protocol.smki import Certificate, PrivateKey, Ring, Role, Signer, Use, decode_certificate
from lamplighter.service import token, trusted, writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_PEM_OCTETS: Final = 1_000_000
"""Larger files are refused unread: a certificate with its key has about 1,000 octets."""

MAX_KEYSTORE_OCTETS: Final = 50_000_000

_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_PEM_LEAD: Final = b"-----BEGIN "
_PRIVATE_LABELS: Final = frozenset({b"PRIVATE KEY", b"EC PRIVATE KEY"})
_USES: Final = {Use.DIGITAL_SIGNATURE: "digitalSignature", Use.KEY_AGREEMENT: "keyAgreement"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate in a directory."""

    path: Path
    """The file that it lies in."""
    certificate: Certificate
    """Who holds the key, in which role, for which use."""
    private: bool
    """Whether its private key is ours to use: it lies in the directory, or on the token."""
    token: str | None = None
    """The label of the token that its private key is on."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One entry of an import that was left out, and why; the others were taken."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    added: tuple[Entry, ...]
    """New files, one a certificate."""
    known: tuple[Entry, ...]
    """Entries that the directory held already."""
    rejected: tuple[Rejected, ...]
    """Entries that could not be read."""


def load(directory: Path) -> Ring:
    """The key ring of a directory; refuses the whole where one file cannot be trusted or read.

    A token is not touched until one of its keys is to sign.
    """
    contents = _read(directory)
    return Ring((entry.certificate for entry in contents.entries), contents.private_keys)


def entries(directory: Path) -> tuple[Entry, ...]:
    """What a directory holds, sorted by holder, role and use."""
    return _read(directory).entries


def create(directory: Path) -> None:
    """Make the directory, readable by its owner alone; one that exists is left as it is."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as cause:
        raise UsageError(f"cannot make the key directory {directory}: {cause.strerror}") from cause


def store(directory: Path, certificate: Certificate, key: ec.EllipticCurvePrivateKey | None = None) -> Entry:
    """Write a certificate, with its private key if given, to a new file; one that exists is never touched."""
    octets = certificate.pem
    if key is not None:
        PrivateKey(certificate, key)  # refuses a key that is not the certificate's
        octets += _private_pem(key)
    path = directory / file_name(certificate)
    _write_new(path, octets, 0o644 if key is None else 0o600)
    return Entry(path, certificate, key is not None)


def store_seal_key(directory: Path, name: str, key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
    """Write a bare key pair to NAME.key (0600) and NAME.pub; the names keep them out of the key ring."""
    private, public = directory / f"{name}.key", directory / f"{name}.pub"
    _write_new(private, _private_pem(key), 0o600)
    spki = PublicFormat.SubjectPublicKeyInfo
    _write_new(public, key.public_key().public_bytes(Encoding.PEM, spki), 0o644)
    return private, public


def file_name(certificate: Certificate) -> str:
    """A name for people: holder, role, use, and the start of the certificate's SHA-256 to part twins."""
    holder, role = certificate.holder.octets.hex(), role_name(certificate.role)
    digest = hashlib.sha256(certificate.der).hexdigest()[:8]
    return f"{holder}-{role}-{certificate.use.value}-{digest}.pem"


def role_name(role: int | None) -> str:
    """A role in a word: `supplier`, `acb-xml-signing`, `device`, or `role-5a` for one without a name."""
    if role is None:
        return "device"
    try:
        return Role(role).name.lower().replace("_", "-")
    except ValueError:
        return f"role-{role:02x}"


def import_file(directory: Path, path: Path) -> Imported:
    """Import a DCC test keystore (JSON), or PEM: any number of certificates, with private keys or without.

    The keystore's shape is `{eui: {use: {serial: {certificate, privateKey, name}}}}`, where use is
    `digitalSignature` or `keyAgreement`. Each entry must agree with its own certificate on holder, use,
    serial number and public key. One that does not is reported and left out; the others are taken.
    Importing again changes nothing. The DCC publishes its keystore's private keys, so that file may be
    readable by anybody.
    """
    with trusted.opened(path) as descriptor:
        octets, status = trusted.octets_of(path, descriptor, MAX_KEYSTORE_OCTETS)
    rejected: list[Rejected] = []
    if octets.lstrip()[:1] == b"{":
        found, rejected = _from_keystore(octets)
    elif _PEM_LEAD not in octets:
        raise UsageError(f"{path} holds neither PEM nor JSON: expected keystore.json, or certificates in PEM")
    else:
        _refuse_disclosed(path, octets, status)
        found = _from_pem(path, octets)
    create(directory)
    held = {entry.certificate: entry for entry in entries(directory)}
    ring = Ring(held)
    added, known = [], []
    for certificate, key in found:
        entry = held.get(certificate)
        if entry is None:
            try:
                ring.add(certificate)  # before it is written: a clash in the directory would lock us out
            except UsageError as clash:
                rejected.append(Rejected(str(certificate), str(clash)))
                continue
            held[certificate] = entry = store(directory, certificate, key)
            added.append(entry)
        elif key is not None and not entry.private:
            rejected.append(
                Rejected(
                    str(certificate),
                    f"its certificate lies without the private key in {entry.path}; remove that file first",
                )
            )
        else:
            known.append(entry)
    return Imported(tuple(added), tuple(known), tuple(rejected))


def load_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The one private key in a PEM file that its owner alone can read."""
    keys = [key for _, key in _blocks(path, _read_pem(path)) if key is not None]
    if len(keys) != 1:
        raise UsageError(f"{path} must hold one private key; it holds {len(keys)}")
    return keys[0]


def load_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """The public key in a PEM file: a bare one, or that of a certificate."""
    octets = _read_pem(path)
    if b"-----BEGIN CERTIFICATE-----" in octets:
        return _certificate(path, octets).public_key
    try:
        key = load_pem_public_key(octets)
    except Exception as cause:  # the library raises many kinds for hostile input
        raise UsageError(f"{path} holds no public key or certificate in PEM") from cause
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"{path} holds a public key that is not P-256")
    return key


def store_evidence_key(private: Path, public: Path, key: ed25519.Ed25519PrivateKey) -> None:
    """Write a key that signs evidence: its private half with mode 0600, and its public half for everybody."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(private, pem, 0o600)
    spki = PublicFormat.SubjectPublicKeyInfo
    _write_new(public, key.public_key().public_bytes(Encoding.PEM, spki), 0o644)


def load_evidence_key(path: Path) -> ed25519.Ed25519PrivateKey:
    """The Ed25519 private key in a PEM file that its owner alone can read."""
    octets = _read_pem(path)
    try:
        key = load_pem_private_key(octets, None)
    except Exception as cause:  # the library raises many kinds for hostile input
        raise UsageError(f"{path} holds no private key in PEM without a password") from cause
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UsageError(f"{path} holds a private key that is not Ed25519: `evidence keygen` makes one")
    return key


def load_evidence_public_key(path: Path) -> ed25519.Ed25519PublicKey:
    """The Ed25519 public key in a PEM file, which nobody else can change."""
    octets = _read_pem(path)
    try:
        key = load_pem_public_key(octets)
    except Exception as cause:  # the library raises many kinds for hostile input
        raise UsageError(f"{path} holds no public key in PEM") from cause
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise UsageError(f"{path} holds a public key that is not Ed25519")
    return key


@dataclass(frozen=True, slots=True)
class _Contents:
    entries: tuple[Entry, ...]
    private_keys: tuple[Signer, ...]


def _read(directory: Path) -> _Contents:
    certificates: dict[Certificate, Path] = {}
    keys: dict[bytes, tuple[Path, ec.EllipticCurvePrivateKey]] = {}
    described = None
    with _opened_directory(directory) as descriptor:
        names = os.listdir(descriptor)  # noqa: PTH208 # what was opened, not what the path names by now
        for path in (directory / name for name in sorted(names) if name.endswith(".pem")):
            for certificate, key in _blocks(path, _read_pem(path, descriptor)):
                if certificate is not None:
                    certificates.setdefault(certificate, path)
                if key is not None:
                    keys[_point(key.public_key())] = path, key
        if token.FILE_NAME in names:
            described = token.load(directory / token.FILE_NAME, descriptor)
    points = {certificate: _point(certificate.public_key) for certificate in certificates}
    for orphan in keys.keys() - points.values():
        path = keys[orphan][0]
        raise UsageError(f"{path} holds a private key that belongs to no certificate in {directory}")
    found = sorted(
        (Entry(path, certificate, points[certificate] in keys) for certificate, path in certificates.items()),
        key=_order,
    )
    private: list[Signer] = [
        PrivateKey(entry.certificate, keys[points[entry.certificate]][1]) for entry in found if entry.private
    ]
    if described is not None:
        found, on_token = _with_token(directory, found, described)
        private += on_token
    return _Contents(tuple(found), tuple(private))


def _with_token(
    directory: Path, found: list[Entry], described: token.Description
) -> tuple[list[Entry], list[token.TokenKey]]:
    """The same entries, where those whose keys are on the token say so; and these keys."""
    holder = token.Token(described)
    on_token: dict[Certificate, token.TokenKey] = {}
    for name, key in described.keys.items():
        where = f"{directory / token.FILE_NAME}: {name}"
        entries = [entry for entry in found if entry.path.name == name]
        signing = [entry for entry in entries if entry.certificate.use is Use.DIGITAL_SIGNATURE]
        if len(signing) != 1:
            raise UsageError(
                f"{where}: expected a file here that holds one certificate for signing, found {len(signing)}"
            )
        [entry] = signing
        if entry.private:
            raise UsageError(
                f"{where}: its private key is said to be on the token, and lies in a file here too; take it "
                "out of the file"
            )
        on_token[entry.certificate] = token.TokenKey(entry.certificate, holder, key)
    label = described.label
    marked = [
        replace(entry, private=True, token=label) if entry.certificate in on_token else entry
        for entry in found
    ]
    return marked, list(on_token.values())


def _order(entry: Entry) -> tuple[Eui64, int, str, int]:
    certificate = entry.certificate
    role = -1 if certificate.role is None else certificate.role
    return certificate.holder, role, certificate.use.value, certificate.serial


@contextmanager
def _opened_directory(directory: Path) -> Iterator[int]:
    if not directory.is_dir():
        raise UsageError(f"there is no key directory {directory}; `lamplighter keys init` makes one")
    with trusted.opened(directory, os.O_DIRECTORY | os.O_NOFOLLOW) as descriptor:
        trusted.refuse_foreign(directory, os.fstat(descriptor))
        yield descriptor


def _read_pem(path: Path, within: int | None = None) -> bytes:
    """A file that is believed for where it lies."""
    octets, status = trusted.read(path, MAX_PEM_OCTETS, within)
    _refuse_disclosed(path, octets, status)
    trusted.refuse_foreign(path, status)
    return octets


def _refuse_disclosed(path: Path, octets: bytes, status: os.stat_result) -> None:
    """Refuse a private key that others can read."""
    if b"PRIVATE KEY-----" in octets:
        trusted.refuse_disclosed(path, status, "a private key")


def _blocks(path: Path, octets: bytes) -> list[tuple[Certificate | None, ec.EllipticCurvePrivateKey | None]]:
    """Each PEM block as (certificate, None) or (None, key)."""
    found: list[tuple[Certificate | None, ec.EllipticCurvePrivateKey | None]] = []
    for label, block in _labelled(path, octets):
        if label == b"CERTIFICATE":
            found.append((_certificate(path, block), None))
        elif label in _PRIVATE_LABELS:
            found.append((None, _private_key(path, block)))
        else:
            wanted = "CERTIFICATE, PRIVATE KEY or EC PRIVATE KEY"
            raise UsageError(f"{path}: expected {wanted} in PEM, found {label.decode()}")
    if not found:
        raise UsageError(f"{path} holds nothing in PEM")
    return found


def _labelled(path: Path, octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The PEM blocks with their labels; looked through once, whatever the octets are."""
    at = 0
    while (begin := _BEGIN.search(octets, at)) is not None:
        label = begin.group(1)
        end = b"-----END %b-----" % label
        stop = octets.find(end, begin.end())
        if stop < 0:
            raise UsageError(f"{path} is cut off: a block in PEM begins and does not end")
        at = stop + len(end)
        yield label, octets[begin.start() : at]


def _certificate(path: Path, block: bytes) -> Certificate:
    try:
        return decode_certificate(block)
    except DecodeError as cause:
        raise UsageError(f"{path}: {cause}") from cause


def _private_key(path: Path | str, block: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(block, None)
    except Exception:  # noqa: BLE001 # the library raises many kinds for hostile input
        # No cause: the library's words on a broken key are not ours to repeat.
        raise UsageError(f"{path} holds a private key that cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"{path} holds a private key that is not P-256")
    return key


def _from_pem(path: Path, octets: bytes) -> list[tuple[Certificate, ec.EllipticCurvePrivateKey | None]]:
    blocks = _blocks(path, octets)
    keys = {_point(key.public_key()): key for _, key in blocks if key is not None}
    certificates = [certificate for certificate, _ in blocks if certificate is not None]
    found = [(certificate, keys.pop(_point(certificate.public_key), None)) for certificate in certificates]
    if keys:
        raise UsageError(f"{path} holds a private key without its certificate")
    return found


def _from_keystore(
    octets: bytes,
) -> tuple[list[tuple[Certificate, ec.EllipticCurvePrivateKey | None]], list[Rejected]]:
    found: list[tuple[Certificate, ec.EllipticCurvePrivateKey | None]] = []
    rejected: list[Rejected] = []
    for holder, uses in _members(_parse(octets), "the keystore"):
        for use, serials in _sound_members(uses, holder, rejected):
            for serial, entry in _sound_members(serials, f"{holder} {use}", rejected):
                name = f"{holder} {use} {serial}"
                try:
                    found.append(_keystore_entry(holder, use, serial, entry))
                except LamplighterError as refusal:
                    rejected.append(Rejected(_label(entry, name), str(refusal)))
    return found, rejected


def _parse(octets: bytes) -> Any:
    try:
        return json.loads(octets)
    except (ValueError, RecursionError) as cause:
        raise DecodeError("keystore", "JSON", 0, "a JSON object", type(cause).__name__) from cause


def _members(value: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise DecodeError("keystore", _shown(where), 0, "a JSON object", type(value).__name__)
    return list(value.items())


def _sound_members(value: Any, where: str, rejected: list[Rejected]) -> list[tuple[str, Any]]:
    """The same, where one that is no object is left out by itself."""
    try:
        return _members(value, where)
    except DecodeError as refusal:
        rejected.append(Rejected(_shown(where), str(refusal)))
        return []


def _label(entry: Any, name: str) -> str:
    given = entry.get("name") if isinstance(entry, dict) else None
    return _shown(given if isinstance(given, str) else name)


def _shown(text: str) -> str:
    """Foreign text, fit for a terminal."""
    return text[:120] if text.isascii() and text.isprintable() else ascii(text[:120])


def _keystore_entry(
    holder: str, use: str, serial: str, entry: Any
) -> tuple[Certificate, ec.EllipticCurvePrivateKey | None]:
    texts = {
        key: text.encode("ascii", "replace")
        for key, text in _members(entry, "entry")
        if isinstance(text, str)
    }
    if "certificate" not in texts:
        raise DecodeError("keystore", "certificate", 0, "a certificate in PEM", "none")
    certificate = decode_certificate(texts["certificate"])
    claims = (
        ("holder", Eui64.parse(holder), certificate.holder),
        ("use", use, _USES[certificate.use]),
        ("serial number", serial, str(certificate.serial)),
    )
    for name, claimed, held in claims:
        if claimed != held:
            raise DecodeError("keystore", name, 0, f"{held}, as its certificate says", _shown(str(claimed)))
    key = _private_key("the keystore", texts["privateKey"]) if "privateKey" in texts else None
    if key is not None:
        PrivateKey(certificate, key)
    return certificate, key


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_new(path: Path, octets: bytes, mode: int) -> None:
    try:
        writing.write_new(path, octets, mode)
    except FileExistsError as cause:
        raise UsageError(f"{path} exists already and is not overwritten") from cause
    except OSError as cause:
        raise UsageError(f"cannot write {path}: {cause.strerror}") from cause


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
