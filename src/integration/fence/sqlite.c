/* The fence in SQLite: the public functions, and when SQLite keeps the rules of rules.c.
 *
 * Every first statement that can insert does insert, so that a caller who forgot BEGIN IMMEDIATE
 * gets ETX_EBUSY at worst, never a decision taken on a row that somebody else is writing: a
 * connection that writes is alone. Keys are TEXT with BINARY collation: compared byte for byte. */
#include "sqlite_rows.h"

static etx__fence_table make_table(sqlite3 *db) {
    etx__fence_table table = {
        .db = db,
        .run = etx__sqlite_run,
        .insert = etx__sqlite_insert,
        .read = etx__sqlite_read,
        .read_meta = etx__sqlite_meta,
        .reopen = etx__sqlite_reopen,
        .close = etx__sqlite_close,
    };
    return table;
}

int etx_fence_sqlite_enter(sqlite3 *db, const etx_fence_call *call, etx_fence_answer *ret_answer) {
    etx__fence_table table = make_table(db);
    if (db == NULL || sqlite3_get_autocommit(db)) {
        return ETX_EINVALID;
    }
    return etx__fence_enter(&table, call, ret_answer);
}

int etx_fence_sqlite_finish(sqlite3 *db,
                            const etx_fence_call *call,
                            etx_reply reply,
                            const char *reason,
                            const void *result,
                            size_t result_len) {
    etx__fence_table table = make_table(db);
    if (db == NULL || sqlite3_get_autocommit(db)) {
        return ETX_EINVALID;
    }
    return etx__fence_finish(&table, call, reply, reason, result, result_len);
}
