/* The engine: create, give it homes, register participants, start, close. */
#ifndef ETX_ENGINE_H
#define ETX_ENGINE_H

#include <etx/codec.h>
#include <etx/log.h>
#include <etx/metrics.h>
#include <etx/monitor.h>
#include <etx/participant.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum etx_engine_flags {
    ETX_ALLOW_VOLATILE = 1 << 0, /* homes that forget with the process may be used, if asked for */
    ETX_INSPECT = 1 << 1,        /* look and operate only: no calls, no deadlines, nothing begun */
    ETX_HISTORY_STRICT = 1 << 2, /* refuse new transactions (ETX_EBUSY) rather than forget a chosen
                                   * gid before it is history_age_ms old */
    ETX_NO_CALLER_DRIVES = 1 << 3, /* blocking callers never do the engine's work on their thread */
    /* look only: ETX_INSPECT that owns, locks and writes nothing, beside whoever has the homes open
     * or on a read-only file system. What it knows, also of a gid that is not there, is what the
     * logs held at start; what would change something is ETX_ESTATE. Adapters of logs: see
     * ETX_LOG_READ_ONLY */
    ETX_READ_ONLY = 1 << 4,
    /* start although every home is away (ETX_EUNAVAILABLE), if all that are can be waited for:
     * shared homes are asked for until they are there */
    ETX_START_WAITS = 1 << 5
} etx_engine_flags;

/* Options. 0 or NULL in any member means the default given here. Copied by create. */
typedef struct etx_options {
    size_t size;      /* sizeof(etx_options), set by the initialiser; 0 is refused */
    const char *node; /* this node's name; default: "node" */
    uint32_t flags;   /* etx_engine_flags */
    uint32_t shards;  /* engine threads, at most 16; default: processors, at most 4 */
    /* Threads for callbacks that block, at most 4096; default 16. Those whose callbacks wait for
     * the engine itself do not count: others take their place, up to 16 times as many in all, at
     * most 1024 (or these and 15), and end when they are not needed. */
    uint32_t workers;
    /* In flight, over all homes and partitions; default 1,048,576, at most 64 Mi. What other shards
     * begin at the same instant may come on top: one transaction of each. */
    uint32_t transactions_max;
    uint32_t branches_max; /* of one transaction; default 128, at most ETX_BRANCHES_MAX */
    /* Bytes of one branch's payload, or of one result; default 1 MiB, at most 64 MiB. All of a
     * transaction must fit into one batch of its home, too: 3.5 MiB with `file:`, but 0.9 MiB where
     * it was made with ?segment=1M, and 1.8 MiB with 2M. */
    uint32_t payload_max;
    /* Bytes for transactions in flight and remembered, over all homes and partitions; default
     * 4 GiB, at least 4 MiB. What begins leaves a sixteenth of it free, for results and reasons.
     * Address space is taken at start, memory only as it is used: so much for a home with one
     * partition; twice as much for one with several (each may hold twice its even part, and 64 MiB
     * at least), or once, if twice is refused. Tables come on top: some 240 bytes for each of
     * transactions_max, and 110 for each of history_max; with several partitions twice the
     * former. */
    uint64_t memory_max;
    uint64_t history_max; /* finished transactions remembered; default 1,000,000, at most 256 Mi */
    uint64_t history_age_ms; /* ... no older than this; default 24 h */
    uint32_t patience_ms;    /* how long a caller waits for an answer; default 30,000 */
    /* of interactive and resumed transactions, at most half of fence_age_ms; default 60,000, or
     * that half */
    uint32_t deadline_ms;
    uint32_t call_timeout_ms; /* default 30,000 */
    /* first pause after an unknown result; doubled each time; at most retry_cap_ms; default 100, or
     * that */
    uint32_t retry_first_ms;
    uint32_t retry_cap_ms; /* longest pause; default 30,000 */
    uint32_t working_ms;   /* pause after "still working"; default 1,000 */
    /* failed finishing calls until a transaction is stalled; default 10 */
    uint32_t park_after;
    /* a home must be well for so long before it is used again; default 5,000 */
    uint32_t hold_down_ms;
    /* What nobody waits for is written after this, unless something else is written before and
     * takes it along; default 4. Results that are answered wait five times as long: sooner, they
     * would often be written just when the decision is due that makes them superfluous */
    uint32_t flush_ms;
    /* how long fences keep rows: deadlines are at most half of it; default 7 d */
    uint32_t fence_age_ms;
    etx_durability durability; /* what a transaction asks for by default: ETX_LOCAL */
    /* For all that the engine and its file and memory logs ask for; default: calloc, and mmap for
     * what is large. Borrowed until the engine is freed, or, after a close that was ETX_EBUSY,
     * until its callbacks have returned. Not through it goes what the C library takes for itself
     * (stacks, directories that are read, modules), what is read of state_dir, a page that a fork
     * wipes, and what is not the engine's own: adapters of stores and their clients, codecs that
     * allocate, what etx_seen_read and etx_record_room_grow give the program. */
    const etx_allocator *allocator;
    const etx_monitor *monitor;     /* copied; default: none */
    const etx_codec *codec;         /* for new batches; borrowed; as etx_engine_codec has it */
    const char *accept_chosen_home; /* the id of the home that held chosen gids before, to accept
                                      * that from now on another does (see docs/guarantees.md) */
    const char *address; /* where other nodes of a shared home reach this one; shown to them as it
                          * is, at most 255 characters, no spaces; default: "" */
    /* Shared homes: how long a partition stays with a node that is not heard of; at least 500,
     * default 5,000 */
    uint32_t lease_ms;
    /* A directory of this node's own, made if it is not there, in which it remembers what shared
     * homes acknowledged to it: so a store that was restored from an older backup is noticed at the
     * next start too. Without one it is noticed only while a node runs. Copied; default: none */
    const char *state_dir;
    /* While an event loop lends its thread (etx_engine_lend) and one or two transactions are in
     * progress, the engine's threads look for work so long before they sleep: where a processor
     * that rests takes long to wake, that is half of what a transaction takes. us; at most 10,000;
     * default 0: they sleep at once */
    uint32_t busy_poll_us;
} etx_options;

