/* The PostgreSQL log: write-once slots as rows of a table, which many processes may share.
 *
 * Each partition has a connection of its own, made when it is first needed and made anew when it is
 * lost; leases, the clock and settings have another. put.c tells why a put is safe, session.c what
 * is known after a failure, grade.c what is promised. docs/postgresql-log.md is for those who run
 * it. */
#include "postgres.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void etx__pg_close(etx_log *head, int clean) {
    etx__pg_log *log = (etx__pg_log *)head;
    etx_allocator allocator = log->allocator;
    (void)clean; /* nothing that opens it later cuts anything */
    for (uint32_t i = 0; log->partition && i < log->partition_count; i++)
        etx__pg_session_close(&log->partition[i].session);
    etx__pg_session_close(&log->care);
    etx__pg_session_close(&log->vacuum);
    pthread_mutex_destroy(&log->care_lock);
    pthread_mutex_destroy(&log->vacuum_lock);
    if (log->partition)
        allocator.release(allocator.user, log->partition,
                          log->partition_count * sizeof *log->partition);
    etx__pg_store_free(&log->store);
    free(log->copied);
    allocator.release(allocator.user, log, sizeof *log);
}

static int make_partitions(etx__pg_log *log) {
    size_t size = log->partition_count * sizeof *log->partition;
    log->partition = log->allocator.allocate(log->allocator.user, size);
    if (!log->partition) {
        etx__pg_say(&log->care, ETX_ENOMEM, "out of memory");
        return ETX_ENOMEM;
    }
    for (uint32_t i = 0; i < log->partition_count; i++) {
        log->partition[i] = (etx__pg_partition){.bytes = 0};
        etx__pg_session_init(&log->partition[i].session, &log->store);
    }
    return 0;
}

static int measure(etx__pg_log *log) {
    static const char sql[] =
        "SELECT partition, count(*), sum(octet_length(batch)) FROM etx_log_slot GROUP BY partition";
    PGresult *result = NULL;
    if (etx__pg_exec(&log->care, sql, NULL, &result) != ETX__PG_DONE)
        return log->care.rc;
    for (int i = 0; i < PQntuples(result); i++) {
        uint64_t number = (uint64_t)etx__pg_number_at(result, i, 0);
        uint64_t bytes = (uint64_t)etx__pg_number_at(result, i, 2) +
                         (uint64_t)etx__pg_number_at(result, i, 1) * ETX__STORE_SLOT_COST;
        if (number < log->partition_count)
            atomic_store(&log->partition[number].bytes, bytes);
    }
    PQclear(result);
    return 0;
}

/* Which data this is: a backup that is restored, and every standby, has the same system identifier;
 * a promotion begins a new timeline. Where this user may not know it, nobody needs to. */
static int identify(etx__pg_log *log) {
    static const char sql[] =
        "SELECT s.system_identifier::text, c.timeline_id FROM pg_control_system() AS s,"
        " pg_control_checkpoint() AS c";
    PGresult *result = NULL;
    etx__pg_outcome outcome = etx__pg_exec(&log->care, sql, NULL, &result);
    if (outcome == ETX__PG_DONE)
        snprintf(log->identity, sizeof log->identity, "PostgreSQL system %.24s, timeline %.12s",
                 PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
    PQclear(result);
    return outcome == ETX__PG_DONE || outcome == ETX__PG_REFUSED ? 0 : log->care.rc;
}

int etx__pg_new(const etx_log_config *config, etx__pg_log **ret_log) {
    etx_allocator allocator = etx__store_allocator(config->allocator);
    if (config->size < sizeof *config)
        return etx__store_say(config->message, config->message_size, ETX_EINVALID,
                              "config->size is not set");
    etx__pg_log *log = allocator.allocate(allocator.user, sizeof *log);
    if (!log)
        return etx__store_say(config->message, config->message_size, ETX_ENOMEM, "out of memory");
    *log = (etx__pg_log){.allocator = allocator};
    int rc = etx__pg_url_parse(config, &log->store);
    if (rc) {
        allocator.release(allocator.user, log, sizeof *log);
        return rc;
    }
    log->head.ops = etx_log_postgresql();
    pthread_mutex_init(&log->care_lock, NULL);
    pthread_mutex_init(&log->vacuum_lock, NULL);
    etx__pg_session_init(&log->care, &log->store);
    etx__pg_session_init(&log->vacuum, &log->store);
    log->vacuum.patient = 1;
    *ret_log = log;
    return 0;
}

static int pg_open(const etx_log_config *config, etx_log **ret_log) {
    etx__pg_log *log = NULL;
    int rc = etx__pg_new(config, &log);
    if (rc)
        return rc;
    rc = etx__pg_schema_open(log, config->flags);
    rc = rc ? rc : make_partitions(log);
    rc = rc ? rc : measure(log);
    rc = rc ? rc : identify(log);
    rc = rc ? rc : etx__pg_grade(log);
    if (rc) {
        etx__store_say(config->message, config->message_size, rc, "%s", log->care.text);
        etx__pg_close(&log->head, 1);
        return rc;
    }
    *ret_log = &log->head;
    return 0;
}

static int pg_info(etx_log *head, etx_log_info *ret_info) {
    etx__pg_log *log = (etx__pg_log *)head;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__pg_grade(log);
    if (!rc) {
        memcpy(ret_info->id, log->id, sizeof ret_info->id);
        ret_info->partitions = log->partition_count;
        /* a put may take long: never on the engine's thread */
        ret_info->flags = (log->retired == ETX_RETIRE_COPYING ? ETX_LOG_COPYING : 0u) |
                          (log->retired == ETX_RETIRE_MOVED ? ETX_LOG_MOVED : 0u);
        ret_info->batch_max = ETX__PG_BATCH_MAX;
        ret_info->grade = log->grade;
        ret_info->remark = log->remark[0] ? log->remark : NULL;
        if (ret_info->size >= offsetof(etx_log_info, identity) + sizeof ret_info->identity)
            ret_info->identity = log->identity[0] ? log->identity : NULL;
    }
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

static int pg_space(etx_log *head, uint32_t number, etx_log_space *ret_space) {
    etx__pg_log *log = (etx__pg_log *)head;
    if (number >= log->partition_count)
        return ETX_EINVALID;
    ret_space->bytes_used = atomic_load(&log->partition[number].bytes);
    ret_space->bytes_total = ret_space->bytes_used;
    ret_space->trim_unit = 1 << 20;
    ret_space->full = 0;
    return 0;
}

const etx_log_ops *etx_log_postgresql(void) {
    static const etx_log_ops ops = {.version = ETX_LOG_VERSION,
                                    .scheme = "postgresql",
                                    .open = pg_open,
                                    .close = etx__pg_close,
                                    .info = pg_info,
                                    .put = etx__pg_put,
                                    .get = etx__pg_get,
                                    .trim = etx__pg_trim,
                                    .space = pg_space,
                                    .attend = etx__pg_attend,
                                    .renew = etx__pg_renew,
                                    .release = etx__pg_release,
                                    .survey = etx__pg_survey,
                                    .clock = etx__pg_clock,
                                    .copy_begin = etx__pg_copy_begin,
                                    .copy_slot = etx__pg_copy_slot,
                                    .copy_end = etx__pg_copy_end,
                                    .retire = etx__pg_retire};
    return &ops;
}
