/* Homes: the list of preference, their health, and which takes a new transaction. */
#ifndef ETX__HOME_H
#define ETX__HOME_H

#include <etx/seen.h>

#include "partition.h"

typedef enum etx__health {
    ETX__HOME_DOWN = 0,
    ETX__HOME_HELD = 1, /* well again, not for long enough */
    ETX__HOME_UP = 2
} etx__health;

struct etx__home {
    etx_engine *engine;
    const etx_log_ops *ops;
    etx_log *log;
    etx_log_info info;
    uint32_t place;
    etx__partition **partition;
    _Atomic uint32_t partition_count; /* 0 until it is opened */
    _Atomic uint32_t grade;           /* what it promises, as its adapter said last */
    _Atomic uint32_t health;
    _Atomic uint64_t since_ms;          /* wall */
    _Atomic uint64_t well_ms;           /* monotonic */
    _Atomic uint32_t placed;            /* gids made so far */
    _Atomic uint32_t unfit;             /* of a shared home: this node must not take part */
    _Atomic uint32_t told_down;         /* once at least */
    _Atomic uint32_t told_full;         /* since there was room last */
    _Atomic uint32_t drains;            /* of a shared home: this node is to have no partition */
    uint32_t turn;                      /* so many gids in a row prefer the same partition */
    uint8_t stuck;                      /* closed while a put had not come back */
    uint8_t clock_off;                  /* beside the store's, and that was told */
    struct etx__survey *survey;         /* of a shared home; else NULL */
    struct etx__keeper *keeper;         /* of a shared home; else NULL */
    struct etx__witness *witness;       /* of a shared home; else NULL */
    _Atomic uint32_t opened;            /* it is part of the engine */
    uint8_t absent;                     /* there is no log: it is made once the rest is judged */
    char known_id[ETX_HOME_ID_LEN + 1]; /* while it is away: of what was there before; or "" */
    struct etx__arrival *arrival;       /* it was away at start; else NULL */
    /* leases that were another's: which had run out; which it gave up */
    _Atomic uint64_t taken_over, handed_over;
    /* Of a shared home: what is remembered; its identity is that of the store that was there. */
    etx_seen seen;
    uint8_t seen_changed; /* since it was written */
    uint8_t seen_failing; /* the last write failed, and that was told. The writer's */
    char identity[160];   /* of the store that is there */
    pthread_mutex_t lock; /* of why, why_rc, remark, `seen`, and what the keeper has seen */
    char why[160];
    int why_rc; /* ETX_EFULL: there is no space, and that alone; else ETX_EUNAVAILABLE */
    char remark[320];
    char url[256];  /* as it may be shown */
    char *open_url; /* as it was given */
};

static inline etx_durability etx__home_grade(const etx__home *home) {
    return (etx_durability)atomic_load_explicit(&home->grade, memory_order_relaxed);
}

/* The length of a URL's scheme; 0: it has none. That of "rediss:", which is redis over TLS and of
 * the same adapter, is that of "redis". */
size_t etx__url_scheme(const char *url);
/* A URL as it may be shown: without its password. */
void etx__url_show(const char *url, char *to, size_t size);
int etx__home_make(etx_engine *engine, const char *url, etx__home **ret_home);
/* Opens the log, which is made where there is none if `create` (else ETX_ENOTFOUND, without a
 * message), and makes its partitions. On an error nothing of that is left. */
int etx__home_open(etx__home *home, int create);
/* Takes back what opening it did: it is not part of the engine. */
void etx__home_unopen(etx__home *home);
/* Its partitions have their shards: from now on it is part of the engine. */
void etx__home_join(etx__home *home);
/* Its id, or what it was when it was seen last; "" where nothing is known. */
const char *etx__home_id(const etx__home *home);
void etx__home_close(etx__home *home, int clean);
/* Asks the store of a shared home what it promises by now, and what time it is: both may have
 * changed since it was opened. What is amiss is told once, and stands in the remark. */
void etx__home_look(etx__home *home);
void etx__home_free(etx__home *home);
/* New transactions do not go there any more / may go there again. */
void etx__home_down(etx__home *home, int rc, const char *why);
void etx__home_well(etx__home *home);
/* The best that satisfies the durability, or NULL. */
etx__home *etx__home_best(etx_engine *engine, etx_durability durability);
/* Why the home takes nothing new, with its name. ETX_EFULL or ETX_EUNAVAILABLE. */
int etx__home_why(etx__home *home, char *ret_why, size_t size);
/* Why none takes it: ETX_EFULL where all that could are full, else ETX_EUNAVAILABLE. */
int etx__home_none(etx_engine *engine, etx_durability durability, char *ret_why, size_t size);
/* The one with that id, or NULL. */
etx__home *etx__home_of(const etx_engine *engine, const char *id);
/* Is one of them not part of the engine yet? */
int etx__homes_away(const etx_engine *engine);
etx__partition *etx__home_partition(etx__home *home); /* for a gid made by ETX */
etx__partition *etx__home_hashed(etx__home *home, uint32_t hash);

#endif