#define ETX_OPTIONS_INIT                                                                 \
    {                                                                                    \
        sizeof(etx_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
            ETX_DURABILITY_DEFAULT, 0, 0, 0, 0, 0, 0, 0, 0                               \
    }

/* Makes an engine that does nothing yet. Errors: ETX_EINVALID (etx_engine_message(NULL, ...) names
 * the member and its range), ETX_ENOMEM. Any thread. */
ETX_API int etx_engine_create(const etx_options *options, etx_engine **ret_engine);

/* Adds a home at the end of the list of preference, before start: "file:DIR", "memory:", or the
 * scheme of a registered or installed adapter ("postgresql://..."): a module log_SCHEME.so beneath
 * the directory of libetx.so is loaded. The string is copied. Nothing is opened yet.
 * Errors: ETX_EINVALID (no such scheme: the message says what has it), ETX_ESTATE (started),
 * ETX_ENOMEM. */
ETX_API int etx_engine_home(etx_engine *engine, const char *url);
/* Which home chosen gids belong to: the place in the list, from 0. Default 0. Before start, which
 * refuses another one than before (see docs/guarantees.md). */
ETX_API int etx_engine_chosen_home(etx_engine *engine, unsigned place);
/* Adds an adapter of the program's own, before etx_engine_home names its scheme; `ops` is
 * borrowed. Errors: ETX_EINVALID, ETX_ECONFLICT (a scheme that is built in), ETX_EBUSY,
 * ETX_ESTATE. */
ETX_API int etx_engine_log(etx_engine *engine, const etx_log_ops *ops);
/* Adds a codec of the program's own, for reading and (as etx_options.codec) writing; borrowed.
 * Before start. */
ETX_API int etx_engine_codec(etx_engine *engine, const etx_codec *codec);

/* Opens the homes, reads them, claims their partitions, starts threads. What a crash interrupted
 * goes on from here, before this returns. On an error the engine may be freed, nothing else.
 * A shared home whose store cannot be reached fails no start, if another home is there (or
 * ETX_START_WAITS says so): it is down, says why, and is asked for at growing intervals until it is
 * there. Until then what is asked of its gids is ETX_EUNAVAILABLE.
 * Errors: what opening a home gives (etx_engine_message says which and what to do),
 * ETX_EUNAVAILABLE (no home could be reached), ETX_ECONFLICT (chosen gids had another home that
 * is not drained; two homes have one id; or one is a copy to be looked at), ETX_EBUSY (another
 * engine has the state directory), ETX_EREGRESSED (another log is where a shared home was),
 * ETX_EINVALID, ETX_ESTATE, ETX_ENOMEM. A partition of a shared home of which the store has lost
 * what it acknowledged is no error: it is not claimed (etx_partition_status). */
ETX_API int etx_engine_start(etx_engine *engine);

/* For an event loop. With `lends` the calling thread promises to call etx_engine_help before it
 * sleeps: what it hands over (a request with a `done`, an etx_complete) wakes no thread of the
 * engine then, while little is in progress, but is done there; so a call that is answered costs no
 * change of threads. One thread at a time; the last one counts. With 0 the promise ends. 0, or
 * ETX_EINVALID (no engine), ETX_ECLOSED (to lend), ETX_EFORKED. */
ETX_API int etx_engine_lend(etx_engine *engine, int lends);
/* Steps, makes inline calls and gives answers on this thread, as far as the engine's own threads
 * do not; it never waits for a log. Returns at once if there is nothing to do. Any thread, but not
 * from callbacks. */
ETX_API void etx_engine_help(etx_engine *engine);

typedef enum etx_close_mode {
    ETX_CLOSE_FINISH = 0, /* wait until what is in flight has ended, then leave the rest */
    /* wait for calls that run now, write what is known, leave the rest to the next start */
    ETX_CLOSE_LEAVE = 1,
    ETX_CLOSE_ABRUPT = 2 /* as if the process were killed, but for its memory */
} etx_close_mode;

/* Begins nothing new any more (ETX_ECLOSED), and ends as `mode` says in at most timeout_ms; a tenth
 * of a second later if an inline callback does not return; and writes to a log, where they hang,
 * are waited for until a second from the call on, if that is more. While
 * ETX_CLOSE_FINISH waits, what is begun may be gone on with: enlist, result, hold, commit, abort,
 * query, operate; a nested transaction that is yet to be begun waits for the next start. Then it
 * wakes every blocked caller with ETX_ECLOSED and stops the threads. Any thread but the engine's
 * own; not from callbacks. Once. 0, or ETX_EBUSY: callbacks still run in
 * their threads (the log is closed all the same, and what they answer is lost: they will be called
 * again), or inline ones do (their log stays locked until they return and the engine is freed, and
 * who waits for what is there hears ETX_EUNKNOWN); ETX_ESTATE: closed already. */
ETX_API int etx_engine_close(etx_engine *engine, etx_close_mode mode, uint32_t timeout_ms);
/* Frees a closed engine, or one that was never started. NULL is nothing. No other thread may use
 * it any more. What a callback that has not returned needs is freed when it returns. */
ETX_API void etx_engine_free(etx_engine *engine);

/* The message of the calling thread's last error, with what each layer was doing; of the last of
 * any thread, if it had none (or sixteen others had one since). With NULL for the engine: why the
 * calling thread's newest etx_engine_create that failed did. In a forked child: ETX_EFORKED in
 * words. Copied, cut to `size`, ends with NUL. What went wrong with a transaction is in its
 * outcome's reason as well. Any thread. */
ETX_API void etx_engine_message(etx_engine *engine, char *message, size_t size);

/* A home as it is now. Strings are copies. */
typedef struct etx_home_status {
    size_t size;
    char url[256]; /* passwords shown as *** */
    char id[ETX_HOME_ID_LEN + 1];
    etx_durability grade;
    uint8_t usable; /* new transactions may go there */
    uint8_t in_use; /* new transactions that ask for the default go there */
    uint8_t chosen; /* the home for chosen gids */
    uint32_t partitions;
    uint64_t since_ms;  /* when `usable` last changed, ms since 1970 */
    uint64_t in_flight; /* transactions that live there */
    char why[160];      /* not usable: why; else empty */
    char remark[320];   /* what it does not promise, and what would make it; or empty */
    uint8_t drained;    /* etx_engine_drain: this node has no partition of it */
} etx_home_status;
/* The home at `place`. Errors: ETX_ENOTFOUND (past the last), ETX_ECLOSED. Any thread; from
 * inline callbacks. */
ETX_API int etx_engine_home_status(etx_engine *engine, unsigned place, etx_home_status *ret_status);

/* A partition of a home as it is now. Strings are copies. */
typedef struct etx_partition_status {
    size_t size;
    uint8_t here;                /* this engine works on it */
    uint8_t shared;              /* the home is shared: what follows is told by its store */
    char node[ETX_NAME_MAX + 1]; /* which node has its lease; or "" */
    char address[256];           /* where that node is reached, as it said; or "" */
    uint64_t lease_left_ms;      /* of this engine's lease: so long it may begin new writes */
    uint64_t in_flight;          /* transactions here */
    uint64_t node_left_ms;       /* that node has it for so long, as the store said last */
    uint32_t place, number;      /* of the home, and of the partition in it */
    uint8_t elsewhere;           /* another node has it: a request here is ETX_EELSEWHERE */
    uint8_t regressed;           /* the store has lost what it acknowledged: it is not claimed */
    char why[480];               /* ... what, and what shows and ends it; or see gid_status */
    uint64_t lease_age_ms;       /* of this engine's lease: since it was asked for; 0: none */
} etx_partition_status;
/* Partition `number` of the home at `place`. Errors: ETX_ENOTFOUND (past the last), ETX_ECLOSED,
 * ETX_EINVALID. Any thread; from inline callbacks. */
ETX_API int etx_engine_partition_status(etx_engine *engine,
                                        unsigned place,
                                        uint32_t number,
                                        etx_partition_status *ret_status);
/* The partition to which a gid belongs, whether there is such a transaction or not. Of a home that
 * another node has for itself: `elsewhere`, and a place beyond the last; if that node is not there,
 * without address, and `why` says what to do. Errors: as etx_query, but
 * for ETX_ENOTFOUND. Any thread; from inline callbacks. */
ETX_API int etx_engine_gid_status(etx_engine *engine,
                                  const char *gid,
                                  etx_partition_status *ret_status);

/* A node that shares a home, as its store told last. Strings are copies. */
typedef struct etx_node_status {
    size_t size;
    char node[ETX_NAME_MAX + 1];
    char address[256]; /* where it is reached, as it said; or "" */
    uint8_t here;      /* it is this engine */
    uint64_t left_ms;  /* until it counts as gone, unless it is heard of */
    char homes[64];    /* the ids of homes that are its alone, each after a space */
} etx_node_status;
/* Node `number`, in the order of names, of the home at `place`. Errors: ETX_ENOTFOUND (past the
 * last; the home is not shared), ETX_ECLOSED, ETX_EINVALID. Any thread; from inline callbacks. */
ETX_API int etx_engine_node_status(etx_engine *engine,
                                   unsigned place,
                                   uint32_t number,
                                   etx_node_status *ret_status);

/* A node that is not there any more and had homes of its own, as it said then: what is unfinished
 * there waits until it is started again, or another that has them. Known for thirty days. Node
 * `number` of the home at `place`; its left_ms is 0. Errors: as etx_engine_node_status. Any thread;
 * from inline callbacks. */
ETX_API int etx_engine_gone_status(etx_engine *engine,
                                   unsigned place,
                                   uint32_t number,
                                   etx_node_status *ret_status);

/* Moves partition `number` of the shared home at `place` to a node that attends. Two nodes have a
 * part in it, and each does its own when it is asked: `node` takes the partition once it is free,
 * within ten seconds, and keeps it, whatever its share is (it hands over another instead); who has
 * it hands it over, within a second or so, and leaves it alone for lease_ms. So `node` is to be
 * asked first, and then the one that has it. Returns before it has happened;
 * etx_engine_partition_status tells. A node that starts anew knows of no move. Errors:
 * ETX_ENOTFOUND (no such home or partition; no such node attends), ETX_ESTATE (the home is not
 * shared; the node is drained; the store has lost something of it, which another node may not
 * know), ETX_EUNAVAILABLE (it is away), ETX_EELSEWHERE (it is neither of the two; the message names
 * who has it), ETX_EINVALID, ETX_ECLOSED. Any thread. */
ETX_API int etx_engine_move(etx_engine *engine, unsigned place, uint32_t number, const char *node);
/* From now on this engine has no partition of the shared home at `place`: what it has is handed
 * over, within a second or so, new transactions go to its next home, and to others it is not there
 * any more. Its engine goes on: it says who has what. With 0 it takes its share again, as it does
 * when it starts anew. Returns before it has happened. Errors: ETX_ENOTFOUND (no such home),
 * ETX_ESTATE (it is not shared; no other node attends), ETX_EUNAVAILABLE (it is away), ETX_ECLOSED.
 * A partition of which the store has lost something stays. Any thread. */
ETX_API int etx_engine_drain(etx_engine *engine, unsigned place, int drained);

#ifdef __cplusplus
}
#endif
#endif
