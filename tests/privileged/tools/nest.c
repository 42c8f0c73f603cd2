/* Cgroups within cgroups, deeper than a path can tell.
 *
 * usage: nest FOLDER DEPTH LENGTH PID   each with a name of LENGTH letters; PID moves to the last */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char name[256] = {0};
    if (argc != 5 || atoi(argv[3]) > 255 || chdir(argv[1]))
        return 2;
    memset(name, 'd', atoi(argv[3]));
    for (int left = atoi(argv[2]); left > 0; left--) {
        if (mkdir(name, 0755) || chdir(name)) {
            perror(name);
            return 1;
        }
    }
    int procs = open("cgroup.procs", O_WRONLY);
    return write(procs, argv[4], strlen(argv[4])) < 0;
}
