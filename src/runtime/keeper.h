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

int etx__keeper_make(etx__home *home); /* 0 or ETX_ENOMEM */
/* Attends, and takes this node's share of what is free: at start, before the threads. Errors: what
 * the store says, with the engine's message. */
int etx__keeper_first(etx__home *home);
/* From now on by a thread of its own. 0 or ETX_ENOMEM. */
int etx__keeper_start(etx__home *home);
/* Ends the thread; nothing is taken or given up any more. */
void etx__keeper_stop(etx__home *home);
/* Gives up all leases, and leaves: others may take them at once. */
void etx__keeper_leave(etx__home *home);
void etx__keeper_free(etx__home *home);
/* Who has the lease and where that node is reached, each "" if nobody or nothing is known; for how
 * many ms it still has it, as the store said. Any thread. */
uint64_t etx__keeper_who(etx__home *home,
                         uint32_t number,
                         char ret_node[ETX_NAME_MAX + 1],
                         char ret_address[ETX__ADDRESS_MAX + 1]);
/* A node that attends, in the order of names; 0: there are not so many. Any thread. */
int etx__keeper_node(etx__home *home, uint32_t number, etx_node_status *ret_status);
/* Which other node has the home of this id for itself: its name, address and left_ms; 0: none that
 * attends. Any thread. */
int etx__keeper_finds(etx_engine *engine, const char *home_id, etx_partition_status *ret_status);
/* Who has the partition, in words; 1: another node, 0: nobody that is known. Any thread. */
int etx__keeper_says(etx__home *home, uint32_t number, char *ret_text, size_t size);
#endif
