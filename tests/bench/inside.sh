#!/bin/sh
# Runs a command in a root, by pivot_root in a mount namespace of its own, on a pure cgroup v2 view,
# or with PODVISOR_CGROUPS=host on the caller's. Folders given before `--` are there under their own
# names.
# usage: inside.sh ROOT FOLDER... -- COMMAND [ARG...]
set -eu
root=$1
shift
if [ -z "${PODVISOR_INSIDE:-}" ]; then
  PODVISOR_INSIDE=1 exec unshare --mount --propagation private "$0" "$root" "$@"
fi
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs sysfs sys
if [ "${PODVISOR_CGROUPS:-}" = host ]; then
  mount --rbind /sys/fs/cgroup sys/fs/cgroup
else
  mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
mount -t tmpfs run run
while [ "$1" != -- ]; do
  mkdir -p ".$1"
  mount --bind "$1" ".$1"
  shift
done
shift
mkdir -p mnt
pivot_root . mnt
cd /
umount -l /mnt
unset PODVISOR_INSIDE
exec "$@"
