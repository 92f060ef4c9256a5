"""A signed DUIS alert opened, against the DCC's own Java tool validating the same file in one warm JVM.

Ours: `duis.open_response` of the octets: read, every check, verified, decoded to its value.
Theirs: `Validate` of the DCC's tool as it is: file read, schema validation, signature verified, XML printed
(to nowhere). The message is an N62 signed with the DCC's published test key, which the tool knows.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bench import Skipped
from bench.duis_alert import ACB, NOW, transfer_alert
from lamplighter.protocol import duis, smki

if TYPE_CHECKING:
    from collections.abc import Callable

NAME: Final = "DUIS alert: open / Validate of the DCC's Java tool, warm"
GOAL: Final = 8.0
UNIT: Final = "times as fast"

OURS_A_ROUND: Final = 1_000
THEIRS_A_ROUND: Final = 100
WARM_UP: Final = 1_500  # validations after which the JVM gets no faster

_HERE: Final = Path(__file__).parent


def rounds(count: int) -> list[float]:
    """`count` ratios of (seconds of the tool / seconds of ours); above 1 we are faster."""
    java = shutil.which("java")
    if java is None:
        raise Skipped("there is no java")
    tool = _package("@smartdcc/duis-sign-wrap", "0.1.2") / "dist" / "tool.jar"
    key = _dcc_key(_package("@smartdcc/dccboxed-keystore", "0.4.2") / "keystore.json")
    octets = duis.sign(duis.encode_response(transfer_alert(1)), key)
    ring = smki.Ring([key.certificate])
    with tempfile.TemporaryDirectory() as scratch:
        message = Path(scratch) / "alert.xml"
        message.write_bytes(octets)
        command = [java, "-cp", str(tool), str(_HERE / "ValidateLoop.java"), str(message)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as loop:
            try:
                return _rounds(count, octets, ring, lambda times: _theirs(loop, times))
            finally:
                loop.kill()


def _rounds(count: int, octets: bytes, ring: smki.Ring, theirs: Callable[[int], float]) -> list[float]:
    theirs(WARM_UP)
    _ours(octets, ring)
    return [theirs(THEIRS_A_ROUND) / _ours(octets, ring) for _ in range(count)]


def _ours(octets: bytes, ring: smki.Ring) -> float:
    began = perf_counter()
    for _ in range(OURS_A_ROUND):
        duis.open_response(octets, ring, now=NOW, dcc=ACB)
    return (perf_counter() - began) / OURS_A_ROUND


def _theirs(loop: subprocess.Popen[str], times: int) -> float:
    assert loop.stdin is not None
    assert loop.stdout is not None
    assert loop.stderr is not None
    try:
        loop.stdin.write(f"{times}\n")
        loop.stdin.flush()
        answer = loop.stdout.readline()
    except BrokenPipeError:
        answer = ""
    if not answer:
        reason = (loop.stderr.read().strip().splitlines() or ["no reason given"])[0]
        raise Skipped(f"the DCC's tool does not run here: {reason}")
    return int(answer) / 1e9 / times


def _dcc_key(keystore: Path) -> smki.PrivateKey:
    for uses in json.loads(keystore.read_text()).values():
        for serials in uses.values():
            for entry in serials.values():
                if entry["name"].startswith("dsp-xml-sign"):
                    key = load_pem_private_key(entry["privateKey"].encode(), None)
                    assert isinstance(key, ec.EllipticCurvePrivateKey)
                    return smki.PrivateKey(smki.decode_certificate(entry["certificate"].encode()), key)
    raise Skipped("the DCC's keystore holds no XML signing key of the ACB")


def _package(name: str, version: str) -> Path:
    path = _HERE.parent / "scripts" / "npm_package.py"
    spec = importlib.util.spec_from_file_location("npm_package", path)
    assert spec is not None
    assert spec.loader is not None
    npm = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(npm)
    try:
        return Path(npm.npm_package(name, version))
    except npm.UnavailableError as reason:
        raise Skipped(str(reason)) from reason
