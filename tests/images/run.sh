#!/bin/sh
# Images out and in beside their peers, each in a scope of its own; fails when a trial fails.
# usage: run.sh BINARIES SCOPE [PEER...]    SCOPE is the program of the crate `scope`
set -eu
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1") scope=$(realpath "$2")
shift 2
[ $# -gt 0 ] || set -- skopeo podman containerd docker
failed=
for peer in "$@"; do
  echo "$peer:"
  "$scope" "$here/$peer.sh" "$binaries" || failed="$failed $peer"
done
[ -z "$failed" ] || { echo "images: failed:$failed"; exit 1; }
