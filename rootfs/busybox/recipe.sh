#!/bin/sh
# A root file system of Debian's busybox-static with every applet as a link.
# usage: recipe.sh OUT.tar | recipe.sh OUT-FOLDER/
set -eu
out=$1
tree=$(mktemp -d)
chmod 755 "$tree"
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/bin" "$tree/sbin" "$tree/usr/bin" "$tree/usr/sbin" "$tree/etc" "$tree/dev" "$tree/proc" \
  "$tree/sys" "$tree/root" "$tree/var/tmp" "$tree/home"
mkdir -m 1777 "$tree/tmp"
cp /bin/busybox "$tree/bin/busybox"
/bin/busybox --list | while read -r applet; do
  [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n' \
  >"$tree/etc/passwd"
printf 'root:x:0:\ndaemon:x:1:\naudio:x:29:nobody\nnogroup:x:65534:\n' >"$tree/etc/group"
case $out in
*/) mkdir -p "$out" && cp -a "$tree/." "$out" ;;
*) tar -C "$tree" --sort=name --owner=0 --group=0 --numeric-owner -cf "$out" . ;;
esac
