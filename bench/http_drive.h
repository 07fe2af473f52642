/* Load on a server: users that each do a plan again and again, closed or at a constant rate. */
#ifndef BENCH_HTTP_DRIVE_H
#define BENCH_HTTP_DRIVE_H

#include <stdint.h>
#include <stdio.h>

#include "histogram.h"
#include "http_plan.h"

/* Closed: each user begins again once its plan is through. Open: a plan is due every 1/rate
 * seconds, whoever is free begins it, and its latency counts from when it was due, also if all
 * users were busy then: so a server that stalls is charged for all who would have come. */
typedef struct bench_load {
    const bench_plan *plan;
    int users;
    double rate; /* a second; 0: closed */
    double warmup_s, seconds;
    FILE *gids; /* NULL, or where the gid of each committed transaction goes, a line each */
} bench_load;

/* Of what was due after the warm-up. */
typedef struct bench_result {
    double seconds;
    uint64_t done;           /* good */
    uint64_t refused;        /* 429 or 503 */
    uint64_t bare;           /* of them without Retry-After */
    uint64_t unfit;          /* other answers, and those of which the transaction did not commit */
    uint64_t broken;         /* connections that ended within a request */
    uint64_t unbegun;        /* due, and nobody was free until the end */
    uint64_t reopened;       /* connections, between requests */
    double cpu_s;            /* of the load itself */
    bench_histogram latency; /* of what was good */
    bench_histogram refusal; /* of what was refused */
    char unfit_text[400];    /* an answer of those */
} bench_result;

void bench_drive(const bench_load *load, bench_result *ret_result);
/* A connection to a port of loopback. */
int bench_connect(uint16_t port);

#endif
