/* The floor of `run`: the kernel work that a default config asks for, and nothing else. No JSON, no
 * checks, no state file: what is left is what any runtime must pay.
 *
 * usage: floor ROOTFS COMMAND [ARG...]   (as root)
 *        floor create -b ROOTFS ID; floor start ID; floor delete --force ID   (of /bin/sleep)
 * Work: one cgroup in every mounted hierarchy and its device rules (a BPF program on v2), five
 * namespaces in one clone, loopback up, the mounts of `runc spec` with that of the cgroups, default
 * devices, masked and read-only paths, pivot_root, hostname, capabilities, no_new_privs, exec, wait,
 * cgroup removal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_HIERARCHIES 32
static char *hierarchies[MAX_HIERARCHIES];
static int hierarchy_count;
static int unified; /* nothing but cgroup2 is mounted */
static const char *cgroup; /* the name of ours in each hierarchy */
static char stack[256 * 1024];
static char **command;
static int ready[2];
/* Of `create`: the fifo that `start` writes to, and the pipe by which its child says it is ready. */
static int gate = -1;
static int told[2];

static void need(int result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
        _exit(1);
    }
}

static void find_hierarchies(void) {
    char line[1024], target[256], kind[64];
    FILE *mounts = fopen("/proc/self/mounts", "r");
    while (mounts && fgets(line, sizeof line, mounts) && hierarchy_count < MAX_HIERARCHIES)
        if (sscanf(line, "%*s %255s %63s", target, kind) == 2 && !strncmp(kind, "cgroup", 6)) {
            hierarchies[hierarchy_count++] = strdup(target);
            unified = !strcmp(kind, "cgroup2") && hierarchy_count == 1;
        }
    fclose(mounts);
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        need(write(fd, text, strlen(text)), path);
        close(fd);
    }
}

/* The devices that every container may use: `runc spec` denies all others. -1 is any number. */
static const struct { char kind; int major, minor; const char *access; } allowed[] = {
    {'c', -1, -1, "m"}, {'b', -1, -1, "m"}, {'c', 1, 3, "rwm"}, {'c', 1, 5, "rwm"}, {'c', 1, 7, "rwm"},
    {'c', 1, 8, "rwm"}, {'c', 1, 9, "rwm"}, {'c', 5, 0, "rwm"}, {'c', 5, 2, "rwm"}, {'c', 136, -1, "rwm"}};
#define ALLOWED (sizeof allowed / sizeof *allowed)

