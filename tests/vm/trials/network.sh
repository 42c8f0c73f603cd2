# Checkpoint and restore of connections, of a user namespace and over a page server.
mkdir -p /run/n && cd /run/n && cp -a /added/bundle/rootfs .
# A file of root's could not be opened anew by the root of a user namespace.
quietly() { "$@" </dev/null >/dev/null 2>&1; }
number() { n=$(cat rootfs/count); echo "${n:-0}"; }
more_than() { [ "$(number)" -gt "$1" ]; }
counts() { a=$(number); within 5 more_than "$a"; }
echo 1000 >rootfs/start
stop() { before=$(number); echo 0 >rootfs/start; }
counts_on() { within 5 more_than "$before"; }

config 'ifconfig lo 127.0.0.1 up
  (i=$(cat /start); while :; do i=$((i + 1)); echo $i; sleep 0.05; done) | nc -l -p 7000 >/dev/null &
  until grep -q :1B58 /proc/net/tcp*; do sleep 0.05; done
  sleep 1000 | nc 127.0.0.1 7000 | while read n; do echo $n >/count; done' \
  'c["process"]["capabilities"]["bounding"] += ["CAP_NET_ADMIN"]
c["process"]["capabilities"]["effective"] += ["CAP_NET_ADMIN"]
c["process"]["capabilities"]["permitted"] += ["CAP_NET_ADMIN"]'
judge 'a connection: run' quietly oci run -d n
judge 'a connection: it counts' within 10 test -s rootfs/count
judge 'a connection: refused unless asked for' says 'tcp|TCP' oci checkpoint --image-path /run/n1 n
judge 'a connection: it goes on' counts
judge 'a connection: checkpoint' oci checkpoint --tcp-established --image-path /run/n2 n
stop
judge 'a connection: restore' quietly oci restore --tcp-established --image-path /run/n2 -d n
judge 'a connection: it counts on' counts_on
judge 'a connection: delete' oci delete --force n

echo 1000 >rootfs/start
chown -R 100000:100000 rootfs
config 'i=$(cat /start); while :; do i=$((i + 1)); echo $i >/count; sleep 0.05; done' '
c["linux"]["namespaces"].append({"type": "user"})
c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]'
chmod 755 /run/n
judge 'a user namespace: run' quietly oci run -d n
judge 'a user namespace: it counts' counts
judge 'a user namespace: checkpoint' oci checkpoint --image-path /run/n3 n
stop
judge 'a user namespace: restore' quietly oci restore --image-path /run/n3 -d n
judge 'a user namespace: it counts on' counts_on
judge 'a user namespace: its map' says '0 +100000 +65536' oci exec n cat /proc/self/uid_map

mkdir -p /run/n4
criu page-server --images-dir /run/n4 --port 7001 --daemon -o server.log
judge 'a page server: checkpoint' oci checkpoint --image-path /run/n4 --work-path /run/n4.work --page-server 127.0.0.1:7001 n
stop
judge 'a page server: restore' quietly oci restore --image-path /run/n4 -d n
judge 'a page server: it counts on' counts_on
judge 'a page server: delete' oci delete --force n
judge 'no mount is left' sh -c '! grep /run/n/ /proc/self/mounts'
