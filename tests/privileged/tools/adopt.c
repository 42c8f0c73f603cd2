/* Runs a command as the parent of all its orphans, and reaps none of them.
 *
 * usage: adopt COMMAND [ARG...] */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 2 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
        return 2;
    if (fork() == 0) {
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        return 127;
    }
    for (;;)
        pause();
}
