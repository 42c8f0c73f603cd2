# Checkpoint and restore with the options that few need, each where it makes a difference.
mkdir -p /run/q/host && cd /run/q && cp -a /added/bundle/rootfs .
ln -s usr/lib rootfs/lib && ln -s usr/lib64 rootfs/lib64 && mkdir rootfs/host
inside='c["mounts"] += [{"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
  {"destination": "/host", "type": "bind", "source": "/run/q/host", "options": ["rbind"]}]'

# A file that is in use, whose name is gone, and that has another.
cat >host/remap.py <<'END'
import os, time
file = open("/first", "w")
os.link("/first", "/second")
os.unlink("/first")
number = 0
while True:
    number += 1
    print(number, file=file, flush=True)
    time.sleep(0.1)
END
config 'exec python3 /host/remap.py' "$inside"
judge 'a name that is gone: run' quietly oci run -d q
judge 'a name that is gone: it counts' within 20 test -s rootfs/second
judge 'a name that is gone: refused unless asked for' says 'link-remap' oci checkpoint --image-path /run/q1 q
judge 'a name that is gone: it goes on' counts rootfs/second
judge 'a name that is gone: checkpoint' oci checkpoint --link-remap --image-path /run/q2 q
judge 'a name that is gone: restore' quietly oci restore --image-path /run/q2 -d q
judge 'a name that is gone: it counts on' counts rootfs/second
judge 'a name that is gone: no other is left' sh -c '! ls rootfs | grep link_remap'
judge 'a name that is gone: delete' oci delete --force q

# A connection that nobody has accepted.
cat >host/listen.py <<'END'
import socket, time
there = socket.create_server(("0.0.0.0", 7003))
number = 0
while True:
    number += 1
    with open("/count", "a") as file:
        print(number, file=file)
    time.sleep(0.1)
END
cat >host/connect.py <<'END'
import socket, time
here = socket.create_connection(("127.0.0.1", 7003))
open("/run/q/connected", "w").close()
time.sleep(1000)
END
config 'exec python3 /host/listen.py' "$inside"
judge 'in flight: run' quietly oci run -d q
judge 'in flight: it counts' within 20 test -s rootfs/count
nsenter -t "$(pid q)" -n python3 host/connect.py </dev/null >/dev/null 2>&1 &
client=$!
judge 'in flight: a connection' within 20 test -e connected
judge 'in flight: refused unless asked for' says '[Ii]n-flight' oci checkpoint --image-path /run/q3 q
judge 'in flight: it goes on' counts rootfs/count
judge 'in flight: checkpoint' oci checkpoint --tcp-skip-in-flight --image-path /run/q4 q
kill $client
judge 'in flight: restore' quietly oci restore --image-path /run/q4 -d q
judge 'in flight: it counts on' counts rootfs/count
judge 'in flight: it listens' says ':1B5B ' oci exec q cat /proc/net/tcp
judge 'in flight: delete' oci delete --force q

# Two ends of a connection, both inside, by each way to keep packets away meanwhile.
cat >host/talk.py <<'END'
import socket, time
there = socket.create_server(("127.0.0.1", 7004))
here = socket.create_connection(("127.0.0.1", 7004))
other = there.accept()[0]
number = 0
while True:
    number += 1
    here.sendall(b"%8d" % number)
    with open("/count", "a") as file:
        print(int(other.recv(8)), file=file)
    time.sleep(0.05)
END
for how in nftables skip; do
  rm -f rootfs/count
  config 'exec python3 /host/talk.py' "$inside"
  judge "packets kept away by $how: run" quietly oci run -d q
  judge "packets kept away by $how: it talks" within 20 test -s rootfs/count
  judge "packets kept away by $how: checkpoint" oci checkpoint --tcp-established --network-lock $how --image-path /run/q5$how q
  before=$(last rootfs/count)
  judge "packets kept away by $how: restore" quietly oci restore --tcp-established --network-lock $how --image-path /run/q5$how -d q
  judge "packets kept away by $how: it talks on" within 20 more_than rootfs/count "$before"
  judge "packets kept away by $how: delete" oci delete --force q
done
judge 'packets kept away by nobody known: refused' says 'network-lock' oci checkpoint --network-lock frob q

# Memory that has changed since the first images is taken out of them.
cat >host/memory.py <<'END'
import time
memory = bytearray(32 << 20)
number = 0
while True:
    number += 1
    for at in range(0, len(memory) // 2, 4096):
        memory[at] = number % 251
    for at in range(len(memory) // 2, len(memory), 4096):
        memory[at] = memory[at] or 7
    with open("/count", "a") as file:
        print(number, file=file)
    time.sleep(0.1)
END
rm -f rootfs/count && mkdir -p /run/q6
config 'exec python3 /host/memory.py' "$inside"
judge 'deduplication: run' quietly oci run -d q
judge 'deduplication: it counts' within 60 more_than rootfs/count 2
judge 'deduplication: memory alone' oci checkpoint --pre-dump --image-path /run/q6/one q
used() { du -sk /run/q6/one | cut -f1; }
first=$(used)
judge 'deduplication: it counts on' counts rootfs/count
judge 'deduplication: checkpoint' oci checkpoint --parent-path ../one --auto-dedup --image-path /run/q6/two q
judge 'deduplication: the first images are smaller' sh -c "[ $(used) -lt $((first - 8000)) ]"
before=$(last rootfs/count)
judge 'deduplication: restore' quietly oci restore --auto-dedup --image-path /run/q6/two -d q
judge 'deduplication: it counts on' within 20 more_than rootfs/count "$before"
judge 'deduplication: delete' oci delete --force q

# Limits of the cgroup are config.json's of now, whatever criu is told of it. With `strict` it wants to
# make the cgroup, which is there before anything is in it.
for mode in soft full ignore strict; do
  rm -f rootfs/count
  config 'i=0; while :; do i=$((i + 1)); echo $i >>/count; sleep 0.1; done' 'c["linux"]["resources"]["pids"] = {"limit": 60}'
  judge "cgroups $mode: run" quietly oci run -d q
  judge "cgroups $mode: it counts" within 20 test -s rootfs/count
  judge "cgroups $mode: checkpoint" oci checkpoint --manage-cgroups-mode $mode --image-path /run/q7$mode q
  if [ $mode = strict ]; then
    judge "cgroups $mode: restore is refused" says 'existing cgroups' oci restore --manage-cgroups-mode $mode --image-path /run/q7$mode -d q
    judge "cgroups $mode: and leaves nothing" sh -c '[ ! -e /sys/fs/cgroup/q ]'
    continue
  fi
  before=$(last rootfs/count)
  sed -i 's/"limit": 60/"limit": 61/' config.json
  judge "cgroups $mode: restore" quietly oci restore --manage-cgroups-mode $mode --image-path /run/q7$mode -d q
  judge "cgroups $mode: it counts on" within 20 more_than rootfs/count "$before"
  judge "cgroups $mode: in its cgroup" says '^0::/q$' sh -c "cat /proc/$(pid q)/cgroup"
  judge "cgroups $mode: its limit" says '^61$' cat /sys/fs/cgroup/q/pids.max
  judge "cgroups $mode: delete" oci delete --force q
done
judge 'no mount is left' sh -c '! grep /run/q/ /proc/self/mounts'
