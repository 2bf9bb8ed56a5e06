// Profiles over HTTP/1.1. The access token EXAMPLE-bulk-<n> is person n, whose document has about 2 KB and shows the revision
// that was set last. Costs next to nothing itself.
//
//     GET /user                     the document; 304 where tags are on and If-None-Match has the current one
//     GET /set?revision=R&tags=T    what the documents show from now on; whether they carry entity tags
//     POST /token                   an access token of somebody new, beginning with person 100,000,001
#define _GNU_SOURCE
#include "../Support/loopback.h"

enum { requestMax = 8192, firstSubject = 500000000 };

static long revision = 1, newcomers = 100000000;
static int hasTags = 1;

static const char *document =
    "{\"login\":\"person-%09ld\",\"id\":%ld,\"node_id\":\"U_EXAMPLE%ld\","
    "\"avatar_url\":\"https://avatars.example/u/%ld?v=%ld\",\"gravatar_id\":\"\","
    "\"url\":\"https://api.example/users/person-%09ld\",\"html_url\":\"https://example/person-%09ld\","
    "\"followers_url\":\"https://api.example/users/person/followers\","
    "\"following_url\":\"https://api.example/users/person/following{/other_user}\","
    "\"gists_url\":\"https://api.example/users/person/gists{/gist_id}\","
    "\"starred_url\":\"https://api.example/users/person/starred{/owner}{/repo}\","
    "\"subscriptions_url\":\"https://api.example/users/person/subscriptions\","
    "\"organizations_url\":\"https://api.example/users/person/orgs\","
    "\"repos_url\":\"https://api.example/users/person/repos\","
    "\"events_url\":\"https://api.example/users/person/events{/privacy}\","
    "\"received_events_url\":\"https://api.example/users/person/received_events\","
    "\"type\":\"User\",\"user_view_type\":\"private\",\"site_admin\":false,\"name\":\"Person of revision %ld\","
    "\"company\":null,\"blog\":\"https://blog.example/person\",\"location\":\"EXAMPLE\",\"email\":null,\"hireable\":null,"
    "\"bio\":\"EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE "
    "EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE EXAMPLE\",\"twitter_username\":null,\"notification_email\":null,"
    "\"public_repos\":8,\"public_gists\":8,\"followers\":12,\"following\":34,\"created_at\":\"2019-02-03T04:05:06Z\","
    "\"updated_at\":\"2026-11-21T10:00:00Z\",\"private_gists\":3,\"total_private_repos\":4,\"owned_private_repos\":4,"
    "\"disk_usage\":12345,\"collaborators\":2,\"two_factor_authentication\":true,"
    "\"plan\":{\"name\":\"free\",\"space\":976562499,\"private_repos\":10000,\"collaborators\":0}}";

static int answer(char *to, int capacity, const char *status, const char *tag, const char *body, int bytes) {
    return snprintf(to, capacity,
                    "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                    "Date: Sat, 21 Nov 2026 06:00:00 GMT\r\n%s\r\n%.*s",
                    status, bytes, tag, bytes, body);
}

/// `request` ends with a zero.
static int respond(const char *request, char *to, int capacity) {
    char body[4096], tag[64] = "";
    if (!strncmp(request, "GET /set?", 9)) {
        const char *value = strstr(request, "revision=");
        if (value) revision = atol(value + 9);
        value = strstr(request, "tags=");
        if (value) hasTags = atoi(value + 5);
        return answer(to, capacity, "200 OK", "", "{}", 2);
    }
    if (!strncmp(request, "POST /token", 11)) {
        int bytes = snprintf(body, sizeof body, "{\"access_token\":\"EXAMPLE-bulk-%ld\",\"token_type\":\"bearer\"}",
                             ++newcomers);
        return answer(to, capacity, "200 OK", "Cache-Control: no-store\r\n", body, bytes);
    }
    const char *token = strstr(request, "EXAMPLE-bulk-");
    if (!token) return answer(to, capacity, "401 Unauthorized", "", "{}", 2);
    long n = atol(token + 13), id = firstSubject + n;
    if (hasTags) {
        char value[40];
        snprintf(value, sizeof value, "\"%ld-%ld\"", n, revision);
        snprintf(tag, sizeof tag, "ETag: %s\r\n", value);
        const char *known = strcasestr(request, "if-none-match: ");
        if (known && !strncmp(known + 15, value, strlen(value)))
            return snprintf(to, capacity, "HTTP/1.1 304 Not Modified\r\n%s\r\n", tag);
    }
    int bytes = snprintf(body, sizeof body, document, n, id, id, id, revision, n, n, revision);
    return answer(to, capacity, "200 OK", tag, body, bytes);
}

struct connection {
    int count;
    char bytes[requestMax + 1];
};

static struct connection *connections[connectionsMax];

static void forget(int descriptor) {
    if (!connections[descriptor]) connections[descriptor] = malloc(sizeof(struct connection));
    check(connections[descriptor] != NULL, "malloc");
    connections[descriptor]->count = 0;
}

static ssize_t receive(int descriptor) {
    struct connection *connection = connections[descriptor];
    ssize_t got = recv(descriptor, connection->bytes + connection->count, requestMax - connection->count, 0);
    if (got <= 0) return got;
    connection->count += got;
    connection->bytes[connection->count] = 0;
    // One request at a time: nobody here pipelines.
    char *end = strstr(connection->bytes, "\r\n\r\n");
    if (!end) return got;
    const char *field = strcasestr(connection->bytes, "\r\ncontent-length: ");
    long body = field && field < end ? atol(field + 18) : 0;
    if (connection->count < end + 4 - connection->bytes + body) return got;
    static char response[8192];
    int bytes = respond(connection->bytes, response, sizeof response);
    connection->count = 0;
    check(send(descriptor, response, bytes, MSG_NOSIGNAL) == bytes, "send");
    return got;
}

int main(void) { return serve(forget, receive); }
