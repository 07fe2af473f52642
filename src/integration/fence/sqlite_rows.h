/* What the files of the SQLite fence share: its table, row by row. */
#ifndef ETX_INTEGRATION_FENCE_SQLITE_ROWS_H
#define ETX_INTEGRATION_FENCE_SQLITE_ROWS_H

#include <sqlite3.h>

#include "rules.h"

/* An ETX error for a result of SQLite; 0 for OK, ROW and DONE. */
int etx__sqlite_error(int rc);
/* Compiles a statement and binds gid and branch to ?1 and ?2. */
int etx__sqlite_statement(sqlite3 *db,
                          const char *sql,
                          const etx_fence_call *call,
                          sqlite3_stmt **ret_statement);
/* Runs a statement that gives no rows, and frees it. */
int etx__sqlite_step(sqlite3_stmt *statement);

/* As etx__fence_table has them; db: a sqlite3. */
int etx__sqlite_run(void *db, const char *sql);
int etx__sqlite_insert(void *db,
                       const etx_fence_call *call,
                       const etx__fence_row *row,
                       int *ret_inserted);
int etx__sqlite_read(void *db,
                     const etx_fence_call *call,
                     etx__fence_rows *rows,
                     etx_fence_answer *answer);
int etx__sqlite_meta(void *db, int64_t *ret_version, int64_t *ret_horizon);
int etx__sqlite_reopen(void *db, const etx_fence_call *call);
int etx__sqlite_close(void *db,
                      const etx_fence_call *call,
                      const etx__fence_end *end,
                      int *ret_closed);

#endif
