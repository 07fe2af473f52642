/* Buckets: 256 for each power of two, so that a percentile is less than half a per cent off. */
#include "histogram.h"

enum { BITS = 8 };

static unsigned place_of(uint64_t ns) {
    unsigned shift = 0;
    while (ns >> shift >= 2 * BENCH_BUCKETS_EACH) {
        shift++;
    }
    unsigned place = (shift << BITS) + (unsigned)(ns >> shift);
    return place < BENCH_BUCKETS ? place : BENCH_BUCKETS - 1;
}

/* The middle of a bucket. */
static double value_of(unsigned place) {
    unsigned shift = place < 2 * BENCH_BUCKETS_EACH ? 0 : (place >> BITS) - 1;
    uint64_t from = (uint64_t)(place - (shift << BITS)) << shift;
    return (double)from + (double)(((uint64_t)1 << shift) - 1) / 2;
}

void bench_histogram_add(bench_histogram *histogram, uint64_t ns) {
    histogram->bucket[place_of(ns)]++;
    histogram->count++;
    histogram->max_ns = ns > histogram->max_ns ? ns : histogram->max_ns;
}

double bench_histogram_us(const bench_histogram *histogram, double share) {
    uint64_t wanted = (uint64_t)((double)histogram->count * share);
    uint64_t seen = 0;
    unsigned place = 0;
    if (histogram->count == 0) {
        return 0;
    }
    wanted = wanted < histogram->count ? wanted + 1 : histogram->count;
    while (place < BENCH_BUCKETS - 1 && (seen += histogram->bucket[place]) < wanted) {
        place++;
    }
    return value_of(place) / 1e3;
}
