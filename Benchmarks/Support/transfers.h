// What the C yardsticks do with libcurl: curl_multi_poll, easy handles kept and reused, the options of a transfer set as the
// Swift driver sets them, header and body of each response copied into memory of its own.
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct buffer {
    char *bytes;
    size_t count, capacity;
};

struct transfer {
    CURL *easy;
    /// From 1, in the order in which they begin.
    long number;
    struct curl_slist *fields;
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

/// `concurrency` transfers and what they run on.
static CURLM *makeTransfers(struct transfer **transfers, long concurrency) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM *multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, concurrency);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 2 * concurrency);
    *transfers = calloc(concurrency, sizeof **transfers);
    for (long i = 0; i < concurrency; i++) {
        struct transfer *transfer = &(*transfers)[i];
        CURL *easy = transfer->easy = curl_easy_init();
        curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "rollcall-benchmark/1");
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, append);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer->body);
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, append);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer->header);
    }
    return multi;
}

static void begin(CURLM *multi, struct transfer *transfer, const char *url, long number,
                  void (*prepare)(struct transfer *)) {
    transfer->number = number;
    prepare(transfer);
    curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->fields);
    curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, 30000L);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPGET, 1L);
    curl_multi_add_handle(multi, transfer->easy);
}

/// `prepare` empties the buffers and sets the fields; `finish` has the response of a 200. Anything else ends the program.
static void runTransfers(CURLM *multi, struct transfer *transfers, const char *url, long count, long concurrency,
                         void (*prepare)(struct transfer *), void (*finish)(struct transfer *)) {
    long begun = 0, done = 0;
    for (; begun < concurrency && begun < count; begun++) begin(multi, &transfers[begun], url, begun + 1, prepare);
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
            if (result != CURLE_OK || status != 200) {
                fprintf(stderr, "transfer failed: %s, status %ld\n", curl_easy_strerror(result), status);
                exit(1);
            }
            curl_multi_remove_handle(multi, easy);
            finish(transfer);
            done++;
            if (begun < count) begin(multi, transfer, url, ++begun, prepare);
        }
        if (done < count) curl_multi_poll(multi, NULL, 0, 60000, NULL);
    }
}
