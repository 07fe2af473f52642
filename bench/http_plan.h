/* What a user of the load does again and again: stages of requests that are sent at once. */
#ifndef BENCH_HTTP_PLAN_H
#define BENCH_HTTP_PLAN_H

#include <stddef.h>
#include <stdint.h>

enum { BENCH_BRANCHES = 3, BENCH_REQUESTS_MAX = 6 };

typedef struct bench_request {
    uint16_t port;
    char *bytes;
    size_t len;
} bench_request;

/* A stage begins when the one before is answered. A request goes over the connection of its place
 * in the stage, so all requests of a place have one port. */
typedef struct bench_plan {
    int stages, width;
    int judged; /* answers are a transaction's: it must have committed */
    bench_request request[BENCH_REQUESTS_MAX];
} bench_plan;

/* By name: "tcc" and "saga" submit transactions of three branches to `port`, whose participants
 * are at `participants` (as many ports as branches); "direct-tcc" and "direct-saga" call those in
 * the same order; "echo" sends 109 bytes of JSON. 0, or -1: there is no such plan. */
int bench_plan_make(const char *name,
                    uint16_t port,
                    const uint16_t *participants,
                    bench_plan *ret_plan);
void bench_plan_free(bench_plan *plan);

#endif
