/* The keeper of a shared home: which of its partitions this node has, by leases. */
#ifndef ETX__KEEPER_H
#define ETX__KEEPER_H

#include "home.h"

/* What the keeper wants of a partition: the shard sees to it. */
typedef enum etx__wish {
    ETX__WISH_AWAY = 0,  /* it is not ours: forget it at once */
    ETX__WISH_OWN = 1,   /* it is: read and claim it */
    ETX__WISH_LEAVE = 2, /* hand it over: forget it once it is quiet, or the time is up */
} etx__wish;

/* What an operator wants of a partition: the keeper sees to it when it looks next. */
typedef enum etx__order {
    ETX__ORDER_NONE = 0,
    ETX__ORDER_TAKE = 1, /* it is to be here, whatever the share is */
    ETX__ORDER_GIVE = 2  /* it is to be elsewhere */
} etx__order;

typedef struct etx__keeper etx__keeper;

/* Who only reads takes part in nothing. */
static inline int etx__home_shared(const etx__home *home) {
    return home->ops->renew != NULL && !etx__engine_reads_only(home->engine);
}

/* Is it this node's to read and to claim? */
static inline int etx__partition_ours(const etx__partition *partition) {
    return partition->home->keeper == NULL || atomic_load(&partition->wish) == ETX__WISH_OWN;
}

/* What this node takes for its lease: an eighth is left to the store. */
static inline uint64_t etx__keeper_lease_us(uint32_t lease_ms) {
    return lease_ms * 875ull;
}

int etx__keeper_make(etx__home *home); /* 0 or ETX_ENOMEM */
/* Attends, and takes this node's share of what is free: at start, before the threads. Errors: what
 * the store says, with the engine's message. */
int etx__keeper_first(etx__home *home);
/* From now on by a thread of its own. 0 or ETX_ENOMEM. */
int etx__keeper_start(etx__home *home);
/* Ends the thread; nothing is taken or given up any more, unless it leaves: then all leases and its
 * place are. ETX_EBUSY: it has not come back from the store by then, and ends by itself. */
int etx__keeper_stop(etx__home *home, int leaves, uint64_t until_us);
void etx__keeper_free(etx__home *home);

#endif
