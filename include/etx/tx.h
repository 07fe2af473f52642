/* Transactions: the builder (all branches known) and the interactive family; outcomes, query,
 * list. */
#ifndef ETX_TX_H
#define ETX_TX_H

#include <etx/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A transaction in one thread's hands. run, submit, commit, abort and leave consume it whatever
 * they return. */
typedef struct etx_tx etx_tx;

/* Options of one transaction; 0 or NULL means the default. Strings are copied. */
typedef struct etx_tx_options {
    size_t size;
    /* chosen by the caller; NULL: made by ETX. "@HOMEID:..." names its home */
    const char *gid;
    /* from now, so none can be in the past; 0: none if submitted, else etx_options.deadline_ms. One
     * that passes before the decision aborts */
    uint32_t deadline_ms;
    etx_durability durability; /* asked for, at least; with an XA branch: ETX_LOCAL at least */
    etx_mode mode;             /* of etx_tx_begin alone: ETX_INTERACTIVE (default) or ETX_RESUMED */
    const char *initiator;     /* participant with `query` (message) or `resume` */
    uint32_t resume_ms;        /* resumed: run again after so long a silence; default 10,000 */
    etx_wait wait;             /* what run and submit wait for */
    uint32_t patience_ms;      /* 0: etx_options.patience_ms */
    /* what calls of the initiator are given, at most payload_max bytes; copied */
    const void *initiator_payload;
    size_t initiator_payload_len;
    const void *initiator_content; /* as `content` of etx_branch */
    size_t initiator_content_len;
} etx_tx_options;

#define ETX_TX_OPTIONS_INIT                                                          \
    {                                                                                \
        sizeof(etx_tx_options), 0, 0, ETX_DURABILITY_DEFAULT, ETX_INTERACTIVE, 0, 0, \
            ETX_WAIT_DEFAULT, 0, 0, 0, 0, 0                                          \
    }

/* One branch; 0 or NULL means the default. Strings and payload are copied. */
typedef struct etx_branch {
    size_t size;
    const char *participant;
    const char *name; /* unique in the transaction; default: its place, "0", "1"... */
    const void *payload;
    size_t payload_len;
    /* names of branches, also later ones (enlisted: only earlier ones); NULL: the default order */
    const char *const *depends_on;
    size_t depends_on_count;
    uint32_t flags;        /* etx_branch_flags, added to the participant's */
    uint32_t attempts_max; /* these four: 0: the participant's */
    uint32_t call_timeout_ms;
    uint32_t retry_first_ms;
    uint32_t retry_cap_ms;
    etx_kind kind;       /* 0: the participant's, which must be registered */
    uint8_t independent; /* 1: a saga step that does not follow the one before it */
    const void *content; /* what a repeat is known by; NULL: the payload. Not kept */
    size_t content_len;
} etx_branch;

#define ETX_BRANCH_INIT \
    { sizeof(etx_branch), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (etx_kind)0, 0, 0, 0 }

/* What became of a transaction. What is given to a call is filled in by it, also with an error:
 * then with ETX_NONE if no more is known, the gid as far as there is one, and why. */
typedef struct etx_outcome {
    size_t size; /* sizeof(etx_outcome), set by the initialiser; 0: ETX_EINVALID, nothing is done */
    /* COMMITTED, ABORTED; COMMITTING, ABORTING: decided, calls go on; ACTIVE: not decided */
    etx_state state;
    uint32_t marks;            /* etx_mark */
    etx_durability durability; /* achieved; 0: nothing was recorded */
    char gid[ETX_GID_MAX + 1];
    char reason[ETX_REASON_MAX + 1]; /* of an abort, or of an error */
} etx_outcome;

#define ETX_OUTCOME_INIT \
    { sizeof(etx_outcome), ETX_NONE, 0, ETX_DURABILITY_DEFAULT, "", "" }

/* Called once, on an engine thread: as inline callbacks, it must not wait. `rc` as etx_tx_run
 * returns it. Not at all for what an inline callback holds up that outlasts etx_engine_close. */
typedef void (*etx_done_fn)(int rc, const etx_outcome *outcome, void *user);

/* Called with each gid that a transaction is given, before it is sent under that gid: by the thread
 * that submits it, later by an engine thread; as inline callbacks, it must not wait. Not 0: the gid
 * before this one was told to somebody, and stays the transaction's; of the first, 0 or not is the
 * same. Once `done` is called there are no more. */
