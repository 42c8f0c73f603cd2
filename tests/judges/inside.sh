#!/bin/sh
# In a scope: a command in the root of root.sh, by pivot_root, with the scope's cgroups.
# usage: inside.sh ROOT host|v2 COMMAND [ARG...]
set -eu
root=$1 view=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs sysfs sys
if [ "$view" = v2 ]; then mount -t cgroup2 cgroup2 sys/fs/cgroup; else mount --rbind /sys/fs/cgroup sys/fs/cgroup; fi
mount -t tmpfs run run
mkdir -p mnt
pivot_root . mnt
cd /
umount -l /mnt
exec "$@"
