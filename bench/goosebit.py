"""goosebit, a Python update server of the same kind, under a load of feedback posts.

Its devices say how their update goes by posts to the `deploymentBase` feedback route of the DDI protocol.
Each device here sends the two that change its state, both stored before they are answered: "proceeding" (it
runs) and "closed, success" (it is finished, has the new version, and its rollout counts it). The server is
installed from PyPI at one version, with its dependencies pinned by hash, into an environment of its own, and
runs as it comes: one process, its default database (SQLite), its own migrations, its own logging.

    python -m bench.goosebit --rounds 5     prints posts per CPU-second of the server
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import venv
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from bench import Skipped, load
from bench.cpu import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION: Final = "0.2.12"
CONNECTIONS: Final = 8
START_SECONDS: Final = 60.0  # until a server that does not answer has failed to start
INSTALL_SECONDS: Final = 600.0

_ROOT: Final = Path(__file__).resolve().parent.parent
_ENVIRONMENT: Final = _ROOT / ".cache" / "goosebit"
_LOCK: Final = _ROOT / "requirements" / "goosebit.txt"

_SOFTWARE: Final = 1  # the update's id, which is the action's in the DDI routes
_OLD_VERSION: Final = "1.0.0"
_NEW_VERSION: Final = "2.0.0"

# goosebit.db.models, UpdateStateEnum and UpdateModeEnum
_REGISTERED: Final = 2
_RUNNING: Final = 3
_FINISHED: Final = 5
_BY_ROLLOUT: Final = 3

# What `aerich upgrade` in a checkout of goosebit does, with the migrations that its wheel carries.
_MIGRATE: Final = """
import asyncio, pathlib, goosebit.db
from aerich import Command
from goosebit.db.config import TORTOISE_CONF

async def main():
    migrations = pathlib.Path(goosebit.db.__file__).parent / "migrations"
    async with Command(TORTOISE_CONF, app="models", location=str(migrations)) as command:
        await command.upgrade(run_in_transaction=True)

asyncio.run(main())
"""


class Feedback(Enum):
    """A post that changes a device's state."""

    PROCEEDING = "proceeding"
    CLOSED = "closed"

    @property
    def body(self) -> bytes:
        """The JSON of it, as SWUpdate sends it (less its log lines)."""
        finished = "success" if self is Feedback.CLOSED else "none"
        return json.dumps({"status": {"execution": self.value, "result": {"finished": finished}}}).encode()


@dataclass(frozen=True, slots=True)
class Server:
    """goosebit, running, with devices that may begin their update."""

    pid: int
    port: int
    devices: int
    database: Path

    def post(self, feedback: Feedback) -> load.Outcome:
        """Every device posts `feedback` once."""
        return self._run(
            load.request(
                "POST",
                f"/DEFAULT/controller/v1/{_device(n)}/deploymentBase/{_SOFTWARE}/feedback",
                feedback.body,
                content_type="application/json",
            )
            for n in range(self.devices)
        )

    def poll(self) -> None:
        """Every device asks once what there is to do, as it would before its update."""
        self._run(load.request("GET", f"/DEFAULT/controller/v1/{_device(n)}") for n in range(self.devices))

    def in_state(self, state: int, version: str) -> int:
        """How many devices the database has in `state`, with `version`."""
        query = "SELECT count(*) FROM device WHERE last_state = ? AND sw_version = ?"
        with closing(sqlite3.connect(self.database)) as connection:
            return int(connection.execute(query, (state, version)).fetchone()[0])

    def successes(self) -> int:
        """How many the rollout has counted."""
        with closing(sqlite3.connect(self.database)) as connection:
            return int(connection.execute("SELECT success_count FROM rollout").fetchone()[0])

    def _run(self, requests: Iterator[bytes]) -> load.Outcome:
        outcome = load.run("127.0.0.1", self.port, requests, connections=CONNECTIONS)
        if outcome.tally != {200: self.devices}:
            raise RuntimeError(f"goosebit answered {dict(outcome.tally)}, not {self.devices} times 200")
        return outcome


