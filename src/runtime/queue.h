/* Handing work between threads: a queue of many writers and one reader, and stashes of
 * objects. */
#ifndef ETX__QUEUE_H
#define ETX__QUEUE_H

#include <etx/types.h>
#include <pthread.h>
#include <stdatomic.h>

/* What is queued; a member of whatever it stands for. */
typedef struct etx__node {
    struct etx__node *next;
    uint8_t kind; /* etx__node_kind */
} etx__node;

typedef enum etx__node_kind {
    ETX__NODE_REQUEST, /* etx_tx */
    ETX__NODE_REPLY,   /* etx__reply */
    ETX__NODE_JOB,     /* etx__partition: its writer is done */
    ETX__NODE_NEWS     /* etx__news: something for every partition of the shard */
} etx__node_kind;

typedef struct etx__queue {
    _Atomic(etx__node *) newest;
    _Atomic uint64_t pushed; /* so many ever */
} etx__queue;

/* Any thread. */
void etx__queue_push(etx__queue *queue, etx__node *node);
/* All that is queued, the oldest first; NULL if nothing is. */
etx__node *etx__queue_take(etx__queue *queue);
int etx__queue_empty(const etx__queue *queue);

/* Objects of one size, kept when they are put back, so that the hot path allocates nothing. */
typedef struct etx__stash_item {
    struct etx__stash_item *next;
} etx__stash_item;

enum { ETX__STASH_STRIPES = 8, ETX__STASH_KEEP = 2048 /* a stripe */ };

typedef struct etx__stash {
    const etx_allocator *allocator;
    size_t size;
    struct etx__stripe {
        pthread_mutex_t lock;
        _Atomic(etx__stash_item *) first; /* written under the lock */
        uint32_t count;
        char apart[64];
    } stripe[ETX__STASH_STRIPES];
} etx__stash;

void etx__stash_init(etx__stash *stash, const etx_allocator *allocator, size_t size);
/* A new object is zero-filled; one that was put back is as it was put back. NULL: no memory. */
void *etx__stash_take(etx__stash *stash, int *ret_new);
/* Puts it back, or frees it if there are many and nobody may look at it any more. */
void etx__stash_drop(etx__stash *stash, void *object, int may_free);
/* Frees what is kept, calling `each` first. */
void etx__stash_free(etx__stash *stash, void (*each)(void *object));

#endif
