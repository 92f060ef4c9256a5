"""A session with a PKCS#11 token: the module, the token by its label, a login, and keys by their names.

Only `token` uses it, for it needs the extra `hsm`: one call at a time, whichever thread it comes from.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, PKCS11Error, TokenFlag
from pkcs11.types import SignMixin

from lamplighter.kit import UsageError
from lamplighter.protocol.smki import SigningError
from lamplighter.service import trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pkcs11 import _pkcs11

    from lamplighter.service.token import KeyName

_TRIED: Final = TokenFlag.USER_PIN_COUNT_LOW | TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_LOCKED
_PIN_ERRORS: Final = (
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinExpired,
    pkcs11.PinLocked,
    pkcs11.UserPinNotInitialized,
)


class PinRefusedError(SigningError):
    """The token does not take the PIN. To try it again brings the token nearer to its lock."""


class Session:
    """Logged in to one token.

    module  the vendor's library, by its whole path
    label   the token's
    pin     called when a PIN is needed; it is not kept

    Raises `SigningError`, as every method does, where something is not there or not as it should be.
    """

    def __init__(self, module: Path, label: str, pin: Callable[[], str]) -> None:
        self._label = label
        self._keys: dict[KeyName, SignMixin] = {}
        self._module = _load(module)
        try:
            self._session = self._log_in(self._token(module), module, pin)
        except BaseException:
            self.close()
            raise

    def sign(self, name: KeyName, digest: bytes) -> bytes:
        """The signature r || s of a hash, by the private EC key of that name."""
        try:
            key = self._keys.get(name) or self._find(name)
            return bytes(key.sign(digest, mechanism=Mechanism.ECDSA))
        except PKCS11Error as cause:
            raise SigningError(f"the token {self._label!r} has not signed: {_words(cause)}") from cause

    def close(self) -> None:
        """Let go of everything: only a module that begins anew finds a token that was away."""
        self._keys.clear()
        with suppress(PKCS11Error):
            self._module.finalize()

    def _token(self, module: Path) -> pkcs11.Token:
        found = [token for token in self._tokens() if token.label == self._label]
        if len(found) != 1:
            known = f"{len(found)} tokens" if found else "no token"
            raise SigningError(f"{module} knows {known} with the label {self._label!r}")
        return found[0]

    def _tokens(self) -> Iterator[pkcs11.Token]:
        """The tokens that can be read; what is wrong with another one is not our business."""
        try:
            slots = self._module.get_slots(token_present=True)
        except PKCS11Error as cause:
            raise SigningError(
                f"{self._module.so} does not say which tokens are there: {_words(cause)}"
            ) from cause
        for slot in slots:
            with suppress(PKCS11Error):
                yield slot.get_token()

    def _log_in(self, token: pkcs11.Token, module: Path, pin: Callable[[], str]) -> pkcs11.Session:
        if token.flags & _TRIED:
            raise SigningError(
                f"the token {self._label!r} was given a wrong PIN, and a few of those lock it: none is tried "
                "until somebody has logged in with the right one, such as by pkcs11-tool --login "
                f"--list-objects --module {shlex.quote(str(module))} --token-label {shlex.quote(self._label)}"
            )
        try:
            return token.open(user_pin=pin())
        except _PIN_ERRORS as cause:
            raise PinRefusedError(
                f"the token {self._label!r} refuses the PIN ({_words(cause)}), which is not tried again: put "
                "it right, and start anew"
            ) from cause
        except pkcs11.UserAlreadyLoggedIn:  # as somebody else in this process has
            return token.open()
        except PKCS11Error as cause:
            raise SigningError(f"the token {self._label!r} cannot be opened: {_words(cause)}") from cause

    def _find(self, name: KeyName) -> SignMixin:
        wanted: dict[Attribute, Any] = {
            Attribute.CLASS: ObjectClass.PRIVATE_KEY,
            Attribute.KEY_TYPE: KeyType.EC,
        }
        if name.label is not None:
            wanted[Attribute.LABEL] = name.label
        if name.id is not None:
            wanted[Attribute.ID] = name.id
        what = f"with {name} on the token {self._label!r}"
        found = list(self._session.get_objects(wanted))
        if not found:
            raise SigningError(f"there is no private EC key {what}")
        if len(found) > 1:
            raise SigningError(f"there are {len(found)} private EC keys {what}: name one by label and id")
        [key] = found
        if not isinstance(key, SignMixin):
            raise SigningError(f"the private key {what} is not for signing")
        self._keys[name] = key
        return key


def _load(path: Path) -> _pkcs11.lib:
    """The module, set going. It runs with all our rights: nobody else may have written it."""
    try:
        trusted.refuse_foreign(path, path.stat())
    except OSError as cause:
        raise SigningError(f"there is no PKCS#11 module {path}: {cause.strerror}") from cause
    except UsageError as cause:
        raise SigningError(str(cause)) from cause
    try:
        return pkcs11.lib(str(path))
    except PKCS11Error as cause:
        raise SigningError(f"{path} is no PKCS#11 module that works: {_words(cause)}") from cause


def _words(error: Exception) -> str:
    """An error of the library in words: its kind is a CKR code, and it often says no more."""
    return ": ".join(filter(None, (type(error).__name__, str(error))))