typedef int (*etx_gid_fn)(const char *gid, void *user);

/* ---- builder. A handle belongs to one thread at a time. Whatever makes one sets *ret_tx to NULL
 * on every error (if the pointer is given). pthread_cancel of a thread takes effect once it is out
 * of a call that waits. */

/* Memory only. Errors: ETX_EINVALID (options), ETX_ENOMEM, ETX_ECLOSED. From inline callbacks. */
ETX_API int etx_tx_new(etx_engine *engine, const etx_tx_options *options, etx_tx **ret_tx);
/* Adds a branch of that participant. Memory only. Errors: ETX_ENOTFOUND (participant),
 * ETX_EINVALID (over branches_max or payload_max: etx_engine_message says which), ETX_ECONFLICT
 * (another branch was given the name that is its place), ETX_ENOMEM. From inline callbacks.
 * The handle remembers the first error: run and submit return it, with its reason, and begin
 * nothing. So who looks at run's result alone never commits what is left without that branch. */
ETX_API int etx_tx_add(etx_tx *tx, const char *participant, const void *payload, size_t len);
/* The same with all that a branch can have. ETX_ECONFLICT also: its name is taken. */
ETX_API int etx_tx_add_branch(etx_tx *tx, const etx_branch *branch);
/* The transaction's gid, valid until the handle is consumed. Reading it binds the transaction to
 * its home. NULL: no home can take it now (etx_engine_message says why). From inline callbacks. */
ETX_API const char *etx_tx_gid(etx_tx *tx);
/* One BEGIN with all branches, then waits as options.wait says. Not from inline callbacks. 0:
 * outcome->state tells; ETX_EUNKNOWN: the log cannot say yet, ask etx_query by outcome->gid (its
 * state is what was durable when the patience was over; ETX_NONE: not known);
 * ETX_EUNAVAILABLE, ETX_EBUSY, ETX_EFULL (no space left for a new one): nothing was begun;
 * ETX_EINVALID (a cycle, an unknown name in depends_on, a deadline too far, more payload than a
 * batch of the log holds), ETX_ECONFLICT, ETX_EGONE, ETX_ENOMEM, and the error of an add that
 * failed: neither; ETX_ECLOSED: closed meanwhile, and if outcome->gid is not empty it may have been
 * begun, and goes on at the next start. outcome->reason says it in words. outcome may be NULL. */
ETX_API int etx_tx_run(etx_tx *tx, etx_outcome *outcome);
/* The same, answered by `done` (NULL: nobody). If this returns an error, done is not called. From
 * inline callbacks. Another thread is held back while thousands that were submitted before are not
 * taken up yet: ETX_EBUSY if that outlasts its patience. */
ETX_API int etx_tx_submit(etx_tx *tx, etx_done_fn done, void *user);
/* The same for who wants to know the gid on its way, and not bind it by that (etx_tx_gid does).
 * `named` is told the first before it is sent, and another one if, while nothing was begun, another
 * home is to take it: see etx_gid_fn. It has the same user as `done`. */
ETX_API int etx_tx_submit_named(etx_tx *tx, etx_gid_fn named, etx_done_fn done, void *user);
/* Frees a handle that was not consumed; what is begun stays. NULL is nothing. */
ETX_API void etx_tx_discard(etx_tx *tx);

/* ---- interactive and resumed. Each waits until what it did is durable; not from inline
 * callbacks. Of a gid that nothing is known of: ETX_ENOTFOUND, or ETX_EGONE if ETX made it. */

/* Begins. Repeated with a chosen gid: the transaction that is there. Errors as run; ETX_ESTATE:
 * it is decided; ETX_EINVALID: the initiator is registered without what is to be called. */
ETX_API int etx_tx_begin(etx_engine *engine, const etx_tx_options *options, etx_tx **ret_tx);
/* A handle for a transaction that was begun elsewhere: by another thread, process, or this run
 * of a resumed one (`run`, from etx_call_run; 0 otherwise). Memory only. Errors: ETX_EINVALID,
 * ETX_ENOMEM. */
