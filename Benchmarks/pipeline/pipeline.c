// The yardstick: fetches the same documents with libcurl (curl_multi_poll, handles kept), hashes each with SHA-256 and
// upserts it with sqlite3, 500 in a transaction. Nothing else: no claim, no lease, no parsing, no comparison, no feed.
//
//     pipeline DATABASE URL ACCOUNTS CONCURRENCY
#include "../Support/transfers.h"
#include <openssl/evp.h>
#include <sqlite3.h>
#include <time.h>

enum { perTransaction = 500 };

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

/// The number of a transfer is the account's.
static void prepare(struct transfer *transfer) {
    char field[100];
    snprintf(field, sizeof field, "Authorization: Bearer EXAMPLE-bulk-%ld", transfer->number);
    curl_slist_free_all(transfer->fields);
    transfer->fields = curl_slist_append(curl_slist_append(NULL, "Accept: application/json"), field);
    transfer->header.count = transfer->body.count = 0;
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
    int subjectBytes = snprintf(subject, sizeof subject, "%ld", transfer->number);
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

    struct transfer *transfers;
    CURLM *multi = makeTransfers(&transfers, concurrency);
    runTransfers(multi, transfers, url, count, concurrency, prepare, store);
    if (inTransaction > 0) run("COMMIT");
    return 0;
}
