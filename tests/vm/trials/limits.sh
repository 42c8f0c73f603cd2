# Limits that few machines have controllers for: huge pages, a block device with weights, and of v1
# what marks packets. What a container's cgroup says, and that it holds.
mkdir -p /run/l && cd /run/l && cp -a /added/bundle/rootfs .
group=/sys/fs/cgroup/l
gone() { oci delete --force l; }

# Two pages of four.
echo 4 >/proc/sys/vm/nr_hugepages
limited 'fallocate -l 4194304 /huge/a && echo two; fallocate -l 2097152 /huge/b 2>/dev/null || echo no more' \
  '{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}' \
  'c["mounts"].append({"destination": "/huge", "type": "hugetlbfs", "source": "none"})
c["process"]["args"][2] += "; cat /sys/fs/cgroup/hugetlb.2MB.max /sys/fs/cgroup/hugetlb.2MB.rsvd.max"'
judge 'huge pages: as many as allowed' holds two
judge 'huge pages: no more' holds 'no more'
judge 'huge pages: pages and reservations' test "$(grep -cx 4194304 out)" = 2
gone
judge 'huge pages of a size that the machine has not are refused' refused hugepageLimits \
  '{"hugepageLimits": [{"pageSize": "16MB", "limit": 2097152}]}'

# A device that keeps what is written, and a scheduler that knows weights.
echo bfq >/sys/block/nullb0/queue/scheduler
numbers=$(cat /sys/block/nullb0/dev)
device="\"major\": ${numbers%:*}, \"minor\": ${numbers#*:}"
every='{"allow": True, "access": "rwm"}'
limited 'sleep 100' "{\"blockIO\": {\"weight\": 300, \"weightDevice\": [{$device, \"weight\": 500}]}}"
judge 'weights by bfq' says "default 300.*$numbers 500" sh -c "tr '\n' ' ' <$group/io.bfq.weight"
judge 'weights by cost' says 'default 2930' cat $group/io.weight
gone
limited 'start=$(date +%s); dd if=/dev/null-block of=/dev/null bs=256k count=16 iflag=direct 2>/dev/null
  end=$(date +%s); [ $((end - start)) -ge 2 ] && echo slow; sleep 100' \
  "{\"devices\": [$every], \"blockIO\": {\"throttleReadBpsDevice\": [{$device, \"rate\": 1048576}],
    \"throttleWriteBpsDevice\": [{$device, \"rate\": 2097152}], \"throttleReadIOPSDevice\": [{$device, \"rate\": 300}],
    \"throttleWriteIOPSDevice\": [{$device, \"rate\": 400}]}}" \
  "c['linux']['devices'] = [{'path': '/dev/null-block', 'type': 'b', $device}]"
judge 'throttled: what is asked' says "$numbers rbps=1048576 wbps=2097152 riops=300 wiops=400" cat $group/io.max
judge 'throttled: four seconds for as many bytes' within 30 grep -qx slow out
gone
judge 'rdma of a device that is not there is refused' refused rdma '{"rdma": {"mlx5_0": {"hcaHandles": 3}}}'
judge 'net_cls is refused where it is not mounted' refused network '{"network": {"classID": 1048577}}'
judge 'real time is refused on v2' refused cpu.realtimeRuntime '{"cpu": {"realtimeRuntime": 1000}}'
judge 'misc of what the machine has none of is refused' refused unified '{"unified": {"misc.max": "sev 3"}}'
judge 'io.latency is refused without its file' refused unified '{"unified": {"io.latency": "8:0 target=1000"}}'
judge 'leafWeight is refused on v2' refused blockIO.leafWeight '{"blockIO": {"leafWeight": 100}}'

mkdir -p /run/marks && mount -t cgroup -o net_cls,net_prio marks /run/marks
limited 'sleep 100' '{"network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 7}]}}'
judge 'net_cls: the class' says '^1048577$' cat /run/marks/l/net_cls.classid
judge 'net_prio: the priority' says '^lo 7$' cat /run/marks/l/net_prio.ifpriomap
judge 'net_cls: the process is there' says "^$(pid l)\$" cat /run/marks/l/tasks
oci exec -d l sleep 100 >out 2>&1
judge 'net_cls: so is that of an exec' test "$(wc -l </run/marks/l/tasks)" = 2
gone
judge 'net_cls: nothing is left' sh -c '! ls -d /run/marks/l'
umount /run/marks
