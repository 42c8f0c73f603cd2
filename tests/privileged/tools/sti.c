/* Pushes a line into the terminal that it was given as descriptor 0, as if somebody had typed it.
 *
 * usage: sti
 * Prints how the kernel took the first byte, and whether there is a controlling terminal. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void) {
    const char *typed = "id\n";
    int taken = 0;
    for (const char *byte = typed; *byte; byte++)
        taken |= ioctl(0, TIOCSTI, byte) ? errno : 0;
    int tty = open("/dev/tty", O_RDWR | O_NOCTTY);
    printf("push: %s\n", taken ? strerror(taken) : "taken");
    printf("tty: %s\n", tty < 0 ? "none" : "one");
    return 0;
}
