#!/bin/bash
# The newest Debian's runc and crun, with the programs of the suites that they, and the specification's
# authors, test runtimes by, built from Debian's sources: a root in FOLDER. Made once and kept.
# usage: root.sh FOLDER
set -euo pipefail
folder=$1 here=$(cd "$(dirname "$0")" && pwd)
[ -e "$folder/ready" ] && exit 0
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
old='Acquire::Check-Valid-Until "false"'
packages=runc,crun,bats,jq,golang-go,python3,gcc,libc6-dev,libseccomp-dev,libcap-dev,pkg-config,make
packages+=,bsdutils,util-linux,mount,procps,iproute2,uidmap,xz-utils,file,gawk,bc,busybox-static
packages+=,ca-certificates,dpkg-dev,golang-github-google-uuid-dev,golang-github-mrunalp-fileutils-dev
mmdebstrap --quiet --variant=apt --aptopt="$old" --include="$packages" sid "$folder"
cp /etc/resolv.conf "$folder/etc/" 2>/dev/null || :
apt() { chroot "$folder" apt-get -qq -o Acquire::Check-Valid-Until=false "$@"; }
sed 's/^deb /deb-src /' "$folder/etc/apt/sources.list" >"$folder/etc/apt/sources.list.d/sources.list"
# crun's last release whose tests are with its source.
sed 's/ sid / trixie /' "$folder/etc/apt/sources.list.d/sources.list" >"$folder/etc/apt/sources.list.d/stable.list"
apt update
apt -y build-dep runc golang-github-opencontainers-runtime-tools
mkdir "$folder/src"
for package in runc golang-github-opencontainers-runtime-tools crun/trixie; do
  # Mirrors that have lost a signature or a patch still have the sources.
  (cd "$folder/src" && chroot "$folder" sh -c "cd /src && apt-get -qq source -d $package") || :
done
(cd "$folder/src" && for archive in *.orig.tar.*z; do tar xf "$archive"; done)
ln -s "$(cd "$folder/src" && echo *-runc-*/ | sed 's,/$,,')" "$folder/src/runc"
ln -s "$(cd "$folder/src" && echo golang-*-runtime-tools-*/ | sed 's,/$,,')" "$folder/src/runtime-tools"
ln -s "$(cd "$folder/src" && echo crun-*/ | sed 's,/$,,')" "$folder/src/crun"

# The images of runc's tests.
data=$folder/src/runc/tests/integration/testdata
mmdebstrap --quiet --variant=minbase --include=iproute2,procps bookworm "$folder/debian.tar"
xz -0 -T0 -c "$folder/debian.tar" >"$data/debian-amd64.tar.xz"
rm "$folder/debian.tar"
box=$folder/box
mkdir -p "$box"/{bin,dev,etc,home,root,sbin,tmp,usr/bin,usr/sbin,var}
chmod 1777 "$box/tmp"
cp "$folder/usr/bin/busybox" "$box/bin/"
chroot "$box" /bin/busybox --install /bin
printf '%s\n' root:x:0:0:root:/root:/bin/sh daemon:x:1:1:daemon:/usr/sbin:/bin/false \
  nobody:x:65534:65534:nobody:/home:/bin/false >"$box/etc/passwd"
printf '%s\n' root:x:0: daemon:x:1: tty:x:5: wheel:x:10:root users:x:100: nobody:x:65534: >"$box/etc/group"
tar -C "$box" -cJf "$data/busybox-amd64.tar.xz" .
rm -rf "$box"

mkdir -p "$folder/go/src/github.com/mndrix/tap-go"
cp "$here/tap.go" "$folder/go/src/github.com/mndrix/tap-go/"
cp "$here/build.sh" "$here/suite.sh" "$folder/"
unshare --mount --pid --fork --propagation private sh -c '
  mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && exec chroot "$1" /build.sh' sh "$folder"
touch "$folder/ready"
