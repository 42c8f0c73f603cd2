# machine: kernel=noble
# RDMA in software over a link: contexts and objects of a device, as many as allowed and no more.
# v1.sh reads this, too, for v1's controller.
group=$(cgroup rdma l)
mkdir -p /run/rdma && cd /run/rdma && cp -a /added/bundle/rootfs . && mkdir -p rootfs/usr rootfs/lib rootfs/lib64
gone() { oci delete --force l; }
ip link add link0 type dummy && ip link set link0 up
judge 'an RDMA device' rdma link add soft0 type rxe netdev link0
# The verbs by hand: linux/infiniband's ib_user_verbs.h, GET_CONTEXT and ALLOC_PD.
cat >verbs.py <<'END'
import ctypes
import os
import struct
import time

answer = ctypes.create_string_buffer(8)


def call(file, number, words):
    os.write(file, struct.pack("<IHHQ", number, 4, words, ctypes.addressof(answer)))


def many(act):
    count = 0
    try:
        while count < 9:
            act()
            count += 1
    except OSError as error:
        return count, error.strerror
    return count, "no end"


files = []


def context():
    file = os.open("/dev/infiniband/uverbs0", os.O_RDWR)
    call(file, 0, 2)
    files.append(file)


print("contexts", *many(context), flush=True)
if files:
    print("objects", *many(lambda: call(files[0], 3, 1)), flush=True)
time.sleep(1000)
END
numbers=$(cat /sys/class/infiniband_verbs/uverbs0/dev)
device="{'path': '/dev/infiniband/uverbs0', 'type': 'c', 'major': ${numbers%:*}, 'minor': ${numbers#*:}}"
verbs() { # RDMA
  limited 'exec python3 /verbs.py' "{'rdma': $1, 'devices': [{'allow': True, 'access': 'rwm'}]}" "
c['linux']['devices'] = [$device]
c['mounts'] += [{'destination': to, 'type': 'bind', 'source': of, 'options': ['rbind', 'ro']} for to, of in
  [('/usr', '/usr'), ('/lib', '/usr/lib'), ('/lib64', '/usr/lib64'), ('/verbs.py', '/run/rdma/verbs.py')]]"
}
verbs '{"soft0": {"hcaHandles": 2, "hcaObjects": 3}}'
judge 'rdma: what is asked' says '^soft0 hca_handle=2 hca_object=3' cat "$group/rdma.max"
judge 'rdma: as many contexts as allowed' within 20 grep -q '^contexts 2 ' out
judge 'rdma: no more' grep -q '^contexts . Resource temporarily unavailable' out
judge 'rdma: as many objects as allowed' within 20 grep -q '^objects 3 ' out
judge 'rdma: nor more of them' grep -q '^objects . Resource temporarily unavailable' out
judge 'rdma: what is used' says '^soft0 hca_handle=2 hca_object=3' cat "$group/rdma.current"
entry='\[\{"device": ?"soft0", ?"hca_handles": ?2, ?"hca_objects": ?3\}\]'
judge 'rdma: in the stats' says "\"rdma\": ?\{\"rdma_limit\": ?$entry, ?\"rdma_current\": ?$entry\}" oci events --stats l
update() { echo "$1" | oci update -r - l; }
judge 'rdma: update' update '{"rdma": {"soft0": {"hcaHandles": 4}}}'
judge 'rdma: one number is another, the other stays' says '^soft0 hca_handle=4 hca_object=3' cat "$group/rdma.max"
judge 'rdma: update of a device that is not there' says 'linux.resources.rdma' update '{"rdma": {"soft1": {"hcaHandles": 4}}}'
gone
verbs '{"soft0": {"hcaObjects": 1}}'
judge 'rdma: one limit alone' says '^soft0 hca_handle=max hca_object=1' cat "$group/rdma.max"
judge 'rdma: it holds' within 20 grep -q '^objects 1 ' out
judge 'rdma: the other is none' grep -q '^contexts 9 no end' out
gone
verbs '{"soft1": {"hcaHandles": 2}}'
judge 'rdma: a device that is not there is refused' grep -q 'linux.resources.rdma' out
judge 'rdma: nothing is left' sh -c "! test -e $group"
ip link del link0
