/* Shards: the engine's threads. Whoever drives one owns its partitions for the time. */
#ifndef ETX__SHARD_H
#define ETX__SHARD_H

#include "partition.h"
#include "request.h"

/* A call that is to be made. */
typedef struct etx__due {
    etx__partition *partition;
    etx__memory *memory;
    etx__call call;
} etx__due;

/* Who sees to the end of its thread: that thread was there first, or a close that left it. */
enum etx__thread_end { ETX__THREAD_OVER = 1, ETX__THREAD_LEFT = 2 };

/* A callback outlasts the close: when it returns, nothing follows; nor is anybody called once the
 * close went on without it. */
enum etx__stuck { ETX__STUCK_ASKED = 1, ETX__STUCK_LEFT = 2 };

struct etx__shard {
    etx_engine *engine;
    uint32_t place;
    pthread_t thread;
    pthread_mutex_t drive;    /* whoever holds it is the shard's thread for the time */
    _Atomic uintptr_t driver; /* pthread_self of the holder */
    etx__queue queue;
    _Atomic uint32_t submitted; /* requests that are queued and have no thread waiting */
    _Atomic uint32_t bell;      /* a futex: rung when there is work */
    _Atomic uint32_t asleep;
    _Atomic uint64_t armed_ms; /* when the sleeping thread wakes by itself */
    _Atomic uint32_t live;     /* transactions in flight */
    uint32_t lately;           /* ... when its thread had nothing to do last; the thread's */
    uint64_t polls_from_us;    /* until then it does not poll busily; the thread's */
    uint64_t poll_pause_us;    /* so long it did not, the last time */
    _Atomic uint64_t bytes;    /* of memory_max that its partitions use */
    etx__others others;        /* what the other shards have of both, when looked at last */
    etx__partition **partition;
    uint32_t partition_count;
    etx__now now;
    uint64_t seed;
    int64_t apart_ms; /* the wall clock from the monotonic one, when looked at last */
    etx__due *due;    /* inline calls to make: a ring */
    uint32_t due_first, due_count, due_room;
    etx__node *taken;         /* from the queue, not yet handled */
    _Atomic uint64_t handled; /* so many ever */
    etx__node *held;          /* replies that wait for memory */
    const etx_tx *asking;     /* whose command is stepped now */
    etx__pending *pendings;   /* free ones */
    etx__chunk *pending_chunks;
    uint8_t has_thread;
    _Atomic uint32_t stopping;
    uint8_t ending;          /* what is known is written, nothing new is taken */
    _Atomic uint32_t end;    /* etx__thread_end */
    _Atomic uint32_t writes; /* it is in a put */
    _Atomic uint32_t stuck;  /* etx__stuck */
    _Atomic uint32_t closed; /* whoever queues a request now refuses it by itself */
};

int etx__shard_init(etx__shard *shard, etx_engine *engine, uint32_t place);
int etx__shard_start(etx__shard *shard);
/* 0, or ETX_EBUSY: a callback on its thread, or on that of whoever drives it, has not come back
 * until then (a put: until write_us); if it does, the shard does nothing more, and what is beneath
 * it must stay. */
int etx__shard_stop(etx__shard *shard, uint64_t until_us, uint64_t write_us);
void etx__shard_free(etx__shard *shard);
/* Any thread. */
void etx__shard_send(etx__shard *shard, etx__node *node);
void etx__shard_ring(etx__shard *shard);
/* How many events are sent and not handled. */
uint64_t etx__shard_depth(const etx__shard *shard);
/* Does all there is to do; returns when it wants to be woken. monotonic ms. The driver's. */
uint64_t etx__shard_work(etx__shard *shard);
/* Works on the caller's thread until the request is answered or there is nothing to do. 0:
 * somebody else does. */
int etx__shard_drive(etx__shard *shard, etx_tx *request);
/* Does what is queued, but no put: for that the thread is woken. */
void etx__shard_help(etx__shard *shard);
/* A writer's thread says what its put came to. Where little is in progress and nobody else drives
 * it does what follows by itself: so the shard's thread is not woken, nor the writer once more. */
