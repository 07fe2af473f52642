/* The schema of the PostgreSQL fence: making its tables, and cleaning them behind a horizon. */
#include "postgres_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two programs that make the tables at once: the second waits, and finds them. */
static const char lock_schema[] = "SELECT pg_advisory_xact_lock(hashtextextended('etx_fence', 0))";

static const char create_tables[] =
    "CREATE TABLE etx_fence_meta("
    " id integer PRIMARY KEY CHECK(id = 1),"
    " version integer NOT NULL,"
    " horizon_ms bigint NOT NULL);"
    "CREATE TABLE etx_fence("
    " gid text COLLATE \"C\" NOT NULL,"
    " branch text COLLATE \"C\" NOT NULL,"
    " operation smallint NOT NULL," /* 0 forward, 1 commit, 2 undo */
    " kind smallint NOT NULL,"      /* 1 tcc, 2 saga, 3 xa, 4 message, 5 notification */
    " begin_ms bigint NOT NULL,"
    " reply smallint NOT NULL,"  /* 0 open, 1 done, 2 refused */
    " marker smallint NOT NULL," /* 1: this forward row was written by undo */
    " reason bytea NOT NULL DEFAULT '',"
    " result bytea,"
    " PRIMARY KEY(gid, branch, operation));"
    "CREATE INDEX etx_fence_by_age ON etx_fence(begin_ms) WHERE operation = 0 OR kind >= 4;"
    "INSERT INTO etx_fence_meta(id, version, horizon_ms) VALUES(1, 1, 0)";

/* From the catalog itself: to_regclass() may answer from before the lock was waited for. */
static int has_tables(PGconn *conn, int *ret_found) {
    PGresult *result = PQexec(conn,
                              "SELECT EXISTS(SELECT 1 FROM pg_class WHERE"
                              " relname = 'etx_fence_meta' AND pg_table_is_visible(oid))");
    int rc = etx__postgres_error(result);
    if (rc == 0) {
        *ret_found = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
    }
    PQclear(result);
    return rc;
}

/* Asks before it creates: a user who may not create tables can work with those that are there, and
 * nothing is said of tables that exist already. */
static int make_tables(PGconn *conn) {
    int found = 0;
    int rc = has_tables(conn, &found);
    if (rc == 0 && !found) {
        rc = etx__postgres_run(conn, lock_schema);
        if (rc == 0) {
            rc = has_tables(conn, &found);
        }
        if (rc == 0 && !found) {
            rc = etx__postgres_run(conn, create_tables);
        }
    }
    return rc;
}

static int check_version(PGconn *conn) {
    int64_t version = 0;
    int64_t horizon = 0;
    int rc = etx__postgres_meta(conn, &version, &horizon);
    return rc == 0 && version != ETX__FENCE_VERSION ? ETX_EVERSION : rc;
}

int etx_fence_postgres_prepare(PGconn *conn) {
    PGTransactionStatusType status = PQtransactionStatus(conn);
    int alone = status == PQTRANS_IDLE;
    int rc;
    if (!alone && status != PQTRANS_INTRANS) {
        return ETX_EINVALID;
    }
    rc = etx__postgres_run(
        conn, alone ? "BEGIN ISOLATION LEVEL READ COMMITTED" : "SAVEPOINT etx_fence_prepare");
    if (rc != 0) {
        return rc;
    }
    rc = make_tables(conn);
    if (rc == 0) {
        rc = check_version(conn);
    }
    if (rc == 0) {
        rc = etx__postgres_run(conn, alone ? "COMMIT" : "RELEASE etx_fence_prepare");
    }
    if (rc != 0 && PQtransactionStatus(conn) != PQTRANS_IDLE) {
        (void)etx__postgres_run(
            conn, alone ? "ROLLBACK" : "ROLLBACK TO etx_fence_prepare; RELEASE etx_fence_prepare");
    }
    return rc;
}

/* In one transaction, while nobody else writes to the table: the horizon, and what may go behind
 * it. */
static int clean_locked(PGconn *conn, uint64_t horizon_ms, uint32_t limit, uint64_t *ret_deleted) {
    static const char advance[] =
        "UPDATE etx_fence_meta SET horizon_ms = %" PRIu64 " WHERE id = 1 AND horizon_ms < %" PRIu64;
    static const char delete[] =
        "WITH finished AS (SELECT f.gid, f.branch FROM etx_fence AS f"
        " WHERE f.begin_ms < %" PRIu64 " AND %s LIMIT %" PRIu32
        "), gone AS (DELETE FROM etx_fence AS e USING finished AS f"
        " WHERE e.gid = f.gid AND e.branch = f.branch RETURNING 1) SELECT count(*) FROM gone";
    char sql[1200];
    PGresult *result = NULL;
    int rc = etx__postgres_run(conn, "LOCK TABLE etx_fence IN EXCLUSIVE MODE");
    if (rc == 0) {
        rc = check_version(conn);
    }
    if (rc == 0) {
        snprintf(sql, sizeof sql, advance, horizon_ms, horizon_ms);
        rc = etx__postgres_run(conn, sql);
    }
    if (rc == 0) {
        snprintf(sql, sizeof sql, delete, horizon_ms, etx__fence_finished, limit);
        result = PQexec(conn, sql);
        rc = etx__postgres_error(result);
    }
    if (rc == 0) {
        *ret_deleted = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    }
    PQclear(result);
    return rc;
}

int etx_fence_postgres_clean(PGconn *conn,
                             uint64_t horizon_ms,
                             uint32_t limit,
                             uint64_t *ret_deleted) {
    uint64_t deleted = 0;
    int rc;
    if (horizon_ms > INT64_MAX || PQtransactionStatus(conn) != PQTRANS_IDLE) {
        return ETX_EINVALID;
    }
    rc = etx__postgres_run(conn, "BEGIN ISOLATION LEVEL READ COMMITTED");
    if (rc == 0) {
        rc = clean_locked(conn, horizon_ms, limit, &deleted);
    }
    if (rc == 0) {
        rc = etx__postgres_run(conn, "COMMIT");
    }
    if (rc != 0 && PQtransactionStatus(conn) != PQTRANS_IDLE) {
        (void)etx__postgres_run(conn, "ROLLBACK");
    }
    if (rc == 0 && ret_deleted != NULL) {
        *ret_deleted = deleted;
    }
    return rc;
}
