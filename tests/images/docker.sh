#!/bin/sh
# docker: it loads what we write and we load what it writes.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/rich.sh"
hide /run /opt /etc/docker
PLAIN=--no-acls
make_image rich:1
cd "$root" || exit 1
# An export has whole seconds and no attributes.
cp rich/want.facts whole && facts rich/want seconds >rich/want.facts
echo '{}' >daemon.json
dockerd --config-file daemon.json --iptables=false --ip6tables=false --bridge=none --ip-forward=false --ip-masq=false \
  -H "unix://$root/docker.sock" --data-root "$root/data" --exec-root "$root/exec" -p docker.pid >docker.log 2>&1 &
daemon=$!
d="docker -H unix://$root/docker.sock"
until_ok $d version || { tail docker.log; exit 1; }
expect 'save' 0 '' sh -c "$podvisor save -qo oci.tar rich:1 && $podvisor save -q --format docker-archive -o docker.tar rich:1"
for form in oci docker; do
  expect "docker loads $form" 0 'Loaded image: rich:1' $d load -i $form.tar
  $d create --name cc --network none rich:1 >/dev/null 2>&1 && mkdir exported && $d export cc | tar -C exported --numeric-owner -xpf - 2>/dev/null
  # docker puts files of its own into a container's dev and etc.
  facts exported seconds >theirs
  expect "docker unpacks $form the same" 0 '' same theirs "b'(dev|etc)'|b'(etc/(hostname|hosts|resolv.conf|mtab)|dev/(console|pts|shm)|proc|sys|.dockerenv)'"
  $d rm cc >/dev/null
  [ $form = docker ] || $d rmi rich:1 >/dev/null
  rm -rf exported
done
expect 'docker saves' 0 '' $d save -o out.tar rich:1
expect "load docker's" 0 'rich:1' "$podvisor" --root "$root/other" load out.tar
cp whole rich/want.facts
PODVISOR_ROOT="$root/other" expect "docker's is the same" 0 '' same_of_ours rich:1
kill $daemon
wait $daemon
verdict
