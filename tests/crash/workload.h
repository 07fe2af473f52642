/* Runs on the real file log on a simulated disk, journalled: what their crash images are made of.
 * Scripted ones go once through everything a log does; seeded ones do it in any order. */
#ifndef ETX_TESTS_CRASH_WORKLOAD_H
#define ETX_TESTS_CRASH_WORKLOAD_H

#include "history.h"

#include "../fault/memory.h"
#include "../simulation/disk/disk.h"

#define WORKLOAD_MOUNT "/sim/run"
#define WORKLOAD_DIR WORKLOAD_MOUNT "/log"

typedef struct workload {
    disk *on;
    disk_journal journal;
    memory memory; /* of the log */
    history history;
    uint32_t partitions;
    uint64_t nonce;
    disk_rng rng;
    char options[64];
    etx_log *log;
    uint32_t checksums[HISTORY_PARTITIONS]; /* of the last slot */
    uint64_t next[HISTORY_PARTITIONS];
    uint8_t unknown[HISTORY_PARTITIONS]; /* a put is unknown: the partition is to be reopened */
    int strict;                          /* no error is excused by a fault that struck */
    char wrong[600];                     /* what broke a promise already while it ran, or "" */
} workload;

/* Bytes of the smallest segment of the log that this program was linked with: 32 KiB or 1 MiB. */
const char *workload_segment(void);
/* The verbs. A run begins on an empty disk, with partitions and options as set in *run. */
void workload_begin(workload *run);
int workload_open(workload *run);
void workload_close(workload *run, int clean);
/* One put. After an unknown one the partition is first opened anew, as the engine does. */
void workload_put(workload *run, uint32_t partition, size_t len);
/* Trims all but the last `keep` slots. */
void workload_trim(workload *run, uint32_t partition, uint64_t keep);
void workload_turns(workload *run);
/* The process dies; power too, if `power`; then faults end, and a new one opens the log. */
void workload_crash(workload *run, int power);
/* Notes what is wrong, if nothing was before. */
void workload_wrong(workload *run, const char *what, const char *words);

/* Seed 0: the scripted run. `steps`: about so many operations of a seeded one. */
void workload_run(workload *run, uint64_t seed, uint32_t steps);
/* A log of a few segments, recycled ones among them, closed in order or killed: not journalled. */
void workload_log(workload *run, int clean);
void workload_free(workload *done);

#endif