ETX_API int etx_tx_attach(etx_engine *engine, const char *gid, uint64_t run, etx_tx **ret_tx);
/* Enlists a branch (its name is required). Repeated with the same content: nothing happens; with
 * other content: ETX_ECONFLICT (depends_on is not compared). An error leaves the transaction as it
 * was, without that branch. ETX_ESTATE: decided, or past the deadline, or the run number is
 * superseded. ETX_EINVALID: over a limit, it depends on what is not enlisted, or XA in a volatile
 * home. ETX_EFULL: no space is left but for decisions. etx_engine_message says it in words. */
ETX_API int etx_tx_enlist(etx_tx *tx, const etx_branch *branch);
/* Records the forward result of a branch that the initiator does itself. The first stands: what
 * a later call says is ignored, and *ret_reply (may be NULL) is the first. ETX_REFUSED aborts
 * the transaction. */
ETX_API int etx_tx_result(etx_tx *tx,
                          const char *branch,
                          etx_reply reply,
                          const void *result,
                          size_t len,
                          etx_reply *ret_reply);
/* A child's Try is answered: from here on it has no deadline, and only its parent decides, or an
 * operator by force. Repeated: nothing happens. ETX_ESTATE: not all its forward operations are
 * done, its deadline has passed, or it is decided (etx_query says how): see "Nested transactions"
 * in docs/guarantees.md for what the parent is to hear then. ETX_EFULL: as enlist. */
ETX_API int etx_tx_hold(etx_tx *tx);
/* What commit and abort of this handle wait for, instead of options.wait of begin (attach: ENDED).
 * 0: ENDED. Memory only. Errors: ETX_EINVALID (no handle, a wait that is none), ETX_ECLOSED. From
 * inline callbacks. */
ETX_API int etx_tx_set_wait(etx_tx *tx, etx_wait wait);
/* Decides; waits as options.wait of begin (attach: ENDED) or etx_tx_set_wait says. Errors as run;
 * ETX_ESTATE: a step of a resumed transaction has no result yet. A commit past the deadline gives
 * 0 and ETX_ABORTED/ABORTING; so does one of what an operator forced to abort: 0 says that it is
 * decided, outcome.state how. Consumes. */
ETX_API int etx_tx_commit(etx_tx *tx, etx_outcome *outcome);
/* Also of a gid that nobody has begun: recorded, so that a late begin is refused. Of what is
 * committed already: 0, and outcome.state says so. Consumes. */
ETX_API int etx_tx_abort(etx_tx *tx, etx_outcome *outcome);
/* The same five without waiting, answered by `done`; an error means it is not called. From
 * inline callbacks. */
ETX_API int etx_tx_enlist_async(etx_tx *tx, const etx_branch *branch, etx_done_fn done, void *user);
ETX_API int etx_tx_result_async(etx_tx *tx,
                                const char *branch,
                                etx_reply reply,
                                const void *result,
                                size_t len,
                                etx_done_fn done,
                                void *user);
ETX_API int etx_tx_hold_async(etx_tx *tx, etx_done_fn done, void *user);
ETX_API int etx_tx_commit_async(etx_tx *tx, etx_done_fn done, void *user);
ETX_API int etx_tx_abort_async(etx_tx *tx, etx_done_fn done, void *user);
/* Begin without waiting: the handle is valid at once for gid; use it further only after `done`. */
ETX_API int etx_tx_begin_async(etx_engine *engine,
                               const etx_tx_options *options,
                               etx_done_fn done,
                               void *user,
                               etx_tx **ret_tx);

/* ---- asking */

/* Waits for the state (at most patience_ms, 0: the engine's). 0; ETX_EUNKNOWN: not reached in
 * time, or the log cannot say; ETX_ENOTFOUND, ETX_EGONE. outcome tells how far it is; ETX_NONE:
 * that is not known. Not from inline callbacks. */
ETX_API int etx_wait_for(etx_engine *engine,
                         const char *gid,
                         etx_wait wait,
                         uint32_t patience_ms,
                         etx_outcome *outcome);

