#!/bin/bash
# The peers' own suites on podvisor-oci and on the peers.
# usage: run.sh BINARIES SCOPE CACHE [SUITE...]     suites: runc runtime-tools crun
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1") scope=$(realpath "$2") cache=$(realpath -m "$3")/judges
shift 3
mkdir -p "$cache"
"$here/root.sh" "$cache/root"
exec python3 -u "$here/judge.py" "$cache/root" "$scope" "$binaries/podvisor-oci" "$cache/said" "$@"
