/* A histogram of latencies in log-linear buckets: any thread adds, about 1 % exact. */
#include "bench.h"

void etx__histogram_clear(bench_histogram *histogram) {
    size_t i;
    for (i = 0; i < BENCH_BUCKETS; i++) {
        atomic_store_explicit(&histogram->buckets[i], 0, memory_order_relaxed);
    }
}

/* Values below BENCH_STEPS have a bucket each; above, the highest bits choose it. */
static size_t find_bucket(uint64_t ns) {
    unsigned power;
    if (ns < BENCH_STEPS) {
        return ns;
    }
    power = 63U - (unsigned)__builtin_clzll(ns);
    return (size_t)(power - BENCH_STEP_BITS + 1) * BENCH_STEPS +
           (size_t)((ns >> (power - BENCH_STEP_BITS)) & (BENCH_STEPS - 1));
}

/* The middle of a bucket. */
static double value_of(size_t bucket) {
    size_t power = bucket / BENCH_STEPS;
    size_t step = bucket % BENCH_STEPS;
    if (power == 0) {
        return (double)step;
    }
    return ((double)(BENCH_STEPS + step) + 0.5) * (double)(1ULL << (power - 1));
}

void etx__histogram_add(bench_histogram *histogram, uint64_t ns) {
    atomic_fetch_add_explicit(&histogram->buckets[find_bucket(ns)], 1, memory_order_relaxed);
}

uint64_t etx__histogram_count(const bench_histogram *histogram) {
    uint64_t count = 0;
    size_t i;
    for (i = 0; i < BENCH_BUCKETS; i++) {
        count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
    }
    return count;
}

double etx__histogram_at(const bench_histogram *histogram, double share) {
    double wanted = share * (double)etx__histogram_count(histogram);
    double seen = 0;
    double value = -1;
    size_t i;
    for (i = 0; i < BENCH_BUCKETS; i++) {
        uint64_t here = atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        if (here == 0) {
            continue;
        }
        seen += (double)here;
        value = value_of(i) / 1000;
        if (seen >= wanted) {
            break;
        }
    }
    return value;
}
