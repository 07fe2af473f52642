/* A bare HTTP server, epoll and http_parser alone: the floor that others are compared with. */
#ifndef BENCH_HTTP_BARE_H
#define BENCH_HTTP_BARE_H

#include <stdint.h>

#include "../net/address.h"

enum { BENCH_BARE_PORTS_MAX = 16 };

/* It answers every request with 200, checks nothing, and has no limits or deadlines. Begins zeroed
 * but for what is to differ. */
typedef struct bench_bare {
    int echo;          /* the answer's body is the request's, if that is a kilobyte at most */
    int ports;         /* how many it listens on */
    uint64_t delay_ns; /* an answer comes so long after its request, by a timer; 0: at once */
    int until_eof;     /* it ends when its standard input does */
    int listener[BENCH_BARE_PORTS_MAX];
} bench_bare;

/* Listens on ports of loopback that the system gives. */
void bench_bare_listen(bench_bare *self);
net_address bench_bare_address(const bench_bare *self, int place);
/* Serves, on the calling thread: a pthread's function. */
void *bench_bare_run(void *self);
/* Says what the system's last call failed with, and ends the process. */
void bench_fail(const char *what);
/* Nanoseconds of the monotonic clock. */
uint64_t bench_now_ns(void);

#endif
