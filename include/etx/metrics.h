/* What an engine and its homes measure. */
#ifndef ETX_METRICS_H
#define ETX_METRICS_H

#include <etx/participant.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ETX_METRICS_BUCKETS 32
#define ETX_METRICS_KINDS 6

/* How often what was measured fell where: bucket 0 counts zeros, bucket i what is below 2^i and not
 * below 2^(i-1); the last has all that is more. */
typedef struct etx_histogram {
    uint64_t bucket[ETX_METRICS_BUCKETS];
    uint64_t sum; /* of all that was measured */
} etx_histogram;

/* Counters since start, and gauges. Latencies are upper bounds of the power-of-two buckets they
 * fell in. */
typedef struct etx_metrics {
    size_t size;
    /* refused_busy: begins answered ETX_EBUSY */
    uint64_t begun, committed, aborted, ended, refused_busy;
    uint64_t recovered;                              /* live transactions found at start */
    uint64_t in_flight, parked, stalled, remembered; /* gauges */
    uint64_t calls, calls_done, calls_refused, calls_working, calls_unknown, calls_in_flight;
    uint64_t puts, put_bytes, put_records, put_failures;
    uint64_t put_p50_us, put_p99_us, put_max_us;
    uint64_t decided_p50_us, decided_p99_us, ended_p50_us, ended_p99_us; /* from begin */
    /* done by the engine's or a caller's thread */
    uint64_t inline_puts;
    /* events waiting for an engine thread */
    uint64_t queue_depth;
    uint64_t memory_used; /* bytes of memory_max */
    /* repeats are recognised for so long */
    uint64_t history_oldest_age_ms;
    uint64_t trims, moves;
    /* Decided to commit, and to abort, by the kind of all branches: an etx_kind, or 0 if there are
     * several or none. */
    uint64_t kind_committed[ETX_METRICS_KINDS], kind_aborted[ETX_METRICS_KINDS];
    uint64_t oldest_age_ms;  /* since the oldest in flight began, within a second; 0: none is */
    etx_histogram put_us;    /* to put a batch that was acknowledged */
    etx_histogram put_batch; /* ... the records in it */
    etx_histogram decided_us, ended_us; /* from begin, of what this process began */
} etx_metrics;
/* A snapshot. Errors: ETX_EINVALID (size 0), ETX_ECLOSED. Any thread; from inline callbacks. */
ETX_API int etx_engine_metrics(etx_engine *engine, etx_metrics *ret_metrics);

/* What one home does: counters since start. */
typedef struct etx_home_metrics {
    size_t size;
    uint64_t puts;         /* batches that its log acknowledged */
    uint64_t put_failures; /* attempts that it did not acknowledge; of those, */
    uint64_t put_unknown;  /* ... that may be there all the same: the same is put again */
    /* Of a shared home: leases that another node had when it was seen last, and this one took: */
    uint64_t taken_over;  /* ... which had run out */
    uint64_t handed_over; /* ... which that node gave up: it left, or its share is smaller */
    etx_histogram put_us; /* to put a batch that was acknowledged */
} etx_home_metrics;
/* A snapshot of the home at `place`. Errors: ETX_ENOTFOUND (past the last), ETX_EINVALID (size 0),
 * ETX_ECLOSED. Any thread; from inline callbacks. */
ETX_API int etx_engine_home_metrics(etx_engine *engine,
                                    unsigned place,
                                    etx_home_metrics *ret_metrics);

#ifdef __cplusplus
}
#endif
#endif
