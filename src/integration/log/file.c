/* The file log: write-once slots in a directory of segment files. This file opens and closes it.
 *
 * Files (docs/log-format.md has every byte): `home` says what log this is; `lock` and `owner`
 * keep other processes and other engines out; per partition, pNN.state holds the trim mark, and
 * pNN-NNNNNNNN.seg are segments of one fixed size, filled with groups, one group a slot.
 *
 * Happy path: a put encodes its batch into sectors that each carry a stamp and a check, and
 * writes them behind the last group with one durable write. It is acknowledged when that returns.
 * When a segment is full, the next one is there already (file_segment.c).
 *
 * A crash before, while or after the write: the group is absent, torn, or whole. Absent and torn
 * are cut at the next open, whole is kept; each is right, since nobody was told. What was
 * acknowledged is whole. A crash while the segment changes: the new one holds no whole group, so
 * the old one's last group is the end. A crash in a trim: the mark is durable before the first
 * file goes. A crash while the log is made: `home` gets its name last, and without it everything
 * is made anew. A crash in recovery: it finds the same again (file_recover.c).
 *
 * A write that fails: the partition is poisoned. The failed put, and every later one, is
 * *unknown*, until reopen has read the partition again as after a crash, and copied its last
 * group into another file. The one that failed is never written again. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int direct_probe(const etx__file_log *log, const char *name) {
    int fd = etx__file_open_at(log->dir_fd, name, O_RDONLY | O_DIRECT);
    int works = fd >= 0 && etx__file_takes_direct(&log->allocator, fd);
    if (fd >= 0)
        close(fd);
    return works;
}

/* What follows from the segment size. */
void etx__file_limits_set(etx__file_log *log) {
    uint64_t room = log->home.segment_size - ETX__BLOCK;
    uint64_t most = (uint64_t)ETX__GROUP_BLOCKS_MAX * ETX__BLOCK;
    log->group_max = room < most ? room : most;
    log->batch_max = etx__file_batch_max(log->group_max);
}

int etx__file_partitions_make(etx__file_log *log) {
    size_t size = log->home.partitions * sizeof *log->partitions;
    etx__file_limits_set(log);
    log->partitions = log->allocator.allocate(log->allocator.user, size);
    if (!log->partitions)
        return ETX_ENOMEM;
    memset(log->partitions, 0, size);
    for (uint32_t i = 0; i < log->home.partitions; i++) {
        etx__file_partition *partition = &log->partitions[i];
        partition->log = log;
        partition->number = i;
        partition->seed = etx__file_seed(log->home.id, i);
        partition->state_fd = -1;
        partition->end = ETX__BLOCK;
        partition->zeroed = ETX__NONE;
        partition->fill_fd = -1;
    }
    return 0;
}

static void partitions_free(etx__file_log *log) {
    for (uint32_t i = 0; log->partitions && i < log->home.partitions; i++) {
        etx__file_partition *partition = &log->partitions[i];
        etx__file_partition_forget(partition);
        etx__file_buffer_free(&log->allocator, &partition->buffer);
        if (partition->state_fd >= 0)
            close(partition->state_fd);
    }
    if (log->partitions)
        log->allocator.release(log->allocator.user, log->partitions,
                               log->home.partitions * sizeof *log->partitions);
    log->partitions = NULL;
}

