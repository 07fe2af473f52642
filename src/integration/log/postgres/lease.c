/* Leases on partitions, by PostgreSQL's clock: when it is polite to claim, and nothing more. */
#include "postgres.h"

static const char renew[] =
    "INSERT INTO etx_log_lease AS l(partition, node, until)"
    " VALUES($1::integer, $2, clock_timestamp() + $3::bigint * interval '1 millisecond')"
    " ON CONFLICT(partition) DO UPDATE SET node = excluded.node, until = excluded.until"
    " WHERE l.node = excluded.node OR l.until < clock_timestamp()";
static const char release[] =
    "DELETE FROM etx_log_lease WHERE partition = $1::integer AND node = $2";
static const char read_clock[] = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/* The rows that a statement changed, or an error. */
static int change(etx__pg_log *log, const char *sql, const etx__pg_params *params) {
    PGresult *result = NULL;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__pg_exec(&log->care, sql, params, &result) == ETX__PG_DONE ? 0 : log->care.rc;
    rc = rc ? rc : PQcmdTuples(result)[0] == '1';
    PQclear(result);
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

int etx__pg_renew(etx_log *head, uint32_t number, uint32_t ttl_ms) {
    etx__pg_log *log = (etx__pg_log *)head;
    etx__pg_params params = {.count = 0};
    if (log->store.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    etx__pg_number(&params, number);
    etx__pg_text(&params, log->store.node);
    etx__pg_number(&params, ttl_ms);
    int rc = change(log, renew, &params);
    return rc < 0 ? rc : rc == 1 ? 0 : ETX_EBUSY;
}

int etx__pg_release(etx_log *head, uint32_t number) {
    etx__pg_log *log = (etx__pg_log *)head;
    etx__pg_params params = {.count = 0};
    if (log->store.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    etx__pg_number(&params, number);
    etx__pg_text(&params, log->store.node);
    int rc = change(log, release, &params);
    return rc < 0 ? rc : 0;
}

int etx__pg_clock(etx_log *head, uint64_t *ret_ms) {
    etx__pg_log *log = (etx__pg_log *)head;
    PGresult *result = NULL;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__pg_exec(&log->care, read_clock, NULL, &result) == ETX__PG_DONE ? 0 : log->care.rc;
    if (!rc)
        *ret_ms = (uint64_t)etx__pg_number_at(result, 0, 0);
    PQclear(result);
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}
