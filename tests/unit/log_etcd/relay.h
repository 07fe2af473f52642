/* Between the log and its etcd: passes on what both say, and lies when it is told to. */
#ifndef ETX_TESTS_LOG_ETCD_RELAY_H
#define ETX_TESTS_LOG_ETCD_RELAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { RELAY_PAIRS = 16, RELAY_BYTES = 1 << 16 };

typedef enum relay_mode {
    RELAY_PASS,
    RELAY_ANSWER, /* the next put is answered with relay->answer, and goes nowhere */
    RELAY_CUT,    /* ... goes nowhere, and the connection is closed */
    RELAY_RESET,  /* ... and broken off */
    RELAY_DROP,   /* ... reaches etcd, and the connection is closed before its answer comes */
    RELAY_LIE     /* ... and is answered with relay->answer then, the last that is said */
} relay_mode;

typedef struct relay_pair {
    int client; /* -1: free */
    int server;
    int greeted;  /* the client's first words have come */
    int awaiting; /* etcd's answer: RELAY_DROP or RELAY_LIE */
    int silent;   /* has lied */
    size_t sent;  /* bytes of the request that is being sent */
    uint8_t bytes[RELAY_BYTES];
    size_t len; /* of frames that have not come to their end */
} relay_pair;

typedef struct relay {
    pthread_t thread;
    int listener;
    uint16_t port;
    uint16_t target;
    relay_pair pair[RELAY_PAIRS];
    uint8_t answer[300]; /* a frame, but for its stream */
    size_t answer_len;
    _Atomic int mode;
    _Atomic size_t put_least; /* bytes that a put has at least */
    _Atomic unsigned puts;    /* that have come */
    _Atomic unsigned connections;
    _Atomic int stop;
} relay;

/* In front of the port `target` of 127.0.0.1. */
relay *relay_start(uint16_t target);
void relay_stop(relay *r);
/* The next put comes to that. Without `status` it is no answer of gRPC. */
void relay_answer(relay *r, const char *http, const char *status, const char *message);

#endif
