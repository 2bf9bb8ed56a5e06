// A loopback HTTP/1.1 server: one thread, epoll, connections kept alive, 1 KB of JSON for every request without a body.
// Prints its port and leaves when its standard input closes.
#define _GNU_SOURCE
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

enum { bodyBytes = 1024, connectionsMax = 4096 };

static void check(int ok, const char *what) {
    if (!ok) {
        perror(what);
        exit(1);
    }
}

int main(void) {
    static char response[2048];
    static char body[bodyBytes + 1];
    memset(body, 'x', bodyBytes);
    memcpy(body, "{\"id\":\"", 7);
    memcpy(body + bodyBytes - 2, "\"}", 2);
    int responseBytes = snprintf(
        response, sizeof response,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        "Date: Sat, 21 Nov 2026 06:00:00 GMT\r\nETag: \"EXAMPLE\"\r\nCache-Control: private, max-age=60\r\n\r\n%s",
        bodyBytes, body);

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

    // How much of "\r\n\r\n" each connection has seen.
    static unsigned char seen[connectionsMax];
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
                    seen[accepted] = 0;
                    event = (struct epoll_event){.events = EPOLLIN, .data.fd = accepted};
                    check(epoll_ctl(poller, EPOLL_CTL_ADD, accepted, &event) == 0, "epoll_ctl");
                }
                continue;
            }
            char buffer[16384];
            ssize_t got = recv(descriptor, buffer, sizeof buffer, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) {
                close(descriptor);
                continue;
            }
            for (ssize_t j = 0; j < got; j++) {
                unsigned char at = seen[descriptor];
                seen[descriptor] = buffer[j] == "\r\n\r\n"[at] ? at + 1 : buffer[j] == '\r';
                if (seen[descriptor] == 4) {
                    seen[descriptor] = 0;
                    check(send(descriptor, response, responseBytes, MSG_NOSIGNAL) == responseBytes, "send");
                }
            }
        }
    }
}
