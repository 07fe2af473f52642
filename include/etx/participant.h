/* Participants: what carries out a branch's operations, in this process or anywhere else. */
#ifndef ETX_PARTICIPANT_H
#define ETX_PARTICIPANT_H

#include <etx/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct etx_engine etx_engine;

/* One call of one operation. It and all that its accessors give lives until the callback returns;
 * after ETX_LATER only its token may be kept. */
typedef struct etx_call etx_call;

/* Names a call that is to be completed later. Copy it freely; it means nothing to another engine,
 * nor to that of another process or after a restart: there the operation is called again. */
typedef struct etx_token {
    uint64_t word[2];
} etx_token;

/* It returns. A C++ exception that leaves it ends the process where it was thrown (std::terminate);
 * it is not left by longjmp or pthread_exit either: on a thread that does the engine's work that
 * stops the engine for good, on the worker pool the call never returns. The same of `done` and of
 * a monitor's functions. */
typedef etx_reply (*etx_operation_fn)(etx_call *call, void *user);

typedef enum etx_participant_flags {
    /* The callbacks do not block: they run on the engine's own thread, a few microseconds each at
     * most. Until one returns its shard stands still: timeouts, deadlines, alarms, and the
     * patience of a caller on whose thread it runs. They may call whatever is marked "from inline
     * callbacks" (submit, complete), and nothing that waits. Without this flag callbacks run on
     * the worker pool, one thread each, and may do what they like. One that waits for the engine
     * itself (it runs a nested transaction, asks, waits for another) keeps its thread and does not
     * count: while calls are queued and no worker is idle, another thread takes its place. Some of
     * these are kept for what it waits for: so transactions may be nested eight deep, however many
     * there are. Deeper than that they may have to wait for each other until the patience of one
     * is over. There are at most 16 threads for each of etx_options.workers, and 1024 in all. */
    ETX_INLINE = 1 << 0
} etx_participant_flags;

/* A registration. Strings are copied. A branch names its participant; the participant's kind is
 * the branch's. */
typedef struct etx_participant {
    size_t size; /* sizeof(etx_participant), set by the initialiser; 0 is refused */
    const char *name;
    etx_kind kind;
    /* try, action, prepare. May be NULL if the initiator does it itself. */
    etx_operation_fn forward;
    /* confirm, commit, deliver, notify. Must be there if the kind has one. */
    etx_operation_fn commit;
    etx_operation_fn undo; /* cancel, compensate, rollback. Must be there if the kind has one. */
    void *user;            /* given to every callback; borrowed until the engine is freed */
    uint32_t flags;        /* etx_participant_flags */
    uint32_t branch_flags; /* etx_branch_flags that every branch of it has */
    /* A call without an answer for so long is unknown; 0: the engine's. It is made again, unless
     * its callback has not returned: then each further timeout counts as one more unknown, and
     * nothing is called for the branch until it returns (docs/guarantees.md) */
    uint32_t call_timeout_ms;
    uint32_t retry_first_ms; /* 0: the engine's; at most retry_cap_ms, if that is given */
    uint32_t retry_cap_ms;   /* 0: the engine's */
    /* forward: so many unknowns decide abort (ETX_UNSENT is none), 0: never. notification: it is
     * given up after so many calls that did not say ETX_DONE, whatever they said; 0: 3. Each owner
     * counts anew, so a restart does; a deadline stands */
    uint32_t attempts_max;
    /* of an initiator: ETX_DONE: it committed; ETX_REFUSED: it never will */
    etx_operation_fn query;
    /* of an initiator: run again. ETX_DONE: it has decided, or runs. By etx_tx_attach it may
     * enlist, give results, commit and abort: they are answered before it returns */
    etx_operation_fn resume;
} etx_participant;

