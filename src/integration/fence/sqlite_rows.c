/* The table of the SQLite fence, row by row: the statements behind sqlite.c. */
#include "sqlite_rows.h"

#include <string.h>

int etx__fence_error(int rc) {
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

int etx__fence_run(sqlite3 *db, const char *sql) {
    return etx__fence_error(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int etx__fence_statement(sqlite3 *db,
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
        return etx__fence_error(rc);
    }
    *ret = statement;
    return 0;
}

int etx__fence_step(sqlite3_stmt *statement) {
    int rc = sqlite3_step(statement);
    int finalized = sqlite3_finalize(statement);
    if (rc == SQLITE_DONE || rc == SQLITE_ROW) {
        return etx__fence_error(finalized);
    }
    return etx__fence_error(rc);
}

int etx__fence_insert(sqlite3 *db,
                      const etx_fence_call *call,
                      const etx__fence_row *row,
                      int *ret_inserted) {
    static const char sql[] =
        "INSERT INTO etx_fence(gid, branch, operation, kind, begin_ms, reply, marker, reason)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM etx_fence_meta"
        " WHERE id = 1 AND version = 1 AND (horizon_ms <= ?5 OR NOT ?9)"
        " ON CONFLICT(gid, branch, operation) DO NOTHING";
    sqlite3_stmt *statement = NULL;
    int rc = etx__fence_statement(db, sql, call, &statement);
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
    rc = etx__fence_step(statement);
    if (rc == 0) {
        *ret_inserted = sqlite3_changes(db) > 0;
    }
    return rc;
}

int etx__fence_meta(sqlite3 *db, int64_t *ret_version, int64_t *ret_horizon) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT version, horizon_ms FROM etx_fence_meta WHERE id = 1",
                                -1, &statement, NULL);
    if (rc != SQLITE_OK) {
        return etx__fence_error(rc);
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
    return etx__fence_error(rc);
}

static void copy_answer(sqlite3_stmt *statement, etx_fence_answer *answer) {
    const unsigned char *reason = sqlite3_column_text(statement, 2);
    const void *result = sqlite3_column_blob(statement, 3);
    int len = sqlite3_column_bytes(statement, 3);
    if (reason != NULL) {
        size_t reason_len = strnlen((const char *)reason, ETX_REASON_MAX);
        memcpy(answer->reason, reason, reason_len);
        answer->reason[reason_len] = '\0';
    }
    if (result != NULL && len > 0 && len <= ETX__FENCE_RESULT_MAX) {
        memcpy(answer->result, result, (size_t)len);
        answer->result_len = (size_t)len;
    }
}

int etx__fence_read(sqlite3 *db,
                    const etx_fence_call *call,
                    etx__fence_rows *rows,
                    etx_fence_answer *answer) {
    static const char sql[] =
        "SELECT operation, reply, reason, result FROM etx_fence WHERE gid = ?1 AND branch = ?2";
    sqlite3_stmt *statement = NULL;
    int rc = etx__fence_statement(db, sql, call, &statement);
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
    return etx__fence_error(rc);
}
