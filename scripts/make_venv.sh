#!/bin/sh
# Makes the virtual environment named by $1 with the first Python that fits.
# PYTHON overrides the search. On Debian the missing package is installed where we may; elsewhere we say what to do.
set -eu

venv=$1

fits() {
    [ "$("$1" -c 'import sys; print((3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null)" = True ]
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" && command -v "$PYTHON" && return
        echo "set-up: PYTHON=$PYTHON is not a Python from 3.11 to 3.13" >&2
        exit 1
    fi
    for name in python3 python3.11 python3.12 python3.13; do
        fits "$name" && command -v "$name" && return
    done
    return 1
}

can_make_venvs() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

debian_install() {
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        as_root="sudo -n"
        sudo -n true 2>/dev/null || return 1
    fi
    command -v apt-get >/dev/null || return 1
    echo "set-up: installing $* with apt-get" >&2
    $as_root apt-get update -qq >/dev/null || true
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

explain() {
    echo "set-up: $1" >&2
    echo "set-up: on Debian 12 or Ubuntu 24.04: sudo apt-get install python3 python3-venv" >&2
    echo "set-up: or name another interpreter:  make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
}

python=$(find_python) || {
    [ -z "${PYTHON:-}" ] || exit 1
    debian_install python3 python3-venv || explain "no Python from 3.11 to 3.13 was found"
    python=$(find_python) || explain "apt-get gave no Python from 3.11 to 3.13"
}
can_make_venvs "$python" || {
    debian_install python3-venv || explain "$python cannot make virtual environments: ensurepip is missing"
    can_make_venvs "$python" || explain "$python still cannot make virtual environments"
}

echo "set-up: $("$python" --version) at $python"
rm -rf "$venv"
"$python" -m venv "$venv"
