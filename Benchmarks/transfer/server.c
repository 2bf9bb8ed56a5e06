// Answers every request without a body with 1 KB of JSON, over HTTP/1.1.
#define _GNU_SOURCE
#include "../Support/loopback.h"

enum { bodyBytes = 1024 };

static char response[2048];
static int responseBytes;
/// How much of "\r\n\r\n" each connection has seen.
static unsigned char seen[connectionsMax];

static void forget(int descriptor) { seen[descriptor] = 0; }

static ssize_t receive(int descriptor) {
    char buffer[16384];
    ssize_t got = recv(descriptor, buffer, sizeof buffer, 0);
    for (ssize_t j = 0; j < got; j++) {
        unsigned char at = seen[descriptor];
        seen[descriptor] = buffer[j] == "\r\n\r\n"[at] ? at + 1 : buffer[j] == '\r';
        if (seen[descriptor] == 4) {
            seen[descriptor] = 0;
            check(send(descriptor, response, responseBytes, MSG_NOSIGNAL) == responseBytes, "send");
        }
    }
    return got;
}

int main(void) {
    static char body[bodyBytes + 1];
    memset(body, 'x', bodyBytes);
    memcpy(body, "{\"id\":\"", 7);
    memcpy(body + bodyBytes - 2, "\"}", 2);
    responseBytes = snprintf(
        response, sizeof response,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        "Date: Sat, 21 Nov 2026 06:00:00 GMT\r\nETag: \"EXAMPLE\"\r\nCache-Control: private, max-age=60\r\n\r\n%s",
        bodyBytes, body);
    return serve(forget, receive);
}