int etx__file_new(const etx_log_config *config, const etx__file_url *url, etx__file_log **ret_log) {
    etx_allocator allocator = etx__file_allocator(config->allocator);
    etx__file_log *log = allocator.allocate(allocator.user, sizeof *log);
    pthread_condattr_t monotonic;
    if (!log)
        return ETX_ENOMEM;
    *log = (etx__file_log){.allocator = allocator, .dir_fd = -1, .lock_fd = -1, .pid = getpid()};
    log->read_only = (config->flags & ETX_LOG_READ_ONLY) != 0;
    log->unsynced = url->copy;
    snprintf(log->dir, sizeof log->dir, "%s", url->dir);
    pthread_mutex_init(&log->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&log->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret_log = log;
    return 0;
}

void etx__file_free(etx__file_log *log) {
    etx_allocator allocator = log->allocator;
    partitions_free(log);
    etx__file_lock_drop(log);
    if (log->dir_fd >= 0)
        close(log->dir_fd);
    pthread_cond_destroy(&log->changed);
    pthread_mutex_destroy(&log->mutex);
    allocator.release(allocator.user, log, sizeof *log);
}

/* A new log's partitions, each with a state file and its first segment. What was written is known,
 * and not read again. */
static int make_partitions(etx__file_log *log, const etx__file_words *words) {
    const etx__file_state nothing = {0};
    int rc = etx__file_partitions_make(log);
    int error = 0;
    if (rc)
        return etx__file_say(words, rc, "out of memory");
    for (uint32_t i = 0; i < log->home.partitions && !error; i++) {
        error = etx__file_state_make(&log->partitions[i], &nothing);
        if (!error)
            etx__file_segment_prepare(&log->partitions[i], &error);
    }
    if (!error)
        return 0;
    partitions_free(log);
    return etx__file_say(
        words, etx__file_error_code(error),
        "cannot make the segments in %s: %s (a log with partitions=%u takes %llu MiB "
        "at first, and twice that when in use)",
        log->dir, etx__file_why(error), log->home.partitions,
        (unsigned long long)(log->home.partitions * log->home.segment_size >> 20));
}

/* The directory's own name, by the directory above; where that may not be read, by all that the
 * file system has. 0 or an errno. */
static int sync_parent(const etx__file_log *log) {
    int fd = openat(log->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno != EACCES && errno != EPERM)
        return errno;
    if (fd < 0)
        return syncfs(log->dir_fd) ? errno : 0;
    int error = etx__file_sync_dir(fd);
    close(fd);
    return error;
}

/* Names that a process gave which died before it could sync them are seen, and not durable. */
static int names_sync(const etx__file_log *log, const etx__file_words *words) {
    int error = etx__file_sync_dir(log->dir_fd);
    const char *which = error ? "" : "the directory above ";
    error = error ? error : sync_parent(log);
    return error ? etx__file_say(words, etx__file_error_code(error), "cannot sync %s%s: %s", which,
                                 log->dir, strerror(error))
                 : 0;
}

/* From the renaming on the log is whole, even if that cannot be made durable now. */
static int log_name(const etx__file_log *log, int *ret_named, const etx__file_words *words) {
    int error = renameat(log->dir_fd, "home.tmp", log->dir_fd, "home") ? errno : 0;
    *ret_named = !error;
    if (!error)
        error = etx__file_sync_dir(log->dir_fd);
    return error
               ? etx__file_say(words, ETX_EIO, "cannot name %s/home: %s", log->dir, strerror(error))
               : 0;
}

/* Whatever cannot be removed now is known by home.tmp, or copying, as what it is. */
static void making_undo(etx__file_log *log, const etx__file_url *url) {
    if (etx__file_dir_clear(log, NULL))
        return;
    unlinkat(log->dir_fd, "home.tmp", 0);
    if (url->copy)
        etx__file_unmark_copy(log);
}

/* Makes a log in the locked directory. `home` gets its name last. */
static int log_make(etx__file_log *log,
                    const etx__file_url *url,
                    uint32_t partitions,
                    const char *id,
                    const etx__file_words *words) {
    int named = 0;
    int rc;
    log->home.partitions = url->partitions ? url->partitions
                           : partitions    ? partitions
                                           : ETX__PARTITIONS_DEFAULT;
    log->home.segment_size = url->segment_size ? url->segment_size : ETX__SEGMENT_DEFAULT;
    log->home.look = url->look;
    if (log->home.partitions > ETX__PARTITIONS_MAX)
        return etx__file_say(words, ETX_EINVALID, "a file log has at most %u partitions",
                             ETX__PARTITIONS_MAX);
    if (id)
        snprintf(log->home.id, sizeof log->home.id, "%s", id);
    else if (etx__file_id_draw('f', log->home.id))
        return etx__file_say(words, ETX_EIO, "the system gives no random numbers");
    rc = url->copy ? etx__file_mark_copy(log, words) : 0;
    if (!rc)
        rc = etx__file_home_write(log, "home.tmp", words);
    if (rc)
        return rc;
    log->direct = url->direct != 0 && direct_probe(log, "home.tmp");
    rc = etx__file_dir_clear(log, words);
    log->made = !rc;
    log->making = !url->copy;
    if (!rc)
        rc = make_partitions(log, words);
    log->making = 0;
    if (url->copy)
        partitions_free(log);
    else if (!rc)
        rc = log_name(log, &named, words);
    if (rc && !named)
        making_undo(log, url);
    return rc; /* the directory's own name is synced by the opening that follows */
}

/* Nothing of ours: somebody else's directory, and no log that has a foreign file in it. */
static int is_none(const etx__file_list *list) {
    return !(list->home | list->home_tmp | (list->count != 0) | (list->leftovers != 0) |
             list->copying | list->moved);
}

/* Which of our files are there; refuses a directory that is not (only) ours, and, unless one may be
 * made there, one that has no log. */
static int dir_judge(etx__file_log *log,
                     const etx__file_url *url,
                     int create,
                     etx__file_list *list,
                     const etx__file_words *words) {
    etx__file_fault fault = {0};
    int rc = etx__file_list_read(log->dir_fd, &log->allocator, list, words);
    if (rc)
        return rc;
    if (!create && is_none(list)) {
        etx__file_list_free(&log->allocator, list);
        return etx__file_say(words, ETX_ENOTFOUND, "there is no log at %s", log->dir);
    }
    if (url->copy)
        list->copying = 0;
    if (url->again && !log->made)
        list->count = 0; /* whatever they hold: the making removes them */
    rc = etx__file_dir_judge(log, list, &fault);
    if (rc) {
        if (fault.offset > 0)
            etx__file_fault_say(log, &fault, words);
        else
            etx__file_say(words, rc, "%s: %s", log->dir, fault.text);
        etx__file_list_free(&log->allocator, list);
    }
    return rc;
}

static int options_check(const etx__file_log *log,
                         const etx__file_url *url,
                         const etx__file_words *words) {
    if (url->partitions && url->partitions != log->home.partitions)
        return etx__file_say(words, ETX_EINVALID,
                             "%s was made with partitions=%u, which cannot be changed: leave the "
                             "option out",
                             log->dir, log->home.partitions);
    if (url->segment_size && url->segment_size != log->home.segment_size)
        return etx__file_say(words, ETX_EINVALID,
                             "%s was made with segment=%lluK, which cannot be changed: leave the "
                             "option out",
                             log->dir, (unsigned long long)(log->home.segment_size >> 10));
    return 0;
}

/* Those of a log that was made just now: each takes the segment that it was made with, which is
 * there. */
static void partitions_begin(etx__file_log *log) {
    for (uint32_t i = 0; i < log->home.partitions; i++) {
        etx__file_partition *partition = &log->partitions[i];
        int error;
        partition->loaded = !etx__file_segment_take(partition, 0, &error);
    }
}

static int partitions_recover(etx__file_log *log,
                              const etx__file_list *list,
                              const etx__file_words *words) {
    int rc = etx__file_partitions_make(log);
    if (rc)
        return etx__file_say(words, rc, "out of memory");
    if (list->count && list->entries[list->count - 1].partition >= log->home.partitions)
        return etx__file_say(words, ETX_ECORRUPT,
                             "%s holds segments of partition %u, but has partitions=%u", log->dir,
                             list->entries[list->count - 1].partition, log->home.partitions);
    for (uint32_t i = 0; i < log->home.partitions; i++) {
        etx__file_partition *partition = &log->partitions[i];
        etx__file_fault fault = {0};
        if (log->read_only) {
            rc = etx__file_partition_look(partition, &fault);
        } else {
            rc = etx__file_state_load(partition, 0, &fault);
            if (!rc)
                rc = etx__file_recover(partition, list, 0, &fault);
            partition->loaded = rc == 0;
        }
        if (rc)
            return etx__file_fault_say(log, &fault, words);
    }
    return 0;
}

/* Segments that are there can be written in a directory that takes no new ones: it would be found
 * out when the last is full, and what waits then could not be decided. */
static int dir_check_writable(const etx__file_log *log, const etx__file_words *words) {
    if (faccessat(log->dir_fd, ".", W_OK | X_OK, AT_EACCESS) == 0 ||
        (errno != EACCES && errno != EROFS))
        return 0;
    return etx__file_say(words, ETX_EINVALID, "%s takes no new files: %s; %s", log->dir,
                         strerror(errno),
                         etx__file_remedy(errno,
                                          "change its owner or mode, or use the account that "
                                          "it belongs to"));
}

static int retired_check(etx__file_log *log, uint32_t flags, const etx__file_words *words) {
    char text[512];
    int rc = etx__file_retired_read(log, text, sizeof text);
    if (rc)
        return etx__file_say(words, rc, "%s/moved cannot be read", log->dir);
    return flags & (ETX_LOG_RETIRED | ETX_LOG_READ_ONLY)
               ? 0
               : etx__file_say(words, ETX_ECONFLICT, "%s: %s", log->dir, text);
}

static int log_open(etx__file_log *log,
                    const etx_log_config *config,
                    const etx__file_url *url,
                    const char *id,
                    const etx__file_words *words) {
    int create = !(config->flags & (ETX_LOG_READ_ONLY | ETX_LOG_NO_CREATE));
    etx__file_list list;
    int rc = etx__file_dir_open(log, create, words);
    if (!rc)
        rc = dir_judge(log, url, create, &list, words);
    if (rc)
        return rc;
    if (!list.home && !create)
        rc = etx__file_say(words, ETX_ENOTFOUND, "there is no log at %s", log->dir);
    else if (!list.home && (config->flags & ETX_LOG_MAKE_DURABLE) && etx__file_in_memory(log))
        rc = etx__file_refuse_in_memory(log, words);
    etx__file_list_free(&log->allocator, &list);
    if (!rc && !log->read_only)
        rc = etx__file_lock_take(log, words);
    if (!rc)
        rc = dir_judge(log, url, 1, &list, words);
    if (rc)
        return rc;
    if (!list.home) {
        rc = log_make(log, url, config->partitions, id, words);
        etx__file_list_free(&log->allocator, &list);
        if (!rc)
            rc = dir_judge(log, url, 1, &list, words);
        if (rc)
            return rc;
    }
    rc = list.moved ? retired_check(log, config->flags, words) : 0;
    if (!rc && !log->read_only)
        rc = dir_check_writable(log, words);
    if (!rc && !log->read_only)
        rc = names_sync(log, words);
    if (!rc && !url->copy)
        rc = etx__file_home_read(log, words);
    if (!rc)
        rc = options_check(log, url, words);
    /* A copy is written through the page cache: its URL says so. */
    log->direct = !log->read_only && url->direct != 0 && direct_probe(log, "home");
    if (!rc && log->partitions)
        partitions_begin(log);
    else if (!rc)
        rc = partitions_recover(log, &list, words);
    etx__file_list_free(&log->allocator, &list);
    return rc;
}

/* Opens what `url` says. `id` names a log that is made now; NULL draws one. */
int etx__file_open(const etx_log_config *config,
                   const etx__file_url *url,
                   const char *id,
                   etx__file_log **ret_log) {
    const etx__file_words words = {config->message, config->message_size};
    etx__file_log *log = NULL;
    int rc = etx__file_new(config, url, &log);
    if (rc)
        return etx__file_say(&words, rc, "out of memory");
    rc = log_open(log, config, url, id, &words);
    if (!rc && !log->read_only && etx__file_helper_start(log))
        rc = etx__file_say(&words, ETX_ENOMEM, "cannot start the log's helper thread");
    if (rc) {
        etx__file_free(log);
        return rc;
    }
    *ret_log = log;
    return 0;
}

/* Nothing that opens it later may cut anything: the settled mark says so. A log that is closed in
 * a forked child is only forgotten. */
void etx__file_close(etx__file_log *log, int clean) {
    if (log->pid != getpid()) {
        log->lock_fd = -1;
        return;
    }
    etx__file_helper_stop(log);
    for (uint32_t i = 0; clean && !log->read_only && i < log->home.partitions; i++) {
        etx__file_partition *partition = &log->partitions[i];
        int settled = (partition->state.flags & ETX__STATE_CLEAN) &&
                      partition->state.settled == partition->next;
        if (partition->loaded && !partition->poisoned && !settled)
            etx__file_settle(partition, partition->state.mark,
                             ETX__STATE_CLEAN | (partition->state.flags & ETX__STATE_EMPTY));
    }
    etx__file_free(log);
}

/* Reads the partition anew from disk. */
int etx__file_partition_reload(etx__file_partition *partition,
                               int poisoned,
                               etx__file_fault *fault) {
    etx__file_log *log = partition->log;
    etx__file_words words = {fault->text, sizeof fault->text};
    etx__file_list list;
    int rc = etx__file_list_read(log->dir_fd, &log->allocator, &list, &words);
    if (rc) {
        fault->rc = rc;
        return rc;
    }
    etx__file_partition_forget(partition);
    partition->loaded = 0;
    if (log->read_only)
        rc = etx__file_state_load(partition, 0, fault);
    if (!rc)
        rc = etx__file_recover(partition, &list, poisoned, fault);
    partition->loaded = rc == 0;
    etx__file_list_free(&log->allocator, &list);
    return rc;
}

/* Reload for one who only looks: the log may be in use, and then what looks damaged may only be
 * in the middle of a change. */
int etx__file_partition_look(etx__file_partition *partition, etx__file_fault *fault) {
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    etx__file_log *log = partition->log;
    etx__file_fault before = {0};
    int times = 0;
    int pid;
    int rc = 0;
    for (int i = 0; i < 100; i++) {
        log->live = etx__file_lock_probe(log->dir, &pid) != 0;
        rc = etx__file_partition_reload(partition, 0, fault);
        if (rc != ETX_ECORRUPT || !log->live || etx__file_fault_again(fault, &before, &times))
            break;
        nanosleep(&pause, NULL);
    }
    return rc;
}