/* v2: a program that returns 1 for what a rule allows, attached to the cgroup. */
static void device_program(const char *path) {
    struct bpf_insn program[ALLOWED * 8 + 8];
    int n = 0;
#define ADD(c, d, s, o, i) program[n++] = (struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)}
    ADD(BPF_LDX | BPF_W | BPF_MEM, 2, 1, 0, 0);  /* access << 16 | kind */
    ADD(BPF_LDX | BPF_W | BPF_MEM, 4, 1, 4, 0);  /* major */
    ADD(BPF_LDX | BPF_W | BPF_MEM, 5, 1, 8, 0);  /* minor */
    ADD(BPF_ALU | BPF_MOV | BPF_X, 3, 2, 0, 0);
    ADD(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
    ADD(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
    for (unsigned i = 0; i < ALLOWED; i++) {
        int exact = (allowed[i].major >= 0) + (allowed[i].minor >= 0), makes = allowed[i].access[1] == 0;
        int left = exact + makes + 2;
        ADD(BPF_JMP | BPF_JNE | BPF_K, 2, 0, left--, allowed[i].kind == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
        if (makes)
            ADD(BPF_JMP | BPF_JNE | BPF_K, 3, 0, left--, BPF_DEVCG_ACC_MKNOD);
        if (allowed[i].major >= 0)
            ADD(BPF_JMP | BPF_JNE | BPF_K, 4, 0, left--, allowed[i].major);
        if (allowed[i].minor >= 0)
            ADD(BPF_JMP | BPF_JNE | BPF_K, 5, 0, left--, allowed[i].minor);
        ADD(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
        ADD(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    }
    ADD(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
    ADD(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insns = (unsigned long)program,
                           .insn_cnt = n, .license = (unsigned long)"GPL"};
    int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    need(fd, "BPF_PROG_LOAD");
    int folder = open(path, O_DIRECTORY | O_CLOEXEC);
    union bpf_attr attach = {.target_fd = folder, .attach_bpf_fd = fd, .attach_type = BPF_CGROUP_DEVICE,
                             .attach_flags = BPF_F_ALLOW_MULTI};
    need(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach), "BPF_PROG_ATTACH");
    close(fd);
    close(folder);
}

/* v1: the same as lines of devices.allow. */
static void device_lines(const char *folder) {
    char path[1100], line[64], minor[16], major[16];
    snprintf(path, sizeof path, "%s/devices.deny", folder);
    put(path, "a");
    snprintf(path, sizeof path, "%s/devices.allow", folder);
    for (unsigned i = 0; i < ALLOWED; i++) {
        snprintf(major, sizeof major, allowed[i].major < 0 ? "*" : "%d", allowed[i].major);
        snprintf(minor, sizeof minor, allowed[i].minor < 0 ? "*" : "%d", allowed[i].minor);
        snprintf(line, sizeof line, "%c %s:%s %s", allowed[i].kind, major, minor, allowed[i].access);
        put(path, line);
    }
}

static void loopback(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    need(ioctl(fd, SIOCSIFFLAGS, &request), "loopback");
    close(fd);
}

/* The container's cgroups, read-only: cgroup2 as it is, of v1 the own one of each hierarchy. */
static void mount_cgroups(void) {
    unsigned long flags = MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RELATIME | MS_RDONLY;
    if (unified) {
        need(mount("cgroup", "sys/fs/cgroup", "cgroup2", flags, NULL), "cgroup2");
        return;
    }
    need(mount("tmpfs", "sys/fs/cgroup", "tmpfs", flags & ~MS_RDONLY, "mode=755"), "cgroups");
    for (int i = 0; i < hierarchy_count; i++) {
        char from[1024], to[1024];
        snprintf(from, sizeof from, "%s/%s", hierarchies[i], cgroup);
        snprintf(to, sizeof to, "sys/fs/cgroup%s", strrchr(hierarchies[i], '/'));
        need(mkdir(to, 0755), to);
        need(mount(from, to, NULL, MS_BIND, NULL), to);
        need(mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | flags, NULL), to);
    }
    need(mount(NULL, "sys/fs/cgroup", NULL, MS_REMOUNT | flags, "mode=755"), "read-only cgroups");
}

static void mount_all(const char *root) {
    need(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), "slave");
    need(mount(root, root, NULL, MS_BIND | MS_REC, NULL), "bind root");
    need(chdir(root), "chdir");
    need(mount("proc", "proc", "proc", 0, NULL), "proc");
    need(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "dev");
    need(mkdir("dev/pts", 0755) | mkdir("dev/shm", 0755) | mkdir("dev/mqueue", 0755), "mkdir");
    need(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
               "newinstance,ptmxmode=0666,mode=0620,gid=5"), "devpts");
    need(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"), "shm");
    need(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL), "mqueue");
    need(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL), "sysfs");
    mount_cgroups();
    static const struct { const char *path; int minor; } devices[] = {
        {"dev/null", 3}, {"dev/zero", 5}, {"dev/full", 7}, {"dev/random", 8}, {"dev/urandom", 9}};
    umask(0);
    for (unsigned i = 0; i < 5; i++)
        need(mknod(devices[i].path, S_IFCHR | 0666, makedev(1, devices[i].minor)), "mknod");
    need(mknod("dev/tty", S_IFCHR | 0666, makedev(5, 0)), "mknod tty");
    need(symlink("pts/ptmx", "dev/ptmx"), "symlink");
    need(symlink("/proc/self/fd", "dev/fd") | symlink("/proc/self/fd/0", "dev/stdin") |
         symlink("/proc/self/fd/1", "dev/stdout") | symlink("/proc/self/fd/2", "dev/stderr"), "symlink");
    static const char *readonly[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
    for (unsigned i = 0; i < 5; i++)
        if (!mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL))
            need(mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "ro");
    static const char *masked[] = {"proc/acpi", "proc/kcore", "proc/keys", "proc/latency_stats", "proc/timer_list",
                                   "proc/timer_stats", "proc/sched_debug", "proc/scsi", "sys/firmware"};
    for (unsigned i = 0; i < 9; i++)
        if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) && errno == ENOTDIR)
            need(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, NULL), "mask");
    need(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    need(umount2(".", MNT_DETACH), "umount old root");
    need(mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), "ro root");
    need(chdir("/"), "chdir /");
}

