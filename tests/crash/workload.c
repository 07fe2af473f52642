/* Journalled runs on the file log: puts, trims, helper's turns, faults, kills, power cuts. */
#include "workload.h"

#include "../../src/integration/log/file_format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *workload_segment(void) {
    return ETX__SEGMENT_MIN < (1 << 20) ? "64K" : "1M";
}

static void wrong(workload *run, const char *what, const char *words) {
    if (!run->wrong[0])
        snprintf(run->wrong, sizeof run->wrong, "%s: %s", what, words);
}

static history_point *point_add(workload *run) {
    history_point *point = history_add(&run->history);
    run->journal.note = run->history.count - 1;
    return point;
}

/* What a log that has been opened, or opened anew, shows is durable: it is acted upon. */
static void partition_take(workload *run, uint32_t partition) {
    history_reading reading;
    history_point *point;
    history_read(&reading, &run->history, run->history.count - 1, run->log, partition);
    if (reading.wrong[0])
        wrong(run, "reading", reading.wrong);
    point = point_add(run);
    point->of[partition].acknowledged = point->of[partition].issued = reading.next;
    point->of[partition].mark_least = point->of[partition].mark_most = reading.mark;
    run->next[partition] = reading.next;
    run->checksums[partition] = reading.found ? reading.checksum : run->checksums[partition];
    run->unknown[partition] = 0;
}

static int log_open(workload *run) {
    char url[160];
    char message[400] = "";
    etx_log_config config = {.size = sizeof config,
                             .url = url,
                             .node = "run",
                             .message = message,
                             .message_size = sizeof message};
    snprintf(url, sizeof url, "file:%s?partitions=%u&segment=%s%s", WORKLOAD_DIR, run->partitions,
             workload_segment(), run->options);
    int rc = etx_log_file()->open(&config, &run->log);
    if (rc) {
        run->log = NULL;
        if (!disk_struck(run->on))
            wrong(run, "open", message);
        return rc;
    }
    point_add(run)->made = 1;
    for (uint32_t p = 0; p < run->partitions; p++)
        partition_take(run, p);
    run->nonce++;
    return 0;
}

static void log_close(workload *run, int clean) {
    if (run->log)
        etx_log_file()->close(run->log, clean);
    run->log = NULL;
}

static etx_put put_make(const workload *run, uint32_t partition, uint8_t *bytes, size_t len) {
    etx_put put = {.size = sizeof put,
                   .partition = partition,
                   .predecessor = run->next[partition] ? run->checksums[partition] : 0,
                   .slot = run->next[partition],
                   .nonce = run->nonce,
                   .batch = {bytes, len}};
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7 + put.slot * 13 + run->nonce * 29 + len);
    put.checksum =
        etx_slot_checksum(put.partition, put.slot, put.nonce, put.predecessor, put.batch);
    return put;
}

static void put_acknowledged(workload *run, const etx_put *put) {
    history_point *point = point_add(run);
    point->of[put->partition].acknowledged = put->slot + 1;
    run->next[put->partition] = put->slot + 1;
    run->checksums[put->partition] = put->checksum;
}

static void reopen(workload *run, uint32_t partition) {
    char message[400] = "";
    int rc = etx_log_file()->reopen(run->log, partition, message, sizeof message);
    if (rc == 0)
        partition_take(run, partition);
    else if (!disk_struck(run->on))
        wrong(run, "reopen", message);
}

/* One put. After an unknown one the partition is opened anew, as the engine does. */
static void put_one(workload *run, uint32_t partition, size_t len) {
    uint8_t *bytes = malloc(len);
    etx_put put;
    if (!bytes)
        abort();
    if (run->unknown[partition])
        reopen(run, partition);
    if (run->unknown[partition]) {
        free(bytes);
        return;
    }
    put = put_make(run, partition, bytes, len);
    history_issue(&run->history, &put);
    run->journal.note = run->history.count - 1;
    switch (etx_log_file()->put(run->log, &put)) {
        case ETX_PUT_WRITTEN:
            put_acknowledged(run, &put);
            break;
        case ETX_PUT_NOT_WRITTEN:
            point_add(run)->of[partition].issued = put.slot;
            break;
        case ETX_PUT_UNKNOWN:
            run->unknown[partition] = 1;
            break;
        case ETX_PUT_OCCUPIED:
        case ETX_PUT_PREDECESSOR:
            wrong(run, "put", "occupied or another predecessor, but nobody else puts");
            break;
    }
    free(bytes);
}

static void trim(workload *run, uint32_t partition, uint64_t keep) {
    history_point *point = point_add(run);
    uint64_t below = run->next[partition] > keep ? run->next[partition] - keep : 0;
    uint64_t last = run->next[partition] ? run->next[partition] - 1 : 0;
    if (below > last)
        below = last;
    if (below < point->of[partition].mark_most)
        below = point->of[partition].mark_most;
    point->of[partition].mark_most = below;
    if (!run->unknown[partition] && etx_log_file()->trim(run->log, partition, below) == 0)
        point_add(run)->of[partition].mark_least = below;
}

static void turns(workload *run) {
    while (disk_turn(run->on))
        ;
}

