#!/bin/sh
# Installs Debian packages, where they are missing, and starts none of the services that they bring.
# A package's scripts have two programs of Debian's start them: in a mount namespace of apt's own both
# are /bin/true. Nothing has to be taken back, after a failure or a kill neither. What a package enables
# is started by the next boot, as ever: `systemctl disable --now` is for who does not want that.
# usage: apt.sh PACKAGE...
set -eu
missing=$(for package; do dpkg -s "$package" >/dev/null 2>&1 || echo "$package"; done)
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "run as root, or install first:" $missing >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
set -- apt-get install -y -qq --no-install-recommends $missing
# Nothing can be renamed onto what is mounted upon: a newer version of the two comes before.
if "$@" --simulate | grep -q '^Inst init-system-helpers '; then
  apt-get install -y -qq init-system-helpers >/dev/null
fi
# shellcheck disable=SC2016 # for the inner shell
exec unshare --mount sh -ec '
for starter in /usr/sbin/invoke-rc.d /usr/bin/deb-systemd-invoke; do
  [ ! -e "$starter" ] || mount --bind /bin/true "$starter"
done
exec "$@" >/dev/null' sh "$@"
