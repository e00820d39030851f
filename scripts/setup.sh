# Sourced by the scripts beside it: make .venv hold jaxlr with the extra $1, once.
# They name its folder in $scripts; it leaves the checkout's path in $root. Needs Python >= 3.11 with venv, and the package registry.

root=$(CDPATH='' cd -- "$scripts/.." && pwd -P) || exit 1

setup() {
    venv=$root/.venv
    stamp=$venv/jaxlr-$1.stamp
    # Installed is what this path and this pyproject.toml ask for, and nothing else; the plugin of
    # pytest is copied.
    want="$root $(cat "$root/pyproject.toml" "$root/jaxlr/plugin/jaxlr_pytest.py" | cksum)"
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
        return 0
    fi
    python=$(find_python) || exit 1
    echo "setting up $venv with $($python --version): this happens once and takes some minutes" >&2
    lock_setup
    if ! [ -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        if ! "$python" -m venv --clear "$venv" >&2; then
            echo "$python cannot make a virtual environment. Install its venv package" >&2
            echo "(Debian and Ubuntu: apt install python3-venv), then run this again." >&2
            exit 1
        fi
    fi
    echo "installing jaxlr[$1] and what it needs" >&2
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --editable "$root[$1]" >&2; then
        echo "the installation failed, for the reason above. Run this again to go on." >&2
        exit 1
    fi
    echo "$want" >"$stamp"
    unlock_setup
    echo "set up" >&2
}

# The first of the usual names that is Python >= 3.11.
find_python() {
    for name in python3 python3.11 python3.12 python3.13 python3.14 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return 0
        fi
    done
    echo "jaxlr needs Python 3.11 or newer, and finds none. Install one (python.org, or" >&2
    echo "Debian and Ubuntu: apt install python3 python3-venv), then run this again." >&2
    return 1
}

# One setup at a time: a second waits for the first, unless the first is gone.
lock_setup() {
    lock=$root/.venv.lock
    until mkdir "$lock" 2>/dev/null; do
        owner=$(cat "$lock/pid" 2>/dev/null)
        if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
            rm -rf "$lock"
        else
            echo "waiting for another setup to end (if there is none, remove $lock)" >&2
            sleep 5
        fi
    done
    echo $$ >"$lock/pid"
    trap 'rm -rf "$lock"' EXIT
    trap 'exit 130' INT TERM
}

unlock_setup() {
    rm -rf "$lock"
    trap - EXIT INT TERM
}