def install() -> Path:
    """The Python of goosebit's own environment, made on first use. Raises Skipped where it cannot be."""
    python = _ENVIRONMENT / "bin" / "python"
    made = _ENVIRONMENT / ".ready"
    if not made.exists() or made.stat().st_mtime < _LOCK.stat().st_mtime:
        venv.create(_ENVIRONMENT, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
        command = [*pip, "install", "--require-hashes", "-r", str(_LOCK)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except subprocess.CalledProcessError as cause:
            raise Skipped(f"goosebit {VERSION} cannot be installed: {cause.stderr.strip()[-400:]}") from cause
        except subprocess.TimeoutExpired as cause:
            raise Skipped(f"goosebit {VERSION} was not installed in {INSTALL_SECONDS:g} s") from cause
        made.touch()
    return python


@contextmanager
def serve(devices: int) -> Iterator[Server]:
    """Run goosebit with `devices` registered devices, and a rollout that offers all of them an update."""
    python = install()
    with tempfile.TemporaryDirectory(prefix="goosebit-") as scratch:
        folder = Path(scratch)
        database = folder / "db.sqlite3"
        # All else is goosebit's default. The file also keeps it from looking for one in /etc.
        (folder / "goosebit.yaml").write_text(
            f"db_uri: sqlite://{database}\nartifacts_dir: {folder / 'artifacts'}\n"
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("GOOSEBIT_", "PYTHON"))}
        migrated = subprocess.run(
            [python, "-c", _MIGRATE], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if migrated.returncode:
            raise RuntimeError(f"goosebit's migrations failed:\n{migrated.stderr}")
        _fill(database, devices)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        # As its own __main__ does, but for the address: this machine only.
        command = [str(python), "-m", "uvicorn", "goosebit:app", "--host", "127.0.0.1", "--port", str(port)]
        with (
            (folder / "log").open("w") as log,
            subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as process,
        ):
            try:
                _wait(process, port, folder / "log")
                _check_offer(port)
                server = Server(process.pid, port, devices, database)
                server.poll()
                yield server
            finally:
                process.terminate()


def _device(number: int) -> str:
    return f"device-{number:08d}"


def _fill(database: Path, devices: int) -> None:
    """What registration, an upload and a rollout leave in the database."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO hardware (id, model, revision) VALUES (1, 'ppmid', '1')")
        connection.execute(
            "INSERT INTO software (id, uri, size, hash, version)"
            " VALUES (?, 'https://localhost/a.swu', 1, '00', ?)",
            (_SOFTWARE, _NEW_VERSION),
        )
        connection.execute(
            "INSERT INTO software_compatibility (software_id, hardware_id) VALUES (?, 1)", (_SOFTWARE,)
        )
        connection.execute(
            "INSERT INTO rollout (id, feed, software_id, paused, success_count, failure_count)"
            " VALUES (1, 'default', ?, 0, 0, 0)",
            (_SOFTWARE,),
        )
        connection.executemany(
            "INSERT INTO device (id, hardware_id, feed, update_mode, last_state, sw_version, force_update)"
            " VALUES (?, 1, 'default', ?, ?, ?, 0)",
            ((_device(n), _BY_ROLLOUT, _REGISTERED, _OLD_VERSION) for n in range(devices)),
        )


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until the server has taken its port; uvicorn opens it when the application is ready."""
    deadline = monotonic() + START_SECONDS
    while process.poll() is None and monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            sleep(0.05)
        else:
            return
    raise RuntimeError(f"goosebit did not start:\n{log.read_text()[-2000:]}")


def _check_offer(port: int) -> None:
    """A device is offered the update: what it then posts is about something."""
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", f"/DEFAULT/controller/v1/{_device(0)}")
        links = json.load(connection.getresponse())["_links"]
    if "deploymentBase" not in links:
        raise RuntimeError(f"goosebit offers its device no update: {links}")


def measure(count: int) -> dict[Feedback, float]:
    """CPU-seconds of the server for `count` posts, half of each kind; checks that all states changed."""
    devices = count // len(Feedback)
    spent = {}
    with serve(devices) as server:
        for feedback, state, version in (
            (Feedback.PROCEEDING, _RUNNING, _OLD_VERSION),
            (Feedback.CLOSED, _FINISHED, _NEW_VERSION),
        ):
            before = cpu_seconds(server.pid)
            server.post(feedback)
            spent[feedback] = cpu_seconds(server.pid) - before
            changed = server.in_state(state, version)
            if changed != devices:
                raise RuntimeError(f"goosebit has {changed} of {devices} devices {feedback.value}")
    return spent


def posts_per_cpu_second(count: int) -> float:
    """Feedback posts that goosebit takes with one second of its processor, measured over `count` of them."""
    return count // len(Feedback) * len(Feedback) / sum(measure(count).values())


def main() -> int:
    """Print a line a round."""
    parser = argparse.ArgumentParser(prog="bench.goosebit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--posts", type=int, default=4_000, help="in each round")
    given = parser.parse_args()
    figures = []
    for _ in range(given.rounds):
        spent = measure(given.posts)
        figures.append(given.posts / sum(spent.values()))
        kinds = ", ".join(f"{it.value} {given.posts / 2 / cost:.0f}" for it, cost in spent.items())
        print(f"{figures[-1]:.0f} posts per CPU-second ({kinds})", flush=True)
    print(f"goosebit {VERSION}: median {statistics.median(figures):.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
