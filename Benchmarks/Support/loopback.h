// A server on the loopback: one thread, epoll, connections kept alive. Prints its port and leaves when its standard input
// closes. Define _GNU_SOURCE before this.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { connectionsMax = 4096 };

static void check(int ok, const char *what) {
    if (!ok) {
        perror(what);
        exit(1);
    }
}

/// `open` is told of a new connection; `receive` reads from one that has something and returns what recv(2) does.
static int serve(void (*open)(int descriptor), ssize_t (*receive)(int descriptor)) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    check(listener >= 0 && bind(listener, (struct sockaddr *)&address, length) == 0, "bind");
    check(getsockname(listener, (struct sockaddr *)&address, &length) == 0 && listen(listener, 1024) == 0, "listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    check(epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) == 0, "epoll_ctl");
    event.data.fd = STDIN_FILENO;
    check(epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event) == 0, "epoll_ctl: standard input must be a pipe");

    struct epoll_event events[256];
    for (;;) {
        int count = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int descriptor = events[i].data.fd;
            if (descriptor == STDIN_FILENO) return 0;
            if (descriptor == listener) {
                int accepted;
                while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    int on = 1;
                    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    check(accepted < connectionsMax, "too many connections");
                    open(accepted);
                    event = (struct epoll_event){.events = EPOLLIN, .data.fd = accepted};
                    check(epoll_ctl(poller, EPOLL_CTL_ADD, accepted, &event) == 0, "epoll_ctl");
                }
                continue;
            }
            ssize_t got = receive(descriptor);
            if (got == 0 || (got < 0 && errno != EAGAIN)) close(descriptor);
        }
    }
}
