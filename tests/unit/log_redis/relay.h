/* Stands between a log and its server, holds back what is asked, and swallows what is answered. */
#ifndef ETX_TESTS_LOG_REDIS_RELAY_H
#define ETX_TESTS_LOG_REDIS_RELAY_H

#include <pthread.h>

enum { RELAY_PAIRS = 8, RELAY_HELD = 16 << 10 };

/* A client's connection, and the one to the server that was made for it. */
typedef struct relay_pair {
    int client; /* -1: it has gone */
    int server; /* -1: the pair is free */
    char held[RELAY_HELD];
    size_t held_len;
} relay_pair;

typedef struct relay {
    pthread_t thread;
    char dir[64];
    char path[96]; /* of its socket */
    int listener;
    relay_pair pair[RELAY_PAIRS];
    _Atomic int hold;     /* what is asked waits here, and goes on even if its client has gone */
    _Atomic int swallow;  /* what is answered goes nowhere */
    _Atomic int answered; /* how often something came while that was so, or nobody waited for it */
    const char *_Atomic instead; /* is answered instead; or NULL */
    _Atomic int stop;
    char answer[256]; /* the last of these */
} relay;

void relay_start(relay *relay);
void relay_end(relay *relay);
/* Until something has been answered to nobody. */
void relay_await_answer(relay *relay);

#endif
