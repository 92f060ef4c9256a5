"""Fixtures for every room.

The reference data beside the project, npm packages, the DCC's test keys, and new databases of both kinds.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lamplighter.protocol.smki import PrivateKey, Ring, decode_certificate
from tests import postgres, softhsm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
# Two entries of the DCC's keystore have a NULL where RFC 5758 section 3.2 has nothing, and cannot be read.
MALFORMED = {"mdr-ka", "mdr-ds"}
DATABASES = ("sqlite", "postgresql")
# A thousand databases are made and dropped, each with every file flushed: in memory that waits for no disk.
_MEMORY = Path("/dev/shm")
_OCTETS_MIN = 4 << 30
_QUICK = (
    _MEMORY
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _OCTETS_MIN
    else Path("/tmp")
)


def _script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_npm = _script("npm_package")


@cache
def _package(name: str, version: str) -> Path | str:
    try:
        return _npm.npm_package(name, version)
    except _npm.UnavailableError as reason:
        return str(reason)


@pytest.fixture(autouse=True)
def _log_of_its_own():
    """Each test finds the log as it is made: whoever was tested before may have quietened it."""
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data `../shared`, which is no part of the project."""
    if not SHARED.is_dir():
        pytest.skip("the reference data ../shared is not beside the project")
    return SHARED


@pytest.fixture(scope="session")
def npm_package() -> Callable[[str, str], Path]:
    """(name, version) -> the folder of a pinned npm package, fetched on first use."""

    def fetch(name: str, version: str) -> Path:
        package = _package(name, version)
        if isinstance(package, str):
            pytest.skip(package)
        return package

    return fetch


@pytest.fixture(scope="session")
def keystore_json(npm_package) -> Path:
    """The DCC's published test keystore."""
    return npm_package("@smartdcc/dccboxed-keystore", "0.4.2") / "keystore.json"


@pytest.fixture(scope="session")
def keystore(keystore_json, shared) -> Ring:
    """The DCC's test keystore, and the certificates of the test Devices in the vectors."""
    entries = [
        entry
        for uses in json.loads(keystore_json.read_text()).values()
        for serials in uses.values()
        for entry in serials.values()
        if entry["name"] not in MALFORMED
    ]
    keys = [
        PrivateKey(
            decode_certificate(entry["certificate"].encode()),
            load_pem_private_key(entry["privateKey"].encode(), None),
        )
        for entry in entries
    ]
    devices = sorted((shared / "vectors" / "devices").glob("*.pem"))
    return Ring([decode_certificate(path.read_bytes()) for path in devices], keys)


@pytest.fixture(scope="session")
def templates(npm_package) -> Path:
    """The DCC's sample requests."""
    return npm_package("@smartdcc/duis-templates", "0.7.0") / "templates"


@pytest.fixture(scope="session")
def published_requests(templates) -> dict[str, Path]:
    """The sample requests that carry an image, by service request."""
    return {
        "11.1": templates / "11.1_UPDATE_FIRMWARE_REQUEST_DUIS.XML",
        "11.4": templates / "11.4_UPDATE_PPMID_FIRMWARE_REQUEST_DUIS.XML",
    }


@pytest.fixture(scope="session")
def published_images(published_requests) -> dict[str, bytes]:
    """The images in them, by service request."""
    texts = {srv: path.read_text() for srv, path in published_requests.items()}
    images = {srv: re.search(r"FirmwareImage>([^<]*)<", text)[1] for srv, text in texts.items()}
    return {srv: base64.b64decode(image) for srv, image in images.items()}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A real PostgreSQL server, one for each process that runs tests, started by the first test that asks."""
    with postgres.server(parent=_QUICK) as server:
        yield server


@pytest.fixture(params=DATABASES)
def empty_database_url(request, tmp_path) -> Iterator[str]:
    """The address of a new database with nothing in it, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'lamplighter.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


def _migrate(url: str) -> None:
    from lamplighter.store import Database  # here: a fault in the store is no concern of the rooms below it

    Database.open(url).close()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("template") / "lamplighter.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _postgres_template(postgres_server) -> str:
    url = postgres_server.create_database()
    _migrate(url)
    return url


@pytest.fixture(params=DATABASES)
def database_url(request, tmp_path) -> Iterator[str]:
    """The address of a new database with the schema and no rows, on SQLite and on PostgreSQL.

    A copy of one that went through all migrations. A test that concerns one backend only says
    `@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)`.
    """
    if request.param == "sqlite":
        path = tmp_path / "lamplighter.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create_database(request.getfixturevalue("_postgres_template"))
    yield url
    server.drop_database(url)


@pytest.fixture
def hsm(tmp_path, monkeypatch) -> Iterator[softhsm.Hsm]:
    """A PKCS#11 token of the test's own, without keys."""
    if reason := softhsm.absent():
        pytest.skip(reason)
    import pkcs11

    made = softhsm.Hsm(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(made.settings))
    made.initialise()
    yield made
    if (loaded := pkcs11._loaded.get(str(made.module))) is not None:
        loaded.finalize()  # it would remember this token for the next test
