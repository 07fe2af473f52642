/* The file log as the engine sees it: the functions behind its row of etx_log_ops. */
#include "file.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

/* A log is made by the caller's thread: a write beyond its limit of file sizes (RLIMIT_FSIZE) is an
 * error there, which is told, and no signal, which would end the process. How the program handles
 * signals stays as it is: one that we have caused is taken back. */
static int open_quietly(const etx_log_config *config,
                        const etx__file_url *url,
                        etx__file_log **ret_log) {
    const struct timespec now = {0};
    sigset_t too_large;
    sigset_t pending;
    sigset_t before;
    int rc;
    sigemptyset(&too_large);
    sigaddset(&too_large, SIGXFSZ);
    sigemptyset(&pending);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &too_large, &before);
    rc = etx__file_open(config, url, NULL, ret_log);
    if (rc && !sigismember(&pending, SIGXFSZ))
        sigtimedwait(&too_large, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static int ops_open(const etx_log_config *config, etx_log **ret_log) {
    const etx__file_words words = {config->message, config->message_size};
    etx__file_log *log = NULL;
    etx__file_url url;
    int rc;
    if (config->size < sizeof *config)
        return etx__file_say(&words, ETX_EINVALID, "config->size is not set");
    rc = etx__file_url_parse(config->url, &url, &words);
    if (!rc)
        rc = open_quietly(config, &url, &log);
    if (rc)
        return rc;
    log->head.ops = etx_log_file();
    *ret_log = &log->head;
    return 0;
}

static void ops_close(etx_log *log, int clean) {
    etx__file_close((etx__file_log *)log, clean);
}

static int ops_info(etx_log *head, etx_log_info *ret_info) {
    etx__file_log *log = (etx__file_log *)head;
    memcpy(ret_info->id, log->home.id, sizeof ret_info->id);
    ret_info->partitions = log->home.partitions;
    ret_info->flags = ETX_LOG_FAST | (log->home.look ? ETX_LOG_LOOK : 0u) |
                      (log->retired == ETX_RETIRE_COPYING ? ETX_LOG_COPYING : 0u) |
                      (log->retired == ETX_RETIRE_MOVED ? ETX_LOG_MOVED : 0u);
    ret_info->batch_max = log->batch_max;
    ret_info->grade = ETX_LOCAL;
    ret_info->remark = "one disk";
    ret_info->block = ETX__BLOCK;
    if (etx__file_in_memory(log)) {
        ret_info->grade = ETX_VOLATILE;
        ret_info->remark = "the directory is on a file system in memory";
    }
    return 0;
}

static int get_failed(etx__file_log *log,
                      etx__file_partition *partition,
                      const etx__file_fault *fault,
                      const etx__file_words *words) {
    uint64_t mark = partition->state.mark;
    etx__file_fault again = {0};
    if (log->read_only && fault->rc == ETX_ECORRUPT &&
        !etx__file_partition_look(partition, &again) && partition->state.mark > mark)
        return etx__file_say(words, ETX_EUNAVAILABLE,
                             "%s was trimmed while it was read: read it again", log->dir);
    return etx__file_fault_say(log, fault, words);
}

static int ops_get(etx_log *head,
                   uint32_t number,
                   uint64_t from,
                   etx_slot_fn visit,
                   void *user,
                   uint64_t *ret_mark,
                   char *message,
                   size_t message_size) {
    const etx__file_words words = {message, message_size};
    etx__file_log *log = (etx__file_log *)head;
    etx__file_fault fault = {0};
    etx__file_partition *partition;
    uint64_t mark;
    int rc = 0;
    if (number >= log->home.partitions)
        return etx__file_say(&words, ETX_EINVALID, "there is no partition %u", number);
    partition = &log->partitions[number];
    if (log->read_only)
        rc = etx__file_partition_look(partition, &fault);
    else if (!partition->loaded)
        return etx__file_say(&words, ETX_EIO, "the partition could not be opened anew");
    if (rc)
        return etx__file_fault_say(log, &fault, &words);
    mark = partition->state.mark;
    rc = etx__file_get(partition, from, visit, user, &fault);
    if (rc && fault.rc)
        return get_failed(log, partition, &fault, &words);
    if (!rc && ret_mark)
        *ret_mark = mark;
    return rc;
}

/* A reopen that fails leaves the partition poisoned: it can be tried again. */
static int ops_reopen(etx_log *head, uint32_t number, char *message, size_t message_size) {
    const etx__file_words words = {message, message_size};
    etx__file_log *log = (etx__file_log *)head;
    etx__file_fault fault = {0};
    etx__file_partition *partition;
    int rc;
    if (number >= log->home.partitions)
        return etx__file_say(&words, ETX_EINVALID, "there is no partition %u", number);
    partition = &log->partitions[number];
    if (log->read_only) {
        rc = etx__file_partition_look(partition, &fault);
    } else {
        etx__file_helper_hold(partition);
        rc = etx__file_partition_reload(partition, partition->poisoned, &fault);
        partition->poisoned = rc != 0;
        etx__file_helper_release(partition);
    }
    return rc ? etx__file_fault_say(log, &fault, &words) : 0;
}

const etx_log_ops *etx_log_file(void) {
    static const etx_log_ops ops = {.version = ETX_LOG_VERSION,
                                    .scheme = "file",
                                    .open = ops_open,
                                    .close = ops_close,
                                    .info = ops_info,
                                    .put = etx__file_put,
                                    .get = ops_get,
                                    .trim = etx__file_trim,
                                    .reopen = ops_reopen,
                                    .space = etx__file_space,
                                    .copy_begin = etx__file_successor_begin,
                                    .copy_slot = etx__file_successor_slot,
                                    .copy_end = etx__file_successor_end,
                                    .retire = etx__file_retire};
    return &ops;
}
