/* What a process inherits without being asked.
 *
 * usage: residue leave PROGRAM [ARG...]   executes PROGRAM with every signal blocked and ignored,
 *                                         and a signal for the death of its parent
 *        residue look                     prints what of that is there */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int death = 0;
    sigset_t all;
    if (argc > 2 && !strcmp(argv[1], "leave")) {
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        for (int signal = 1; signal < 65; signal++)
            /* A program whose children are reaped by the kernel could not wait for them. */
            if (signal != SIGCHLD)
                sigaction(signal, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
        prctl(PR_SET_PDEATHSIG, SIGUSR1);
        execv(argv[2], argv + 2);
        return 127;
    }
    sigprocmask(SIG_SETMASK, NULL, &all);
    for (int signal = 1; signal < 65; signal++) {
        struct sigaction now;
        if (sigismember(&all, signal) > 0)
            printf("blocked: %d\n", signal);
        if (!sigaction(signal, NULL, &now) && now.sa_handler != SIG_DFL)
            printf("ignored: %d\n", signal);
    }
    prctl(PR_GET_PDEATHSIG, &death);
    printf("death: %d\n", death);
    return 0;
}
