/* Trims a PostgreSQL log: the mark, then the rows, and now and then a VACUUM, so that what they
 * took is used again instead of growing.
 *
 * VACUUM runs on a connection of its own and is not waited for; it stops no put. What it cannot do,
 * since another session of the database has a transaction open for long, the next one does. */
#include "postgres.h"

#include <string.h>

enum { ROWS = 1000, VACUUM_BYTES = 32 << 20 };

/* Never above the newest slot. */
static const char raise_mark[] =
    "UPDATE etx_log_partition AS p SET below = least($2::bigint, t.newest) FROM"
    " (SELECT max(slot) AS newest FROM etx_log_slot WHERE partition = $1::integer) AS t"
    " WHERE p.partition = $1::integer AND t.newest IS NOT NULL"
    " AND p.below < least($2::bigint, t.newest)";

/* In ascending order, some at a time, so that no statement takes long. */
static const char delete_rows[] =
    "WITH gone AS (DELETE FROM etx_log_slot WHERE partition = $1::integer AND slot IN"
    "  (SELECT s.slot FROM etx_log_slot AS s JOIN etx_log_partition AS p USING(partition)"
    "   WHERE s.partition = $1::integer AND s.slot < p.below ORDER BY s.slot LIMIT $2::integer)"
    " RETURNING octet_length(batch) AS bytes)"
    " SELECT count(*), coalesce(sum(bytes), 0) FROM gone";

static int delete_some(etx__pg_log *log, uint32_t number, int *ret_more) {
    etx__pg_partition *partition = &log->partition[number];
    etx__pg_params params = {.count = 0};
    PGresult *result = NULL;
    etx__pg_number(&params, number);
    etx__pg_number(&params, ROWS);
    if (etx__pg_exec(&partition->session, delete_rows, &params, &result) != ETX__PG_DONE)
        return partition->session.rc;
    uint64_t rows = (uint64_t)etx__pg_number_at(result, 0, 0);
    uint64_t bytes = (uint64_t)etx__pg_number_at(result, 0, 1) + rows * ETX__STORE_SLOT_COST;
    uint64_t had = atomic_load(&partition->bytes);
    PQclear(result);
    atomic_store(&partition->bytes, had > bytes ? had - bytes : 0);
    atomic_fetch_add(&log->dead, bytes);
    *ret_more = rows == ROWS;
    return 0;
}

/* Is the last one over? Its result is of no use: if it failed, autovacuum is there. */
static int is_idle(etx__pg_session *session) {
    PGresult *result = NULL;
    if (!session->conn)
        return 1;
    if (!PQconsumeInput(session->conn))
        etx__pg_drop(session);
    else if (PQisBusy(session->conn))
        return 0;
    while (session->conn && (result = PQgetResult(session->conn)) != NULL)
        PQclear(result);
    return 1;
}

static void vacuum(etx__pg_log *log) {
    static const char sql[] = "VACUUM (SKIP_LOCKED, TRUNCATE OFF) etx_log_slot";
    if (atomic_load(&log->dead) < VACUUM_BYTES || pthread_mutex_trylock(&log->vacuum_lock))
        return;
    if (is_idle(&log->vacuum) && etx__pg_session_ready(&log->vacuum) == 0) {
        atomic_store(&log->dead, 0);
        if (!PQsendQuery(log->vacuum.conn, sql) || PQflush(log->vacuum.conn) < 0)
            etx__pg_drop(&log->vacuum);
    }
    pthread_mutex_unlock(&log->vacuum_lock);
}

int etx__pg_trim(etx_log *head, uint32_t number, uint64_t below) {
    etx__pg_log *log = (etx__pg_log *)head;
    etx__pg_params params = {.count = 0};
    int more = 1;
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    etx__pg_number(&params, number);
    etx__pg_number(&params, below < INT64_MAX ? below : INT64_MAX);
    int rc = etx__pg_run(&log->partition[number].session, raise_mark, &params);
    while (!rc && more)
        rc = delete_some(log, number, &more);
    if (!rc)
        vacuum(log);
    return rc;
}
