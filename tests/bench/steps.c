/* Runs a command step by step and writes where it comes to: the address of each 16 bytes of code, once, in
 * order. Its children run freely.
 *
 * usage: steps OUTPUT COMMAND [ARG...]   (x86-64; a static program) */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CODE_MAX (64UL << 20)
static unsigned char seen[CODE_MAX >> 4];

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    FILE *output = fopen(argv[1], "w");
    pid_t pid = fork();
    if (!pid) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    int status, signal = 0;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        struct user_regs_struct registers;
        ptrace(PTRACE_GETREGS, pid, 0, &registers);
        if (registers.rip < CODE_MAX && !seen[registers.rip >> 4]++)
            fprintf(output, "%llx\n", registers.rip);
        signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
        ptrace(PTRACE_SINGLESTEP, pid, 0, signal);
    }
    fclose(output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
