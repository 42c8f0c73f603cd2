# Checkpoint and restore of what criu wants an option for. The machine's Python runs inside.
mkdir -p /run/o/host && cd /run/o && cp -a /added/bundle/rootfs .
ln -s usr/lib rootfs/lib && ln -s usr/lib64 rootfs/lib64 && mkdir rootfs/host
inside='c["mounts"] += [{"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
  {"destination": "/host", "type": "bind", "source": "/run/o/host", "options": ["rbind"]}]'

cat >host/lock.py <<'END'
import fcntl, sys, time
file = open("/lock", "w")
fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if len(sys.argv) > 1 else 0))
if len(sys.argv) == 1:
    time.sleep(1000)
END
config 'exec python3 /host/lock.py' "$inside"
held() { oci exec o true && ! oci exec o python3 /host/lock.py now; }
judge 'a lock: run' quietly oci run -d o
judge 'a lock: it is held' within 20 held
judge 'a lock: refused unless asked for' says 'lock' oci checkpoint --image-path /run/o1 o
judge 'a lock: it goes on' is running o
judge 'a lock: checkpoint' oci checkpoint --file-locks --image-path /run/o2 o
judge 'a lock: nobody holds it' flock -n rootfs/lock true
judge 'a lock: restore' quietly oci restore --file-locks --image-path /run/o2 -d o
judge 'a lock: it is held again' held
judge 'a lock: delete' oci delete --force o

cat >/run/o/listen.py <<'END'
import os, socket
there = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
there.bind("/run/o/host/log")
while True:
    with open("/run/o/heard", "ab", 0) as file:
        file.write(there.recv(100) + b"\n")
END
cat >/run/o/host/send.py <<'END'
import socket, time
here = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
here.connect("/run/o/host/log")
number = 0
while True:
    number += 1
    here.send(b"%d" % number)
    time.sleep(0.1)
END
python3 /run/o/listen.py </dev/null >/dev/null 2>&1 &
listener=$!
within 10 test -S host/log
config 'exec python3 /run/o/host/send.py' "$inside
c['mounts'][-1]['destination'] = '/run/o/host'
c['linux']['namespaces'] = [n for n in c['linux']['namespaces'] if n['type'] != 'network']"
# criu asks the container's network namespace for the other end, and connects to the name that it was bound to.
judge 'a socket of the host: run' quietly oci run -d o
judge 'a socket of the host: it sends' within 20 test -s heard
judge 'a socket of the host: refused unless asked for' says 'unix|socket' oci checkpoint --image-path /run/o3 o
judge 'a socket of the host: it goes on' counts heard
judge 'a socket of the host: checkpoint' oci checkpoint --ext-unix-sk --image-path /run/o4 o
before=$(last heard)
judge 'a socket of the host: restore' quietly oci restore --ext-unix-sk --image-path /run/o4 -d o
judge 'a socket of the host: it sends on' within 10 more_than heard "$before"
judge 'a socket of the host: delete' oci delete --force o
kill $listener

config 'i=0; while :; do i=$((i + 1)); echo $i >>/count; sleep 0.1; done'
judge 'an empty network: run' quietly oci run -d o
pid=$(pid o)
nsenter -t "$pid" -n ip link add own0 type dummy
judge 'an empty network: it has a link' says own0 oci exec o cat /proc/net/dev
judge 'an empty network: checkpoint' oci checkpoint --empty-ns network --image-path /run/o5 o
judge 'an empty network: restore' quietly oci restore --empty-ns network --image-path /run/o5 -d o
judge 'an empty network: without the link' sh -c '. /added/judge.sh; oci exec o cat /proc/net/dev | grep -q lo: && ! oci exec o cat /proc/net/dev | grep -q own0'
judge 'an empty network: of its own' sh -c '. /added/judge.sh; [ ! /proc/self/ns/net -ef /proc/$(pid o)/ns/net ]'
judge 'an empty network: it counts on' counts rootfs/count
judge 'an empty network: delete' oci delete --force o

# Half a hundred MiB of memory, which the other side asks for page by page.
rm -f rootfs/count
cat >host/lazy.py <<'END'
import time
memory = bytearray(50 << 20)
for at in range(0, len(memory), 4096):
    memory[at] = at // 4096 % 251
