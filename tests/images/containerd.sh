#!/bin/sh
# containerd: what ctr imports of ours it unpacks to the same files, and what it exports we load.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/rich.sh"
hide /run /opt
make_image docker.io/library/rich:1
cd "$root" || exit 1
printf 'version = 2\nroot = "%s/root"\nstate = "%s/cstate"\n[grpc]\naddress = "%s/containerd.sock"\n' \
  "$root" "$root" "$root" >config.toml
printf 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n' | cat - config.toml >c.toml
containerd -c c.toml >containerd.log 2>&1 &
daemon=$!
c="ctr -a $root/containerd.sock"
until_ok $c version || { tail containerd.log; exit 1; }
expect 'save' 0 '' sh -c "$podvisor save -qo oci.tar rich:1 && $podvisor save -q --format docker-archive -o docker.tar rich:1"
# containerd 1.6 knows no time before 1970.
for form in oci docker; do
  expect "ctr imports $form" 0 'saved|done' $c images import --snapshotter native $form.tar
  mkdir -p mnt
  expect "ctr mounts $form" 0 '' $c images mount --snapshotter native docker.io/library/rich:1 "$root/mnt"
  facts mnt >theirs
  expect "ctr unpacks $form the same" 0 '' same theirs '/(first|second|third)'
  expect 'ctr unmounts' 0 '' $c images unmount --rm --snapshotter native "$root/mnt"
done
expect 'ctr exports' 0 '' $c images export out.tar docker.io/library/rich:1
expect "load ctr's" 0 'rich:1' "$podvisor" --root "$root/other" load out.tar
PODVISOR_ROOT="$root/other" expect "ctr's is the same" 0 '' same_of_ours rich:1
kill $daemon
wait $daemon
verdict