/* The process dies; power too, if `power`. What a new one reads is what counts. */
static void crash(workload *run, int power) {
    log_close(run, 0);
    disk_fault_clear(run->on);
    if (power)
        disk_crash(run->on, disk_rng_choose, &run->rng);
    log_open(run);
}

static void fault(workload *run, disk_kind kind, const char *file, uint64_t at, size_t first) {
    disk_fault_clear(run->on);
    disk_fault_add(run->on, &(disk_fault){.kind = kind,
                                          .file = file,
                                          .at = at,
                                          .error = EIO,
                                          .first = first,
                                          .keep = first ? 3 : 0});
}

/* Once through everything. */
static void script_run(workload *run) {
    static const size_t sizes[] = {1, 400, 3848, 3849, 9000, 25000, 50, 3000};
    for (size_t i = 0; i < 20; i++)
        put_one(run, 0, sizes[i % 8]);
    turns(run);
    trim(run, 0, 4);
    turns(run);
    for (size_t i = 0; i < 20; i++)
        put_one(run, 0, sizes[(i + 3) % 8]);
    for (size_t first = 0; first <= 4096; first += 1024) {
        fault(run, DISK_WRITE, ".seg", 1, first);
        put_one(run, 0, 3000);
        put_one(run, 0, 300);
        trim(run, 0, 3);
        turns(run);
    }
    log_close(run, 1);
    log_open(run);
    put_one(run, 0, 100);
    crash(run, 0);
    put_one(run, 0, 9000);
    crash(run, 1);
    for (size_t i = 0; i < 12; i++)
        put_one(run, 0, 9000);
    fault(run, DISK_SYNC, ".tmp", 1, 0);
    for (size_t i = 0; i < 12; i++)
        put_one(run, 0, 9000);
    trim(run, 0, 2);
    turns(run);
    log_close(run, 0);
    log_open(run);
    put_one(run, 0, 10);
    log_close(run, 1);
}

static size_t size_draw(workload *run) {
    static const size_t most[] = {200, 3848, 8000, 26000};
    return 1 + disk_rng_next(&run->rng) % most[disk_rng_next(&run->rng) % 4];
}

static void fault_draw(workload *run) {
    static const struct {
        disk_kind kind;
        const char *file;
    } kinds[] = {{DISK_WRITE, ".seg"},  {DISK_WRITE, ".state"}, {DISK_WRITE, ".tmp"},
                 {DISK_SYNC, ".state"}, {DISK_SYNC, ".tmp"},    {DISK_SYNC_DIR, NULL},
                 {DISK_RENAME, NULL},   {DISK_UNLINK, NULL},    {DISK_CREATE, NULL},
                 {DISK_ALLOCATE, NULL}, {DISK_OPEN, NULL},      {DISK_READ, NULL}};
    size_t i = disk_rng_next(&run->rng) % (sizeof kinds / sizeof kinds[0]);
    fault(run, kinds[i].kind, kinds[i].file, 1 + disk_rng_next(&run->rng) % 4,
          disk_rng_next(&run->rng) % 12 * 512);
}

static void step_draw(workload *run) {
    uint64_t draw = disk_rng_next(&run->rng) % 100;
    uint32_t partition = (uint32_t)(disk_rng_next(&run->rng) % run->partitions);
    if (!run->log && log_open(run)) {
        disk_fault_clear(run->on);
        return;
    }
    if (draw < 62)
        put_one(run, partition, size_draw(run));
    else if (draw < 78)
        disk_turn(run->on);
    else if (draw < 86)
        trim(run, partition, 1 + disk_rng_next(&run->rng) % 12);
    else if (draw < 92)
        fault_draw(run);
    else if (draw < 94)
        disk_fault_clear(run->on);
    else if (draw < 96)
        log_close(run, draw % 2 == 0);
    else
        crash(run, draw % 2 == 0);
}

void workload_run(workload *run, uint64_t seed, uint32_t steps) {
    *run = (workload){.partitions = 1, .nonce = seed * 1000, .rng = {.state = seed}};
    disk_random_set(seed);
    run->on = disk_make(WORKLOAD_MOUNT);
    disk_journal_start(&run->journal, run->on);
    point_add(run);
    if (seed) {
        run->partitions = 1 + (uint32_t)(disk_rng_next(&run->rng) % HISTORY_PARTITIONS);
        snprintf(run->options, sizeof run->options, "&direct=%u",
                 (unsigned)(disk_rng_next(&run->rng) % 2));
    }
    log_open(run);
    if (!seed)
        script_run(run);
    for (uint32_t i = 0; seed && i < steps && !run->wrong[0]; i++)
        step_draw(run);
    log_close(run, 0);
    disk_fault_clear(run->on);
    disk_journal_stop(&run->journal);
}

void workload_log(workload *run, int clean) {
    *run = (workload){.partitions = 1, .nonce = 7};
    disk_random_set(1);
    run->on = disk_make(WORKLOAD_MOUNT);
    point_add(run);
    log_open(run);
    for (size_t i = 0; i < 24; i++) {
        put_one(run, 0, 300 + i * 400);
        turns(run);
        if (i == 11)
            trim(run, 0, 1);
    }
    log_close(run, clean);
}

void workload_free(workload *done) {
    disk_journal_free(&done->journal);
    disk_free(done->on);
    history_free(&done->history);
}