void etx__shard_report(etx__shard *shard, etx__node *node);
void etx__shard_look(etx__shard *shard);           /* reads the clock */
void etx__shard_refuse(etx__shard *shard, int rc); /* all that is queued */
/* After queueing a request: refuses it if the shard was closed meanwhile. */
void etx__shard_refuse_late(etx__shard *shard);

/* Looks at what the other shards have in flight and in memory. */
void etx__limits_look(etx__shard *shard);
/* Tells the partition's core what all others have, and what its home promises by now, before what
 * may begin or enlist. */
void etx__limits_tell(etx__partition *partition);

etx__pending *etx__shard_pending_take(etx__shard *shard);
void etx__shard_pending_give(etx__shard *shard, etx__pending *pending);
/* Waits while the shard is far behind with what was submitted, so that a fast submitter does not
 * fill the memory. Not for the engine's own threads. ETX_EBUSY after the patience. */
int etx__shard_admit(etx__shard *shard, uint32_t patience_ms);
/* A registration, for every partition of the shard. */
void etx__news_handle(etx__shard *shard, etx__node *node);

/* ---- calls */
/* Sends a call to whoever makes it. */
void etx__call_send(etx__partition *partition, const etx__call *call);
/* Makes the oldest inline call. 0: there is no memory for what may follow from it. */
int etx__call_run_inline(etx__shard *shard);
/* An answer from a worker or by token. */
typedef struct etx__reply {
    etx__node node;
    etx__partition *partition;
    etx__memory *memory; /* NULL: by token */
    const etx__tx *tx;
    etx__results *results;
    uint64_t serial;
    uint32_t entry;
    uint16_t place;
    uint8_t reply;
    uint8_t returned;
    uint32_t retry_after_ms;
    uint32_t result_len;
    uint8_t *result;      /* in `kept`, or of its own if it is longer */
    uint32_t result_room; /* of one of its own; 0: none */
    uint8_t reason_len;
    char reason[ETX_REASON_MAX + 1];
    uint8_t kept[128];
} etx__reply;
void etx__reply_handle(etx__shard *shard, etx__reply *reply);
void etx__reply_free(etx_engine *engine, etx__reply *reply);
/* An answer to be filled: taken before a call is made, so that it can be answered. NULL: no
 * memory. */
etx__reply *etx__reply_spare(etx_engine *engine);
/* A callback waits for this request's transaction: its calls that wait for a thread come before
 * others. */
void etx__call_raise(const etx_tx *request);
/* Forgets the inline calls that were not made. */
void etx__shard_drop_calls(etx__shard *shard);

/* Makes one, on a worker's thread. */
void etx__call_run_worker(etx_engine *engine, const etx__due *due, etx__reply *spare);

/* ---- workers */
int etx__workers_start(etx_engine *engine);
/* Queues a call. The shard's thread. */
int etx__workers_give(etx_engine *engine, const etx__due *due); /* 0 or ETX_ENOMEM */
/* Are there callbacks that have not returned? */
int etx__workers_busy(const etx_engine *engine);
/* Tells an alarm if every worker is in a call that is past its timeout. The shard's thread. */
void etx__workers_watch(etx_engine *engine);
/* With workers_lack: tries again to start the thread. */
void etx__workers_again(etx_engine *engine);
/* Waits for callbacks to return, at most until the time; how many have not. */
uint32_t etx__workers_stop(etx_engine *engine, uint64_t until_us);
void etx__workers_free(etx_engine *engine);
/* Is this thread one of the pool's? */
int etx__workers_inside(const etx_engine *engine);
/* How deep is the transaction that this thread is about to wait for? One more than what its
 * callback is called for; 0: the thread is none of the pool's. */
uint8_t etx__workers_depth(const etx_engine *engine, const char *gid);
/* So deep are the queued calls of this transaction from now on. */
void etx__workers_raise(etx_engine *engine, const etx__tx *tx, uint8_t depth);
/* A callback on this thread, one of the pool's, waits for the engine, until the second: another
 * thread may take its place. */
void etx__workers_wait_begins(etx_engine *engine);
void etx__workers_wait_ends(etx_engine *engine);

#endif
