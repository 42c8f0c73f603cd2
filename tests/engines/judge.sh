# Sourced by the engines' scripts: $1 is podvisor-oci. The engine's folders are hidden by empty ones
# of the scope, so that it neither sees nor leaves anything on the host.
# shellcheck shell=sh
set -u
oci=$1
root=$PODVISOR_TEST_SCOPE
here=$(cd "$(dirname "$0")" && pwd)
export HOME="$root" TMPDIR="$root"
# conmon leaves a file `oom` where it was started.
cd "$root" || exit 1
failed=0
count=0

# A container's files of limits, by the host's version of cgroups.
v2=
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || v2=1
if [ $v2 ]; then
  memory_max=/sys/fs/cgroup/memory.max pids_max=/sys/fs/cgroup/pids.max
  cpu_max=/sys/fs/cgroup/cpu.max cpus=/sys/fs/cgroup/cpuset.cpus half_a_cpu='50000 100000'
else
  memory_max=/sys/fs/cgroup/memory/memory.limit_in_bytes pids_max=/sys/fs/cgroup/pids/pids.max
  cpu_max=/sys/fs/cgroup/cpu/cpu.cfs_quota_us cpus=/sys/fs/cgroup/cpuset/cpuset.cpus half_a_cpu=50000
fi

hide() { # FOLDER...
  for folder in "$@"; do
    [ -d "$folder" ] && mount -t tmpfs hidden "$folder"
  done
}

# The file of packaging/ with this podvisor-oci's path.
snippet() { # NAME
  sed "s|/usr/local/bin/podvisor-oci|$oci|" "$here/../../packaging/$1"
}

expect() { # NAME CODE PATTERN COMMAND...
  name=$1 want=$2 pattern=$3
  shift 3
  count=$((count + 1))
  timeout -k 5 60 "$@" >"$root/said" 2>&1 </dev/null
  code=$?
  if [ $code = "$want" ] && { [ -z "$pattern" ] || tr -d '\r' <"$root/said" | grep -Eq -e "$pattern"; }; then
    [ -z "${VERBOSE:-}" ] || echo "  ok    $name"
  else
    echo "  FAIL  $name: $*"
    echo "        exit code $code, want $want and /$pattern/; it said:"
    sed 's/^/        /' "$root/said" | tail -n 12
    failed=1
  fi
}

# A terminal whose keyboard is silent. One at its end (/dev/null) sends ^D, upon which `podman run -it`
# may leave before it has read what a short command said, whatever the runtime.
mkfifo "$root/keyboard"
printf '#!/bin/sh\nexec script -qec "$1" /dev/null <>%s\n' "$root/keyboard" >"$root/terminal"
chmod +x "$root/terminal"

# Waits until a command succeeds, for up to 20 seconds.
until_ok() { # COMMAND...
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { echo "  FAIL  never: $*"; return 1; }
    sleep 0.1
  done
}

# No container, no monitor of one and no cgroup may be left. A monitor ends a while after its container.
left() { ps -eo pid=,args= | grep -E '(conmon|shim|sleep) ' | grep -v grep; }
verdict() {
  tries=0
  while left=$(left) && [ $tries -lt 200 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
  [ -z "$left" ] || { echo "  FAIL  processes are left: $left"; failed=1; }
  [ $failed = 0 ] && echo "  ok    $count trials"
  exit $failed
}
