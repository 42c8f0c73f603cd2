#!/bin/bash
# Real builds: a Rust program of two stages, Debian's nginx, a Python service of wheels. Prints
# seconds and sizes, runs each image once, and fails when one does not answer.
# usage: run.sh BINARIES SCOPE CACHE    SCOPE is the program of the crate `scope`
#
# Bases and packages come over the network by this host's own configuration of apt, cargo and pip,
# handed to the steps as secrets. Everything runs in a scope; only mmdebstrap and `build` get the
# host's network, by descriptor 9.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${PODVISOR_TEST_SCOPE:-}" ]; then
  binaries=$(realpath "$1") scope=$(realpath "$2")
  mkdir -p "$3"
  exec "$scope" "$here/run.sh" "$binaries" "$scope" "$(realpath "$3")" 9</proc/self/ns/net
fi
podvisor=$1/podvisor cache=$3 work=$PODVISOR_TEST_SCOPE
store=$cache/real-store
export PODVISOR_ROOT=$store PODVISOR_STATE=$work/state PODVISOR_LOG_DIR=$work/log
outside() { nsenter --net=/proc/self/fd/9 "$@"; }
now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{ printf "%.1f s", $1 - $2 }'; }
clean() {
  trap - EXIT
  "$podvisor" down >/dev/null 2>&1 || true
  rm -rf "$store"
}
trap clean EXIT

rm -rf "$store"
if ! [ -e "$cache/debian.tar" ]; then
  outside mmdebstrap --quiet --variant=apt trixie "$cache/debian.new.tar"
  mv "$cache/debian.new.tar" "$cache/debian.tar"
fi
start=$(now)
"$podvisor" import "$cache/debian.tar" debian:real >/dev/null
echo "base: imported in $(since "$start")"

# This host's own way to packages.
apt-config dump | grep '^Acquire::' >"$work/apt.conf"
secrets=(--secret "id=apt,src=$work/apt.conf" --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt)
give() { [ ! -f "$2" ] || secrets+=(--secret "id=$1,src=$2"); }
give cargo "${CARGO_HOME:-$HOME/.cargo}/config.toml"
give pip "${PIP_CONFIG_FILE:-/etc/pip.conf}"
arguments=()
for name in http_proxy https_proxy no_proxy; do
  [ -z "${!name:-}" ] || arguments+=(--build-arg "$name")
done

# make NAME: builds it, and again from the cache.
make() {
  local start took again size
  start=$(now)
  outside "$podvisor" build --network host --progress plain -t "$1:real" "${secrets[@]}" \
    ${arguments[@]+"${arguments[@]}"} "$here/$1" >"$work/$1.log" 2>&1 || {
    cat "$work/$1.log"
    echo "$1: the build failed"
    exit 1
  }
  took=$(since "$start") start=$(now)
  outside "$podvisor" build -q --network host -t "$1:real" "${secrets[@]}" \
    ${arguments[@]+"${arguments[@]}"} "$here/$1" >/dev/null
  again=$(since "$start")
  "$podvisor" save -q -o "$work/image.tar" "$1:real"
  size=$(($(stat -c %s "$work/image.tar") / 1024))
  rm "$work/image.tar"
  echo "$1: built in $took, from the cache in $again, $size KiB as an OCI archive"
}
# answers PORT WORD: what the service says, which must hold the word.
answers() {
  local answer i
  for i in $(seq 100); do
    answer=$(curl -sS --max-time 5 "http://127.0.0.1:$1/" 2>"$work/curl") && break
    read -rt 0.2 <> <(:) || true
  done
  case $answer in
    *"$2"*) echo "  answers: $answer" | tr -d '\n'; echo ;;
    *) echo "port $1 says ${answer:-nothing}, not $2"; cat "$work/curl"; exit 1 ;;
  esac
}

make rust
printed=$("$podvisor" run --rm rust:real pod supervisor)
[ "$printed" = $'{"of":"pod","letters":3}\n{"of":"supervisor","letters":10}' ] || {
  echo "rust printed: $printed"
  exit 1
}
echo "  prints:" $printed
make nginx
"$podvisor" run -d --name nginx -p 18080:80 nginx:real >/dev/null
answers 18080 'nginx in a pod'
make python
"$podvisor" run -d --name python -p 18000:8000 python:real >/dev/null
answers 18000 '"compiled":true'
"$podvisor" down >/dev/null
# What was handed in is in no layer.
for image in rust nginx python; do
  "$podvisor" save -q -o "$work/image.tar" "$image:real"
  rm -rf "$work/layers" && mkdir "$work/layers"
  tar -xf "$work/image.tar" -C "$work/layers"
  for blob in "$work"/layers/blobs/sha256/*; do
    # Documents are no archives.
    names=$(tar -tzf "$blob" 2>/dev/null) || continue
    ! grep -E '(^|/)run/secrets/|apt.conf.d/99host|etc/pip.conf|cargo/config.toml' <<<"$names" || {
      echo "$image: a secret's file is in a layer"
      exit 1
    }
  done
done
echo "no secret is in a layer"
