/* Gives a program a terminal of its own, as a shell has one.
 *
 * usage: pty PROGRAM [ARG...]
 * Prints what the program writes to the terminal, then a line "left: N", the bytes that somebody
 * has put into the terminal's input. Ends as PROGRAM does. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char buffer[4096];
    int status = 0, left = 0;
    if (argc < 2)
        return 2;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || unlockpt(master))
        return 125;
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        for (int fd = 0; fd < 3; fd++)
            dup2(slave, fd);
        execv(argv[1], argv + 1);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    ioctl(slave, FIONREAD, &left);
    /* This end stays open: nothing that was written is lost. */
    fcntl(master, F_SETFL, O_NONBLOCK);
    for (ssize_t got; (got = read(master, buffer, sizeof buffer)) > 0;)
        if (write(1, buffer, (size_t)got) != got)
            return 125;
    printf("left: %d\n", left);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
