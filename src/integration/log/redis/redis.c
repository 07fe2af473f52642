/* The Redis log: write-once slots as fields of hashes, which many processes may share.
 *
 * Each partition has a connection of its own, made when it is first needed and made anew when it is
 * lost; leases, the clock and settings have another. put.c tells why a put is safe, session.c and
 * failure.c what is known after a failure, grade.c what is promised. docs/redis-log.md is for those
 * who run it. */
#include "redis.h"

#include <stddef.h>
#include <string.h>

/* Memory is dearer than a disk: less is kept than the engine would by itself. */
enum { SLACK = 1 << 20, TRIM_UNIT = 256 << 10 };

void etx__redis_close(etx_log *head, int clean) {
    etx__redis_log *log = (etx__redis_log *)head;
    etx_allocator allocator = log->allocator;
    (void)clean; /* nothing that opens it later cuts anything */
    for (uint32_t i = 0; log->partition && i < log->partition_count; i++)
        etx__redis_drop(&log->partition[i].session);
    etx__redis_drop(&log->care);
    pthread_mutex_destroy(&log->care_lock);
    if (log->partition)
        allocator.release(allocator.user, log->partition,
                          log->partition_count * sizeof *log->partition);
    etx__redis_store_free(&log->store);
    allocator.release(allocator.user, log, sizeof *log);
}

static int make_partitions(etx__redis_log *log) {
    size_t size = log->partition_count * sizeof *log->partition;
    log->partition = log->allocator.allocate(log->allocator.user, size);
    if (!log->partition)
        return etx__redis_say(&log->care, ETX_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < log->partition_count; i++) {
        log->partition[i] = (etx__redis_partition){.bytes = 0};
        etx__redis_session_init(&log->partition[i].session, &log->store);
        etx__redis_partition_key(&log->store, i, log->partition[i].key);
    }
    return 0;
}

int etx__redis_new(const etx_log_config *config, etx__redis_log **ret_log) {
    etx_allocator allocator = etx__store_allocator(config->allocator);
    if (config->size < sizeof *config)
        return etx__store_say(config->message, config->message_size, ETX_EINVALID,
                              "config->size is not set");
    etx__redis_log *log = allocator.allocate(allocator.user, sizeof *log);
    if (!log)
        return etx__store_say(config->message, config->message_size, ETX_ENOMEM, "out of memory");
    *log = (etx__redis_log){.allocator = allocator};
    int rc = etx__redis_url_parse(config, &log->store);
    if (rc) {
        allocator.release(allocator.user, log, sizeof *log);
        return rc;
    }
    log->head.ops = etx_log_redis();
    pthread_mutex_init(&log->care_lock, NULL);
    etx__redis_session_init(&log->care, &log->store);
    etx__redis_put_prepare(log);
    *ret_log = log;
    return 0;
}

static int redis_open(const etx_log_config *config, etx_log **ret_log) {
    etx__redis_log *log = NULL;
    int rc = etx__redis_new(config, &log);
    if (rc)
        return rc;
    rc = etx__redis_grade(log); /* which also says whether it can keep a log at all */
    rc = rc ? rc : etx__redis_schema_open(log, config->flags);
    rc = rc ? rc : make_partitions(log);
    rc = rc ? rc : etx__redis_schema_measure(log);
    if (rc) {
        etx__store_say(config->message, config->message_size, rc, "%s", log->care.text);
        etx__redis_close(&log->head, 1);
        return rc;
    }
    *ret_log = &log->head;
    return 0;
}

static int redis_info(etx_log *head, etx_log_info *ret_info) {
    etx__redis_log *log = (etx__redis_log *)head;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__redis_grade(log);
    if (!rc) {
        memcpy(ret_info->id, log->id, sizeof ret_info->id);
        ret_info->partitions = log->partition_count;
        /* a put may take long: never on the engine's thread */
        ret_info->flags = (log->retired == ETX_RETIRE_COPYING ? ETX_LOG_COPYING : 0u) |
                          (log->retired == ETX_RETIRE_MOVED ? ETX_LOG_MOVED : 0u);
        ret_info->batch_max = ETX__REDIS_BATCH_MAX;
        ret_info->grade = log->grade;
        ret_info->remark = log->remark[0] ? log->remark : NULL;
        ret_info->slack = SLACK;
        if (ret_info->size >= offsetof(etx_log_info, identity) + sizeof ret_info->identity)
            ret_info->identity = log->identity[0] ? log->identity : NULL;
    }
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

static int redis_space(etx_log *head, uint32_t number, etx_log_space *ret_space) {
    etx__redis_log *log = (etx__redis_log *)head;
    if (number >= log->partition_count)
        return ETX_EINVALID;
    ret_space->bytes_used = atomic_load(&log->partition[number].bytes);
    ret_space->bytes_total = ret_space->bytes_used;
    ret_space->trim_unit = TRIM_UNIT;
    ret_space->full = atomic_load(&log->room) <= 0;
    return 0;
}

const etx_log_ops *etx_log_redis(void) {
    static const etx_log_ops ops = {.version = ETX_LOG_VERSION,
                                    .scheme = "redis",
                                    .open = redis_open,
                                    .close = etx__redis_close,
                                    .info = redis_info,
                                    .put = etx__redis_put,
                                    .get = etx__redis_get,
                                    .trim = etx__redis_trim,
                                    .space = redis_space,
                                    .attend = etx__redis_attend,
                                    .renew = etx__redis_renew,
                                    .release = etx__redis_release,
                                    .survey = etx__redis_survey,
                                    .clock = etx__redis_clock,
                                    .copy_begin = etx__redis_copy_begin,
                                    .copy_slot = etx__redis_copy_slot,
                                    .copy_end = etx__redis_copy_end,
                                    .retire = etx__redis_retire};
    return &ops;
}
