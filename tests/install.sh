#!/bin/sh
# Installs what the tests need: Debian's packages below where a command is missing, then the extra `test` into .venv.
# With the word slurm also the Slurm that `make slurm` submits to.
set -eu
cd "$(dirname "$0")/.."

missing=""
pairs="chromium:chromium strace:strace dcmj2pnm:dcmtk" # COMMAND:PACKAGE
[ "${1:-}" != slurm ] || pairs="$pairs sbatch:slurm-wlm munged:munge"
for pair in $pairs; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
    echo "installing$missing" >&2
    command -v apt-get >/dev/null || { echo "this system has no apt-get; install by hand:$missing" >&2; exit 1; }
    root=""
    [ "$(id -u)" = 0 ] || root="sudo"
    $root apt-get -qq update
    # shellcheck disable=SC2086 # one word a package
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y $missing >/dev/null
fi

venv="${VENV:-.venv}"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install -q -e '.[test]'
