/* What one put into a log costs: batches that another log has, put over one connection, one after
 * the other.
 *
 *   log-put [--seconds S] LIKE URL
 *
 * LIKE and URL are logs of one store. What LIKE has is read, and put by the adapter's own put into
 * partition 0 of URL, which is made for it and is no log of transactions afterwards. Prints one
 * JSON object. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <etx/log.h>

#include "histogram.h"

enum { BATCHES = 4096, FULL = 1, WARM_PART = 5 };

typedef struct batches {
    etx_bytes batch[BATCHES];
    size_t count, bytes;
} batches;

typedef struct run {
    etx_log *log;
    etx_put put;
    bench_histogram latency;
    double seconds;
} run;

static int complain(const char *what, const char *why) {
    fprintf(stderr, "log-put: %s%s%s\n", what, *why ? ": " : "", why);
    return 2;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static int open_log(const char *url, uint32_t flags, etx_log **ret_log) {
    char message[400] = "";
    const etx_log_config config = {.size = sizeof config,
                                   .url = url,
                                   .node = "bench",
                                   .flags = flags,
                                   .message = message,
                                   .message_size = sizeof message};
    int rc = etx_log_open(&config, ret_log);
    return rc ? complain(url, message) : 0;
}

static int keep(const etx_slot *slot, void *user) {
    batches *self = user;
    void *data = malloc(slot->batch.len);
    if (!data)
        return ETX_ENOMEM;
    memcpy(data, slot->batch.data, slot->batch.len);
    self->batch[self->count++] = (etx_bytes){data, slot->batch.len};
    self->bytes += slot->batch.len;
    return self->count == BATCHES ? FULL : 0;
}

/* Those of one partition after another. */
static int read_batches(const char *url, batches *ret_batches) {
    etx_log *log = NULL;
    char message[400] = "";
    int rc = open_log(url, ETX_LOG_READ_ONLY | ETX_LOG_NO_CREATE, &log);
    if (rc)
        return rc;
    etx_log_info info = {.size = sizeof info};
    rc = log->ops->info(log, &info);
    for (uint32_t i = 0; !rc && i < info.partitions; i++) {
        uint64_t mark;
        rc = log->ops->get(log, i, 0, keep, ret_batches, &mark, message, sizeof message);
    }
    log->ops->close(log, 1);
    if (rc && rc != FULL)
        return complain(url, message);
    return ret_batches->count ? 0 : complain(url, "it has no slots");
}

static int put_one(run *self, etx_bytes batch) {
    etx_put *put = &self->put;
    put->batch = batch;
    put->checksum =
        etx_slot_checksum(put->partition, put->slot, put->nonce, put->predecessor, batch);
    uint64_t begin = now_ns();
    if (self->log->ops->put(self->log, put) != ETX_PUT_WRITTEN)
        return complain("a put failed", put->message);
    bench_histogram_add(&self->latency, now_ns() - begin);
    put->predecessor = put->checksum;
    put->slot++;
    return 0;
}

static int put_for(run *self, const batches *from, double seconds) {
    uint64_t until = now_ns() + (uint64_t)(seconds * 1e9);
    int rc = 0;
    memset(&self->latency, 0, sizeof self->latency);
    while (!rc && now_ns() < until)
        rc = put_one(self, from->batch[self->put.slot % from->count]);
    return rc;
}

static void report(const run *self, const batches *from) {
    const bench_histogram *latency = &self->latency;
    printf("{\"puts\": %" PRIu64 ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"bytes\": %.1f}\n",
           latency->count, bench_histogram_us(latency, 0.5), bench_histogram_us(latency, 0.99),
           (double)from->bytes / (double)from->count);
}

static int measure(run *self, const char *like, const char *url, batches *from) {
    int rc = read_batches(like, from);
    rc = rc ? rc : open_log(url, 0, &self->log);
    if (rc)
        return rc;
    rc = put_for(self, from, self->seconds / WARM_PART);
    rc = rc ? rc : put_for(self, from, self->seconds);
    self->log->ops->close(self->log, 1);
    if (!rc)
        report(self, from);
    return rc;
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"seconds", 1, NULL, 's'}, {NULL, 0, NULL, 0}};
    run *self = calloc(1, sizeof *self);
    batches *from = calloc(1, sizeof *from);
    int name;
    if (!self || !from)
        return complain("out of memory", "");
    *self = (run){.seconds = 2, .put = {.size = sizeof self->put, .nonce = 1}};
    while ((name = getopt_long(argc, argv, "", names, NULL)) == 's')
        self->seconds = strtod(optarg, NULL);
    int rc = name != -1 || argc - optind != 2
                 ? complain("usage: log-put [--seconds S] LIKE URL", "")
                 : measure(self, argv[optind], argv[optind + 1], from);
    for (size_t i = 0; i < from->count; i++)
        free((void *)from->batch[i].data);
    free(from);
    free(self);
    return rc;
}
