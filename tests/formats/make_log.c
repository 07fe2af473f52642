/* Makes the file logs of tests/formats/log-vN: "make_log DIR" writes DIR/clean (two partitions,
 * trimmed, closed in order), DIR/torn (one partition, its last group torn), and beside each a list
 * of what was put and must be read. Run once per format version, then committed and never changed.
 *
 *   cc -Iinclude tests/formats/make_log.c -letx -o make_log && ./make_log tests/formats/log-v1 */
#include <etx/log.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct log_maker {
    etx_log *log;
    FILE *list;
    uint64_t mark;
    uint32_t partition;
    uint64_t slot;
    uint32_t checksum;
} log_maker;

static void fail(const char *what) {
    fprintf(stderr, "make_log: %s\n", what);
    exit(1);
}

static void put(log_maker *maker, size_t len) {
    char *batch = malloc(len + 64);
    size_t at = 0;
    if (!batch)
        fail("out of memory");
    while (at < len)
        at += (size_t)snprintf(batch + at, 64, "partition %u slot %llu\n", maker->partition,
                               (unsigned long long)maker->slot);
    etx_put put = {.size = sizeof put,
                   .partition = maker->partition,
                   .predecessor = maker->checksum,
                   .slot = maker->slot,
                   .nonce = 0x1122334455667788 + maker->slot / 3,
                   .batch = {batch, len}};
    put.checksum =
        etx_slot_checksum(put.partition, put.slot, put.nonce, put.predecessor, put.batch);
    if (etx_log_file()->put(maker->log, &put) != ETX_PUT_WRITTEN)
        fail(put.message);
    if (maker->list && maker->slot >= maker->mark)
        fprintf(maker->list, "%u %llu %016llx %08x %08x %zu %08x\n", put.partition,
                (unsigned long long)put.slot, (unsigned long long)put.nonce, put.predecessor,
                put.checksum, len, etx_crc32c(0, batch, len));
    maker->slot++;
    maker->checksum = put.checksum;
    free(batch);
}

static etx_log *log_open(const char *dir, const char *name, const char *options) {
    char message[300];
    char url[600];
    etx_log *log;
    snprintf(url, sizeof url, "file:%s/%s?%s", dir, name, options);
    const etx_log_config config = {.size = sizeof config,
                                   .url = url,
                                   .node = "maker",
                                   .message = message,
                                   .message_size = sizeof message};
    if (etx_log_file()->open(&config, &log))
        fail(message);
    return log;
}

static FILE *list_open(const char *dir, const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s.txt", dir, name);
    FILE *list = fopen(path, "w");
    if (!list)
        fail(path);
    return list;
}

/* lock and owner are the process's, not the format's. */
static void locks_remove(const char *dir, const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s/lock", dir, name);
    unlink(path);
    snprintf(path, sizeof path, "%s/%s/owner", dir, name);
    unlink(path);
}

static void make_clean(const char *dir) {
    log_maker first = {.log = log_open(dir, "clean", "partitions=2&segment=1M"), .mark = 2};
    log_maker second = {.partition = 1};
    second.log = first.log;
    second.list = first.list = list_open(dir, "clean");
    put(&first, 1);
    put(&first, 700000); /* the second does not fit behind it: a segment changes */
    put(&first, 500000);
    put(&first, 3847);
    put(&first, 3848); /* fills a block */
    put(&first, 3849); /* one byte more than a block */
    put(&second, 100);
    put(&second, 20000);
    if (etx_log_file()->trim(first.log, 0, first.mark))
        fail("trim");
    etx_log_file()->close(first.log, 1);
    fclose(first.list);
    locks_remove(dir, "clean");
}

static void make_torn(const char *dir) {
    log_maker maker = {.log = log_open(dir, "torn", "partitions=1&segment=1M")};
    char path[600];
    char zeros[1024] = {0};
    maker.list = list_open(dir, "torn");
    put(&maker, 100);
    put(&maker, 9000);
    fclose(maker.list);
    maker.list = NULL;
    put(&maker, 9000); /* the one that is torn */
    etx_log_file()->close(maker.log, 0);
    snprintf(path, sizeof path, "%s/torn/p00-00000001.seg", dir);
    FILE *segment = fopen(path, "r+b");
    if (!segment || fseek(segment, 4096 + 4096 + 12288 + 1024, SEEK_SET) ||
        fwrite(zeros, 1, sizeof zeros, segment) != sizeof zeros)
        fail(path);
    fclose(segment);
    locks_remove(dir, "torn");
}

int main(int argc, char **argv) {
    if (argc != 2)
        fail("usage: make_log DIR");
    if (mkdir(argv[1], 0755))
        fail("the directory exists already: a committed format is never changed");
    make_clean(argv[1]);
    make_torn(argv[1]);
    return 0;
}
