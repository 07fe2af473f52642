/* The table of the SQLite fence, row by row: the statements behind sqlite.c. */
#include "sqlite_rows.h"

#include <string.h>

int etx__sqlite_error(int rc) {
    switch (rc & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
            return 0;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return ETX_EBUSY;
        case SQLITE_ERROR: /* no such table, no such savepoint: prepare or enter is missing */
        case SQLITE_MISUSE:
            return ETX_EINVALID;
        default:
            return ETX_EIO;
    }
}

int etx__sqlite_run(void *db, const char *sql) {
    return etx__sqlite_error(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int etx__sqlite_statement(sqlite3 *db,
                          const char *sql,
                          const etx_fence_call *call,
                          sqlite3_stmt **ret) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_text(statement, 1, call->gid, -1, SQLITE_STATIC);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_text(statement, 2, call->branch, -1, SQLITE_STATIC);
    }
    if (rc != SQLITE_OK) {
        sqlite3_finalize(statement);
        return etx__sqlite_error(rc);
    }
    *ret = statement;
    return 0;
}

int etx__sqlite_step(sqlite3_stmt *statement) {
    int rc = sqlite3_step(statement);
    int finalized = sqlite3_finalize(statement);
    if (rc == SQLITE_DONE || rc == SQLITE_ROW) {
        return etx__sqlite_error(finalized);
    }
    return etx__sqlite_error(rc);
}

int etx__sqlite_insert(void *db,
                       const etx_fence_call *call,
                       const etx__fence_row *row,
                       int *ret_inserted) {
    static const char sql[] =
        "INSERT INTO etx_fence(gid, branch, operation, kind, begin_ms, reply, marker, reason)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM etx_fence_meta"
        " WHERE id = 1 AND version = 1 AND (horizon_ms <= ?5 OR NOT ?9)"
        " ON CONFLICT(gid, branch, operation) DO NOTHING";
    sqlite3_stmt *statement = NULL;
    int rc = etx__sqlite_statement(db, sql, call, &statement);
    if (rc != 0) {
        return rc;
    }
    sqlite3_bind_int(statement, 3, (int)row->operation);
    sqlite3_bind_int(statement, 4, (int)call->kind);
    sqlite3_bind_int64(statement, 5, (sqlite3_int64)call->begin_ms);
    sqlite3_bind_int(statement, 6, row->reply);
    sqlite3_bind_int(statement, 7, row->operation == ETX_FORWARD && call->operation == ETX_UNDO);
    sqlite3_bind_text(statement, 8, row->reason, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 9, row->first);
    rc = etx__sqlite_step(statement);
    if (rc == 0) {
        *ret_inserted = sqlite3_changes(db) > 0;
    }
    return rc;
}

int etx__sqlite_meta(void *db, int64_t *ret_version, int64_t *ret_horizon) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT version, horizon_ms FROM etx_fence_meta WHERE id = 1",
                                -1, &statement, NULL);
    if (rc != SQLITE_OK) {
        return etx__sqlite_error(rc);
    }
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *ret_version = sqlite3_column_int64(statement, 0);
        *ret_horizon = sqlite3_column_int64(statement, 1);
        rc = SQLITE_OK;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_ERROR; /* no row: nobody prepared it */
    }
    sqlite3_finalize(statement);
    return etx__sqlite_error(rc);
}

static void copy_answer(sqlite3_stmt *statement, etx_fence_answer *answer) {
    const unsigned char *reason = sqlite3_column_text(statement, 2);
    int reason_len = sqlite3_column_bytes(statement, 2);
    const void *result = sqlite3_column_blob(statement, 3);
    int result_len = sqlite3_column_bytes(statement, 3);
    etx__fence_answer_keep(answer, reason, (size_t)reason_len, result, (size_t)result_len);
}

int etx__sqlite_read(void *db,
                     const etx_fence_call *call,
                     etx__fence_rows *rows,
                     etx_fence_answer *answer) {
    static const char sql[] =
        "SELECT operation, reply, reason, result FROM etx_fence WHERE gid = ?1 AND branch = ?2";
    sqlite3_stmt *statement = NULL;
    int rc = etx__sqlite_statement(db, sql, call, &statement);
    if (rc != 0) {
        return rc;
    }
    memset(rows, 0, sizeof *rows);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        int operation = sqlite3_column_int(statement, 0);
        if (operation < 0 || operation > 2) {
            continue;
        }
        rows->found[operation] = 1;
        rows->reply[operation] = sqlite3_column_int(statement, 1);
        if (operation == (int)call->operation) {
            copy_answer(statement, answer);
        }
    }
    sqlite3_finalize(statement);
    return etx__sqlite_error(rc);
}

int etx__sqlite_reopen(void *db, const etx_fence_call *call) {
    static const char sql[] =
        "UPDATE etx_fence SET reply = 0 WHERE gid = ?1 AND branch = ?2 AND operation = ?3";
    sqlite3_stmt *statement = NULL;
    int rc = etx__sqlite_statement(db, sql, call, &statement);
    if (rc == 0) {
        sqlite3_bind_int(statement, 3, (int)call->operation);
        rc = etx__sqlite_step(statement);
    }
    return rc;
}

int etx__sqlite_close(void *db,
                      const etx_fence_call *call,
                      const etx__fence_end *end,
                      int *ret_closed) {
    static const char sql[] =
        "UPDATE etx_fence SET reply = ?3, reason = ?4, result = ?5"
        " WHERE gid = ?1 AND branch = ?2 AND operation = ?6 AND reply = 0";
    sqlite3_stmt *statement = NULL;
    int rc = etx__sqlite_statement(db, sql, call, &statement);
    if (rc != 0) {
        return rc;
    }
    sqlite3_bind_int(statement, 3, (int)end->reply);
    sqlite3_bind_text(statement, 4, end->reason, (int)end->reason_len, SQLITE_STATIC);
    sqlite3_bind_blob(statement, 5, end->result_len > 0 ? end->result : NULL, (int)end->result_len,
                      SQLITE_STATIC);
    sqlite3_bind_int(statement, 6, (int)call->operation);
    rc = etx__sqlite_step(statement);
    if (rc == 0) {
        *ret_closed = sqlite3_changes(db) == 1;
    }
    return rc;
}
