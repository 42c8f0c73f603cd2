#!/bin/sh
# Sees that a Rust toolchain is there that is new enough, or says how to get one. Debian 13 packages
# rustup, which brings the toolchain; Debian 12 does not, and its own rustc is too old, as is 13's.
set -eu
need=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

fail() {
  echo "$1" >&2
  echo "hint: on Debian 13: apt install rustup && rustup default stable" >&2
  echo "hint: on Debian 12: the installer of https://rustup.rs, then a new shell" >&2
  exit 1
}

if ! command -v cargo >/dev/null; then
  [ "$(id -u)" = 0 ] || fail "a Rust toolchain is needed ($need or newer)"
  apt-get update -qq
  apt-cache policy rustup | grep -q 'Candidate: [^(]' ||
    fail "a Rust toolchain is needed ($need or newer), and this Debian has no package rustup"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rustup ca-certificates >/dev/null
fi
# Debian's rustup comes without a toolchain.
if ! rustc --version >/dev/null 2>&1; then
  rustup default stable || fail "rustup could not install a toolchain: see what it says above"
fi
have=$(rustc --version | cut -d' ' -f2)
oldest=$(printf '%s\n' "$need" "$have" | sort -V | head -n 1)
[ "$oldest" = "$need" ] ||
  fail "rustc $have ($(command -v rustc)) is too old: $need or newer is needed"
