/* Makes system calls by number, each in a process of its own, in any of the machine's ABIs.
 *
 * usage: probe FILE
 * FILE has lines of: ABI NUMBER ARG0 ARG1 ARG2 NAME, where ABI is x86_64, i386 or x32. For each it
 * prints NAME, ABI and how it ended: "done", "errno N" or "signal N". */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define X32_BIT 0x40000000L

static long by_syscall(long number, const unsigned long *a) {
    long result;
    register unsigned long r10 __asm__("r10") = 0, r8 __asm__("r8") = 0, r9 __asm__("r9") = 0;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static long by_interrupt(long number, const unsigned long *a) {
    int result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"((int)number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(0), "D"(0)
                     : "r8", "r9", "r10", "r11", "memory");
    return result;
}

static void probe(const char *abi, long number, const unsigned long *args, const char *name) {
    int status, pipes[2];
    long result = 1 << 20;
    if (pipe(pipes))
        exit(2);
    pid_t pid = fork();
    if (pid == 0) {
        if (!strcmp(abi, "i386"))
            result = by_interrupt(number, args);
        else
            result = by_syscall(number | (strcmp(abi, "x32") ? 0 : X32_BIT), args);
        _exit(write(pipes[1], &result, sizeof result) != sizeof result);
    }
    close(pipes[1]);
    ssize_t got = read(pipes[0], &result, sizeof result);
    close(pipes[0]);
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        printf("%s %s signal %d\n", name, abi, WTERMSIG(status));
    else if (got == sizeof result && result < 0)
        printf("%s %s errno %ld\n", name, abi, -result);
    else
        printf("%s %s done\n", name, abi);
    fflush(stdout);
}

int main(int argc, char **argv) {
    char abi[16], name[64];
    long number;
    unsigned long args[3];
    FILE *list = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!list)
        return 2;
    while (fscanf(list, "%15s %ld %lu %lu %lu %63s", abi, &number, args, args + 1, args + 2,
                  name) == 6)
        probe(abi, number, args, name);
    return 0;
}