number = 0
while True:
    number += 1
    good = all(memory[at] == at // 4096 % 251 for at in range(0, len(memory), 4096))
    with open("/count", "a") as file:
        print(number if good else -1, file=file)
    time.sleep(0.1)
END
config 'exec python3 /host/lazy.py' "$inside"
judge 'lazy pages: run' quietly oci run -d o
judge 'lazy pages: it counts' within 30 test -s rootfs/count
oci checkpoint --lazy-pages --page-server 127.0.0.1:7002 --status-fd 3 --image-path /run/o6 --work-path /run/o6.work o \
  3>/run/o6.status </dev/null >/run/o6.out 2>&1 &
server=$!
judge 'lazy pages: it tells when it is ready' within 20 test -s /run/o6.status
before=$(last rootfs/count)
judge 'lazy pages: memory is not in the images' sh -c '[ "$(du -sk /run/o6 | cut -f1)" -lt 20000 ]'
criu lazy-pages --page-server --address 127.0.0.1 --port 7002 --images-dir /run/o6 --work-dir /run/o6.work \
  -o lazy.log </dev/null >/dev/null 2>&1 &
judge 'lazy pages: the other side' within 10 test -S /run/o6.work/lazy-pages.socket
judge 'lazy pages: restore' quietly oci restore --lazy-pages --image-path /run/o6 --work-path /run/o6.work -d p
judge 'lazy pages: it counts on' within 30 more_than rootfs/count "$before"
judge 'lazy pages: the checkpoint has ended' wait $server
judge 'lazy pages: the first is gone' gone o
judge 'lazy pages: every page is right' sh -c '! grep -q -- -1 rootfs/count'
judge 'lazy pages: delete' oci delete --force p

# A terminal of its own, to whoever listens at the socket.
cat >/run/o/console.py <<'END'
import os, socket, sys
there = socket.socket(socket.AF_UNIX)
there.bind(sys.argv[1])
there.listen(1)
fds = socket.recv_fds(there.accept()[0], 4096, 1)[1]
with open(sys.argv[2], "wb", 0) as out:
    while True:
        try:
            text = os.read(fds[0], 4096)
        except OSError:
            break
        out.write(text)
END
console() { # NAME
  python3 /run/o/console.py "/run/o/$1.sock" "/run/o/$1.screen" </dev/null >/dev/null 2>&1 &
  within 10 test -S "$1.sock"
}
config 'i=0; while [ $i -lt 9999 ]; do i=$((i + 1)); echo $i; sleep 0.1; done' 'c["process"]["terminal"] = True'
console one
judge 'a console socket: run' quietly oci run -d --console-socket /run/o/one.sock o
judge 'a console socket: it writes' within 10 grep -q '^5' one.screen
judge 'a console socket: checkpoint' oci checkpoint --image-path /run/o7 o
console two
judge 'a console socket: restore' quietly oci restore -d --console-socket /run/o/two.sock --image-path /run/o7 o
judge 'a console socket: it writes on to another' within 10 test -s two.screen
judge 'a console socket: from where it was' sh -c '[ "$(tr -d "\r" <two.screen | head -n 1)" -gt 4 ]'
judge 'a console socket: delete' oci delete --force o

# The caller's terminal.
config 'i=0; while [ $i -lt 9999 ]; do i=$((i + 1)); echo $i; sleep 0.1; done'
script -fqc '/added/podvisor-oci --root /run/trial run o' three.screen </dev/null >/dev/null 2>&1 &
judge 'the terminal of the caller: it writes' within 10 grep -q '^5' three.screen
judge 'the terminal of the caller: checkpoint' oci checkpoint --shell-job --image-path /run/o9 o
wait $!
script -fqc '/added/podvisor-oci --root /run/trial restore --shell-job --image-path /run/o9 o' four.screen </dev/null >/dev/null 2>&1 &
within 20 grep -q '^[0-9]' four.screen
judge 'the terminal of the caller: it writes on to another' says '^[0-9]' cat four.screen
judge 'the terminal of the caller: from where it was' sh -c '[ "$(tr -d "\r" <four.screen | grep -m1 "^[0-9]")" -gt 4 ]'
judge 'the terminal of the caller: delete' oci delete --force o
judge 'no mount is left' sh -c '! grep /run/o/ /proc/self/mounts'
