/* The floor of `run`: the kernel work that a default config asks for, and nothing else. No JSON, no
 * checks, no state file: what is left is what any runtime must pay.
 *
 * usage: floor ROOTFS COMMAND [ARG...]   (as root)
 * Work: one cgroup in every mounted hierarchy, six namespaces in one clone, the mounts of
 * `runc spec`, default devices, masked and read-only paths, pivot_root, hostname, capabilities,
 * no_new_privs, exec, wait, cgroup removal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_HIERARCHIES 32
static char *hierarchies[MAX_HIERARCHIES];
static int hierarchy_count;
static char stack[256 * 1024];
static char **command;
static int ready[2];

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
        if (sscanf(line, "%*s %255s %63s", target, kind) == 2 && !strncmp(kind, "cgroup", 6))
            hierarchies[hierarchy_count++] = strdup(target);
    fclose(mounts);
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        need(write(fd, text, strlen(text)), path);
        close(fd);
    }
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
    char *environment[] = {"PATH=/bin", NULL};
    execve(command[0], command, environment);
    need(-1, "exec");
    return 1;
}

int main(int argc, char **argv) {
    char path[1024], text[32];
    int status;
    if (argc < 3)
        return 2;
    command = argv + 2;
    find_hierarchies();
    need(pipe2(ready, O_CLOEXEC), "pipe");
    for (int i = 0; i < hierarchy_count; i++) {
        snprintf(path, sizeof path, "%s/floor-%d", hierarchies[i], getpid());
        need(mkdir(path, 0755), path);
    }
    int pid = clone(child, stack + sizeof stack,
                    CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | SIGCHLD,
                    argv[1]);
    need(pid, "clone");
    snprintf(text, sizeof text, "%d", pid);
    for (int i = 0; i < hierarchy_count; i++) {
        if (strstr(hierarchies[i], "cpuset")) /* an empty v1 cpuset takes no process */
            continue;
        snprintf(path, sizeof path, "%s/floor-%d/cgroup.procs", hierarchies[i], getpid());
        put(path, text);
    }
    need(write(ready[1], "", 1), "go");
    need(waitpid(pid, &status, 0), "wait");
    for (int i = 0; i < hierarchy_count; i++) {
        snprintf(path, sizeof path, "%s/floor-%d", hierarchies[i], getpid());
        rmdir(path);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
