/* Nodes and their leases on partitions, by PostgreSQL's clock: who should write, never who may. */
#include "postgres.h"

#include <stdio.h>

/* A lease that a crash of the server takes back is over early: so nobody waits until it is
 * durable. */
#define SOON "set_config('synchronous_commit', 'off', true) IS NOT NULL"

static const char attend[] =
    "INSERT INTO etx_log_node AS n(name, address, process, until)"
    " SELECT $1, $2, $3, clock_timestamp() + $4::bigint * interval '1 millisecond' WHERE " SOON
    " ON CONFLICT(name) DO UPDATE"
    " SET address = excluded.address, process = excluded.process, until = excluded.until"
    " WHERE n.process = excluded.process OR $5::integer = 0 OR n.until < clock_timestamp()";
/* What is told of nodes that are gone stays. */
static const char leave[] =
    "WITH kept AS (UPDATE etx_log_node SET until = statement_timestamp()"
    "  WHERE name = $1 AND process = $2 AND strpos(address, ' ') > 0 AND " SOON
    ")"
    " DELETE FROM etx_log_node WHERE name = $1 AND process = $2 AND strpos(address, ' ') = 0"
    " AND " SOON;
/* Locked first, so that what it was is known when it becomes another's. */
static const char renew[] =
    "WITH was AS (SELECT node = $2 AND until >= clock_timestamp() AS own"
    "  FROM etx_log_lease WHERE partition = $1::integer FOR UPDATE)"
    " INSERT INTO etx_log_lease AS l(partition, node, until)"
    " SELECT $1::integer, $2, clock_timestamp() + $3::bigint * interval '1 millisecond'"
    " FROM (SELECT count(*) FROM was) AS first WHERE " SOON
    " ON CONFLICT(partition) DO UPDATE SET node = excluded.node, until = excluded.until"
    " WHERE l.node = excluded.node OR l.until < clock_timestamp()"
    " RETURNING coalesce((SELECT own FROM was), false)";
static const char release[] =
    "DELETE FROM etx_log_lease WHERE partition = $1::integer AND node = $2 AND " SOON;
/* One moment for all rows, and one order for all nodes, whatever the database's locale is. */
static const char survey_all[] =
    "SELECT 0, name COLLATE \"C\", address, 0,"
    " ceil(extract(epoch FROM until - statement_timestamp()) * 1000)::bigint"
    " FROM etx_log_node WHERE until > statement_timestamp()"
    " UNION ALL SELECT 1, node COLLATE \"C\", '', partition,"
    " ceil(extract(epoch FROM until - statement_timestamp()) * 1000)::bigint"
    " FROM etx_log_lease WHERE until > statement_timestamp()"
    " UNION ALL SELECT 2, name COLLATE \"C\", address, 0, 0"
    " FROM etx_log_node WHERE until <= statement_timestamp()"
    " AND until > statement_timestamp() - interval '30 days' AND strpos(address, ' ') > 0"
    " ORDER BY 1, 4, 2";
static const char read_clock[] = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

static int failed(const etx__pg_log *log, char *message, size_t message_size) {
    if (message)
        snprintf(message, message_size, "%s", log->care.text);
    return log->care.rc;
}

/* The rows that a statement changed, or an error. */
static int change(etx__pg_log *log,
                  const char *sql,
                  const etx__pg_params *params,
                  char *message,
                  size_t message_size) {
    PGresult *result = NULL;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__pg_exec(&log->care, sql, params, &result) == ETX__PG_DONE
                 ? PQcmdTuples(result)[0] == '1'
                 : failed(log, message, message_size);
    PQclear(result);
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

int etx__pg_attend(etx_log *head,
                   const char *address,
                   uint32_t ttl_ms,
                   char *message,
                   size_t message_size) {
    etx__pg_log *log = (etx__pg_log *)head;
    etx__pg_params params = {.count = 0};
    if (log->store.common.read_only)
        return ETX_EINVALID;
    etx__pg_text(&params, log->store.common.node);
    if (ttl_ms == 0) {
        etx__pg_text(&params, log->store.common.process);
        int rc = change(log, leave, &params, message, message_size);
        return rc < 0 ? rc : 0;
    }
    etx__pg_text(&params, address);
    etx__pg_text(&params, log->store.common.process);
    etx__pg_number(&params, ttl_ms);
    etx__pg_number(&params, log->attended);
    int rc = change(log, attend, &params, message, message_size);
    log->attended |= rc == 1;
    return rc < 0 ? rc : rc == 1 ? 0 : ETX_ECONFLICT;
}

int etx__pg_renew(etx_log *head, uint32_t number, uint32_t ttl_ms) {
    etx__pg_log *log = (etx__pg_log *)head;
    etx__pg_params params = {.count = 0};
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    etx__pg_number(&params, number);
    etx__pg_text(&params, log->store.common.node);
    etx__pg_number(&params, ttl_ms);
    PGresult *result = NULL;
    int rc = ETX_EBUSY;
    pthread_mutex_lock(&log->care_lock);
    if (etx__pg_exec(&log->care, renew, &params, &result) != ETX__PG_DONE)
        rc = log->care.rc;
    else if (PQntuples(result) == 1)
        rc = PQgetvalue(result, 0, 0)[0] != 't';
    PQclear(result);
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

int etx__pg_release(etx_log *head, uint32_t number) {
    etx__pg_log *log = (etx__pg_log *)head;
    etx__pg_params params = {.count = 0};
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    etx__pg_number(&params, number);
    etx__pg_text(&params, log->store.common.node);
    int rc = change(log, release, &params, NULL, 0);
    return rc < 0 ? rc : 0;
}

static void tell_row(const PGresult *result, int row, const etx_log_survey *survey) {
    uint64_t left_ms = (uint64_t)etx__pg_number_at(result, row, 4);
    const char *name = PQgetvalue(result, row, 1);
    etx_log_node node = {sizeof node, name, PQgetvalue(result, row, 2), left_ms};
    if (PQgetvalue(result, row, 0)[0] == '0') {
        survey->on_node(&node, survey->user);
    } else if (PQgetvalue(result, row, 0)[0] == '2') {
        etx__store_tell_gone(survey, &node);
    } else {
        uint32_t partition = (uint32_t)etx__pg_number_at(result, row, 3);
        etx_log_lease lease = {sizeof lease, partition, name, left_ms};
        survey->on_lease(&lease, survey->user);
    }
}

int etx__pg_survey(etx_log *head,
                   const etx_log_survey *survey,
                   char *message,
                   size_t message_size) {
    etx__pg_log *log = (etx__pg_log *)head;
    PGresult *result = NULL;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__pg_exec(&log->care, survey_all, NULL, &result) == ETX__PG_DONE
                 ? 0
                 : failed(log, message, message_size);
    for (int row = 0; !rc && row < PQntuples(result); row++)
        tell_row(result, row, survey);
    PQclear(result);
    pthread_mutex_unlock(&log->care_lock);
    return rc;
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
