/* The fence in PostgreSQL: the public functions, and when PostgreSQL keeps the rules of rules.c.
 *
 * Two transactions may have calls of one branch at once, and neither sees what the other has not
 * committed. What decides between them is the unique key and the lock of a row:
 *
 * Forward and undo, or an operation and its repeat: both insert the same key; the second INSERT
 *   waits until the first transaction is over. If that one committed, the row is there and is
 *   read by the next statement, which sees it; if it rolled back or died, the second is the first.
 * Commit and undo, or two that open a refused row again: they have keys of their own, so both lock
 *   the rows that the branch has, look again once they have the locks, and only then insert.
 * Deadlock, with the locks of the business work: PostgreSQL ends one of the two (ETX_EBUSY).
 * Cleaning: a snapshot from before a new horizon must not insert where rows were deleted behind
 *   that horizon. So cleaning locks the table: it waits for all who have written to it, and an
 *   INSERT has its lock before it takes its snapshot. This, and the second look above, hold for
 *   READ COMMITTED, where each statement has a snapshot of its own; enter() refuses other levels,
 *   whose snapshot may be older than what it has to see.
 * A kill, or a connection that breaks: PostgreSQL rolls back, row and work together. If it breaks
 *   within COMMIT nobody knows; the repeat finds the row, or does not. */
#include "postgres_rows.h"

#include <string.h>

static etx__fence_table make_table(PGconn *conn) {
    etx__fence_table table = {
        .db = conn,
        .run = etx__postgres_run,
        .insert = etx__postgres_insert,
        .read = etx__postgres_read,
        .read_meta = etx__postgres_meta,
        .reopen = etx__postgres_reopen,
        .close = etx__postgres_close,
    };
    return table;
}

static int check_isolation(PGconn *conn) {
    PGresult *result = PQexec(conn, "SHOW transaction_isolation");
    int rc = etx__postgres_error(result);
    if (rc == 0 && strcmp(PQgetvalue(result, 0, 0), "read committed") != 0) {
        rc = ETX_EINVALID;
    }
    PQclear(result);
    return rc;
}

int etx_fence_postgres_enter(PGconn *conn,
                             const etx_fence_call *call,
                             etx_fence_answer *ret_answer) {
    etx__fence_table table = make_table(conn);
    int rc = PQtransactionStatus(conn) == PQTRANS_INTRANS ? check_isolation(conn) : ETX_EINVALID;
    return rc != 0 ? rc : etx__fence_enter(&table, call, ret_answer);
}

int etx_fence_postgres_finish(PGconn *conn,
                              const etx_fence_call *call,
                              etx_reply reply,
                              const char *reason,
                              const void *result,
                              size_t result_len) {
    etx__fence_table table = make_table(conn);
    PGTransactionStatusType status = PQtransactionStatus(conn);
    /* After a failed statement only a refusal can go on: it goes back to the savepoint. */
    if (status != PQTRANS_INTRANS && !(status == PQTRANS_INERROR && reply == ETX_REFUSED)) {
        return ETX_EINVALID;
    }
    return etx__fence_finish(&table, call, reply, reason, result, result_len);
}
