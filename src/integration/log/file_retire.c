/* A log whose place another takes, and that other one while it is made ('etx log copy').
 *
 * The file `moved` says so: "copying" or "moved", and below it what whoever opens the log is told.
 * A version that does not know that name refuses the directory as well. The successor is made as a
 * backup is (file_copy.c): an interrupted one is refused by whoever opens it, and made anew by the
 * next copy. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { TEXT_MAX = 480 };

static const char *const kinds[] = {"", "copying\n", "moved\n"};

int etx__file_retired_read(etx__file_log *log, char *ret_words, size_t size) {
    char text[TEXT_MAX + 1];
    size_t len = 0;
    int fd = etx__file_open_at(log->dir_fd, "moved", O_RDONLY);
    int error = fd < 0 ? errno : etx__file_read(fd, text, sizeof text - 1, 0, &len);
    if (fd >= 0)
        close(fd);
    if (error)
        return etx__file_error_code(error);
    text[len] = 0;
    int copying = strncmp(text, kinds[ETX_RETIRE_COPYING], strlen(kinds[ETX_RETIRE_COPYING])) == 0;
    log->retired = copying ? ETX_RETIRE_COPYING : ETX_RETIRE_MOVED;
    const char *words = strchr(text, '\n');
    snprintf(ret_words, size, "%s", words && words[1] ? words + 1 : "another log has its place");
    return 0;
}

/* 0 or an errno. */
static int write_moved(etx__file_log *log, etx_retirement what, const char *words) {
    char text[TEXT_MAX + 1];
    int len = snprintf(text, sizeof text, "%s%.400s", kinds[what], words);
    int fd = etx__file_open_at(log->dir_fd, "moved.tmp", O_WRONLY | O_CREAT | O_TRUNC);
    int error = fd < 0 ? errno : 0;
    if (!error)
        etx__file_own(log->dir_fd, fd);
    if (!error)
        error = etx__file_write(fd, text, (size_t)len, 0);
    if (!error && fsync(fd))
        error = errno;
    if (fd >= 0)
        close(fd);
    if (!error && renameat(log->dir_fd, "moved.tmp", log->dir_fd, "moved"))
        error = errno;
    return error;
}

int etx__file_retire(etx_log *head,
                     etx_retirement what,
                     const char *words,
                     char *message,
                     size_t message_size) {
    const etx__file_words to = {message, message_size};
    etx__file_log *log = (etx__file_log *)head;
    int error = 0;
    if (log->read_only)
        return etx__file_say(&to, ETX_EINVALID, "the log is open for reading only");
    if (what != ETX_RETIRE_NOT)
        error = write_moved(log, what, words);
    else if (unlinkat(log->dir_fd, "moved", 0) && errno != ENOENT)
        error = errno;
    if (!error)
        error = etx__file_sync_dir(log->dir_fd);
    if (error)
        return etx__file_say(&to, etx__file_error_code(error), "cannot write %s/moved: %s",
                             log->dir, etx__file_why(error));
    log->retired = (uint8_t)what;
    return 0;
}

/* ---- the successor */

/* Nothing is there, or an unfinished copy (*ret_again), which nobody makes now. */
static int place_check(const char *dir, int *ret_again, const etx__file_words *words) {
    etx_allocator allocator = etx__file_allocator(NULL);
    etx__file_list list;
    int pid = 0;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return etx__file_say(words, ETX_EINVALID, "cannot open %s: %s", dir, strerror(errno));
    rc = etx__file_list_read(fd, &allocator, &list, words);
    if (!rc && etx__file_lock_probe(dir, &pid))
        rc = etx__file_say(words, ETX_EBUSY, "%s is in use by process %d", dir, pid);
    else if (!rc && !list.copying &&
             (list.home || list.home_tmp || list.count || list.leftovers || list.foreign[0]))
        rc = etx__file_say(words, ETX_EBUSY, "%s is not empty: name a new directory", dir);
    if (!rc && list.copying && list.home && renameat(fd, "home", fd, "home.tmp"))
        rc = etx__file_say(words, ETX_EIO, "cannot begin %s anew: %s", dir, strerror(errno));
    *ret_again = list.copying;
    close(fd);
    etx__file_list_free(&allocator, &list);
    return rc;
}

int etx__file_successor_begin(const etx_log_config *config,
                              const etx_log_info *source,
                              etx_log **ret_log) {
    const etx__file_words words = {config->message, config->message_size};
    etx__file_log *copy = NULL;
    etx__file_url url;
    int rc = etx__file_url_parse(config->url, &url, &words);
    if (!rc && url.partitions && url.partitions != source->partitions)
        rc = etx__file_say(&words, ETX_EINVALID,
                           "a copy has the %u partitions of its source: leave the option out",
                           source->partitions);
    rc = rc ? rc : place_check(url.dir, &url.again, &words);
    if (rc)
        return rc;
    url.partitions = source->partitions;
    url.direct = 0;
    url.copy = 1;
    url.look = (source->flags & ETX_LOG_LOOK) != 0;
    rc = etx__file_open(config, &url, source->id, &copy);
    if (rc)
        return rc;
    copy->head.ops = etx_log_file();
    *ret_log = &copy->head;
    return 0;
}

int etx__file_successor_slot(etx_log *head,
                             const etx_slot *slot,
                             char *message,
                             size_t message_size) {
    const etx__file_words words = {message, message_size};
    etx__file_log *copy = (etx__file_log *)head;
    etx__file_partition *partition = &copy->partitions[slot->partition];
    if (slot->batch.len > copy->batch_max)
        return etx__file_say(&words, ETX_EINVALID,
                             "slot %llu of partition %u has %zu bytes, and a slot of %s %zu at "
                             "most: choose a larger segment=",
                             (unsigned long long)slot->slot, slot->partition, slot->batch.len,
                             copy->dir, copy->batch_max);
    if (!partition->copied.slots)
        partition->copied_from = slot->slot;
    int rc = etx__file_copy_slot(slot, partition);
    return rc ? etx__file_say(&words, rc, "cannot write in %s: %s", copy->dir, etx_strerror(rc))
              : 0;
}

int etx__file_successor_end(etx_log *head, int whole, char *message, size_t message_size) {
    const etx__file_words words = {message, message_size};
    etx__file_log *copy = (etx__file_log *)head;
    int rc = whole ? 0 : ETX_ECLOSED;
    for (uint32_t i = 0; !rc && i < copy->home.partitions; i++) {
        rc = etx__file_copy_partition_end(&copy->partitions[i], copy->partitions[i].copied_from);
        if (rc)
            etx__file_say(&words, rc, "cannot finish partition %u of %s", i, copy->dir);
    }
    rc = etx__file_copy_end(copy, rc, NULL, &words);
    return whole ? rc : 0;
}
