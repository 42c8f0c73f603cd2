/* Mounts one file over another and takes it away again, over and over, in a mount namespace of its
 * own, until SIGTERM.
 *
 * usage: overmount FILE TARGET
 * Prints "ready" once it has begun and the number of mounts at its end. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int signal) {
    (void)signal;
    ended = 1;
}

int main(int argc, char **argv) {
    long done = 0;
    if (argc < 3)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, end);
    if (unshare(CLONE_NEWNS) || mount(0, "/", 0, MS_SLAVE | MS_REC, 0))
        return 125;
    while (!ended) {
        if (!mount(argv[1], argv[2], 0, MS_BIND, 0)) {
            done++;
            /* It is there about as long as it is not. */
            for (int look = 0; look < 300; look++)
                access(argv[2], F_OK);
            umount2(argv[2], MNT_DETACH);
        } else if (done == 0) {
            return 125;
        }
        if (done == 1) {
            puts("ready");
            fflush(stdout);
            done++;
        }
    }
    printf("%ld\n", done);
    return 0;
}
