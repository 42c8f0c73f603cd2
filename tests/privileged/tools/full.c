/* A stream socket whose backlog is full: nobody accepts, and the next connect(2) waits.
 *
 * usage: full PATH   makes it and stays; PATH.full is there once it is full */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    char ready[sizeof place.sun_path];
    if (argc != 2 || strlen(argv[1]) + 6 > sizeof place.sun_path)
        return 2;
    strcpy(place.sun_path, argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 0))
        return 1;
    while (1) {
        int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(client, (struct sockaddr *)&place, sizeof place))
            break;
    }
    snprintf(ready, sizeof ready, "%s.full", argv[1]);
    creat(ready, 0600);
    pause();
    return 0;
}
