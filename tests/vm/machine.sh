#!/bin/bash
# Boots a kernel under QEMU's software emulation, with the root of root.sh below a tmpfs and FOLDER
# at /added, runs /added/start there and powers off. Its two processors are threads of one core.
# usage: machine.sh CACHE FOLDER LOG [ROOT]    ROOT is the name of one of root.sh's; LOG gets the console's text; VM_TIMEOUT: seconds (900);
#        VM_LSM: apparmor or selinux beside landlock; VM_KERNEL: another suite of kernel.sh's;
#        VM_CGROUP: v1 for a hierarchy of v1 for each controller (pure v2)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$(realpath -m "$1")/vm added=$(realpath "$2") console=$(realpath -m "$3") root=${4:-root}.ext4
kernel=$cache/kernel${VM_KERNEL:+-$VM_KERNEL}
mkdir -p "$cache"
"$here/kernel.sh" "$kernel" ${VM_KERNEL:+"$VM_KERNEL"}
"$here/root.sh" "$cache/$root"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tree/bin"
cp /bin/busybox "$work/tree/bin/busybox"
"$here/modules.sh" "$kernel" "$work/tree" virtio_blk overlay veth tun dummy bridge loop \
  bfq null_blk inet_diag tcp_diag udp_diag raw_diag unix_diag af_packet_diag netlink_diag \
  nf_tables nfnetlink nf_conntrack_netlink nft_ct nft_compat nft_reject_inet \
  nft_chain_nat nft_masq nft_nat nft_fib_inet fuse rdma_rxe crc32_generic
cp -a "$added" "$work/tree/added"
cat >"$work/tree/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /dev /old /new
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for applet in modprobe insmod; do $b ln -s busybox /bin/$applet; done
for module in $($b cat /modules); do $b modprobe $module || echo "no module $module"; done
$b mount -o ro /dev/vda /old
$b mount -t tmpfs -o size=80% tmpfs /new
$b mkdir /new/upper /new/work /new/root
$b mount -t overlay -o lowerdir=/old,upperdir=/new/upper,workdir=/new/work overlay /new/root
$b cp -a /added /new/root/
$b mkdir -p /new/root/usr/lib/modules && $b cp -a /lib/modules/. /new/root/usr/lib/modules/
$b umount /dev /proc
exec $b switch_root /new/root /usr/bin/busybox sh -c '
  export PATH=/usr/sbin:/usr/bin
  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  mount -t devtmpfs devtmpfs /dev
  mkdir -p /dev/pts /dev/shm
  mount -t devpts devpts /dev/pts
  mount -t tmpfs tmpfs /dev/shm
  if grep -q cgroup_no_v1= /proc/cmdline; then mount -t cgroup2 cgroup2 /sys/fs/cgroup; else
    # As systemd laid them out.
    mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    for hierarchy in cpuset cpu,cpuacct blkio memory devices freezer net_cls,net_prio perf_event hugetlb pids rdma misc; do
      mkdir /sys/fs/cgroup/$hierarchy
      mount -t cgroup -o $hierarchy cgroup /sys/fs/cgroup/$hierarchy || rmdir /sys/fs/cgroup/$hierarchy
    done
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
  fi
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /tmp
  ip link set lo up
  /added/start >/dev/console 2>&1 </dev/null
  busybox poweroff -f'
INIT
chmod 755 "$work/tree/init"
(cd "$work/tree" && find . | cpio --quiet -o -H newc) >"$work/initramfs"

# All but net_cls and net_prio, which there are in v1 alone: a trial mounts them.
v2_only=cgroup_no_v1=blkio,cpu,cpuacct,cpuset,devices,freezer,hugetlb,memory,misc,perf_event,pids,rdma
[ "${VM_CGROUP:-}" != v1 ] || v2_only=
# One thread: several lose track of code that the kernel patches while another runs it.
timeout "${VM_TIMEOUT:-900}" qemu-system-x86_64 -accel tcg,thread=single -cpu Haswell-noTSX -m 2048 -smp 2,cores=1,threads=2 \
  -kernel "$kernel/vmlinuz" -initrd "$work/initramfs" -nodefaults -nographic -serial stdio -no-reboot \
  -drive "file=$cache/$root,if=virtio,format=raw,readonly=on" \
  -append "console=ttyS0 panic=-1 quiet podvisor.alone no_timer_check $v2_only lsm=landlock${VM_LSM:+,$VM_LSM $VM_LSM=1} mitigations=off" \
  </dev/null 2>"$console.qemu" | stdbuf -oL tr -d '\r' >"$console" ||
  { tail -n 20 "$console"; echo "vm: did not power off in time"; exit 1; }
