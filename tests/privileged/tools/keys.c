/* A key in the session keyring.
 *
 * usage: keys hold PROGRAM [ARG...]   executes PROGRAM with a new session keyring that has the key
 *        keys look                    prints whether the session keyring has it */
#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc > 2 && !strcmp(argv[1], "hold")) {
        syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
        if (syscall(SYS_add_key, "user", "podvisor-secret", "x", 1, KEY_SPEC_SESSION_KEYRING) < 0)
            return 125;
        execv(argv[2], argv + 2);
        return 127;
    }
    long found = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user",
                         "podvisor-secret", 0);
    puts(found < 0 ? strerror(errno) : "found");
    return 0;
}
