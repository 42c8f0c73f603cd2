# machine: kernel=noble
# Core scheduling, on two threads of one core: who may share it with whom, told by cookies.
mkdir -p /run/cores && cd /run/cores && cp -a /added/bundle/rootfs .
cat >cookie.py <<'END'
import ctypes
import sys

cookie = ctypes.c_uint64()
libc = ctypes.CDLL(None, use_errno=True)
# linux/prctl.h: PR_SCHED_CORE, PR_SCHED_CORE_GET of one thread.
if libc.prctl(62, 0, int(sys.argv[1]), 0, ctypes.byref(cookie)) != 0:
    sys.exit(f"prctl: errno {ctypes.get_errno()}")
print(cookie.value)
END
cookie() { python3 /run/cores/cookie.py "$1"; }
shares() { config 'sleep 1000 & sleep 1000' "c['annotations'] = {'org.podvisor.core-scheduling': '$1'}"; }
# Every process of a container's cgroup, each as often as there are processes of its cookie.
cookies() { while read -r p; do cookie "$p"; done <"/sys/fs/cgroup/$1/cgroup.procs" | sort | uniq -c; }

judge 'the machine has threads of one core' says '^0-1$' cat /sys/devices/system/cpu/cpu0/topology/thread_siblings_list
judge 'the caller shares with all' says '^0$' cookie $$
shares true
judge 'run' quietly oci run -d a
judge 'run: another' quietly oci run -d b
a=$(cookie "$(pid a)") b=$(cookie "$(pid b)")
judge 'a container has a cookie' test "${a:-0}" != 0
judge 'another has another' test "${b:-0}" != 0 -a "$a" != "$b"
judge 'exec' quietly oci exec -d a sleep 1000
judge 'init, its child and exec have one' within 5 says "^ *3 $a\$" cookies a
judge 'the caller still shares with all' says '^0$' cookie $$
judge 'pause' oci pause a
judge 'resume' oci resume a
judge 'the cookie stays' says "^$a\$" cookie "$(pid a)"
shares false
judge 'one that does not ask' quietly oci run -d c
judge 'has none' says '^0$' cookie "$(pid c)"
for id in a b c; do oci delete --force $id; done
