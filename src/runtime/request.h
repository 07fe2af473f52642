/* Requests: a transaction in a user's hands is one, and so is every question to a shard. */
#ifndef ETX__REQUEST_H
#define ETX__REQUEST_H

#include "runtime.h"

enum { ETX__ARENA = 768, ETX__BRANCHES = 6 };

typedef enum etx__request_state {
    ETX__WAITING = 0,
    ETX__ANSWERED = 1,
    ETX__ABANDONED = 2, /* its caller's patience is over: whoever answers frees it */
    ETX__LEAVING = 3,   /* its caller's patience is over: it reads the gid */
    ETX__MOVING = 4     /* it is given another gid */
} etx__request_state;

/* What is asked of a shard. */
typedef enum etx__ask {
    ETX__ASK_CORE = 0, /* a command: the event of `type` */
    ETX__ASK_STATUS,   /* a transaction as it is, with its branches if wanted */
    ETX__ASK_GLANCE,   /* what is durable of it now: waits for nothing */
    ETX__ASK_LIST      /* a page of them */
} etx__ask;

/* More memory for a request's bytes. */
typedef struct etx__chunk {
    struct etx__chunk *next;
    size_t size;
} etx__chunk;

/* Somebody whom `done` answers, and whose request is no longer needed. */
typedef struct etx__pending {
    etx__waiter waiter; /* kind: ETX__WAITER_PENDING, or _SHOWN */
    etx_gid_fn on_gid;  /* NULL: nobody wants to know */
    etx_done_fn done;
    void *user;
} etx__pending;

/* SHOWN: a pending whose caller could read the gid. */
enum { ETX__WAITER_REQUEST = 0, ETX__WAITER_PENDING = 1, ETX__WAITER_SHOWN = 2 };

/* Of a branch of a builder: the names that it depends on, until all branches are known. */
typedef struct etx__named {
    const etx_bytes *name;
    uint16_t count;
    uint8_t given;      /* else: the default order */
    uint8_t registered; /* flags that only the participant's registration gives the branch */
    etx_bytes content;  /* what a repeat is known by; data NULL: the payload */
} etx__named;

struct etx_tx {
    etx__node node;
    _Atomic uint32_t state;   /* etx__request_state; a futex */
    _Atomic uint32_t driving; /* its caller works on the shard itself */
    etx__waiter waiter;       /* from here on to `outcome` a new request is zero */
    etx_engine *engine;
    etx__partition *partition; /* bound to, once the gid is made */
    etx_gid_fn on_gid;         /* may refuse another gid; NULL: nobody wants to know */
    etx_done_fn done;
    void *user;
    int rc;
    uint32_t hash;
    uint64_t run;
    uint64_t run_now; /* answered to a begin: the run that is valid */
    uint64_t *run_to; /* where the caller wants it: his variable, or (async) his handle; or NULL */
    uint32_t patience_ms;
    uint32_t deadline_ms; /* from submission; 0: none */
    uint8_t ask, type;    /* etx__ask, etx__event_type */
    uint8_t blocking;     /* a thread waits */
    uint8_t depth;        /* ... one of the pool's: see etx__workers_depth */
    uint8_t shown;        /* the caller could read the gid */
    uint8_t chosen;       /* the caller chose the gid */
    uint8_t old;          /* made by ETX, and not by this handle */
    uint8_t begun;        /* stands for a transaction that is there: no builder */
    uint8_t wait;         /* etx_wait */
    uint8_t gid_len;
    uint8_t reply, force, operation;
    uint8_t default_order, with_branches;
    uint8_t numbered; /* a branch was given a name that may be another one's place */
    int refused;      /* by the first etx_tx_add that failed; text[0] says why */
    char gid[ETX_GID_MAX + 1];
    etx_record_begin begin;
    etx_record_branch *branch; /* `few`, or a block of branch_room */
    etx__named *named;         /* `few_named`, or a block of branch_room */
    uint32_t branch_room;
    etx_bytes text[3]; /* who, why, branch; reason; a result's bytes */
    etx_bytes content; /* of the initiator's payload: see etx__named */
    /* asking */
    const etx_filter *filter;
    etx_cursor cursor;
    uint32_t limit;
    uint8_t lists_all;
    uint8_t *found; /* a growing block of etx__found */
    size_t found_len, found_room;
    /* its memory */
    etx__chunk *chunk;
    uint8_t *arena_at;
    size_t arena_left;
    etx_outcome outcome;
    etx_record_branch few[ETX__BRANCHES];
    etx__named few_named[ETX__BRANCHES];
    uint8_t arena[ETX__ARENA];
};

