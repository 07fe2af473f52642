/* What the files of the PostgreSQL fence share: its table, row by row. */
#ifndef ETX_INTEGRATION_FENCE_POSTGRES_ROWS_H
#define ETX_INTEGRATION_FENCE_POSTGRES_ROWS_H

#include <libpq-fe.h>

#include "rules.h"

/* An ETX error for what a statement came to; 0 if it was done. */
int etx__postgres_error(const PGresult *result);

/* As etx__fence_table has them; db: a PGconn. */
int etx__postgres_run(void *db, const char *sql);
int etx__postgres_insert(void *db,
                         const etx_fence_call *call,
                         const etx__fence_row *row,
                         int *ret_inserted);
int etx__postgres_read(void *db,
                       const etx_fence_call *call,
                       etx__fence_rows *rows,
                       etx_fence_answer *answer);
int etx__postgres_meta(void *db, int64_t *ret_version, int64_t *ret_horizon);
int etx__postgres_reopen(void *db, const etx_fence_call *call);
int etx__postgres_close(void *db,
                        const etx_fence_call *call,
                        const etx__fence_end *end,
                        int *ret_closed);

#endif
