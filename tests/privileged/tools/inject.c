/* Interferes with one system call of a process and of all that it makes, counted together.
 *
 * usage: inject REPORT N HOW PROGRAM [ARG...]
 *   HOW  none       only count
 *        kill       SIGKILL for PROGRAM's process just before call N, whoever makes it
 *        ERRNO      call N is not made and fails with this number
 *
 * Calls that change nothing (reading, memory, closing) are not counted, nor are those of a process
 * of the tree once it executes something else. REPORT gets one line: calls counted, and the number
 * of the call that was hit (-1: none). Ends as PROGRAM does; 124 when that takes over 15 s. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static const long harmless[] = {
    SYS_read, SYS_pread64, SYS_readv, SYS_close, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect,
    SYS_brk, SYS_madvise, SYS_rt_sigreturn, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_sigaltstack,
    SYS_fstat, SYS_newfstatat, SYS_stat, SYS_lstat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_lseek,
    SYS_access, SYS_faccessat, SYS_faccessat2, SYS_readlink, SYS_readlinkat, SYS_getdents64,
    SYS_getcwd, SYS_getpid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
    SYS_getrandom, SYS_clock_gettime, SYS_uname, SYS_sysinfo, SYS_sched_getaffinity, SYS_poll,
    SYS_ppoll, SYS_recvfrom, SYS_recvmsg, SYS_wait4, SYS_waitid, SYS_futex, SYS_exit,
    SYS_exit_group, SYS_arch_prctl, SYS_set_tid_address, SYS_set_robust_list, SYS_rseq,
    SYS_sched_yield, SYS_getsockopt, SYS_getsockname, SYS_restart_syscall,
};

static pid_t root;
static long count, target, hit = -1, how;
static const char *report_path;

static void finish(int code) {
    FILE *out = fopen(report_path, "w");
    if (out) {
        fprintf(out, "%ld %ld\n", count, hit);
        fclose(out);
    }
    /* What is still traced goes on by itself once its tracer has ended. */
    _exit(code);
}

static void late(int signal) {
    (void)signal;
    kill(root, SIGKILL);
    finish(124);
}

static int counts(long number) {
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (harmless[i] == number)
            return 0;
    return 1;
}

/* The process in which the call is to fail; 0 is none. */
static pid_t failing;

static void at_syscall(pid_t pid) {
    struct user_regs_struct regs;
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0)
        return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        if (!counts((long)info.entry.nr) || ++count != target)
            return;
        hit = (long)info.entry.nr;
        if (how == -1) {
            kill(root, SIGKILL);
        } else if (how > 0 && !ptrace(PTRACE_GETREGS, pid, 0, &regs)) {
            regs.orig_rax = -1;
            ptrace(PTRACE_SETREGS, pid, 0, &regs);
            failing = pid;
        }
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && pid == failing) {
        failing = 0;
        if (!ptrace(PTRACE_GETREGS, pid, 0, &regs)) {
            regs.rax = (unsigned long long)-how;
            ptrace(PTRACE_SETREGS, pid, 0, &regs);
        }
    }
}

/* Handles one stop; the signal to go on with, or -1 when the process is let go. */
static int stopped(pid_t pid, int status) {
    int signal = WSTOPSIG(status), event = status >> 16;
    if (signal == (SIGTRAP | 0x80)) {
        at_syscall(pid);
        return 0;
    }
    if (event == PTRACE_EVENT_EXEC && pid != root) {
        ptrace(PTRACE_DETACH, pid, 0, 0);
        return -1;
    }
    if (event)
        return 0;
    return signal == SIGTRAP || signal == SIGCONT ? 0 : signal;
}

int main(int argc, char **argv) {
    int status;
    if (argc < 5)
        return 2;
    report_path = argv[1];
    target = atol(argv[2]);
    how = !strcmp(argv[3], "none") ? 0 : !strcmp(argv[3], "kill") ? -1 : atol(argv[3]);
    if (how == 0)
        target = -1;
    root = fork();
    if (root == 0) {
        raise(SIGSTOP);
        execv(argv[4], argv + 4);
        _exit(127);
    }
    /* Seized, so that no process begins with a stop that would outlive its tracer. */
    waitpid(root, &status, WUNTRACED);
    ptrace(PTRACE_SEIZE, root, 0,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
               PTRACE_O_TRACEEXEC);
    kill(root, SIGCONT);
    ptrace(PTRACE_INTERRUPT, root, 0, 0);
    signal(SIGALRM, late);
    alarm(15);
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0)
            finish(errno == ECHILD ? 125 : 126);
        if (!WIFSTOPPED(status)) {
            if (pid == root)
                finish(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
            continue;
        }
        int signal = stopped(pid, status);
        if (signal >= 0)
            ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
}
