# machine: kernel=noble cgroup=v1
# Every limit that v1 has where there is no v2 at all: what its files say, and that it holds.
mkdir -p /run/v && cd /run/v && cp -a /added/bundle/rootfs .
gone() { oci delete --force l; }
value() { cat "$(cgroup "$1" l)/$2"; } # CONTROLLER FILE
update() { echo "$1" | oci update -r - l; }
stats() { oci events --stats l; }
# Eats as many MiB as asked for.
eat='eat() { head -c $(($1 * 1048576)) /dev/zero | tail; }'

judge 'no cgroup2 is mounted' sh -c '! grep cgroup2 /proc/self/mounts'
limited 'sleep 1000' '{}'
judge 'a cgroup in each hierarchy' test "$(ls -d /sys/fs/cgroup/*/l | wc -l)" = "$(grep -c ' cgroup rw' /proc/self/mounts)"
judge 'the process is in each' test "$(grep -c ':/l$' "/proc/$(pid l)/cgroup")" = "$(grep -c ' cgroup rw' /proc/self/mounts)"
oci exec -d l sleep 1000
for controller in memory pids devices freezer systemd; do
  judge "exec's process is there: $controller" within 5 test "$(wc -l <"/sys/fs/cgroup/$controller/l/cgroup.procs")" = 2
done
judge 'pause' oci pause l
judge 'pause: frozen' says '^FROZEN$' value freezer freezer.state
judge 'paused' is paused l
judge 'resume' oci resume l
judge 'resume: thawed' says '^THAWED$' value freezer freezer.state
gone
judge 'nothing is left' sh -c '! ls -d /sys/fs/cgroup/*/l'

limited "$eat; (eat 8 && echo eight) ; eat 48 || echo killed; sleep 100" \
  '{"memory": {"limit": 33554432, "swap": 33554432, "swappiness": 10, "kernelTCP": 8388608}}'
judge 'memory: its files' says '^33554432 33554432 10 $' \
  sh -c "cd /sys/fs/cgroup/memory/l; cat memory.limit_in_bytes memory.memsw.limit_in_bytes memory.swappiness | tr '\n' ' '"
judge 'memory: buffers of TCP' says '^8388608$' value memory memory.kmem.tcp.limit_in_bytes
judge 'memory: it holds' within 20 grep -q killed out
judge 'memory: in the stats' says '"limit": ?33554432.*"failcnt": ?[1-9]' stats
judge 'memory: update, total first' update '{"memory": {"limit": 67108864, "swap": 134217728}}'
judge 'memory: more' says '^67108864$' value memory memory.limit_in_bytes
judge 'memory: update, limit first' update '{"memory": {"limit": 16777216, "swap": 16777216}}'
judge 'memory: less' says '^16777216$' value memory memory.memsw.limit_in_bytes
judge 'memory: less than is used is refused when checked' says 'checkBeforeUpdate' \
  update '{"memory": {"limit": 4096, "checkBeforeUpdate": true}}'
gone
# In user space: a system call that finds no memory does not wait, it fails.
limited 'awk "BEGIN { s = \"much\"; while (1) s = s s }"' '{"memory": {"limit": 16777216, "disableOOMKiller": True}}'
judge 'no OOM killer: it waits' within 20 grep -q '^under_oom 1' /sys/fs/cgroup/memory/l/memory.oom_control
judge 'no OOM killer: nothing was killed' says '^oom_kill 0$' value memory memory.oom_control
judge 'no OOM killer: it runs' is running l
judge 'no OOM killer: delete' timeout 10 /added/podvisor-oci --root /run/trial delete --force l

limited 'while :; do :; done' \
  '{"cpu": {"shares": 512, "quota": 10000, "period": 50000, "burst": 5000, "cpus": "1", "mems": "0"}}'
judge 'cpu: its files' says '^512 10000 50000 5000 $' \
  sh -c "cd /sys/fs/cgroup/cpu,cpuacct/l; cat cpu.shares cpu.cfs_quota_us cpu.cfs_period_us cpu.cfs_burst_us | tr '\n' ' '"
judge 'cpu: held back' within 20 grep -q '^nr_throttled [1-9]' /sys/fs/cgroup/cpu,cpuacct/l/cpu.stat
judge 'cpu: in the stats' says '"throttled_?[pP]eriods": ?[1-9]' stats
judge 'cpu: by processor' says '"percpu": ?\[[0-9]+, ?[1-9]' stats
judge 'cpuset: processors' says '^1$' value cpuset cpuset.cpus
judge 'cpuset: they hold' says 'Cpus_allowed_list:.1$' grep Cpus_allowed_list "/proc/$(pid l)/status"
judge 'cpu: update of all three' update '{"cpu": {"quota": 5000, "period": 10000, "burst": 1000}}'
judge 'cpu: they are' says '^5000 10000 1000 $' \
  sh -c "cd /sys/fs/cgroup/cpu,cpuacct/l; cat cpu.cfs_quota_us cpu.cfs_period_us cpu.cfs_burst_us | tr '\n' ' '"
