/* A log in a store, used as an engine uses it, and what was said of each put, so that what is read
 * can be held against it. */
#ifndef ETX_TESTS_FAULT_STORE_LIFE_H
#define ETX_TESTS_FAULT_STORE_LIFE_H

#include "memory.h"

#include <etx/log.h>

enum { STORE_CHAINS = 2, STORE_SLOTS = 32, STORE_BATCH_MAX = 20000 };

/* What was put into a slot, last. */
typedef struct store_slot {
    uint32_t version; /* no two puts that say different bytes have the same */
    uint32_t checksum;
    size_t len;
} store_slot;

typedef struct store_chain {
    uint32_t partition;
    uint32_t checksum; /* of slot next - 1 */
    uint64_t next;
    int doubtful; /* slot `next` may be there, with what was put last, now or later */
    uint64_t mark_least;
    uint64_t mark_most;
    store_slot slots[STORE_SLOTS];
} store_chain;

typedef struct store_life {
    const etx_log_ops *ops;
    const char *url;
    etx_log *log; /* NULL: not open */
    memory memory;
    char id[ETX_HOME_ID_LEN + 1];
    uint32_t versions;
    int leased;   /* it was told that it has the lease of the first chain's partition */
    int attended; /* ... that it attends */
    store_chain chains[STORE_CHAINS];
    uint64_t failed; /* calls that said an error */
    char said[400];  /* by the first of them */
    char wrong[600]; /* the first promise that was broken */
} store_life;

void store_life_begin(store_life *life, const etx_log_ops *ops, const char *url);
void store_life_end(store_life *life);
void store_wrong(store_life *life, const char *what, const char *how);

/* Opens it, and tries again a few times. */
void store_open(store_life *life);
void store_close(store_life *life);
/* Puts so many slots, each again until it is known to be there; gives up after a few times. */
void store_put(store_life *life, store_chain *chain, uint32_t count, size_t len);
/* Where something fails meanwhile, another process trims it from then on. */
void store_get(store_life *life, store_chain *chain);
void store_trim(store_life *life, store_chain *chain, uint64_t below);
/* Nodes, leases, the clock, what the log says of itself. */
void store_attend(store_life *life, uint32_t ttl_ms);
void store_renew(store_life *life);
void store_release(store_life *life);
void store_survey(store_life *life);
void store_ask(store_life *life);

#endif