/* A clean request, or NULL. */
etx_tx *etx__request_make(etx_engine *engine);
/* Says in the request's own outcome, and in the thread's message, what is wrong; returns rc. */
int etx__request_fail(etx_tx *request, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void etx__request_free(etx_tx *request);
/* Frees the memory that a kept handle holds beyond itself. */
void etx__request_trim(etx_tx *request);
/* Memory that lives as long as the request; NULL if there is none. */
void *etx__request_alloc(etx_tx *request, size_t size);
/* A copy that ends with NUL; data NULL: there is no memory. */
etx_bytes etx__request_keep(etx_tx *request, const void *bytes, size_t len);
/* Sends it; who is answered by `done` may not touch it any more. */
void etx__request_send(etx_tx *request);
/* Sends it, waits, copies the outcome (may be NULL), frees it. */
int etx__request_run(etx_tx *request, etx_outcome *outcome);
/* Sends it and waits; it stays the caller's, unless the patience was over: *request is NULL
 * then, and ret_gid (may be NULL) says under which gid it was sent last. */
int etx__request_wait(etx_tx **request, char *ret_gid);
/* Sets gid and where it belongs. Errors: ETX_EINVALID, ETX_EUNAVAILABLE, ETX_EGONE. */
int etx__request_bind(etx_tx *request, const char *gid, size_t len);
/* With an XA branch local is asked for at least: what is prepared outlives the process. */
void etx__request_raise(etx_tx *request);
/* Makes a gid in the best home. Errors: ETX_EUNAVAILABLE, ETX_EFULL. */
int etx__request_place(etx_tx *request, uint64_t wall_ms);
/* Copies an outcome to a caller whose struct may be of another version's size. */
void etx__outcome_give(etx_outcome *to, const etx_outcome *from);
/* Before anything is done: an outcome without its size would be told nothing. */
int etx__outcome_check(etx_engine *engine, const etx_outcome *outcome);
/* Nothing of an earlier transaction stays in it: the gid, if it is one, and why. Returns rc. */
int etx__outcome_fail(etx_engine *engine, const char *gid, int rc, etx_outcome *outcome);
/* A request of a command on a gid; NULL and *ret_rc on an error. */
etx_tx *etx__request_command(etx_engine *engine, const char *gid, uint8_t type, int *ret_rc);

/* ---- on the shard's thread */
void etx__request_handle(etx_tx *request);
/* Answers a request or pending whose waiter the core gave back. */
void etx__waiter_answer(etx__partition *partition, etx__waiter *waiter);
/* Answers a request that came to no core. */
void etx__request_refuse(etx_tx *request, int rc, const char *reason);
void etx__request_answer(etx_tx *request, int rc);
/* Sends a begin of which nobody saw the gid to another home. 1: it is on its way. */
int etx__request_elsewhere(etx_tx *request);
/* What begins with a put that its log did not take hears this. */
int etx__request_given_back(int error);
/* A BEGIN that was taken back goes elsewhere, or is refused. The image says what it was. */
void etx__request_begin_elsewhere(etx__partition *partition,
                                  etx__waiter *waiter,
                                  const etx_record *image,
                                  int error);
/* etx_list; with `all` also of what rests on records that are not durable yet, which is not told
 * to anybody. */
int etx__ask_list(etx_engine *engine,
                  const etx_filter *filter,
                  etx_cursor *cursor,
                  uint32_t limit,
                  uint8_t all,
                  etx_status_fn each,
                  void *user);
void etx__ask_handle(etx_tx *request);
void etx__ask_answer(etx__partition *partition, etx_tx *request);
/* What became of it, or how far it is. */
void etx__outcome_fill(const etx__partition *partition,
                       const etx__entry *entry,
                       etx_outcome *outcome);
uint32_t etx__entry_marks(const etx__entry *entry);
const char *etx__entry_reason(const etx__entry *entry);

/* ---- status.c: `body` is NULL of what is remembered only */
void etx__status_fill(const etx__partition *partition,
                      const etx__entry *entry,
                      const etx__tx *body,
                      etx_status *status);
/* Borrows what the branch has. */
void etx__status_branch(const etx__branch *branch, etx_state state, etx_branch_status *status);
/* Tells the monitor, if it wants that. */
void etx__ending_tell(etx__partition *partition, const etx__entry *entry, const etx__tx *body);

/* ---- the builder */
/* Adds a branch, its names unresolved. */
int etx__branch_add(etx_tx *tx, const etx_branch *branch);
/* Is a branch of that name enlisted? */
int etx__branch_known(const etx__tx *tx, etx_bytes name);
/* Was one refused? Its error then, and its reason in outcome->reason. */
int etx__branches_refused(etx_tx *tx);
/* Resolves names, checks for cycles, fills `begin`. outcome->reason says what is wrong. */
int etx__branches_settle(etx_tx *tx);

#endif
