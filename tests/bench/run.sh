#!/bin/bash
# The benchmark table: podvisor beside its peers, medians of one run, in a scope of its own.
# usage: run.sh BINARIES CACHE [SECTION...]     sections: run memory exec cycle crowd many image pull pods overhead
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1") cache=$(realpath -m "$2")/bench
shift 2
mkdir -p "$cache"
for program in floor peak; do gcc -O2 -static -Wall -o "$cache/$program" "$here/$program.c"; done
# Packages come before the scope, which has no network but its own.
"$here/peers.sh" "$cache/peers"
# Debian has no youki: built once and kept, by cargo in a folder of its own.
[ -x "$cache/youki/bin/youki" ] || CARGO_TARGET_DIR="$cache/youki/target" cargo install --quiet --locked \
  youki --no-default-features --features v2,v1,seccomp --root "$cache/youki"
(cd "$here/../.." && cargo build --quiet --release -p scope)
# What a run leaves on the host is printed and fails the run.
exec "$binaries/scope" python3 -u "$here/bench.py" "$binaries" "$cache" "$@"
