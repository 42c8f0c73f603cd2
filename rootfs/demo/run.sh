#!/bin/bash
# The demo: makes the image, starts the pods of demo.yaml, shows live status until Ctrl-C, and leaves
# nothing behind. Its state lives in folders of its own, so a podvisor of this machine is not touched.
# usage: run.sh BINARIES
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1")
[ "$(id -u)" = 0 ] || { echo "make run: namespaces, mounts and links need root: try 'sudo make run'" >&2; exit 1; }

base=${PODVISOR_DEMO_DIR:-/run/podvisor-demo}
mkdir -m 700 "$base" 2>/dev/null || {
  echo "make run: $base exists: another demo runs, or one was killed; stop it, or '$base/podvisor down' and remove the folder" >&2
  exit 1
}
# The same program with the demo's folders, for a second terminal.
cat >"$base/podvisor" <<WRAPPER
#!/bin/sh
export PODVISOR_ROOT=$base/root PODVISOR_STATE=$base/state PODVISOR_LOG_DIR=$base/log
export PODVISOR_BRIDGE=pvdemo0 PODVISOR_SUBNET=10.78.0.0/24 PODVISOR_CGROUP_PARENT=podvisor-demo
exec $binaries/podvisor "\$@"
WRAPPER
chmod 755 "$base/podvisor"
podvisor=$base/podvisor
clean() {
  trap - EXIT INT TERM
  "$podvisor" down >/dev/null 2>&1 || true
  rm -rf "$base"
  echo "demo: stopped; its pods, mounts, links, rules and files are gone"
}
trap clean EXIT
trap : INT TERM

"$here/recipe.sh" "$base/rootfs.tar" "$binaries/podvisor"
"$podvisor" import "$base/rootfs.tar" demo:latest --entrypoint /bin/podvisor
rm "$base/rootfs.tar"
cat <<TEXT

In a second terminal:
  curl http://127.0.0.1:8080/                    the two-container pod, by its published port
  $podvisor get pods -o wide       names and addresses; curl http://ADDRESS:8080/ for a replica
  curl http://ADDRESS:8080/crash                 crash a replica, and watch it come back
  $podvisor logs -f pair -c client  $podvisor describe pod pair
Ctrl-C stops everything and cleans up.

TEXT
"$podvisor" up -f "$here/demo.yaml" || exit $?