/* A transaction as it is now; strings are copies. */
typedef struct etx_status {
    size_t size;
    char gid[ETX_GID_MAX + 1];
    etx_state state;
    uint32_t marks;
    etx_mode mode; /* 0: not known, once it is ended and remembered only */
    etx_durability durability;
    char home[ETX_HOME_ID_LEN + 1];
    uint32_t partition;
    uint64_t begin_ms;
    uint64_t deadline_ms, decided_ms; /* 0: none; and both 0 once it is ended and remembered only */
    uint64_t ended_ms;
    /* when ETX will do something by itself, ms from now; UINT64_MAX: it waits */
    uint64_t next_ms;
    uint32_t branch_count; /* 0 once it is ended and remembered only */
    uint32_t calls_in_flight;
    char reason[ETX_REASON_MAX + 1];
} etx_status;

/* A branch as it is now; strings and bytes are borrowed for the call. */
typedef struct etx_branch_status {
    size_t size;
    const char *name;
    const char *participant;
    etx_kind kind;
    uint32_t flags;
    etx_reply forward; /* 0: no result yet */
    etx_reply finish;  /* of commit or undo; 0: none yet */
    uint32_t settled;  /* bit 1 << operation: by hand */
    uint32_t attempts; /* of the operation it is at, or was at last, by this owner */
    uint32_t failures; /* in a row */
    uint8_t calling;   /* a call is in flight */
    etx_bytes payload;
    /* of its forward operation, from when it is recorded; of what commit makes needless to record
     * (a saga's last step) from then on, by the owner that was given it */
    etx_bytes result;
    const char *reason;        /* the last that a participant gave */
    uint32_t forward_attempts; /* of its forward operation, by this owner */
} etx_branch_status;
typedef int (*etx_branch_fn)(const etx_branch_status *branch, void *user);

/* The state of a gid. Errors: ETX_ENOTFOUND (the status's begin_ms is then since when this home
 * has forgotten nothing: an older gid may be gone), ETX_EGONE, ETX_EUNKNOWN, ETX_EUNAVAILABLE.
 * Not from inline callbacks. */
ETX_API int etx_query(etx_engine *engine, const char *gid, etx_status *ret_status);
/* The same, and its branches, one by one, on the caller's thread; a result that is not 0 stops. */
ETX_API int etx_query_branches(etx_engine *engine,
                               const char *gid,
                               etx_status *ret_status,
                               etx_branch_fn each,
                               void *user);
/* Of etx_monitor.on_ending: the branch at `place`, from 0. Errors: ETX_ENOTFOUND (past the last),
 * ETX_EINVALID (its size is not set). */
ETX_API int etx_ending_branch(const etx_ending *ending,
                              uint32_t place,
                              etx_branch_status *ret_branch);
/* The state without waiting, answered by `done`. From inline callbacks. */
ETX_API int etx_query_async(etx_engine *engine, const char *gid, etx_done_fn done, void *user);

/* Which transactions; 0 or NULL does not restrict. An unknown bit or kind is ETX_EINVALID. */
typedef struct etx_filter {
    size_t size;
    uint32_t states; /* bit 1 << etx_state */
    uint32_t marks;  /* all of these must be set (ETX_MARK_...) */
    /* A branch of this kind, or participant: what is ended and remembered only has none any more,
     * so with one of these `remembered` finds nothing of it. */
    etx_kind kind;
    const char *participant;
    const char *gid_prefix;
    uint64_t begun_before_ms, begun_after_ms; /* ms since 1970 */
    uint8_t remembered;                       /* 1: ended ones too */
} etx_filter;

#define ETX_FILTER_INIT \
    { sizeof(etx_filter), 0, 0, (etx_kind)0, 0, 0, 0, 0, 0 }

/* Where a list goes on. Start with zeros; {0, 0} again after the last. */
typedef struct etx_cursor {
    uint64_t word[2];
} etx_cursor;

typedef int (*etx_status_fn)(const etx_status *status, void *user);
/* Up to `limit` transactions from `cursor` on, on the caller's thread. One that changes
 * meanwhile may be missed or come twice; one that does neither comes once. A result of `each` that
 * is not 0 stops, and is returned: the cursor stands behind the transaction that it was given then.
 * After an error it stands behind the last one that `each` was given. Of a shared home: what this
 * node has. Not from inline callbacks. */
ETX_API int etx_list(etx_engine *engine,
                     const etx_filter *filter,
                     etx_cursor *cursor,
                     uint32_t limit,
                     etx_status_fn each,
                     void *user);

#ifdef __cplusplus
}
#endif
#endif
