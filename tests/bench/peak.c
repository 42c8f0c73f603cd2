/* Peak resident memory of a program and what it waited for, in KiB, on stdout.
 *
 * usage: peak PROGRAM [ARG...]
 * Tiny on purpose: a process begins with the peak of the one that made it. */
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv) {
    pid_t pid;
    int status;
    struct rusage usage;
    if (argc < 2 || posix_spawnp(&pid, argv[1], NULL, NULL, argv + 1, environ))
        return 125;
    if (wait4(pid, &status, 0, &usage) != pid)
        return 125;
    printf("%ld\n", usage.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
