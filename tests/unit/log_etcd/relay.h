/* Between the log and its etcd: passes on what both say, and lies when it is told to. */
#ifndef ETX_TESTS_LOG_ETCD_RELAY_H
#define ETX_TESTS_LOG_ETCD_RELAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { RELAY_PAIRS = 16, RELAY_BYTES = 1 << 16 };

typedef enum relay_mode {
    RELAY_PASS,
    RELAY_ANSWER, /* the next transaction is answered with relay->answer, and goes nowhere */
    RELAY_CUT,    /* ... goes nowhere, and the connection is closed */
    RELAY_DROP    /* ... reaches etcd, and the connection is closed before its answer comes */
} relay_mode;

typedef struct relay_pair {
    int client; /* -1: free */
    int server;
    int dropping; /* at etcd's answer */
    uint8_t bytes[RELAY_BYTES];
    size_t len; /* of a request that has not come to its end */
} relay_pair;

typedef struct relay {
    pthread_t thread;
    int listener;
    uint16_t port;
    uint16_t target;
    relay_pair pair[RELAY_PAIRS];
    char answer[1000];
    _Atomic int mode;
    _Atomic unsigned transactions; /* that have come */
    _Atomic int stop;
} relay;

/* In front of the port `target` of 127.0.0.1. */
relay *relay_start(uint16_t target);
void relay_stop(relay *r);
/* The next transaction comes to that: an HTTP status and a body. */
void relay_answer(relay *r, int status, const char *body);

#endif