static int child(void *root) {
    char byte;
    loopback();
    mount_all(root);
    need(sethostname("floor", 5), "hostname");
    need(read(ready[0], &byte, 1), "go");
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{1 << 5 | 1 << 10 | 1 << 29, 1 << 5 | 1 << 10 | 1 << 29, 0}, {0, 0, 0}};
    for (int cap = 0; cap <= 40; cap++)
        if (cap != 5 && cap != 10 && cap != 29)
            need(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "bounding set");
    need(syscall(SYS_capset, &header, data), "capset");
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    if (gate >= 0) {
        need(write(told[1], "", 1), "tell");
        close(told[1]);
        need(read(gate, &byte, 1), "start");
    }
    char *environment[] = {"PATH=/bin", NULL};
    execve(command[0], command, environment);
    need(-1, "exec");
    return 1;
}

static char *name(const char *id, const char *what) {
    static char path[1024];
    snprintf(path, sizeof path, "/run/floor-%s.%s", id, what);
    return path;
}

/* Clones the child into a cgroup of every hierarchy; its pid. */
static int begin(char *root, const char *id) {
    static char folder[64];
    char path[1024], text[32];
    find_hierarchies();
    snprintf(folder, sizeof folder, "floor-%s", id);
    cgroup = folder;
    need(pipe2(ready, O_CLOEXEC), "pipe");
    for (int i = 0; i < hierarchy_count; i++) {
        snprintf(path, sizeof path, "%s/%s", hierarchies[i], cgroup);
        need(mkdir(path, 0755), path);
        if (unified)
            device_program(path);
        else if (strstr(path, "devices"))
            device_lines(path);
    }
    unsigned long namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
    int pid, into = -1;
    if (unified) { /* straight into its cgroup: a move costs more */
        into = open(path, O_PATH | O_CLOEXEC);
        struct clone_args arguments = {.flags = namespaces | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = into};
        pid = syscall(SYS_clone3, &arguments, sizeof arguments);
        if (!pid)
            _exit(child(root));
    } else
        pid = clone(child, stack + sizeof stack, namespaces | SIGCHLD, root);
    need(pid, "clone");
    snprintf(text, sizeof text, "%d", pid);
    for (int i = 0; i < hierarchy_count; i++) {
        if (unified || strstr(hierarchies[i], "cpuset")) /* an empty v1 cpuset takes no process */
            continue;
        snprintf(path, sizeof path, "%s/%s/cgroup.procs", hierarchies[i], cgroup);
        put(path, text);
    }
    need(write(ready[1], "", 1), "go");
    return pid;
}

static void remove_cgroups(const char *id) {
    char path[1024];
    for (int i = 0; i < hierarchy_count; i++) {
        snprintf(path, sizeof path, "%s/floor-%s", hierarchies[i], id);
        rmdir(path);
    }
}

static int create(char *root, const char *id) {
    static char *sleeping[] = {"/bin/sleep", "100000", NULL};
    char byte, text[32];
    command = sleeping;
    need(mkfifo(name(id, "start"), 0600), "mkfifo");
    gate = open(name(id, "start"), O_RDWR | O_CLOEXEC);
    need(gate, "fifo");
    need(pipe2(told, O_CLOEXEC), "pipe");
    int pid = begin(root, id);
    close(told[1]);
    if (read(told[0], &byte, 1) != 1)
        return 1;
    int file = open(name(id, "pid"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    snprintf(text, sizeof text, "%d", pid);
    need(write(file, text, strlen(text)), "pid");
    return 0;
}

static int start(const char *id) {
    int file = open(name(id, "start"), O_WRONLY | O_CLOEXEC);
    need(file, "fifo");
    need(write(file, "", 1), "start");
    return 0;
}

static int delete(const char *id) {
    char text[32] = "";
    int file = open(name(id, "pid"), O_RDONLY | O_CLOEXEC);
    need(read(file, text, sizeof text - 1), "pid");
    find_hierarchies();
    int process = syscall(SYS_pidfd_open, atoi(text), 0);
    need(process, "pidfd_open");
    need(kill(atoi(text), SIGKILL), "kill");
    struct pollfd end = {process, POLLIN, 0};
    need(poll(&end, 1, 10000), "poll");
    remove_cgroups(id);
    unlink(name(id, "pid"));
    unlink(name(id, "start"));
    return 0;
}

int main(int argc, char **argv) {
    char id[32];
    int status;
    if (argc < 3)
        return 2;
    if (argc == 5 && !strcmp(argv[1], "create"))
        return create(argv[3], argv[4]);
    if (argc == 3 && !strcmp(argv[1], "start"))
        return start(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "delete"))
        return delete(argv[3]);
    command = argv + 2;
    snprintf(id, sizeof id, "%d", getpid());
    int pid = begin(argv[1], id);
    need(waitpid(pid, &status, 0), "wait");
    remove_cgroups(id);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
