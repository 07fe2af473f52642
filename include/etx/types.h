/* The words of ETX: errors, states, kinds, operations, results, limits. Every other header uses
 * these. */
#ifndef ETX_TYPES_H
#define ETX_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ETX_VERSION_MAJOR 0
#define ETX_VERSION_MINOR 1
#define ETX_VERSION_PATCH 0

#if defined(__GNUC__)
#define ETX_API __attribute__((visibility("default")))
#else
#define ETX_API
#endif

/* Errors are negative ints named for what the caller can do. 0 is success. Business outcomes
 * (aborted, refused) are values, never errors. The numbers are part of the ABI: append only. */
#define ETX_ERROR_MAP(X)                                                               \
    X(EINVALID, -1, "the argument is not valid: correct the call")                     \
    X(ENOMEM, -2, "out of memory: repeat it when there is some")                       \
    X(EBUSY, -3, "full or in use: try again later")                                    \
    X(EUNAVAILABLE, -4, "no home can take it now: try again later")                    \
    X(EUNKNOWN, -5, "the log cannot say yet: ask by gid later, never guess")           \
    X(ECONFLICT, -6, "the name is taken with other content: choose another one")       \
    X(ENOTFOUND, -7, "no such transaction, branch or participant: check the name")     \
    X(EGONE, -8, "older than what is remembered, or never begun: do not repeat it")    \
    X(ESTATE, -9, "not possible in this state: ask for it (etx_query)")                \
    X(ECLOSED, -10, "the engine is closed: ask by gid after the next start")           \
    X(ECORRUPT, -11, "stored data is damaged: see 'etx log verify'")                   \
    X(EREGRESSED, -12, "the store has lost acknowledged data: see 'etx doctor'")       \
    X(EIO, -13, "reading or writing failed: the message says where")                   \
    X(EVERSION, -14, "made by a newer version: use that one")                          \
    X(EFORKED, -15, "the engine belongs to the parent process: create one after fork") \
    X(EFULL, -16, "no space left: only what has begun can end")                        \
    X(EELSEWHERE, -17, "another node has its partition: ask there")

typedef enum etx_error {
    ETX_OK = 0,
#define X(name, number, text) ETX_##name = number,
    ETX_ERROR_MAP(X)
#undef X
} etx_error;

/* What the code means and what to do next. Never NULL; a static string. Any thread. */
ETX_API const char *etx_strerror(int rc);
/* "ETX_EBUSY" and the like; "ETX_OK" for 0; "?" for a number that is none. A static string. Any
 * thread. */
ETX_API const char *etx_error_name(int rc);
/* The version of the library at run time, "0.1.0". A static string. Any thread. */
ETX_API const char *etx_version(void);

/* Bytes that somebody else owns. `data` may be NULL where `len` is 0. */
typedef struct etx_bytes {
    const void *data;
    size_t len;
} etx_bytes;

/* States of a transaction. The numbers are on disk: append only. */
typedef enum etx_state {
    ETX_NONE = 0,
    ETX_ACTIVE = 1,
    ETX_COMMITTING = 2,
    ETX_COMMITTED = 3,
    ETX_ABORTING = 4,
    ETX_ABORTED = 5
} etx_state;

/* Kinds of a branch: the rows of the table in ARCHITECTURE.md. On disk: append only. */
typedef enum etx_kind {
    ETX_TCC = 1,         /* try / confirm / cancel */
    ETX_SAGA = 2,        /* action / - / compensate */
    ETX_XA = 3,          /* prepare / commit / rollback */
    ETX_MESSAGE = 4,     /* - / deliver / - */
    ETX_NOTIFICATION = 5 /* - / notify, at most N times, failure tolerated / - */
} etx_kind;

/* What a participant can be asked. The first three belong to a branch, the last two to an
 * initiator. On disk. */
typedef enum etx_operation {
    ETX_FORWARD = 0,
    ETX_COMMIT = 1,
    ETX_UNDO = 2,
    ETX_QUERY = 3, /* message with query-back: did the initiator's own transaction commit? */
    ETX_RESUME = 4 /* resumed transaction: run the initiator's code again */
} etx_operation;

/* What a participant answers. The last two are never stored. Any other value counts as ETX_RETRY,
 * with an alarm. */
typedef enum etx_reply {
    ETX_DONE = 1,    /* it is done, durably, and a repeat would answer the same */
    ETX_REFUSED = 2, /* a business no: final */
    ETX_WORKING = 3, /* still working: ask again, the interval stays */
    ETX_RETRY = 4,   /* unknown (no answer, an error): ask again, with backoff */
    ETX_LATER = 5,   /* some thread will call etx_complete with this call's token */
    /* nobody was asked (no room, no connection allowed now): tried again as after ETX_RETRY, but no
     * attempt: before the decision it counts towards no attempts_max */
    ETX_UNSENT = 6
} etx_reply;

/* How a transaction is driven. On disk: append only. */
typedef enum etx_mode {
    /* all branches known at begin; ETX runs them, and resumes forward after a crash */
    ETX_SUBMITTED = 1,
    /* enlisted one by one; the initiator decides; silence until the deadline aborts */
    ETX_INTERACTIVE = 2,
    /* the initiator's code is run again, with what is recorded, until it decides */
    ETX_RESUMED = 3
} etx_mode;

