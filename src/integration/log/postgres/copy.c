/* A PostgreSQL log that takes the place of another: all of it is made in one transaction, so that
 * it is there as a whole or not at all. And one whose place another takes. */
#include "postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char raise_mark[] =
    "UPDATE etx_log_partition SET below = $2::bigint WHERE partition = $1::integer";
static const char insert_slot[] =
    "INSERT INTO etx_log_slot(partition, slot, nonce, predecessor, checksum, batch)"
    " VALUES($1::integer, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::bytea)";
static const char set_retired[] =
    "UPDATE etx_log_meta SET retired = $1::integer, retired_why = $2 WHERE id = 1";

static int fail(const etx__pg_log *log, char *message, size_t message_size) {
    return etx__store_say(message, message_size, log->care.rc, "%s", log->care.text);
}

int etx__pg_copy_begin(const etx_log_config *config,
                       const etx_log_info *source,
                       etx_log **ret_log) {
    etx__pg_log *log = NULL;
    if (source->partitions > ETX__STORE_PARTITIONS_MAX)
        return etx__store_say(config->message, config->message_size, ETX_EINVALID,
                              "a PostgreSQL log has at most %d partitions",
                              ETX__STORE_PARTITIONS_MAX);
    int rc = etx__pg_new(config, &log);
    if (rc)
        return rc;
    log->store.common.partitions = source->partitions;
    log->partition_count = source->partitions;
    log->care.patient = 1;
    log->copied = calloc(source->partitions, 1);
    rc = log->copied ? etx__pg_schema_begin(log, source->id) : ETX_ENOMEM;
    if (rc) {
        etx__store_say(config->message, config->message_size, rc, "%s",
                       log->copied ? log->care.text : "out of memory");
        etx__pg_close(&log->head, 1);
        return rc;
    }
    log->copier = PQbackendPID(log->care.conn);
    *ret_log = &log->head;
    return 0;
}

int etx__pg_copy_slot(etx_log *head, const etx_slot *slot, char *message, size_t message_size) {
    etx__pg_log *log = (etx__pg_log *)head;
    etx__pg_params mark = {.count = 0};
    etx__pg_params params = {.count = 0};
    PGresult *result = NULL;
    if (slot->batch.len > ETX__PG_BATCH_MAX)
        return etx__store_say(message, message_size, ETX_EINVALID,
                              "slot %llu of partition %u has %zu bytes, and a slot in PostgreSQL "
                              "%d at most",
                              (unsigned long long)slot->slot, slot->partition, slot->batch.len,
                              ETX__PG_BATCH_MAX);
    etx__pg_number(&mark, slot->partition);
    etx__pg_number(&mark, slot->slot);
    if (!log->copied[slot->partition] && etx__pg_run(&log->care, raise_mark, &mark))
        return fail(log, message, message_size);
    log->copied[slot->partition] = 1;
    etx__pg_number(&params, slot->partition);
    etx__pg_number(&params, slot->slot);
    etx__pg_number(&params, slot->nonce);
    etx__pg_number(&params, slot->predecessor);
    etx__pg_number(&params, slot->checksum);
    etx__pg_bytes(&params, slot->batch);
    etx__pg_outcome outcome = etx__pg_exec_put(&log->care, insert_slot, &params, &result);
    PQclear(result);
    return outcome == ETX__PG_DONE ? 0 : fail(log, message, message_size);
}

/* On a connection that was made anew there is no transaction, and COMMIT does nothing. */
static int is_copier(const etx__pg_log *log) {
    return log->care.conn && PQbackendPID(log->care.conn) == log->copier;
}

int etx__pg_copy_end(etx_log *head, int whole, char *message, size_t message_size) {
    etx__pg_log *log = (etx__pg_log *)head;
    PGresult *result = NULL;
    int rc = 0;
    if (whole && !is_copier(log)) {
        rc = etx__store_say(message, message_size, ETX_EUNAVAILABLE,
                            "the connection was lost, and all of the copy with it");
    } else if (whole) {
        etx__pg_outcome outcome = etx__pg_exec(&log->care, "COMMIT", NULL, &result);
        if (outcome == ETX__PG_LOST || (outcome == ETX__PG_DONE && log->care.warned))
            rc = etx__store_say(message, message_size, ETX_EUNKNOWN, "%s", log->care.text);
        else if (outcome != ETX__PG_DONE || !is_copier(log))
            rc = etx__store_say(
                message, message_size, ETX_EUNAVAILABLE, "%s",
                outcome != ETX__PG_DONE ? log->care.text : "the connection was lost");
        PQclear(result);
    }
    etx__pg_close(head, 1);
    return rc;
}

int etx__pg_retire(etx_log *head,
                   etx_retirement what,
                   const char *words,
                   char *message,
                   size_t message_size) {
    etx__pg_log *log = (etx__pg_log *)head;
    etx__pg_params params = {.count = 0};
    if (log->store.common.read_only)
        return etx__store_say(message, message_size, ETX_EINVALID,
                              "the log is open for reading only");
    etx__pg_number(&params, what);
    etx__pg_text(&params, what == ETX_RETIRE_NOT ? "" : words);
    if (etx__pg_run(&log->care, set_retired, &params))
        return fail(log, message, message_size);
    log->retired = (uint8_t)what;
    return 0;
}
