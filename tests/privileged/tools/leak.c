/* Leaves the folder `/` open on every descriptor from 3 to LAST.
 *
 * usage: leak LAST PROGRAM [ARG...] */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    int root = open("/", O_RDONLY | O_DIRECTORY);
    for (int fd = 3; fd <= atoi(argv[1]); fd++)
        if (fd != root && dup2(root, fd) < 0)
            return 125;
    execv(argv[2], argv + 2);
    return 127;
}
