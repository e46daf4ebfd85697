/* Echo in C on epoll: the limit, what the same work costs without any library.
 *
 * Usage: echo_epoll. Prints the port it listens on, then echoes until it is killed.
 *
 * Level-triggered, one thread, nothing registered twice. A message is far smaller than a socket's buffer: a short
 * write is not handled, it ends the program. Only errors that happen on a sound machine are looked at. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, EVENTS = 1024, BYTES = 65536 };

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

static void echo(int fd) {
    static char buffer[BYTES];
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0)
        close(fd); /* which also ends the watch */
    else if (send(fd, buffer, (size_t)got, MSG_NOSIGNAL) != got)
        fail("send");
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, BACKLOG) < 0)
        fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    static struct epoll_event events[EVENTS];
    int epoll = epoll_create1(0);
    watch(epoll, listener);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int index = 0; index < count; index++) {
            if (events[index].data.fd != listener) {
                echo(events[index].data.fd);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd >= 0)
                watch(epoll, fd);
        }
    }
}
