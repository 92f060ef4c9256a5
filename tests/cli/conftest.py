"""What the command line tests run with."""

from __future__ import annotations

import io
import json
from typing import NamedTuple

import pytest

from lamplighter.cli import main
from lamplighter.protocol.smki import Role, Use
from lamplighter.service import keyfiles


class Outcome(NamedTuple):
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def facts(self):
        return json.loads(self.out)

    @property
    def error(self):
        return json.loads(self.err)["error"]


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command line in this process, 80 columns wide, without colour; `stdin` are octets."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")

    def call(*arguments, stdin=b""):
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def pki(tmp_path, run):
    """A key directory with a fresh test PKI."""
    directory = tmp_path / "keys"
    assert run("keys", "init", directory, "--device", "00-DB-12-34-56-78-90-A4").code == 0
    return directory


@pytest.fixture
def built(tmp_path, run):
    """An 11.4 image file."""
    payload, path = tmp_path / "payload.bin", tmp_path / "built.ota"
    payload.write_bytes(b"firmware" * 20)
    outcome = run("image", "build", payload, "-o", path, *HEADER)
    assert outcome.code == 0, outcome.err
    return path


HEADER = (
    *("--manufacturer", "121D", "--image-type", "0084", "--version", "2"),
    *("--min-hardware", "0100", "--max-hardware", "01FF", "--text", "a display"),
)


@pytest.fixture
def held(pki, hsm, tmp_path):
    """The same, with the Supplier's signing keys on a token; the files that they came in are in `moved`."""
    keys = {}
    (tmp_path / "moved").mkdir()
    for entry in keyfiles.entries(pki):
        certificate = entry.certificate
        if certificate.use is Use.DIGITAL_SIGNATURE and certificate.role in {Role.SUPPLIER, Role.XML_SIGNING}:
            moved = entry.path.rename(tmp_path / "moved" / entry.path.name)
            keyfiles.store(pki, certificate)
            keys[certificate] = keyfiles.load_private_key(moved)
    hsm.keep(pki, keys)
    return pki
