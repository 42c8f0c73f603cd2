#!/bin/sh
# The test machine's root file system: the newest stable Debian's runc, crun and criu, what loads
# policies of AppArmor and SELinux, and what the conformance cases' scripts call; in one that is
# called engines.ext4 its podman, containerd and docker, too. FILE is an ext4 image; made once and
# kept until this script is another.
# usage: root.sh FILE
set -eu
image=$1 more='' size=700M
[ "$(basename "$image")" != engines.ext4 ] || {
  more=,podman,netavark,aardvark-dns,nftables,conmon,catatonit,containerd,docker.io,docker-cli,python3-grpcio,ca-certificates
  size=1700M
}
[ "$image" -nt "$0" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(dirname "$0")/../debian-root.sh" "$work/root" \
  runc,crun,criu,iproute2,procps,findutils,diffutils,mawk,hostname,bsdutils,python3,uidmap,kmod,e2fsprogs,sysvinit-utils,libc-bin,strace,tar,gzip,apparmor,secilc"$more"
root=$work/root
ln -sfn mawk "$root/usr/bin/awk"
rm -rf "$root/usr/share/doc" "$root/usr/share/man" "$root/usr/share/locale" "$root/var/cache/apt" "$root/var/lib/apt"
echo 'daemon:x:1:1::/:/bin/false' >>"$root/etc/passwd"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
touch "$root/etc/resolv.conf" "$root/etc/subuid" "$root/etc/subgid"
mkdir -p "$root/var/tmp" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/root" "$root/tmp" "$root/mnt" "$root/added"
mkfs.ext4 -q -d "$root" -L root -m 0 -O ^has_journal "$image.part" $size
mv "$image.part" "$image"
