/* The MariaDB log: write-once slots as rows of a table, which many processes may share.
 *
 * Each partition has a connection of its own, made when it is first needed and made anew when it is
 * lost; leases, the clock and settings have another. put.c tells why a put is safe, session.c what
 * is known after a failure, grade.c what is promised. docs/mariadb-log.md is for those who run
 * it. */
#include "mariadb.h"

#include <stdlib.h>
#include <string.h>

void etx__maria_close(etx_log *head, int clean) {
    etx__maria_log *log = (etx__maria_log *)head;
    etx_allocator allocator = log->allocator;
    (void)clean; /* nothing that opens it later cuts anything */
    for (uint32_t i = 0; log->partition && i < log->partition_count; i++)
        etx__maria_drop(&log->partition[i].session);
    etx__maria_drop(&log->care);
    pthread_mutex_destroy(&log->care_lock);
    if (log->partition)
        allocator.release(allocator.user, log->partition,
                          log->partition_count * sizeof *log->partition);
    etx__maria_store_free(&log->store);
    free(log->copied);
    allocator.release(allocator.user, log, sizeof *log);
}

static int make_partitions(etx__maria_log *log) {
    size_t size = log->partition_count * sizeof *log->partition;
    log->partition = log->allocator.allocate(log->allocator.user, size);
    if (!log->partition) {
        etx__maria_say(&log->care, ETX_ENOMEM, "out of memory");
        return ETX_ENOMEM;
    }
    for (uint32_t i = 0; i < log->partition_count; i++) {
        log->partition[i] = (etx__maria_partition){.bytes = 0};
        etx__maria_session_init(&log->partition[i].session, &log->store);
    }
    return 0;
}

static int measure(etx__maria_log *log) {
    MYSQL_RES *result = NULL;
    MYSQL_ROW row;
    if (etx__maria_ask(&log->care, &result,
                       "SET STATEMENT max_statement_time = 0 FOR"
                       " SELECT part, count(*), sum(size) FROM #slot GROUP BY part") !=
        ETX__MARIA_DONE)
        return log->care.rc;
    while ((row = mysql_fetch_row(result)) != NULL) {
        uint64_t number = etx__maria_number(row[0]);
        if (number < log->partition_count)
            atomic_store(
                &log->partition[number].bytes,
                etx__maria_number(row[2]) + etx__maria_number(row[1]) * ETX__STORE_SLOT_COST);
    }
    mysql_free_result(result);
    return 0;
}

/* A put is one packet. */
int etx__maria_batch_max(etx__maria_log *log) {
    size_t packet = log->care.packet;
    size_t most = packet > ETX__MARIA_PACKET_COST ? packet - ETX__MARIA_PACKET_COST : 0;
    log->batch_max = most < ETX__MARIA_BATCH_MAX ? most : ETX__MARIA_BATCH_MAX;
    if (log->batch_max >= ETX__MARIA_BATCH_MIN)
        return 0;
    etx__maria_say(&log->care, ETX_EINVALID,
                   "the server's max_allowed_packet is %zu: a log needs 128K, and is faster with "
                   "8M or more",
                   packet);
    return ETX_EINVALID;
}

int etx__maria_new(const etx_log_config *config, etx__maria_log **ret_log) {
    etx_allocator allocator = etx__store_allocator(config->allocator);
    if (config->size < sizeof *config)
        return etx__store_say(config->message, config->message_size, ETX_EINVALID,
                              "config->size is not set");
    etx__maria_log *log = allocator.allocate(allocator.user, sizeof *log);
    if (!log)
        return etx__store_say(config->message, config->message_size, ETX_ENOMEM, "out of memory");
    *log = (etx__maria_log){.allocator = allocator};
    int rc = etx__maria_url_parse(config, &log->store);
    if (rc) {
        allocator.release(allocator.user, log, sizeof *log);
        return rc;
    }
    log->head.ops = etx_log_mariadb();
    pthread_mutex_init(&log->care_lock, NULL);
    etx__maria_session_init(&log->care, &log->store);
    *ret_log = log;
    return 0;
}

static int maria_open(const etx_log_config *config, etx_log **ret_log) {
    etx__maria_log *log = NULL;
    int rc = etx__maria_new(config, &log);
    if (rc)
        return rc;
    rc = etx__maria_schema_open(log, config->flags);
    rc = rc ? rc : etx__maria_batch_max(log);
    rc = rc ? rc : make_partitions(log);
    rc = rc ? rc : measure(log);
    rc = rc ? rc : etx__maria_grade(log);
    if (rc) {
        etx__store_say(config->message, config->message_size, rc, "%s", log->care.text);
        etx__maria_close(&log->head, 1);
        return rc;
    }
    *ret_log = &log->head;
    return 0;
}

static int maria_info(etx_log *head, etx_log_info *ret_info) {
    etx__maria_log *log = (etx__maria_log *)head;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__maria_grade(log);
    if (!rc) {
        memcpy(ret_info->id, log->id, sizeof ret_info->id);
        ret_info->partitions = log->partition_count;
        /* a put may take long: never on the engine's thread */
        ret_info->flags = (log->retired == ETX_RETIRE_COPYING ? ETX_LOG_COPYING : 0u) |
                          (log->retired == ETX_RETIRE_MOVED ? ETX_LOG_MOVED : 0u);
        ret_info->batch_max = log->batch_max;
        ret_info->grade = log->grade;
        ret_info->remark = log->remark[0] ? log->remark : NULL;
    }
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

static int maria_space(etx_log *head, uint32_t number, etx_log_space *ret_space) {
    etx__maria_log *log = (etx__maria_log *)head;
    if (number >= log->partition_count)
        return ETX_EINVALID;
    ret_space->bytes_used = atomic_load(&log->partition[number].bytes);
    ret_space->bytes_total = ret_space->bytes_used;
    ret_space->trim_unit = 1 << 20;
    ret_space->full = 0;
    return 0;
}

const etx_log_ops *etx_log_mariadb(void) {
    static const etx_log_ops ops = {.version = ETX_LOG_VERSION,
                                    .scheme = "mariadb",
                                    .open = maria_open,
                                    .close = etx__maria_close,
                                    .info = maria_info,
                                    .put = etx__maria_put,
                                    .get = etx__maria_get,
                                    .trim = etx__maria_trim,
                                    .space = maria_space,
                                    .attend = etx__maria_attend,
                                    .renew = etx__maria_renew,
                                    .release = etx__maria_release,
                                    .survey = etx__maria_survey,
                                    .clock = etx__maria_clock,
                                    .copy_begin = etx__maria_copy_begin,
                                    .copy_slot = etx__maria_copy_slot,
                                    .copy_end = etx__maria_copy_end,
                                    .retire = etx__maria_retire};
    return &ops;
}
