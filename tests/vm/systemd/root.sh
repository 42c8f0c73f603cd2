#!/bin/sh
# A root of the newest stable Debian with its systemd: FOLDER. Made once and kept.
# usage: root.sh FOLDER
set -eu
folder=$1
[ -e "$folder/ready" ] && exit 0
"$(dirname "$0")/../../debian-root.sh" "$folder" systemd,systemd-sysv,bash,procps,kmod
: >"$folder/etc/machine-id"
rm -rf "$folder/usr/share/doc" "$folder/usr/share/man" "$folder/usr/share/locale" "$folder/var/cache/apt" \
  "$folder/var/lib/apt" "$folder/usr/lib/modules" "$folder/usr/lib/udev/hwdb.d"
touch "$folder/ready"
