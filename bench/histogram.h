/* Latencies from a nanosecond to hours, in buckets less than half a per cent wide. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { BENCH_BUCKETS_EACH = 256, BENCH_BUCKETS = 48 * BENCH_BUCKETS_EACH };

/* Begins zeroed. */
typedef struct bench_histogram {
    uint64_t count;
    uint64_t max_ns;
    uint64_t bucket[BENCH_BUCKETS];
} bench_histogram;

void bench_histogram_add(bench_histogram *histogram, uint64_t ns);
/* The latency in microseconds that the given share of all (0 to 1) does not exceed; 0: none yet. */
double bench_histogram_us(const bench_histogram *histogram, double share);

#endif
