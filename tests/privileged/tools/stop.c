/* Stops every second process that comes into this PID namespace, as early as it can: the first of
 * two is a container's own, the second its hook's.
 *
 * usage: stop RESULT
 * RESULT gets a line for each: what it was called when it was stopped. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static time_t end;

/* Sends a signal to a process as soon as it is there; 0 when it has gone before. */
static int reach(int pid, int signal) {
    while (time(NULL) < end) {
        if (!kill(pid, signal))
            return 1;
        for (int later = pid + 1; later < pid + 9; later++)
            if (!kill(later, 0))
                return 0;
    }
    return 0;
}

int main(int argc, char **argv) {
    FILE *out = argc == 2 ? fopen(argv[1], "w") : NULL;
    if (!out)
        return 2;
    end = time(NULL) + 60;
    fputs("looking\n", out);
    fflush(out);
    for (int pid = getpid() + 1; time(NULL) < end; pid += 2) {
        char path[64], name[64];
        reach(pid, 0);
        if (!reach(pid + 1, SIGSTOP))
            continue;
        snprintf(path, sizeof path, "/proc/%d/comm", pid + 1);
        FILE *comm = fopen(path, "r");
        if (comm && fgets(name, sizeof name, comm))
            fputs(name, out);
        if (comm)
            fclose(comm);
        fflush(out);
    }
    return 0;
}
