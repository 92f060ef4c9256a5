"""Keys on a PKCS#11 token, such as an HSM: they sign there, and never leave it.

`token.toml` in the key directory says which they are:

    module = "/usr/lib/softhsm/libsofthsm2.so"      # the vendor's library
    token = "supplier"                              # the token's label
    pin-file = "/etc/lamplighter/token.pin"         # or in this directory; or LAMPLIGHTER_TOKEN_PIN

    [[key]]
    certificate = "90b3d51f30010000-supplier-ds-1f0a52c3.pem"   # a file of the key directory
    label = "supplier"                              # of the private key; or its id, in hexadecimal; or both

We hash, the token signs the hash (CKM_ECDSA), and no signature goes out that does not verify under the
certificate: so a key is never taken for another's, at the start or after somebody swapped the token.

The first signature opens the token, so that who only verifies needs neither token nor PIN. Any failure closes
it, and the next signature opens it anew; but a PIN that was refused is never tried again, for a few of those
lock a token. A module is one for the whole process, and is not told of threads: one call into it at a time. A
forked process must not touch what its parent has opened, and is refused.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import structlog

from lamplighter.kit import UsageError, toml
from lamplighter.protocol.smki import Certificate, SigningError, is_signed_by
from lamplighter.service import trusted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.service.cryptoki import Session

FILE_NAME: Final = "token.toml"
PIN_VARIABLE: Final = "LAMPLIGHTER_TOKEN_PIN"

_MAX_OCTETS: Final = 100_000  # of token.toml
_MAX_PIN_OCTETS: Final = 1_000
_LOCK: Final = threading.Lock()  # of all modules: each is one for the process, and none is told of threads

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyName:
    """How a private key is found on its token: by all that is given."""

    label: str | None
    """Its CKA_LABEL."""
    id: bytes | None
    """Its CKA_ID."""

    def __str__(self) -> str:
        label = None if self.label is None else f"label {self.label!r}"
        id_ = None if self.id is None else f"id {self.id.hex()}"
        return " and ".join(filter(None, (label, id_)))


@dataclass(frozen=True, slots=True)
class Description:
    """What `token.toml` says."""

    module: Path
    """The vendor's library; it runs with all our rights."""
    label: str
    """The token's label."""
    pin_file: Path | None
    """The file that holds its PIN; None: it is in the environment."""
    keys: Mapping[str, KeyName]
    """The private keys, by the name of the file with the certificate."""


def load(path: Path, within: int) -> Description:
    """Read `token.toml` in the directory opened as `within`.

    Raises `UsageError` where it cannot be trusted or read.
    """
    octets, status = trusted.read(path, _MAX_OCTETS, within)
    trusted.refuse_foreign(path, status)
    try:
        document = toml.loads(octets.decode())
    except (ValueError, RecursionError) as cause:
        raise UsageError(f"{path} is not TOML: {cause}") from cause
    return _Reader(path).description(document)


