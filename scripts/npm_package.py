"""Fetch a pinned npm package once and print where it lies: `python scripts/npm_package.py NAME VERSION`.

`npm pack` fetches it into `.cache/npm` under the project, or a plain download from the registry where npm is
not installed; nothing is installed and no script of it is ever run. The tarball must have the digest pinned
here. Tests, benchmarks and `make demo` read the unpacked files. The project ships none of the DCC's (they are
GPL-3.0); of the others `assets.py` puts a few files into the wheel.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.parse import quote

CACHE: Final = Path(__file__).resolve().parent.parent / ".cache" / "npm"
FETCH_SECONDS: Final = 120
PUBLIC: Final = "https://registry.npmjs.org"
TARBALL_OCTETS_MAX: Final = 50_000_000

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
    # What the web pages are made of (assets.py), and what their accessibility is tested with.
    ("@picocss/pico", "2.1.1"): (
        "sha512-kIDugA7Ps4U+2BHxiNHmvgPIQDWPDU4IeU6TNRdvXQM1uZX+FibqDQT2xUOnnO2yq/LUHcwnGlu1hvf4KfXnMg=="
    ),
    ("htmx.org", "2.0.11"): (
        "sha512-Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA=="
    ),
    ("uplot", "1.6.32"): (
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw=="
    ),
    ("axe-core", "4.14.1"): (
        "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
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
        return _download(name, version, target)
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


def _download(name: str, version: str, target: Path) -> Path:
    """The tarball from the registry itself, the one that npm is told of where it is told of one."""
    registry = os.environ.get("NPM_CONFIG_REGISTRY", PUBLIC)
    bare = name.rpartition("/")[2]
    url = f"{registry.rstrip('/')}/{quote(name, safe='@/')}/-/{bare}-{version}.tgz"
    tarball = target / f"{bare}-{version}.tgz"
    try:
        if not url.startswith("https://"):
            raise UnavailableError(f"{name} {version}: npm is not installed, and {registry} is not HTTPS")
        with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:
            tarball.write_bytes(answer.read(TARBALL_OCTETS_MAX))
    except (OSError, URLError) as cause:
        raise UnavailableError(
            f"{name} {version} is not cached, npm is not installed, and {registry} did not answer: {cause}"
        ) from cause
    return tarball


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