gone
limited 'sleep 100' '{"cpu": {"idle": 1}}'
judge 'cpu: idle' says '^1$' value cpu,cpuacct cpu.idle
gone
judge 'cpu: real time is refused without its file' refused cpu.realtime '{"cpu": {"realtimeRuntime": 1000}}'

limited 'sh -c "for i in 1 2 3 4 5 6; do sleep 100 & done"; exec sleep 100' '{"pids": {"limit": 4}}'
judge 'pids: it holds' within 10 grep -q "can't fork" out
judge 'pids: in the stats' says '"limit": ?4\b' stats
gone

echo 4 >/proc/sys/vm/nr_hugepages
limited 'fallocate -l 4194304 /huge/a && echo two; fallocate -l 2097152 /huge/b 2>/dev/null || echo no more; sleep 100' \
  '{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}' \
  'c["mounts"].append({"destination": "/huge", "type": "hugetlbfs", "source": "none"})'
judge 'huge pages: as many as allowed' within 10 grep -qx two out
judge 'huge pages: no more' within 10 grep -qx 'no more' out
judge 'huge pages: the limit' says '^4194304$' value hugetlb hugetlb.2MB.limit_in_bytes
judge 'huge pages: that of reservations' says '^4194304$' value hugetlb hugetlb.2MB.rsvd.limit_in_bytes
judge 'huge pages: in the stats' says '"2MB": ?\{"limit": ?4194304' stats
judge 'huge pages: update' update '{"hugepageLimits": [{"pageSize": "2MB", "limit": 6291456}]}'
judge 'huge pages: more' says '^6291456$' value hugetlb hugetlb.2MB.rsvd.limit_in_bytes
gone
judge 'huge pages: a size that is none' refused hugepageLimits '{"hugepageLimits": [{"pageSize": "16MB", "limit": 2097152}]}'

echo bfq >/sys/block/nullb0/queue/scheduler
numbers=$(cat /sys/block/nullb0/dev)
device="\"major\": ${numbers%:*}, \"minor\": ${numbers#*:}"
limited 'sleep 100' "{\"blockIO\": {\"weight\": 300, \"weightDevice\": [{$device, \"weight\": 500}]}}"
judge 'block: weight' says '300' value blkio blkio.bfq.weight
judge 'block: weight of a device' says "$numbers 500" value blkio blkio.bfq.weight_device
gone
limited 'start=$(date +%s); dd if=/dev/null-block of=/dev/null bs=256k count=16 iflag=direct 2>/dev/null
  end=$(date +%s); [ $((end - start)) -ge 2 ] && echo slow; sleep 100' \
  "{\"devices\": [{\"allow\": True, \"access\": \"rwm\"}], \"blockIO\": {\"throttleReadBpsDevice\": [{$device, \"rate\": 1048576}],
    \"throttleWriteBpsDevice\": [{$device, \"rate\": 2097152}], \"throttleReadIOPSDevice\": [{$device, \"rate\": 300}],
    \"throttleWriteIOPSDevice\": [{$device, \"rate\": 400}]}}" \
  "c['linux']['devices'] = [{'path': '/dev/null-block', 'type': 'b', $device}]"
judge 'block: what is asked' says "^$numbers 1048576 $numbers 2097152 $numbers 300 $numbers 400 \$" \
  sh -c "cd /sys/fs/cgroup/blkio/l; for what in read_bps write_bps read_iops write_iops; do cat blkio.throttle.\${what}_device; done | tr '\n' ' '"
judge 'block: four seconds for as many bytes' within 30 grep -qx slow out
judge 'block: in the stats' says '"op": ?"Read", ?"value": ?4194304' stats
gone
judge 'block: leafWeight is refused without its file' refused blockIO.leafWeight '{"blockIO": {"leafWeight": 100}}'

limited 'sleep 100' '{"network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 7}]}}'
judge 'net_cls: the class' says '^1048577$' value net_cls,net_prio net_cls.classid
judge 'net_prio: the priority' says '^lo 7$' value net_cls,net_prio net_prio.ifpriomap
gone

mknod rootfs/loop b 7 0
limited 'sleep 100' '{"devices": [{"allow": False, "access": "rwm"}]}'
judge 'devices: no other' says 'not permitted' oci exec l head -c 1 /loop
judge 'devices: the default ones' says '^1$' oci exec l sh -c 'head -c 1 /dev/zero | wc -c'
judge 'devices: update' update '{"devices": [{"allow": true, "type": "b", "major": 7, "minor": 0, "access": "r"}]}'
judge 'devices: the one that is allowed now' oci exec l head -c 1 /loop
judge 'devices: the default ones still' says '^1$' oci exec l sh -c 'head -c 1 /dev/zero | wc -c'
gone
judge 'unified is refused' refused unified '{"unified": {"memory.high": "1048576"}}'
limited 'ls /sys/fs/cgroup; cat /sys/fs/cgroup/memory/memory.limit_in_bytes' '{"memory": {"limit": 33554432}}' \
  'c["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]})'
judge 'a cgroup mount: its own' holds 33554432
judge 'a cgroup mount: each controller' grep -qx freezer out
gone
judge 'nothing is left of any' sh -c '! ls -d /sys/fs/cgroup/*/l'
. /added/rdma.sh
