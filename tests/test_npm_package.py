"""Packages that tests and the demonstration fetch: only the pinned octets are ever unpacked."""

import io
import subprocess
import tarfile

import pytest

from .conftest import _npm as npm

NAME, VERSION = "@smartdcc/duis-templates", "0.7.0"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """An npm that serves what it is told to, and a cache of its own."""
    served = {"octets": b"", "calls": 0}

    def pack(command, *, cwd, **_):
        served["calls"] += 1
        if served["octets"] is None:
            raise subprocess.CalledProcessError(1, command, stderr="npm warn old\nnpm error 404 Not Found\n")
        (cwd / "package.tgz").write_bytes(served["octets"])

    monkeypatch.setattr(npm, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(npm.shutil, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(npm.subprocess, "run", pack)
    return served


def tarball(name, octets):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(octets)
        archive.addfile(member, io.BytesIO(octets))
    return packed.getvalue()


def pin(monkeypatch, octets):
    digest = npm.base64.b64encode(npm.hashlib.sha512(octets).digest()).decode()
    monkeypatch.setitem(npm.PINS, (NAME, VERSION), f"sha512-{digest}")


def test_a_package_is_fetched_once_and_unpacked(registry, monkeypatch):
    registry["octets"] = tarball("package/data.json", b"{}")
    pin(monkeypatch, registry["octets"])
    for _ in range(2):
        assert (npm.npm_package(NAME, VERSION) / "data.json").read_bytes() == b"{}"
    assert registry["calls"] == 1


def test_a_tarball_that_is_not_the_pinned_one_is_never_unpacked(registry):
    registry["octets"] = tarball("package/data.json", b"swapped")
    with pytest.raises(npm.UnavailableError, match="is not the pinned one: expected sha512-ASko"):
        npm.npm_package(NAME, VERSION)
    assert not list(npm.CACHE.glob("**/data.json"))


def test_a_package_without_a_pin_is_never_fetched(registry):
    with pytest.raises(npm.UnavailableError, match="no digest pinned"):
        npm.npm_package(NAME, "99.0.0")
    assert registry["calls"] == 0


def test_a_registry_that_refuses_is_a_plain_reason(registry):
    registry["octets"] = None
    with pytest.raises(npm.UnavailableError, match=r"could not fetch .*: npm error 404 Not Found"):
        npm.npm_package(NAME, VERSION)


def test_a_machine_without_npm_asks_the_registry_itself(registry, monkeypatch):
    """Node is not needed to build: the same tarball, the same pin."""
    octets = tarball("package/data.json", b"{}")
    pin(monkeypatch, octets)
    asked = []

    def answer(url, timeout):
        asked.append((url, timeout))
        return io.BytesIO(octets)

    monkeypatch.setattr(npm.shutil, "which", lambda _: None)
    monkeypatch.setattr(npm.urllib.request, "urlopen", answer)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://mirror.example/npm/")
    assert (npm.npm_package(NAME, VERSION) / "data.json").read_bytes() == b"{}"
    url = "https://mirror.example/npm/@smartdcc/duis-templates/-/duis-templates-0.7.0.tgz"
    assert [(url, npm.FETCH_SECONDS)] == asked
    assert registry["calls"] == 0


def test_a_tarball_from_the_registry_itself_is_held_against_the_pin_too(registry, monkeypatch):
    monkeypatch.setattr(npm.shutil, "which", lambda _: None)
    swapped = tarball("package/data.json", b"swapped")
    monkeypatch.setattr(npm.urllib.request, "urlopen", lambda *_, **__: io.BytesIO(swapped))
    with pytest.raises(npm.UnavailableError, match="is not the pinned one"):
        npm.npm_package(NAME, VERSION)
    assert registry["calls"] == 0


def test_a_registry_that_cannot_be_reached_or_speaks_in_the_open_is_a_plain_reason(registry, monkeypatch):
    monkeypatch.setattr(npm.shutil, "which", lambda _: None)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://mirror.example")
    with pytest.raises(npm.UnavailableError, match="is not HTTPS"):
        npm.npm_package(NAME, VERSION)

    def unreachable(*_, **__):
        raise OSError("no route")

    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://mirror.example")
    monkeypatch.setattr(npm.urllib.request, "urlopen", unreachable)
    with pytest.raises(npm.UnavailableError, match=r"is not cached, npm is not installed, and .* no route"):
        npm.npm_package(NAME, VERSION)
    assert registry["calls"] == 0
