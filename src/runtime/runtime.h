/* The engine's inside: what its threads share. */
#ifndef ETX__RUNTIME_H
#define ETX__RUNTIME_H

#include <etx/etx.h>

#include "../core/core.h"
#include "../protocol/assert.h"
#include "machine.h"
#include "owner.h"
#include "queue.h"

enum { ETX__SAID = 16 }; /* threads whose messages are kept */
enum { ETX__PARTICIPANTS_MAX = 1024, ETX__HOMES_MAX = 8, ETX__LOGS_MAX = 16, ETX__SHARDS_MAX = 16 };
enum { ETX__ADDRESS_MAX = 255, ETX__OWN_HOMES_MAX = 64, ETX__WHERE_MAX = 376 };

typedef struct etx__shard etx__shard;
typedef struct etx__home etx__home;
typedef struct etx__partition etx__partition;
typedef struct etx__worker_pool etx__worker_pool;

/* ---- the engine */

/* A registered participant; never moves, never goes. */
typedef struct etx__registered {
    etx_participant p; /* p.name points to `name` */
    char name[ETX_NAME_MAX + 1];
    uint32_t place;
} etx__registered;

typedef enum etx__life {
    ETX__NEW = 0,
    ETX__STARTED = 1,
    ETX__FINISHING = 2, /* begins nothing new; what is begun goes on */
    ETX__CLOSING = 3,   /* takes nothing */
    ETX__ENDED = 4
} etx__life;

struct etx_engine {
    etx_options options; /* every default filled in; `node` is a copy */
    char node[ETX_NAME_MAX + 1];
    char address[ETX__ADDRESS_MAX + 1]; /* where other nodes reach it; or "" */
    char accept_chosen_home[ETX_HOME_ID_LEN + 1];
    char *state_dir; /* NULL: none */
    struct etx__seen *seen;
    etx_allocator allocator;
    etx_monitor monitor;
    uint64_t monitored;    /* etx_monitor.events, its default filled in */
    const uint32_t *alive; /* 1; the child of a fork reads 0 */
    _Atomic uint32_t life;
    _Atomic uint32_t workers_lack; /* calls wait for a thread that could not be started */
    _Atomic uintptr_t lender;      /* pthread_self of etx_engine_lend's caller; 0: none */
    pthread_mutex_t lock;          /* of registering, starting, closing, and of homes that arrive */
    pthread_mutex_t message_lock;
    uint64_t said_count;
    struct etx__said {
        uintptr_t thread;
        uint64_t number; /* the newest has the highest; 0: none */
        char text[512];
    } said[ETX__SAID];
    _Atomic(etx__registered *) registered[ETX__PARTICIPANTS_MAX];
    _Atomic uint32_t registered_count;
    /* places + 1, by the hash of their names */
    _Atomic uint16_t registered_at[2 * ETX__PARTICIPANTS_MAX];
    const etx_log_ops *log_ops[ETX__LOGS_MAX];
    uint32_t log_ops_count;
    const etx_codec *codecs[256];
    etx__home *home[ETX__HOMES_MAX];
    uint32_t home_count;
    uint32_t chosen_home;
    /* Where chosen gids belonged, as was read while that home was away; or "" */
    char chosen_said[ETX_HOME_ID_LEN + 1];
    _Atomic uint64_t chosen_denied; /* the id of the home where they are for other nodes; or 0 */
    etx__partition **partition;     /* of all homes, by place */
    _Atomic uint32_t partition_count;
    uint32_t partition_room; /* a home that is away at start brings more */
    uint32_t ample;          /* a partition has room for so many times its even part */
    etx__shard *shard;
    uint32_t shard_count;
    etx__worker_pool *workers;
    etx__stash handles; /* etx_tx */
    etx__stash replies; /* etx__reply */
    _Atomic uint32_t
        holders; /* of this struct's memory: the user, and threads that could not be joined */
    _Atomic uint64_t refused_busy;
};

/* May new work be begun? 0, ETX_EINVALID, ETX_EFORKED, or (not started, closed) ETX_ESTATE,
 * ETX_ECLOSED; the message is set. */
int etx__engine_usable(etx_engine *engine);
/* Not started yet? 0, ETX_EINVALID, ETX_EFORKED or ETX_ESTATE; the message is set. */
int etx__engine_new(etx_engine *engine);
/* The same for what is begun already: also while the engine waits for its end. */
int etx__engine_serves(etx_engine *engine);
/* The shard whose thread this is, now (or which it drives), or NULL. Such a thread must not wait
 * for the engine. */
const etx__shard *etx__engine_inside(const etx_engine *engine);
static inline int etx__engine_reads_only(const etx_engine *engine) {
    return (engine->options.flags & ETX_READ_ONLY) != 0;
}
/* Sets the calling thread's message, cut to its size; returns rc. */
int etx__engine_fail(etx_engine *engine, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with what the code says, where there is no more to say; NULL is no engine. */
int etx__engine_refuse(etx_engine *engine, int rc);
/* ETX_EINVALID, and which argument is not valid; NULL is no engine. */
int etx__engine_invalid(etx_engine *engine, const char *why);
/* The same where no engine is made; `why` is static. */
int etx__engine_none(int rc, const char *why);
void *etx__engine_alloc(const etx_engine *engine, size_t size);
void etx__engine_release(const etx_engine *engine, void *block, size_t size);
etx__registered *etx__engine_participant(const etx_engine *engine, const char *name, size_t len);
/* May what this one drives be begun? One that is registered elsewhere only is not known here. */
int etx__initiator_check(etx_engine *engine, etx_mode mode, const char *initiator);
void etx__engine_hold(etx_engine *engine);
void etx__engine_drop(etx_engine *engine); /* frees it with the last holder */
/* The codec of a batch, or NULL. */
const etx_codec *etx__engine_codec_of(const etx_engine *engine, uint8_t id);
/* ---- monitor and metrics */

int etx__monitor_wants(const etx_engine *engine, etx_event_type type);
void etx__monitor_tell(etx_engine *engine, const etx_event *event);
/* An event of a partition or home, without a transaction. */
void etx__monitor_home(etx__home *home,
                       uint32_t partition,
                       etx_event_type type,
                       const char *reason);
/* Adds to a counter that only the shard's driver writes: no locked instruction. */
static inline void etx__count(_Atomic uint64_t *counter, uint64_t more) {
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + more, memory_order_relaxed);
}
/* An etx_histogram that only the shard's driver writes. */
typedef struct etx__histogram {
    _Atomic uint64_t bucket[ETX_METRICS_BUCKETS];
    _Atomic uint64_t sum;
} etx__histogram;
void etx__histogram_add(etx__histogram *histogram, uint64_t value);

/* ---- gids made by ETX */

/* Room for ETX_GID_MAX + 1; returns the length. */
size_t etx__gid_make(char *gid,
                     uint64_t wall_ms,
                     const char *home_id,
                     uint32_t partition,
                     uint64_t nonce,
                     uint64_t counter);
/* What a gid says of its home. 1: made by ETX (home, partition, time are set); 2: chosen, with a
 * home in front; 0: chosen. */
int etx__gid_read(etx_bytes gid,
                  char ret_home[ETX_HOME_ID_LEN + 1],
                  uint32_t *ret_partition,
                  uint64_t *ret_ms);

#endif
