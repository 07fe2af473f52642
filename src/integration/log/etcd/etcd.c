/* The etcd log: write-once slots as keys of an etcd cluster, which many processes may share.
 *
 * It speaks etcd's own gRPC interface, by libcurl's HTTP/2 (session.c) and messages of its own
 * making (message.c): etcd's JSON gateway takes seven times the work for a put. Each partition has
 * a connection of its own, made when it is first needed and made anew when it is lost; leases and
 * upkeep have another. put.c tells why a put is safe, session.c and failure.c what is known after a
 * failure, lease.c how nodes share it, upkeep.c what its space needs. docs/etcd-log.md is for those
 * who run it. */
#include "etcd.h"

#include <stdlib.h>
#include <string.h>

void etx__etcd_close_log(etx_log *head, int clean) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    etx_allocator allocator = log->allocator;
    (void)clean; /* nothing that opens it later cuts anything */
    for (uint32_t i = 0; log->partition && i < log->partition_count; i++) {
        etx__etcd_session_close(&log->partition[i].session);
        etx__etcd_sizes_free(log, i);
    }
    etx__etcd_session_close(&log->care);
    pthread_mutex_destroy(&log->care_lock);
    if (log->partition)
        allocator.release(allocator.user, log->partition,
                          log->partition_count * sizeof *log->partition);
    etx__store_free(&log->store.common);
    free(log->copied);
    allocator.release(allocator.user, log, sizeof *log);
}

static int make_partitions(etx__etcd_log *log) {
    size_t size = log->partition_count * sizeof *log->partition;
    log->partition = log->allocator.allocate(log->allocator.user, size);
    if (!log->partition) {
        etx__etcd_say(&log->care, ETX_ENOMEM, "out of memory");
        return ETX_ENOMEM;
    }
    for (uint32_t i = 0; i < log->partition_count; i++) {
        log->partition[i] = (etx__etcd_partition){.bytes = 0};
        etx__etcd_session_init(&log->partition[i].session, &log->store);
    }
    return 0;
}

int etx__etcd_new(const etx_log_config *config, etx__etcd_log **ret_log) {
    etx_allocator allocator = etx__store_allocator(config->allocator);
    if (config->size < sizeof *config)
        return etx__store_say(config->message, config->message_size, ETX_EINVALID,
                              "config->size is not set");
    etx__etcd_log *log = allocator.allocate(allocator.user, sizeof *log);
    /* never undone: the program may use libcurl as well, and need not count with it */
    if (!log || curl_global_init(CURL_GLOBAL_DEFAULT)) {
        if (log)
            allocator.release(allocator.user, log, sizeof *log);
        return etx__store_say(config->message, config->message_size, ETX_ENOMEM, "out of memory");
    }
    *log = (etx__etcd_log){.allocator = allocator};
    int rc = etx__etcd_url_parse(config, &log->store);
    if (rc) {
        allocator.release(allocator.user, log, sizeof *log);
        return rc;
    }
    log->head.ops = etx_log_etcd();
    pthread_mutex_init(&log->care_lock, NULL);
    etx__etcd_session_init(&log->care, &log->store);
    *ret_log = log;
    return 0;
}

static int etcd_open(const etx_log_config *config, etx_log **ret_log) {
    etx__etcd_log *log = NULL;
    int rc = etx__etcd_new(config, &log);
    if (rc)
        return rc;
    rc = etx__etcd_meta_open(log, config->flags);
    rc = rc ? rc : make_partitions(log);
    rc = rc ? rc : etx__etcd_grade(log);
    if (rc) {
        etx__store_say(config->message, config->message_size, rc, "%s", log->care.text);
        etx__etcd_close_log(&log->head, 1);
        return rc;
    }
    *ret_log = &log->head;
    return 0;
}

static int etcd_info(etx_log *head, etx_log_info *ret_info) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__etcd_grade(log);
    if (!rc) {
        memcpy(ret_info->id, log->id, sizeof ret_info->id);
        ret_info->partitions = log->partition_count;
        /* a put may take long: never on the engine's thread */
        ret_info->flags = (log->retired == ETX_RETIRE_COPYING ? ETX_LOG_COPYING : 0u) |
                          (log->retired == ETX_RETIRE_MOVED ? ETX_LOG_MOVED : 0u);
        ret_info->batch_max = ETX__ETCD_BATCH_MAX;
        ret_info->grade = log->grade;
        ret_info->remark = log->remark[0] ? log->remark : NULL;
    }
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

static int etcd_space(etx_log *head, uint32_t number, etx_log_space *ret_space) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    if (number >= log->partition_count)
        return ETX_EINVALID;
    ret_space->bytes_used = atomic_load(&log->partition[number].bytes);
    ret_space->bytes_total = ret_space->bytes_used;
    ret_space->trim_unit = 1 << 20;
    ret_space->full = (uint8_t)atomic_load(&log->full);
    return 0;
}

const etx_log_ops *etx_log_etcd(void) {
    static const etx_log_ops ops = {.version = ETX_LOG_VERSION,
                                    .scheme = "etcd",
                                    .open = etcd_open,
                                    .close = etx__etcd_close_log,
                                    .info = etcd_info,
                                    .put = etx__etcd_put,
                                    .get = etx__etcd_get,
                                    .trim = etx__etcd_trim,
                                    .space = etcd_space,
                                    .attend = etx__etcd_attend,
                                    .renew = etx__etcd_renew,
                                    .release = etx__etcd_release,
                                    .survey = etx__etcd_survey,
                                    .clock = etx__etcd_clock,
                                    .copy_begin = etx__etcd_copy_begin,
                                    .copy_slot = etx__etcd_copy_slot,
                                    .copy_end = etx__etcd_copy_end,
                                    .retire = etx__etcd_retire};
    return &ops;
}
