/* Transactions over HTTP: from JSON to the engine's calls, and from outcomes to answers. */
#ifndef ETXD_TX_H
#define ETXD_TX_H

#include "json.h"

/* What a kind is called, and its operations; NULL: it has none. */
typedef struct etxd_kind {
    etx_kind kind;
    const char *name;
    const char *participant;
    const char *operations[3]; /* by etx_operation */
} etxd_kind;

/* By its place: ETX_TCC first. Ends with a name that is NULL. */
const etxd_kind *etxd_kinds(void);

/* A branch that was read, and the memory behind it. */
typedef struct etxd_leaf {
    etx_branch branch;
    const char **depends_on;
    void *bytes;
    void *content; /* of `bytes`, if not all of them is */
} etxd_leaf;

/* All that a POST of a transaction says. Texts are borrowed from the body. */
typedef struct etxd_plan {
    etxd_object body;
    etx_tx_options options;
    int mode; /* 0 submitted, 1 interactive, 2 resumed */
    etxd_leaf *leaves;
    size_t count;
    size_t at; /* the branch that is enlisted next */
    void *initiator;
    void *content; /* of `initiator`, if not all of it is */
    etx_tx *tx;
    char gid[ETX_GID_MAX + 1]; /* made for a token that is bound to a prefix */
} etxd_plan;

/* ---- tx_branch.c */

/* Reads one branch. `payload` is what the body says as that, byte for byte, `extra` a further field
 * that may stand there (NULL: none). 0, or -1 and a problem. */
int etxd_leaf_read(etxd_exchange *x,
                   const etxd_object *object,
                   etxd_span payload,
                   const char *extra,
                   etxd_leaf *ret);
void etxd_leaf_free(etxd_leaf *leaf);
/* What is content of bytes that were written for HTTP: a repeat may have another traceparent. NULL
 * and 0 if the request has none: all is. 0, or -1 and a problem. */
int etxd_content_make(etxd_exchange *x,
                      const void *bytes,
                      size_t len,
                      void **ret_content,
                      size_t *ret_len);
/* May that URL be called? */
int etxd_url_judge(etxd_exchange *x, const etxd_object *object, const char *name, const char *url);

/* ---- tx_plan.c */

int etxd_plan_read(etxd_exchange *x, etxd_plan *ret);
void etxd_plan_free(etxd_plan *plan);
/* Segments of a path that clients take out before they ask (RFC 3986, 5.2.4), in whatever way they
 * are written: nobody could ask for what is called so. */
int etxd_is_dots(const char *word);
/* `wait` and `wait_ms` into the exchange. */
int etxd_wait_read(etxd_exchange *x, const etxd_object *object);

/* ---- tx_answer.c: on the loop's thread */

/* Answers with the exchange's outcome: 200, 202, or what went wrong. */
void etxd_answer_outcome(etxd_exchange *x);
/* Whether that state is what is waited for. */
int etxd_is_reached(etx_state state, uint32_t marks, etx_wait wait);
/* `"state":...`: what is known of a transaction. */
void etxd_write_outcome(etxd_text *text, const etx_outcome *outcome);
void etxd_write_marks(etxd_text *text, uint32_t marks);
/* Has the exchange answered by `run` on the loop's thread, with what the engine says. It is the
 * etx_done_fn for exchanges whose task.run was set. */
void etxd_done(int rc, const etx_outcome *outcome, void *x);
/* One more exchange waits for the engine: 0, or -1 and a problem. Taken back by etxd_wait_end. */
int etxd_wait_begin(etxd_exchange *x);
void etxd_wait_end(etxd_exchange *x);

/* ---- tx_wait.c: on the loop's thread */

typedef struct etxd_waiting etxd_waiting;
/* Waits for the gid on behalf of the exchange, for its wait_ms; "": it is told later, by
 * etxd_waiting_named. NULL and a problem: it cannot. */
etxd_waiting *etxd_waiting_new(etxd_exchange *x, const char *gid);
/* The etx_gid_fn, with the waiting as user: another gid is fine while nobody was told one. Whoever
 * begins it is known to traces under each. */
int etxd_waiting_named(const char *gid, void *waiting);
/* The etx_done_fn, with the waiting as user. */
void etxd_waiting_done(int rc, const etx_outcome *outcome, void *waiting);
/* After the engine has taken it. */
void etxd_waiting_begin(etxd_waiting *one);
/* Instead, if the engine has not taken it: the exchange is the caller's again. */
void etxd_waiting_undo(etxd_waiting *one);
/* Nobody waits longer than so many ms from now: the server is ending. */
void etxd_waiting_hurry(etxd *server, uint64_t ms);

/* ---- room.c */

/* Writes how much room each home of files has, as OpenMetrics has it. */
void etxd_metrics_room(etxd_text *text, etxd *server);

/* ---- tx_show.c */

/* Has it ended, so that the engine knows no more than how, and its story is needed? What nobody
 * began has none. */
int etxd_needs_story(const etx_status *status);
/* `whole`: all is known, or was completed by the story. */
void etxd_write_status(etxd_text *text, const etx_status *status, int whole);

/* ---- bulk.c: orders for many transactions */

typedef struct etxd_bulk_order {
    etx_bulk what;
    const etx_filter *filter; /* NULL: it finds nothing */
    uint32_t per_second;      /* 0: 100 */
    const char *who, *why;
} etxd_bulk_order;

int etxd_bulk_create(etxd_bulk **ret_bulk);
/* Ends all orders. Those that come later are the caller's to refuse. */
void etxd_bulk_end(etxd_bulk *bulk);
/* Ends those whose token is not one of these, or may do something else now. */
void etxd_bulk_judge(etxd_bulk *bulk, const etxd_tokens *tokens);
/* NULL is allowed. */
void etxd_bulk_free(etxd_bulk *bulk);
/* Takes one of the few places for the exchange and has `work` called on a thread, which answers it
 * after etxd_bulk_operate, which gives the place back. 0, or -1 and a problem. */
int etxd_bulk_run(etxd_exchange *x, void (*work)(etxd_exchange *x));
/* As etx_bulk_operate, but it ends early when the client has gone or the server ends. 0, or -1 and
 * a problem. */
int etxd_bulk_operate(etxd_exchange *x, const etxd_bulk_order *order, uint64_t *ret_count);

/* ---- tx_list.c: of a query or of a bulk's filter */

/* "ACTIVE,ABORTING" into bits; 0, or -1. */
int etxd_states_read(const char *text, uint32_t *ret_states);
/* Narrows the filter to what the token may see; 0: there is nothing. `prefix` may be "". */
int etxd_filter_narrow(const etxd_exchange *x, const char *prefix, etx_filter *filter);

#endif
