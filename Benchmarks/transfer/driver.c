// The yardstick: the same transfers by a C program on the same libcurl.
//
//     driver URL TRANSFERS CONCURRENCY
#include "../Support/transfers.h"
#include <sys/resource.h>

static double processorMicroseconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static struct curl_slist *fields;

static void prepare(struct transfer *transfer) {
    transfer->fields = fields;
    free(transfer->header.bytes);
    free(transfer->body.bytes);
    transfer->header = transfer->body = (struct buffer){0};
}

static void finish(struct transfer *transfer) {
    if (transfer->body.count == 1024) return;
    fprintf(stderr, "transfer failed: %zu bytes\n", transfer->body.count);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: driver URL TRANSFERS CONCURRENCY\n");
        return 2;
    }
    const char *url = argv[1];
    long count = atol(argv[2]), concurrency = atol(argv[3]);
    struct transfer *transfers;
    CURLM *multi = makeTransfers(&transfers, concurrency);
    fields = curl_slist_append(NULL, "Accept: application/json");
    fields = curl_slist_append(fields, "Authorization: Bearer EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE");
    runTransfers(multi, transfers, url, count / 10, concurrency, prepare, finish);
    double before = processorMicroseconds();
    runTransfers(multi, transfers, url, count, concurrency, prepare, finish);
    printf("%.3f\n", (processorMicroseconds() - before) / count);
    return 0;
}