/* How far an acknowledged record can be lost. Ordered: more is safer. 0 means "the default". */
typedef enum etx_durability {
    ETX_DURABILITY_DEFAULT = 0,
    ETX_VOLATILE = 1,  /* gone with the process */
    ETX_LOCAL = 2,     /* survives a crash of process and machine; not the loss of its disk */
    ETX_REPLICATED = 3 /* survives the loss of one machine */
} etx_durability;

/* Flags of a branch. On disk: append only. */
typedef enum etx_branch_flags {
    /* The initiator does the forward operation itself. In an interactive transaction no branch that
     * depends on it waits for its result: enlist that one once you have recorded the result. */
    ETX_BY_INITIATOR = 1 << 0,
    /* A repeat of a refused call is refused again, also behind its undo (a fence of ours does so):
     * then a branch that has refused is not undone. Without it that is undone too, since a late
     * copy of its call might still take effect: undoing what was not done must be harmless. */
    ETX_KEEPS_REFUSALS = 1 << 1,
    /* calls of this branch are given the results of those it depends on, as far as recorded */
    ETX_WANTS_RESULTS = 1 << 2
} etx_branch_flags;

/* Marks on a transaction that are not states. In outcomes and statuses; the low byte is on disk. */
typedef enum etx_mark {
    ETX_MARK_FORCED = 1 << 0,       /* an operator decided it, or settled an operation by hand */
    ETX_MARK_PARKED = 1 << 1,       /* an operator parked it: no calls until resumed */
    ETX_MARK_HELD = 1 << 2,         /* a child's Try is answered: no deadline any more */
    ETX_MARK_NEVER_BEGUN = 1 << 3,  /* the recorded abort of a gid that nobody had begun */
    ETX_MARK_CHOSEN = 1 << 4,       /* the caller chose the gid */
    ETX_MARK_STALLED = 1 << 8,      /* ETX parked it itself: it tries on at the longest interval */
    ETX_MARK_UNREGISTERED = 1 << 9, /* it waits for a participant that nobody registered */
    ETX_MARK_ENDED = 1 << 10        /* nothing is left to do */
} etx_mark;

/* What a caller waits for. */
typedef enum etx_wait {
    ETX_WAIT_DEFAULT = 0, /* ENDED */
    ETX_WAIT_BEGUN = 1,   /* BEGIN is durable */
    ETX_WAIT_DECIDED = 2, /* the decision is durable */
    ETX_WAIT_ENDED = 3    /* every operation is done */
} etx_wait;

/* What an operator may force. */
typedef enum etx_force {
    ETX_FORCE_ABORT = 1,  /* decide abort: ETX_ESTATE if it is decided */
    ETX_FORCE_COMMIT = 2, /* decide commit: ETX_ESTATE if decided, or a forward result is missing */
    ETX_FORCE_DONE =
        3 /* one operation of one branch counts as done, by hand: ETX_ESTATE if that operation does
                           * not belong to what was decided, or has a result */
} etx_force;

/* Bytes of a gid: printable ASCII without space, compared byte for byte. */
#define ETX_GID_MAX 128
/* bytes of a branch's, participant's or node's name; the same alphabet */
#define ETX_NAME_MAX 64
/* bytes kept of a reason; longer ones are cut, not inside a character of UTF-8 */
#define ETX_REASON_MAX 191
#define ETX_BRANCHES_MAX 1024 /* the hard limit of branches a transaction; the default is 128 */

/* The operation's name in the words of its kind: "try", "compensate", "deliver"... Static. Any
 * thread. */
ETX_API const char *etx_operation_name(etx_kind kind, etx_operation operation);
/* "COMMITTED", "tcc", "done", "submitted", "local": what is printed and parsed everywhere. "?"
 * for others. */
ETX_API const char *etx_state_name(etx_state state);
ETX_API const char *etx_kind_name(etx_kind kind);
ETX_API const char *etx_reply_name(etx_reply reply);
ETX_API const char *etx_mode_name(etx_mode mode);
ETX_API const char *etx_durability_name(etx_durability durability);

/* 0 or ETX_EINVALID: is it a gid (or name): 1 to the limit bytes, each '!' to '~'? Any thread. */
ETX_API int etx_gid_check(const void *gid, size_t len);
ETX_API int etx_name_check(const void *name, size_t len);
/* Derives the gid of a nested transaction, the same on every repeat of the call, from the
 * parent's gid and the branch. The child's home is the home for chosen gids. Errors:
 * ETX_EINVALID if either name is not valid. */
ETX_API int etx_gid_child(const char *parent, const char *branch, char ret_gid[ETX_GID_MAX + 1]);

/* Memory for the engine: etx_options.allocator says for what. Both may be called from any thread of
 * the engine, and of its callers. */
typedef struct etx_allocator {
    /* Zero-filled, aligned to 16, or NULL. Large zero-filled blocks should be left untouched
     * (calloc does). */
    void *(*allocate)(void *user, size_t size);
    void (*release)(void *user, void *block, size_t size);
    void *user;
} etx_allocator;

#ifdef __cplusplus
}
#endif
#endif
