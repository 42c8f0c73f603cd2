/* Attaches to every process that appears behind it, as CAP_SYS_PTRACE lets it.
 *
 * usage: trace SECONDS RESULT
 * RESULT gets "tracing" at first, and a line for each process that was taken: its permitted
 * capabilities, as /proc shows them, and its name. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void tell(FILE *result, int pid) {
    char path[64], line[256], name[64] = "", sets[64] = "";
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *status = fopen(path, "r");
    while (status && fgets(line, sizeof line, status)) {
        sscanf(line, "Name: %63s", name);
        sscanf(line, "CapPrm: %63s", sets);
    }
    if (status)
        fclose(status);
    fprintf(result, "%s %s\n", sets, name);
}

int main(int argc, char **argv) {
    FILE *result = argc == 3 ? fopen(argv[2], "w") : NULL;
    if (!result)
        return 1;
    setbuf(result, NULL);
    fputs("tracing\n", result);
    time_t end = time(NULL) + atoi(argv[1]);
    int next = getpid() + 1;
    while (time(NULL) < end)
        for (int pid = next; pid < next + 24; pid++) {
            if (ptrace(PTRACE_ATTACH, pid, 0, 0)) {
                if (errno != ESRCH && errno != EPERM)
                    next = pid + 1;
                continue;
            }
            tell(result, pid);
            waitpid(pid, NULL, __WALL);
            ptrace(PTRACE_DETACH, pid, 0, 0);
            next = pid + 1;
            break;
        }
    return 0;
}
