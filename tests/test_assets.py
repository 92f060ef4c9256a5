"""The files of others that the web pages use: fetched by pin, all there, and known to the server."""

import shutil
import subprocess
import sys
import tomllib

import pytest

from lamplighter.service.web import assets as web

from .conftest import ROOT, _npm, _script

sys.modules.setdefault("npm_package", _npm)
assets = _script("assets")


@pytest.mark.npm
def test_the_files_are_fetched_with_their_licences(npm_package, tmp_path, monkeypatch):
    """Each package brings its licence along, and what pages ask for is among the files."""
    for name, version in assets.FILES:
        npm_package(name, version)
    monkeypatch.setattr(assets, "VENDOR", tmp_path / "vendor")
    made = {it.name for it in assets.assets()}
    assert {it.removeprefix("vendor/") for it in web.VENDOR} <= made
    assert len(assets.FILES) == sum(name.endswith(".LICENSE") for name in made)
    assert (tmp_path / "vendor" / assets.MADE).exists()


def test_every_package_is_pinned():
    """Nothing is fetched by its version alone."""
    assert set(assets.FILES) <= set(_npm.PINS)


def test_where_nothing_can_be_fetched_the_set_up_goes_on(tmp_path):
    """`make demo` works on a machine that reaches no registry: pages look plain, and a line says why."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name in ("assets.py", "npm_package.py"):
        shutil.copy(ROOT / "scripts" / name, scripts)
    (tmp_path / "src/lamplighter/service/web/static").mkdir(parents=True)
    nowhere = {"PATH": "", "NPM_CONFIG_REGISTRY": "https://127.0.0.1:9"}

    def run(*options):
        command = [sys.executable, str(scripts / "assets.py"), *options]
        return subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False)

    tried = run("--try")
    assert 0 == tried.returncode
    assert "make assets" in tried.stderr
    assert 1 == run().returncode
    assert not (tmp_path / "src/lamplighter/service/web/static/vendor" / assets.MADE).exists(), (
        "make asks again"
    )
    assert 2 == run("--nonsense").returncode


def test_the_wheel_is_built_with_them():
    """Git ignores them; the wheel must not."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    folder = "src/lamplighter/service/web/static/vendor/"
    assert {f"{folder}*.css", f"{folder}*.js", f"{folder}*.LICENSE"} == set(build["artifacts"])
    assert f"/{folder}" in (ROOT / ".gitignore").read_text().splitlines()
    assert (ROOT / build["targets"]["wheel"]["hooks"]["custom"]["path"]).is_file()
