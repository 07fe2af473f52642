/* The fence: what a participant keeps on its side, in its own database transaction, so that
 * repeated, empty, late and reordered calls are harmless. In libetx-participant; each database
 * has a header of its own for the handle. */
#ifndef ETX_FENCE_H
#define ETX_FENCE_H

#include <etx/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A call as the fence needs it. Borrowed for the call. */
typedef struct etx_fence_call {
    size_t size;
    const char *gid;
    const char *branch;
    etx_operation operation; /* ETX_FORWARD, ETX_COMMIT, ETX_UNDO */
    etx_kind kind;
    /* etx_call_begin_ms, or over HTTP the header Etx-Begin: a call of a transaction begun before
     * the horizon is too old */
    uint64_t begin_ms;
} etx_fence_call;

typedef enum etx_fence_verdict {
    ETX_FENCE_RUN = 1, /* the business work is to be done now, in this database transaction */
    /* nothing is to be done: `reply` and `result` are what was answered before */
    ETX_FENCE_ANSWERED = 2,
    /* its rows may have been cleaned: not executed; answer ETX_RETRY and raise an alarm */
    ETX_FENCE_TOO_OLD = 3
} etx_fence_verdict;

typedef struct etx_fence_answer {
    size_t size;
    etx_fence_verdict verdict;
    etx_reply reply; /* ANSWERED: ETX_DONE or ETX_REFUSED */
    char reason[ETX_REASON_MAX + 1];
    unsigned char result[1024]; /* ANSWERED: the bytes kept, result_len of them */
    size_t result_len;
} etx_fence_answer;

#define ETX_FENCE_CALL_INIT \
    { sizeof(etx_fence_call), 0, 0, ETX_FORWARD, ETX_TCC, 0 }
#define ETX_FENCE_ANSWER_INIT \
    { sizeof(etx_fence_answer), ETX_FENCE_RUN, ETX_DONE, {0}, {0}, 0 }

/* ---- SQLite. The caller owns the connection and the transaction around these (BEGIN IMMEDIATE
 * ... COMMIT); the fence adds rows to the table etx_fence and a savepoint. Several operations may
 * share a transaction one after another, each finished before the next is entered: never two that
 * are open at once. One thread per connection at a time. All return 0 or ETX_EINVALID, ETX_EBUSY
 * (the database is locked: answer ETX_RETRY), ETX_EIO, ETX_EVERSION (the table was made by a newer
 * version). After an error roll the transaction back and answer ETX_RETRY. */

struct sqlite3;

/* Makes the tables where they are missing. Outside a transaction or in one. */
ETX_API int etx_fence_sqlite_prepare(struct sqlite3 *db);
/* Judges the call and inserts its row. After ETX_FENCE_RUN do the business work, then call
 * finish. An undo that comes before its forward operation is answered ETX_DONE here, and the
 * marker keeps that one out. A refused forward operation is refused again; a refused commit or undo
 * runs again, since after a decision nothing may be dropped. */
ETX_API int etx_fence_sqlite_enter(struct sqlite3 *db,
                                   const etx_fence_call *call,
                                   etx_fence_answer *ret_answer);
/* Records what the work came to. ETX_REFUSED rolls the work back to the savepoint that enter
 * made and keeps the refusal. result_len at most 1024. Commit the transaction afterwards in
 * either case. */
ETX_API int etx_fence_sqlite_finish(struct sqlite3 *db,
                                    const etx_fence_call *call,
                                    etx_reply reply,
                                    const char *reason,
                                    const void *result,
                                    size_t result_len);
/* Cleans rows of transactions begun before horizon_ms: first makes the horizon durable, then
 * deletes at most `limit` branches whose rows go together (one with a commit operation only once
 * finished). Has a transaction of its own. *ret_deleted: rows. */
ETX_API int etx_fence_sqlite_clean(struct sqlite3 *db,
                                   uint64_t horizon_ms,
                                   uint32_t limit,
                                   uint64_t *ret_deleted);

/* ---- PostgreSQL. The caller owns the connection and the transaction around these (BEGIN ...
 * COMMIT); the fence adds rows to the table etx_fence and one savepoint. One thread per connection
 * at a time. All return 0 or ETX_EINVALID (no transaction, or one that has failed; not READ
 * COMMITTED; no tables), ETX_EBUSY (a deadlock, or a timeout of a lock or a statement), ETX_EIO,
 * ETX_ENOMEM, ETX_EVERSION (the table was made by a newer version). After an error, and after a
 * COMMIT that failed or broke off, roll the transaction back and answer ETX_RETRY. A result of
 * ETX_DONE is as durable as the database's commits are: with synchronous_commit off it is not. */

struct pg_conn;

/* Makes the tables where they are missing, in the schema that is first in the search path. Outside
 * a transaction or in one. Several may do it at once. */
ETX_API int etx_fence_postgres_prepare(struct pg_conn *conn);
/* As etx_fence_sqlite_enter. The transaction must be READ COMMITTED. Waits for a transaction that
 * has a call of the same branch under way: set lock_timeout if that must not take long. */
ETX_API int etx_fence_postgres_enter(struct pg_conn *conn,
                                     const etx_fence_call *call,
                                     etx_fence_answer *ret_answer);
/* As etx_fence_sqlite_finish. A refusal may come after a statement that failed. */
ETX_API int etx_fence_postgres_finish(struct pg_conn *conn,
                                      const etx_fence_call *call,
                                      etx_reply reply,
                                      const char *reason,
                                      const void *result,
                                      size_t result_len);
/* As etx_fence_sqlite_clean. It locks the table: it waits for the transactions that have entered,
 * and calls that come meanwhile wait for it. So give it small limits. */
ETX_API int etx_fence_postgres_clean(struct pg_conn *conn,
                                     uint64_t horizon_ms,
                                     uint32_t limit,
                                     uint64_t *ret_deleted);

#ifdef __cplusplus
}
#endif
#endif
