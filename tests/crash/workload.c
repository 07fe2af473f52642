/* Journalled runs on the file log: puts, trims, helper's turns, faults, kills, power cuts. */
#include "workload.h"

#include "../../src/integration/log/file_format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *workload_segment(void) {
    return ETX__SEGMENT_MIN < (1 << 20) ? "32K" : "1M";
}

void workload_wrong(workload *run, const char *what, const char *words) {
    if (!run->wrong[0])
        snprintf(run->wrong, sizeof run->wrong, "%s: %s", what, words);
}

static history_point *point_add(workload *run) {
    history_point *point = history_add(&run->history);
    run->journal.note = run->history.count - 1;
    return point;
}

/* Has anything failed that was made to fail? */
static int is_excused(const workload *run) {
    return !run->strict && (disk_struck(run->on) || run->memory.failed);
}

/* What a log that has been opened, or opened anew, shows is durable: it is acted upon. */
static void partition_take(workload *run, uint32_t partition) {
    history_reading reading;
    history_point *point;
    history_read(&reading, &run->history, run->history.count - 1, run->log, partition);
    if (reading.wrong[0] && (!reading.rc || !is_excused(run)))
        workload_wrong(run, "reading", reading.wrong);
    if (reading.rc) {
        run->unknown[partition] = 1;
        return;
    }
    point = point_add(run);
    point->of[partition].acknowledged = point->of[partition].issued = reading.next;
    point->of[partition].mark_least = point->of[partition].mark_most = reading.mark;
    run->next[partition] = reading.next;
    run->checksums[partition] = reading.found ? reading.checksum : run->checksums[partition];
    run->unknown[partition] = 0;
}

int workload_open(workload *run) {
    char url[160];
    char message[400] = "";
    etx_log_config config = {.size = sizeof config,
                             .url = url,
                             .node = "run",
                             .allocator = &run->memory.allocator,
                             .message = message,
                             .message_size = sizeof message};
    snprintf(url, sizeof url, "file:%s?partitions=%u&segment=%s%s", WORKLOAD_DIR, run->partitions,
             workload_segment(), run->options);
    int rc = etx_log_file()->open(&config, &run->log);
    if (rc) {
        run->log = NULL;
        if (!is_excused(run))
            workload_wrong(run, "open", message);
        return rc;
    }
    point_add(run)->made = 1;
    for (uint32_t p = 0; p < run->partitions; p++)
        partition_take(run, p);
    run->nonce++;
    return 0;
}

void workload_close(workload *run, int clean) {
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
    else if (!is_excused(run))
        workload_wrong(run, "reopen", message);
}

void workload_put(workload *run, uint32_t partition, size_t len) {
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
            workload_wrong(run, "put", "occupied or another predecessor, but nobody else puts");
            break;
    }
    free(bytes);
}

void workload_trim(workload *run, uint32_t partition, uint64_t keep) {
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

void workload_turns(workload *run) {
    while (disk_turn(run->on))
        ;
}

void workload_crash(workload *run, int power) {
    workload_close(run, 0);
    disk_fault_clear(run->on);
    if (power)
        disk_crash(run->on, disk_rng_choose, &run->rng);
    workload_open(run);
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
        workload_put(run, 0, sizes[i % 8]);
    workload_turns(run);
    workload_trim(run, 0, 4);
    workload_turns(run);
    for (size_t i = 0; i < 20; i++)
        workload_put(run, 0, sizes[(i + 3) % 8]);
    for (size_t first = 0; first <= 4096; first += 1024) {
        fault(run, DISK_WRITE, ".seg", 1, first);
        workload_put(run, 0, 3000);
        workload_put(run, 0, 300);
        workload_trim(run, 0, 3);
        workload_turns(run);
    }
    workload_close(run, 1);
    workload_open(run);
    workload_put(run, 0, 100);
    workload_crash(run, 0);
    workload_put(run, 0, 9000);
    workload_crash(run, 1);
    for (size_t i = 0; i < 12; i++)
        workload_put(run, 0, 9000);
    fault(run, DISK_SYNC, ".tmp", 1, 0);
    for (size_t i = 0; i < 12; i++)
        workload_put(run, 0, 9000);
    workload_trim(run, 0, 2);
    workload_turns(run);
    workload_close(run, 0);
    workload_open(run);
    workload_put(run, 0, 10);
    workload_close(run, 1);
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
    if (!run->log && workload_open(run)) {
        disk_fault_clear(run->on);
        return;
    }
    if (draw < 62)
        workload_put(run, partition, size_draw(run));
    else if (draw < 78)
        disk_turn(run->on);
    else if (draw < 86)
        workload_trim(run, partition, 1 + disk_rng_next(&run->rng) % 12);
    else if (draw < 92)
        fault_draw(run);
    else if (draw < 94)
        disk_fault_clear(run->on);
    else if (draw < 96)
        workload_close(run, draw % 2 == 0);
    else
        workload_crash(run, draw % 2 == 0);
}

void workload_begin(workload *run) {
    memory_make(&run->memory);
    run->on = disk_make(WORKLOAD_MOUNT);
    point_add(run);
}

void workload_run(workload *run, uint64_t seed, uint32_t steps) {
    *run = (workload){.partitions = 1, .nonce = seed * 1000, .rng = {.state = seed}};
    disk_random_set(seed);
    if (seed) {
        run->partitions = 1 + (uint32_t)(disk_rng_next(&run->rng) % HISTORY_PARTITIONS);
        snprintf(run->options, sizeof run->options, "&direct=%u",
                 (unsigned)(disk_rng_next(&run->rng) % 2));
    }
    workload_begin(run);
    disk_journal_start(&run->journal, run->on);
    workload_open(run);
    if (!seed)
        script_run(run);
    for (uint32_t i = 0; seed && i < steps && !run->wrong[0]; i++)
        step_draw(run);
    workload_close(run, 0);
    disk_fault_clear(run->on);
    disk_journal_stop(&run->journal);
}

void workload_log(workload *run, int clean) {
    *run = (workload){.partitions = 1, .nonce = 7};
    disk_random_set(1);
    workload_begin(run);
    workload_open(run);
    for (size_t i = 0; i < 12; i++) {
        workload_put(run, 0, 300 + i * 800);
        workload_turns(run);
        if (i == 9)
            workload_trim(run, 0, 1);
    }
    workload_close(run, clean);
}

void workload_free(workload *done) {
    disk_journal_free(&done->journal);
    disk_free(done->on);
    history_free(&done->history);
}
