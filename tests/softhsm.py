"""A PKCS#11 token for tests: SoftHSM's real module, with a store of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

MODULES = sorted(Path("/usr").glob("lib*/**/libsofthsm2.so"))
LABEL = "supplier's own"
PIN = "4711-only-in-tests"


def absent():
    """Why there is none here; None: there is one."""
    if shutil.which("softhsm2-util") is None or not MODULES:
        return "there is no SoftHSM; Debian has it as softhsm2"
    return None


class Hsm:
    """A token whose label and PIN are the constants above."""

    module = MODULES[0] if MODULES else None

    def __init__(self, folder):
        self.folder = folder
        self.store = folder / "tokens"
        self.store.mkdir(parents=True)
        self.settings = folder / "softhsm2.conf"
        self.settings.write_text(f"directories.tokendir = {self.store}\nlog.level = ERROR\n")
        self.pin = folder / "pin"
        self.say_pin(PIN)

    def initialise(self, label=LABEL):
        self._run("--init-token", "--free", "--label", label, "--so-pin", "0123456789", "--pin", PIN)

    def put(self, key, label, id_):
        """Put a private key on the token; the file that it came in is gone again."""
        path = self.folder / "moving.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        options = ("--label", label, "--id", id_, "--force")
        self._run("--import", str(path), "--token", LABEL, "--pin", PIN, *options)
        path.unlink()

    def say_pin(self, pin):
        self.pin.write_text(f"{pin}\n")
        self.pin.chmod(0o600)

    def describe(self, directory, keys, **changes):
        """Write `token.toml`: `keys` is what names each key on the token, by certificate."""
        from lamplighter.service import keyfiles  # here: a fault in it is no concern of the rooms below

        values = {"module": str(self.module), "token": LABEL, "pin-file": str(self.pin)} | changes
        lines = [f'{name} = "{value}"' for name, value in values.items() if value is not None]
        for certificate, named in keys.items():
            lines += ["[[key]]", f'certificate = "{keyfiles.file_name(certificate)}"', named]
        path = directory / "token.toml"
        path.write_text("\n".join(lines))
        path.chmod(0o644)

    def keep(self, directory, keys):
        """Put private keys on the token, and nothing of them but `token.toml` into the directory."""
        for number, key in enumerate(keys.values(), 1):
            self.put(key, f"key {number}", f"{number:02x}")
        names = {certificate: f'label = "key {number}"' for number, certificate in enumerate(keys, 1)}
        self.describe(directory, names)

    def take_away(self):
        self.store.rename(self.folder / "away")

    def bring_back(self):
        (self.folder / "away").rename(self.store)

    @staticmethod
    def _run(*options):
        subprocess.run(["softhsm2-util", *options], check=True, capture_output=True)
