#!/bin/bash
# Boots Debian's kernel under QEMU's software emulation on pure cgroup v2, with the root of root.sh
# below a tmpfs and FOLDER at /added, runs /added/start there and powers off.
# usage: machine.sh CACHE FOLDER LOG [ROOT]    ROOT is the name of one of root.sh's; LOG gets the console's text; VM_TIMEOUT: seconds (900);
#        VM_LSM: apparmor or selinux beside landlock
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$(realpath -m "$1")/vm added=$(realpath "$2") console=$(realpath -m "$3") root=${4:-root}.ext4
mkdir -p "$cache"
"$here/kernel.sh" "$cache/kernel"
"$here/root.sh" "$cache/$root"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tree/bin"
cp /bin/busybox "$work/tree/bin/busybox"
"$here/modules.sh" "$cache/kernel" "$work/tree" virtio_blk overlay veth tun dummy bridge loop \
  bfq null_blk inet_diag tcp_diag udp_diag raw_diag unix_diag af_packet_diag netlink_diag \
  nf_tables nfnetlink nf_conntrack_netlink nft_ct nft_compat nft_reject_inet \
  nft_chain_nat nft_masq nft_nat nft_fib_inet fuse
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
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /tmp
  ip link set lo up
  /added/start >/dev/console 2>&1 </dev/null
  busybox poweroff -f'
INIT
chmod 755 "$work/tree/init"
(cd "$work/tree" && find . | cpio --quiet -o -H newc) >"$work/initramfs"

# All but net_cls and net_prio, which there are in v1 alone: a trial mounts them.
v2_only=blkio,cpu,cpuacct,cpuset,devices,freezer,hugetlb,memory,misc,perf_event,pids,rdma
# One thread: several lose track of code that the kernel patches while another runs it.
timeout "${VM_TIMEOUT:-900}" qemu-system-x86_64 -accel tcg,thread=single -cpu Haswell-noTSX -m 2048 -smp 2 \
  -kernel "$cache/kernel/vmlinuz" -initrd "$work/initramfs" -nodefaults -nographic -serial stdio -no-reboot \
  -drive "file=$cache/$root,if=virtio,format=raw,readonly=on" \
  -append "console=ttyS0 panic=-1 quiet no_timer_check cgroup_no_v1=$v2_only lsm=landlock${VM_LSM:+,$VM_LSM $VM_LSM=1} mitigations=off" \
  </dev/null 2>"$console.qemu" | stdbuf -oL tr -d '\r' >"$console" ||
  { tail -n 20 "$console"; echo "vm: did not power off in time"; exit 1; }
