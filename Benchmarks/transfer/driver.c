// The yardstick: the same transfers by a C program on the same libcurl with curl_multi_poll. It keeps and reuses its
// easy handles, sets the options of a transfer as the Swift driver does, and copies header and body of each response
// into memory of its own.
//
//     driver URL TRANSFERS CONCURRENCY
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct buffer {
    char *bytes;
    size_t count, capacity;
};

struct transfer {
    CURL *easy;
    struct buffer header, body;
};

static size_t append(char *bytes, size_t size, size_t count, void *to) {
    struct buffer *buffer = to;
    size_t added = size * count;
    if (buffer->count + added > buffer->capacity) {
        buffer->capacity = 2 * (buffer->count + added);
        buffer->bytes = realloc(buffer->bytes, buffer->capacity);
        if (!buffer->bytes) return 0;
    }
    memcpy(buffer->bytes + buffer->count, bytes, added);
    buffer->count += added;
    return added;
}

static double processorMicroseconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void begin(CURLM *multi, struct transfer *transfer, const char *url, struct curl_slist *fields) {
    curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, fields);
    curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, 30000L);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPGET, 1L);
    free(transfer->header.bytes);
    free(transfer->body.bytes);
    transfer->header = transfer->body = (struct buffer){0};
    curl_multi_add_handle(multi, transfer->easy);
}

static void run(CURLM *multi, struct transfer *transfers, const char *url, struct curl_slist *fields, long count,
                long concurrency) {
    long begun = 0, done = 0;
    for (; begun < concurrency && begun < count; begun++) begin(multi, &transfers[begun], url, fields);
    while (done < count) {
        int running, left;
        curl_multi_perform(multi, &running);
        CURLMsg *message;
        while ((message = curl_multi_info_read(multi, &left))) {
            struct transfer *transfer;
            long status = 0;
            CURL *easy = message->easy_handle;
            CURLcode result = message->data.result;
            curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
            curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
            if (result != CURLE_OK || status != 200 || transfer->body.count != 1024) {
                fprintf(stderr, "transfer failed: %s, status %ld\n", curl_easy_strerror(result), status);
                exit(1);
            }
            curl_multi_remove_handle(multi, easy);
            done++;
            if (begun < count) {
                begin(multi, transfer, url, fields);
                begun++;
            }
        }
        if (done < count) curl_multi_poll(multi, NULL, 0, 60000, NULL);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: driver URL TRANSFERS CONCURRENCY\n");
        return 2;
    }
    const char *url = argv[1];
    long count = atol(argv[2]), concurrency = atol(argv[3]);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM *multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, concurrency);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 2 * concurrency);
    struct curl_slist *fields = curl_slist_append(NULL, "Accept: application/json");
    fields = curl_slist_append(fields, "Authorization: Bearer EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE");
    struct transfer *transfers = calloc(concurrency, sizeof *transfers);
    for (long i = 0; i < concurrency; i++) {
        CURL *easy = transfers[i].easy = curl_easy_init();
        curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfers[i]);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "rollcall-benchmark/1");
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, append);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfers[i].body);
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, append);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfers[i].header);
    }
    run(multi, transfers, url, fields, count / 10, concurrency);
    double before = processorMicroseconds();
    run(multi, transfers, url, fields, count, concurrency);
    printf("%.3f\n", (processorMicroseconds() - before) / count);
    return 0;
}
