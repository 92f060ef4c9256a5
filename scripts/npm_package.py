"""Fetch a pinned npm package once and print where it lies: `python scripts/npm_package.py NAME VERSION`.

`npm pack` fetches it into `.cache/npm` under the project; nothing is installed and no script of it is ever
run. The tarball must have the digest pinned here. Tests, benchmarks and `make demo` read the unpacked files;
the project ships none of them (they are GPL-3.0).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).resolve().parent.parent / ".cache" / "npm"
FETCH_SECONDS: Final = 120

# The registry's own `dist.integrity` of each package.
PINS: Final = {
    ("@smartdcc/dccboxed-keystore", "0.4.2"): (
        "sha512-uBHBDhyUbq6TQcd4LX+1Iw82pxigYXvZvD7VSRGmtHG/FuNsWUIQTR8IqkOUqVHp9yz2muXSOGtdgFGLMwcjjA=="
    ),
    ("@smartdcc/duis-templates", "0.7.0"): (
        "sha512-ASkoKAuIW/Io0jTFmsRVnaPzm6Z5IIefipJq3aD6fknxqSdSxTrWQ6BxktvuVDPYO2SWbJATzg6oDEKxwNWb2Q=="
    ),
    ("@smartdcc/duis-sign-wrap", "0.1.2"): (
        "sha512-75KX971ymBkNyL2e761c4HYQ4OinTCFfqW+SoCRtFC9cWm4CirKQ5CfSUp0zCFH8LcSyHhDwRL0cVtOj5NeIHg=="
    ),
}


class UnavailableError(Exception):
    """The package cannot be had here; the message says why in one line."""


def npm_package(name: str, version: str) -> Path:
    """The folder of the unpacked package, fetched on first use; safe to call from many processes at once."""
    pin = PINS.get((name, version))
    if pin is None:
        raise UnavailableError(f"{name} {version} has no digest pinned in {Path(__file__).name}")
    CACHE.mkdir(parents=True, exist_ok=True)
    stem = f"{name.removeprefix('@').replace('/', '-')}-{version}"
    package = CACHE / stem / "package"
    with (CACHE / f"{stem}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not package.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                tarball = _fetch(name, version, Path(scratch))
                _check(tarball, pin)
                _unpack(tarball, Path(scratch) / stem)
                shutil.rmtree(CACHE / stem, ignore_errors=True)
                (Path(scratch) / stem).rename(CACHE / stem)
    return package


def _fetch(name: str, version: str, target: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError(f"{name} {version} is not cached, and npm is not installed")
    command = [npm, "pack", f"{name}@{version}", "--ignore-scripts", "--fetch-retries=1"]
    try:
        subprocess.run(
            [*command, f"--pack-destination={target}"],
            cwd=target,
            check=True,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
        )
    except subprocess.TimeoutExpired as cause:
        raise UnavailableError(f"npm did not fetch {name} {version} in {FETCH_SECONDS} s") from cause
    except subprocess.CalledProcessError as cause:
        reasons = [line for line in cause.stderr.splitlines() if "ERR" in line or " error " in line]
        reason = reasons[0] if reasons else f"exit code {cause.returncode}"
        raise UnavailableError(f"npm could not fetch {name} {version}: {reason}") from cause
    tarballs = list(target.glob("*.tgz"))
    if len(tarballs) != 1:
        raise UnavailableError(f"npm left {len(tarballs)} tarballs for {name} {version} instead of one")
    return tarballs[0]


def _check(tarball: Path, pin: str) -> None:
    found = f"sha512-{base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()}"
    if found != pin:
        raise UnavailableError(f"{tarball.name} is not the pinned one: expected {pin}, found {found}")


def _unpack(tarball: Path, target: Path) -> None:
    # Debian 12's Python 3.11.2 lacks the filter; the digest has vouched for the members by now.
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(tarball) as archive:
        archive.extractall(target, **safely)


def main() -> int:
    """Print the package's folder, or one line on stderr why there is none."""
    if len(sys.argv) != 3:
        print(f"usage: {Path(sys.argv[0]).name} NAME VERSION", file=sys.stderr)
        return 2
    try:
        print(npm_package(sys.argv[1], sys.argv[2]))
    except UnavailableError as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