class _Reader:
    """Takes a document apart, and names what is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def description(self, document: dict[str, Any]) -> Description:
        self._only(document, "the file", {"module", "token", "pin-file", "key"})
        module, pin_file = self._text(document, "module"), self._text(document, "pin-file", required=False)
        if not os.path.isabs(module):  # noqa: PTH117 # no search: what is loaded is this file
            raise self._wrong("module", "the whole path of a library", repr(module))
        entries = document.get("key")
        if not isinstance(entries, list) or not entries or not all(isinstance(it, dict) for it in entries):
            raise self._wrong("key", "[[key]] at least once", "none" if entries is None else repr(entries))
        keys: dict[str, KeyName] = {}
        for entry in entries:
            name, key = self._key(entry)
            if name in keys:
                raise self._wrong("certificate", "each file once", repr(name))
            keys[name] = key
        return Description(
            Path(module),
            self._text(document, "token"),
            self._path.parent / pin_file if pin_file else None,
            keys,
        )

    def _key(self, entry: dict[str, Any]) -> tuple[str, KeyName]:
        self._only(entry, "[[key]]", {"certificate", "label", "id"})
        name = self._text(entry, "certificate")
        label, id_ = self._text(entry, "label", required=False), self._text(entry, "id", required=False)
        if not (label or id_):
            raise self._wrong(name, "a label or an id", "neither")
        try:
            return name, KeyName(label or None, bytes.fromhex(id_) or None)
        except ValueError:
            raise self._wrong("id", "hexadecimal digits", repr(id_)) from None

    def _only(self, table: dict[str, Any], where: str, known: set[str]) -> None:
        if odd := sorted(table.keys() - known):
            raise self._wrong(where, f"only {', '.join(sorted(known))}", ", ".join(odd))

    def _text(self, table: dict[str, Any], name: str, *, required: bool = True) -> str:
        value = table.get(name, "")
        if not isinstance(value, str) or not value.isprintable() or (required and not value):
            raise self._wrong(name, "a text", repr(value) if name in table else "nothing")
        return value

    def _wrong(self, where: str, expected: str, found: str) -> UsageError:
        return UsageError(f"{self._path}: {where}: expected {expected}, found {found}")


class TokenKey:
    """A private key on a token, with its certificate: a `Signer`."""

    __slots__ = ("_name", "_token", "certificate")

    def __init__(self, certificate: Certificate, token: Token, name: KeyName) -> None:
        self.certificate = certificate
        self._token = token
        self._name = name

    def __repr__(self) -> str:
        return f"<TokenKey of {self.certificate}>"

    def sign(self, octets: bytes) -> bytes:
        """The signature r || s of `octets`, verified; `SigningError` where the key cannot be used now."""
        signature = self._token.sign(self._name, hashlib.sha256(octets).digest())
        if not is_signed_by(self.certificate.public_key, octets, signature):
            raise SigningError(
                f"the key with {self._name} on the token {self._token.label!r} is not that of "
                f"{self.certificate}: put the right label or id into {FILE_NAME}"
            )
        return signature


class Token:
    """A token as one user of it sees it. Safe to share between threads; not with a forked process."""

    _process: ClassVar[int] = 0
    """Which process has opened a module: 0 while none has."""

    def __init__(self, description: Description) -> None:
        self.label = description.label
        self._description = description
        self._session: Session | None = None
        self._refused = ""

    def sign(self, name: KeyName, digest: bytes) -> bytes:
        """The signature r || s, 64 octets, of a SHA-256 hash, by the private key of that name.

        Raises `SigningError` where module, token, PIN or key are not there, or not what they should be.
        """
        try:
            from lamplighter.service import cryptoki  # noqa: PLC0415 # an extra
        except ImportError as cause:
            raise SigningError(f"{FILE_NAME} needs the extra: pip install 'lamplighter[hsm]'") from cause
        if Token._process not in {0, os.getpid()}:
            raise SigningError("a forked process cannot use the token: start it by itself")
        with _LOCK:
            if self._refused:
                raise SigningError(self._refused)
            try:
                if self._session is None:
                    Token._process = os.getpid()
                    self._session = cryptoki.Session(self._description.module, self.label, self._pin)
                    _log.info("token opened", label=self.label, module=str(self._description.module))
                return self._session.sign(name, digest)
            except cryptoki.PinRefusedError as refusal:
                self._refused = str(refusal)
                raise
            except BaseException:
                if self._session is not None:
                    self._session.close()
                    self._session = None
                raise

    def _pin(self) -> str:
        path = self._description.pin_file
        octets = self._pin_in_file(path) if path else os.environb.get(PIN_VARIABLE.encode(), b"")
        try:
            pin = octets.decode().rstrip("\r\n")
        except UnicodeDecodeError:  # no cause: it would quote the PIN
            raise SigningError(f"{path or PIN_VARIABLE} holds no PIN: it is not text") from None
        if not pin:  # to try it would count as a wrong one
            raise SigningError(
                f"{path} holds no PIN: it is empty"
                if path
                else f"the token's PIN is missing: pin-file in {FILE_NAME}, or {PIN_VARIABLE}"
            )
        return pin

    @staticmethod
    def _pin_in_file(path: Path) -> bytes:
        try:
            octets, status = trusted.read(path, _MAX_PIN_OCTETS)
            trusted.refuse_disclosed(path, status, "a PIN")
            trusted.refuse_foreign(path, status)
        except UsageError as cause:
            raise SigningError(str(cause)) from cause
        return octets
