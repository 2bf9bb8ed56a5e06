// The yardstick: fetches the same documents with libcurl (curl_multi_poll, handles kept), hashes each with SHA-256 and
// upserts it with sqlite3, 500 in a transaction. Nothing else: no claim, no lease, no parsing, no comparison, no feed.
//
//     pipeline DATABASE URL ACCOUNTS CONCURRENCY
#include <curl/curl.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { perTransaction = 500 };

struct buffer {
    char *bytes;
    size_t count, capacity;
};

struct transfer {
    CURL *easy;
    struct curl_slist *fields;
    struct buffer header, body;
    long account;
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

static sqlite3 *database;
static sqlite3_stmt *upsert;
static EVP_MD_CTX *digest;
static int inTransaction;

static void check(int ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "%s: %s\n", what, database ? sqlite3_errmsg(database) : "");
    exit(1);
}

static void run(const char *sql) { check(sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK, sql); }

static void begin(CURLM *multi, struct transfer *transfer, const char *url, long account) {
    char field[100];
    snprintf(field, sizeof field, "Authorization: Bearer EXAMPLE-bulk-%ld", account);
    curl_slist_free_all(transfer->fields);
    transfer->fields = curl_slist_append(curl_slist_append(NULL, "Accept: application/json"), field);
    transfer->account = account;
    curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->fields);
    curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, 30000L);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPGET, 1L);
    transfer->header.count = transfer->body.count = 0;
    curl_multi_add_handle(multi, transfer->easy);
}

static void store(struct transfer *transfer) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned hashBytes;
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    EVP_DigestUpdate(digest, transfer->body.bytes, transfer->body.count);
    EVP_DigestFinal_ex(digest, hash, &hashBytes);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long milliseconds = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    char subject[24];
    int subjectBytes = snprintf(subject, sizeof subject, "%ld", transfer->account);
    if (inTransaction == 0) run("BEGIN IMMEDIATE");
    sqlite3_bind_text(upsert, 1, subject, subjectBytes, SQLITE_STATIC);
    sqlite3_bind_blob(upsert, 2, hash, hashBytes, SQLITE_STATIC);
    sqlite3_bind_text(upsert, 3, transfer->body.bytes, transfer->body.count, SQLITE_STATIC);
    sqlite3_bind_int64(upsert, 4, milliseconds);
    sqlite3_bind_int64(upsert, 5, milliseconds + 21600000);
    check(sqlite3_step(upsert) == SQLITE_DONE, "upsert");
    sqlite3_reset(upsert);
    if (++inTransaction == perTransaction) {
        run("COMMIT");
        inTransaction = 0;
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: pipeline DATABASE URL ACCOUNTS CONCURRENCY\n");
        return 2;
    }
    const char *url = argv[2];
    long count = atol(argv[3]), concurrency = atol(argv[4]);
    check(sqlite3_open(argv[1], &database) == SQLITE_OK, "open");
    run("PRAGMA journal_mode = WAL");
    run("PRAGMA synchronous = FULL");
    run("CREATE TABLE IF NOT EXISTS profile (id INTEGER PRIMARY KEY, provider TEXT NOT NULL, subject TEXT NOT NULL, "
        "hash BLOB NOT NULL, body TEXT NOT NULL, fetched_at INTEGER NOT NULL, next_sync_at INTEGER NOT NULL, "
        "UNIQUE (provider, subject))");
    run("CREATE INDEX IF NOT EXISTS profile_due ON profile (next_sync_at)");
    check(sqlite3_prepare_v3(database,
                             "INSERT INTO profile (provider, subject, hash, body, fetched_at, next_sync_at) "
                             "VALUES ('pipeline', ?1, ?2, ?3, ?4, ?5) ON CONFLICT (provider, subject) DO UPDATE SET "
                             "hash = ?2, body = ?3, fetched_at = ?4, next_sync_at = ?5",
                             -1, SQLITE_PREPARE_PERSISTENT, &upsert, NULL) == SQLITE_OK,
          "prepare");
    digest = EVP_MD_CTX_new();

    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM *multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, concurrency);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 2 * concurrency);
    struct transfer *transfers = calloc(concurrency, sizeof *transfers);
    long begun = 0, done = 0;
    for (long i = 0; i < concurrency && begun < count; i++) {
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
        begin(multi, &transfers[i], url, ++begun);
    }
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
                return 1;
            }
            curl_multi_remove_handle(multi, easy);
            store(transfer);
            done++;
            if (begun < count) begin(multi, transfer, url, ++begun);
        }
        if (done < count) curl_multi_poll(multi, NULL, 0, 60000, NULL);
    }
    if (inTransaction > 0) run("COMMIT");
    return 0;
}
