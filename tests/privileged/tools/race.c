/* Exchanges a file or folder with others, over and over, as fast as it can.
 *
 * usage: race COUNT TARGET PARTNER...
 * PARTNER is a path that lies beside TARGET. For each in turn: TARGET and it are exchanged and
 * exchanged back; then TARGET is gone for a moment. One with a '+' before it is put in the place of
 * TARGET, whatever is there, and taken away again. COUNT gets how often, from time to time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long done;

static void swap(const char *one, const char *other) {
    if (!syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE))
        done++;
}

static void tell(const char *path) {
    FILE *out = fopen(path, "w");
    if (out) {
        fprintf(out, "%ld\n", done);
        fclose(out);
    }
}

int main(int argc, char **argv) {
    char away[4096];
    if (argc < 4)
        return 2;
    const char *target = argv[2];
    snprintf(away, sizeof away, "%s.away", target);
    for (long turn = 0;; turn++) {
        const char *partner = argv[3 + turn % (argc - 3)];
        if (partner[0] == '+') {
            if (!rename(partner + 1, target) && !rename(target, partner + 1))
                done++;
            if (turn % 4096 == 0)
                tell(argv[1]);
            continue;
        }
        swap(target, partner);
        swap(target, partner);
        if (turn % 16 == 0) {
            /* What has been made in its place meanwhile goes, when it can. */
            if (!rename(target, away)) {
                if (rename(away, target) && errno == ENOTEMPTY)
                    swap(away, target);
                done++;
            } else {
                rename(away, target);
            }
        }
        if (turn % 4096 == 0)
            tell(argv[1]);
    }
}
