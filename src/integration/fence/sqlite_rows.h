/* What the files of the SQLite fence share: its table, row by row. */
#ifndef ETX_INTEGRATION_FENCE_SQLITE_ROWS_H
#define ETX_INTEGRATION_FENCE_SQLITE_ROWS_H

#include <sqlite3.h>

#include <etx/fence.h>

#define ETX__FENCE_VERSION 1
#define ETX__FENCE_RESULT_MAX 1024
#define ETX__FENCE_OPEN 0 /* a reply: entered, not finished; seen in its own transaction only */

/* The rows of one branch, by etx_operation. */
typedef struct etx__fence_rows {
    int found[3];
    int reply[3]; /* ETX__FENCE_OPEN, ETX_DONE or ETX_REFUSED */
} etx__fence_rows;

/* What etx__fence_insert writes. */
typedef struct etx__fence_row {
    etx_operation operation;
    int reply;
    const char *reason;
    int first; /* of its branch: not for a transaction begun before the horizon */
} etx__fence_row;

/* An ETX error for a result of SQLite; 0 for OK, ROW and DONE. */
int etx__fence_error(int rc);
/* Runs statements that give no rows. */
int etx__fence_run(sqlite3 *db, const char *sql);
/* Compiles a statement and binds gid and branch to ?1 and ?2. */
int etx__fence_statement(sqlite3 *db,
                         const char *sql,
                         const etx_fence_call *call,
                         sqlite3_stmt **ret_statement);
/* Runs a statement that gives no rows, and frees it. */
int etx__fence_step(sqlite3_stmt *statement);
/* Inserts the row unless it is there, or is a first row from before the horizon. */
int etx__fence_insert(sqlite3 *db,
                      const etx_fence_call *call,
                      const etx__fence_row *row,
                      int *ret_inserted);
/* Reads what the branch has; of the call's own operation also reason and result. */
int etx__fence_read(sqlite3 *db,
                    const etx_fence_call *call,
                    etx__fence_rows *rows,
                    etx_fence_answer *answer);
int etx__fence_meta(sqlite3 *db, int64_t *ret_version, int64_t *ret_horizon);

#endif
