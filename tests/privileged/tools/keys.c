/* A key in the session keyring.
 *
 * usage: keys hold PROGRAM [ARG...]   executes PROGRAM with a new session keyring that has the key
 *        keys plant NAME              makes a keyring of this name that has it, for all, and stays
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
    if (argc > 2 && !strcmp(argv[1], "plant")) {
        long ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, argv[2]);
        if (syscall(SYS_add_key, "user", "podvisor-secret", "x", 1, ring) < 0 ||
            syscall(SYS_keyctl, KEYCTL_SETPERM, ring, 0x3f3f3f3f))
            return 125;
        puts("planted");
        fflush(stdout);
        pause();
    }
    long found = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user",
                         "podvisor-secret", 0);
    puts(found < 0 ? strerror(errno) : "found");
    return 0;
}
