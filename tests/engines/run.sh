#!/bin/sh
# Runs engines with podvisor-oci, each in a scope of its own; fails when one of their trials fails.
# usage: run.sh BINARIES SCOPE [ENGINE...]    SCOPE is the program of the crate `scope`
set -eu
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1") scope=$(realpath "$2")
shift 2
[ $# -gt 0 ] || set -- podman containerd docker
failed=
for engine in "$@"; do
  echo "$engine:"
  "$scope" "$here/$engine.sh" "$binaries/podvisor-oci" || failed="$failed $engine"
done
[ -z "$failed" ] || { echo "engines: failed:$failed"; exit 1; }
