#!/bin/sh
# A root file system of Debian's nginx: the program, the libraries it links, a page on port 8080.
# busybox comes along for its wget and shell.
# usage: recipe.sh OUT.tar
set -eu
out=$1
tree=$(mktemp -d)
chmod 755 "$tree"
trap 'rm -rf "$tree"' EXIT
"$(dirname "$0")/../busybox/recipe.sh" "$tree/"
mkdir -p "$tree/usr/sbin" "$tree/var/lib/nginx" "$tree/var/log/nginx" "$tree/run" "$tree/srv"
cp /usr/sbin/nginx "$tree/usr/sbin/nginx"
ldd /usr/sbin/nginx | grep -o '/[^ ]*' | sort -u | while read -r library; do
  mkdir -p "$tree$(dirname "$library")"
  cp -L "$library" "$tree$library"
done
mkdir -p "$tree/etc/nginx"
cp /etc/nginx/mime.types "$tree/etc/nginx/"
cat >"$tree/etc/nginx/nginx.conf" <<'CONF'
user nobody nogroup;
worker_processes 1;
daemon off;
error_log stderr warn;
pid /run/nginx.pid;
events { worker_connections 64; }
http {
  include mime.types;
  access_log /dev/stdout;
  server { listen 8080; root /srv; }
}
CONF
echo 'answered by nginx' >"$tree/srv/index.html"
tar -C "$tree" --sort=name --owner=0 --group=0 --numeric-owner -cf "$out" .
