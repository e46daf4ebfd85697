/* Load in C on epoll: many connections that each send a message, wait for its echo, and send the next.
 *
 * Usage: load_epoll PORT CONNECTIONS REQUESTS. Prints "ready" when all are connected and warm, waits for a line on its
 * input, makes exactly REQUESTS requests, checks each echo's length, prints "done". So whoever started it can look at
 * the server's clock right before and right after.
 *
 * It costs less than any server in Python: with many connections such a server always has work, and is the subject. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 1024, MESSAGE_BYTES = 64, WARM_EACH = 10, WARM_LEAST = 5000 };

static int epoll;
static int *missing; /* by descriptor: bytes of the echo still to come */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void ask(int fd) {
    static const char message[MESSAGE_BYTES] = "an echo, please";
    if (send(fd, message, sizeof message, MSG_NOSIGNAL) != sizeof message)
        fail("send");
    missing[fd] = MESSAGE_BYTES;
}

static int connected(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
    return fd;
}

/* All connections ask at once, then each asks again when it has its answer, until `requests` have been asked. */
static void load(const int *fds, int connections, long requests) {
    static struct epoll_event events[EVENTS];
    static char buffer[MESSAGE_BYTES];
    long asked = 0, answered = 0;
    while (asked < connections && asked < requests)
        ask(fds[asked++]);
    while (answered < requests) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int index = 0; index < count; index++) {
            int fd = events[index].data.fd;
            ssize_t got = recv(fd, buffer, (size_t)missing[fd], 0);
            if (got <= 0)
                fail("recv");
            missing[fd] -= (int)got;
            if (missing[fd] > 0)
                continue;
            answered++;
            if (asked < requests) {
                asked++;
                ask(fd);
            }
        }
    }
}

int main(int count, char **words) {
    if (count != 4)
        return 2;
    int connections = atoi(words[2]);
    long warm = (long)connections * WARM_EACH;
    int *fds = calloc((size_t)connections, sizeof *fds);
    missing = calloc((size_t)getdtablesize(), sizeof *missing);
    epoll = epoll_create1(0);
    for (int index = 0; index < connections; index++)
        fds[index] = connected(atoi(words[1]));
    load(fds, connections, warm < WARM_LEAST ? WARM_LEAST : warm);
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF)
        return 1;
    load(fds, connections, atol(words[3]));
    puts("done");
    return 0;
}