#define ETX_PARTICIPANT_INIT \
    { sizeof(etx_participant), 0, ETX_TCC, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Registers before or after start; what waited for the name goes on. Any thread; not from inline
 * callbacks.
 * Errors: ETX_EINVALID (name, kind, a callback that the kind needs is missing, a number that cannot
 * be), ETX_ECONFLICT (name taken), ETX_EBUSY (1024 are registered), ETX_ENOMEM, ETX_ECLOSED. */
ETX_API int etx_engine_register(etx_engine *engine, const etx_participant *participant);

/* What the call is. Strings end with NUL; all borrowed as the call's comment says. Without a call
 * (NULL): "", NULL or 0. */
ETX_API const char *etx_call_gid(const etx_call *call);
ETX_API const char *etx_call_branch(const etx_call *call); /* "" for query and resume */
ETX_API etx_kind etx_call_kind(const etx_call *call);
ETX_API etx_operation etx_call_operation(const etx_call *call);
/* from 1, for this owner: it may restart */
ETX_API uint32_t etx_call_attempt(const etx_call *call);
/* The branch's; of a query or resume what was given with the initiator. */
ETX_API const void *etx_call_payload(const etx_call *call, size_t *ret_len);
/* When the transaction was begun, and its deadline (0: none), ms since 1970 by the home's clock.
 * Recorded at begin, the same in every call. A fence needs the former. */
ETX_API uint64_t etx_call_begin_ms(const etx_call *call);
ETX_API uint64_t etx_call_deadline_ms(const etx_call *call);
ETX_API uint64_t etx_call_run(const etx_call *call); /* the run number of a resume; else 0 */
/* The engine that makes the call, to begin a nested transaction or to complete later. */
ETX_API etx_engine *etx_call_engine(const etx_call *call);
/* The forward result kept of `branch`: this one's own, or (with ETX_WANTS_RESULTS, and in a
 * resume) that of a branch it depends on. NULL and 0 if there is none: so it is, too, of an
 * ETX_BY_INITIATOR branch of an interactive transaction whose result is not recorded yet. */
ETX_API const void *etx_call_result_of(const etx_call *call, const char *branch, size_t *ret_len);

/* The results that the call is given, one by one from index 0: the branch's name, NULL past the
 * last. Empty bytes, too, say that its forward operation has an answer. */
ETX_API const char *etx_call_result_at(const etx_call *call,
                                       uint32_t index,
                                       const void **ret_data,
                                       size_t *ret_len);
/* After so long, from when the call was made, it counts as unknown: the branch's, the
 * participant's or the engine's limit. */
ETX_API uint32_t etx_call_timeout_ms(const etx_call *call);

/* What to answer beside the reply. Bytes and text are copied. Errors: ETX_EINVALID (longer than
 * payload_max: the call then counts as ETX_RETRY), ETX_EBUSY (no memory for it: the same). */
ETX_API int etx_call_result(etx_call *call, const void *data, size_t len);
ETX_API int etx_call_reason(etx_call *call, const char *text);
/* Ask again not before so long (with ETX_WORKING, ETX_RETRY or ETX_UNSENT). */
ETX_API int etx_call_retry_after(etx_call *call, uint32_t ms);
/* The name by which etx_complete finishes this call after ETX_LATER. */
ETX_API etx_token etx_call_token(const etx_call *call);

/* What a call that was answered ETX_LATER came to. Zero members: nothing to say. */
typedef struct etx_completion {
    size_t size;
    etx_reply reply;
    const void *result; /* copies */
    size_t result_len;
    const char *reason; /* copies */
    uint32_t retry_after_ms;
} etx_completion;

#define ETX_COMPLETION_INIT \
    { sizeof(etx_completion), ETX_RETRY, 0, 0, 0, 0 }

/* Finishes a call. Any thread, from any callback, also before the callback that answered
 * ETX_LATER has returned. A second completion, or one for a call that timed out, is ignored:
 * participants are asked again.
 * Errors: ETX_EINVALID (a size of 0, a reply that is none), ETX_ENOMEM, ETX_ECLOSED. */
ETX_API int etx_complete(etx_engine *engine, etx_token token, const etx_completion *completion);

#ifdef __cplusplus
}
#endif
#endif
