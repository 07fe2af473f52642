/* The schema of the SQLite fence: making its tables, and cleaning them behind a stored horizon. */
#include "sqlite_rows.h"

#include <stdio.h>

static const char create_meta[] =
    "CREATE TABLE IF NOT EXISTS etx_fence_meta("
    " id INTEGER PRIMARY KEY CHECK(id = 1),"
    " version INTEGER NOT NULL,"
    " horizon_ms INTEGER NOT NULL);"
    "INSERT INTO etx_fence_meta(id, version, horizon_ms) VALUES(1, 1, 0)"
    " ON CONFLICT(id) DO NOTHING;";

static const char create_rows[] =
    "CREATE TABLE IF NOT EXISTS etx_fence("
    " gid TEXT COLLATE BINARY NOT NULL,"
    " branch TEXT COLLATE BINARY NOT NULL,"
    " operation INTEGER NOT NULL," /* 0 forward, 1 commit, 2 undo */
    " kind INTEGER NOT NULL,"      /* 1 tcc, 2 saga, 3 xa, 4 message, 5 notification */
    " begin_ms INTEGER NOT NULL,"
    " reply INTEGER NOT NULL,"  /* 0 open, 1 done, 2 refused */
    " marker INTEGER NOT NULL," /* 1: this forward row was written by undo */
    " reason TEXT NOT NULL DEFAULT '',"
    " result BLOB,"
    " PRIMARY KEY(gid, branch, operation)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS etx_fence_by_age ON etx_fence(begin_ms)"
    " WHERE operation = 0 OR kind >= 4;";

static int make_tables(sqlite3 *db) {
    int64_t version = 0;
    int64_t horizon = 0;
    int rc = etx__sqlite_run(db, create_meta);
    if (rc == 0) {
        rc = etx__sqlite_meta(db, &version, &horizon);
    }
    if (rc == 0 && version != ETX__FENCE_VERSION) {
        rc = ETX_EVERSION;
    }
    if (rc == 0) {
        rc = etx__sqlite_run(db, create_rows);
    }
    return rc;
}

int etx_fence_sqlite_prepare(sqlite3 *db) {
    int alone;
    int rc;
    if (db == NULL) {
        return ETX_EINVALID;
    }
    alone = sqlite3_get_autocommit(db);
    rc = etx__sqlite_run(db, alone ? "BEGIN IMMEDIATE" : "SAVEPOINT etx_fence_prepare");
    if (rc != 0) {
        return rc;
    }
    rc = make_tables(db);
    if (rc == 0) {
        rc = etx__sqlite_run(db, alone ? "COMMIT" : "RELEASE etx_fence_prepare");
    }
    if (rc != 0 && !sqlite3_get_autocommit(db)) {
        (void)etx__sqlite_run(
            db, alone ? "ROLLBACK" : "ROLLBACK TO etx_fence_prepare; RELEASE etx_fence_prepare");
    }
    return rc;
}

/* Runs one statement with ?1 and ?2 in a transaction of its own. */
static int run_alone(sqlite3 *db,
                     const char *sql,
                     uint64_t first,
                     uint64_t second,
                     int64_t *ret_rows) {
    sqlite3_stmt *statement = NULL;
    int rc = etx__sqlite_run(db, "BEGIN IMMEDIATE");
    if (rc != 0) {
        return rc;
    }
    rc = etx__sqlite_error(sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
    if (rc == 0) {
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)first);
        if (sqlite3_bind_parameter_count(statement) > 1) {
            sqlite3_bind_int64(statement, 2, (sqlite3_int64)second);
        }
        rc = etx__sqlite_step(statement);
    }
    if (rc == 0) {
        *ret_rows = sqlite3_changes64(db);
        rc = etx__sqlite_run(db, "COMMIT");
    }
    if (rc != 0 && !sqlite3_get_autocommit(db)) {
        (void)etx__sqlite_run(db, "ROLLBACK");
    }
    return rc;
}

int etx_fence_sqlite_clean(sqlite3 *db,
                           uint64_t horizon_ms,
                           uint32_t limit,
                           uint64_t *ret_deleted) {
    static const char advance[] =
        "UPDATE etx_fence_meta SET horizon_ms = ?1 WHERE id = 1 AND horizon_ms < ?1";
    static const char delete[] =
        "DELETE FROM etx_fence WHERE (gid, branch) IN (SELECT f.gid, f.branch FROM etx_fence AS f"
        " WHERE f.begin_ms < ?1 AND %s LIMIT ?2)";
    char sql[1024];
    int64_t version = 0;
    int64_t horizon = 0;
    int64_t rows = 0;
    int rc;
    if (db == NULL || horizon_ms > INT64_MAX || !sqlite3_get_autocommit(db)) {
        return ETX_EINVALID;
    }
    rc = etx__sqlite_meta(db, &version, &horizon);
    if (rc == 0 && version != ETX__FENCE_VERSION) {
        rc = ETX_EVERSION;
    }
    if (rc == 0) {
        rc = run_alone(db, advance, horizon_ms, 0, &rows);
    }
    if (rc == 0) {
        snprintf(sql, sizeof sql, delete, etx__fence_finished);
        rc = run_alone(db, sql, horizon_ms, limit, &rows);
    }
    if (rc == 0 && ret_deleted != NULL) {
        *ret_deleted = (uint64_t)rows;
    }
    return rc;
}
