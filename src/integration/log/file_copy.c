/* Copies of a file log: the target, written slot by slot, and the backup of a log that may be in
 * use.
 *
 * A copy is a log of its own, with the same partitions and segment size. Its groups are encoded
 * anew (they carry the home id) and synced segment by segment. Its `home` gets its name when all
 * is durable. A file `copying` is there from the first to the last step: a copy that was
 * interrupted is refused by whoever opens it. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKUP_ATTEMPTS 10

static int dest_check(const char *dest, const etx__file_words *words) {
    etx_allocator allocator = etx__file_allocator(NULL);
    etx__file_list list;
    int fd = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return etx__file_say(words, ETX_EINVALID, "cannot open %s: %s", dest, strerror(errno));
    rc = etx__file_list_read(fd, &allocator, &list, words);
    close(fd);
    if (rc)
        return rc;
    if (list.copying)
        rc =
            etx__file_say(words, ETX_EBUSY, "%s is an unfinished copy: delete it and repeat", dest);
    else if (list.home || list.home_tmp || list.count || list.leftovers || list.foreign[0])
        rc = etx__file_say(words, ETX_EBUSY, "%s is not empty: name a new directory", dest);
    etx__file_list_free(&allocator, &list);
    return rc;
}

/* The directory that holds `dest`, or `dest` itself if it is there. */
static int dest_open(const char *dest) {
    char parent[4096];
    size_t len = strlen(dest);
    int fd = open(dest, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    while (len && dest[len - 1] == '/')
        len--;
    while (len && dest[len - 1] != '/')
        len--;
    snprintf(parent, sizeof parent, "%.*s", len ? (int)len : 1, len ? dest : ".");
    return open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Is `dest` the source or a directory in it, by whatever path? Goes up from it to the root. */
static int dest_inside(const etx__file_log *source, const char *dest) {
    struct stat wanted;
    struct stat found;
    struct stat below = {0};
    int inside = 0;
    int fd;
    if (fstat(source->dir_fd, &wanted))
        return 0;
    fd = dest_open(dest);
    while (fd >= 0 && !inside && !fstat(fd, &found) &&
           (found.st_ino != below.st_ino || found.st_dev != below.st_dev)) {
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        inside = found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino;
        below = found;
        close(fd);
        fd = up;
    }
    if (fd >= 0)
        close(fd);
    return inside;
}

int etx__file_copy_begin(const etx__file_log *source,
                         const char *dest,
                         int same_id,
                         etx__file_log **ret_copy,
                         const etx__file_words *words) {
    const etx_log_config config = {
        .size = sizeof config, .message = words->text, .message_size = words->size};
    etx__file_url url = {.partitions = source->home.partitions,
                         .segment_size = source->home.segment_size,
                         .direct = 0,
                         .copy = 1,
                         .look = !same_id || source->home.look};
    if (!dest || !*dest)
        return etx__file_say(words, ETX_EINVALID, "name the directory to copy to");
    if (strlen(dest) >= sizeof url.dir)
        return etx__file_name_long(strlen(dest), words);
    memcpy(url.dir, dest, strlen(dest) + 1);
    if (dest_inside(source, dest))
        return etx__file_say(words, ETX_EINVALID,
                             "%s lies in the log's own directory %s: name a directory elsewhere",
                             dest, source->dir);
    int rc = dest_check(dest, words);
    return rc ? rc : etx__file_open(&config, &url, same_id ? source->home.id : NULL, ret_copy);
}

/* Takes a slot of the source; `user` is the copy's partition. */
int etx__file_copy_slot(const etx_slot *slot, void *user) {
    etx__file_partition *copy = user;
    etx_put put = {.size = sizeof put,
                   .partition = slot->partition,
                   .predecessor = slot->predecessor,
                   .slot = slot->slot,
                   .nonce = slot->nonce,
                   .batch = slot->batch,
                   .checksum = slot->checksum};
    if (etx__file_append(copy, &put) != ETX_PUT_WRITTEN)
        return put.error;
    etx__file_tally_add(&copy->copied, slot);
    return 0;
}

/* Makes durable what was copied of a partition, and the mark that its source has. */
int etx__file_copy_partition_end(etx__file_partition *copy, uint64_t mark) {
    uint32_t flags = ETX__STATE_CLEAN;
    if (!copy->current->begun && mark) {
        flags |= ETX__STATE_EMPTY;
        copy->next = mark;
    }
    if (fdatasync(copy->current->fd) || etx__file_settle(copy, mark, flags))
        return ETX_EIO;
    return 0;
}

/* As verify would find it. */
static int report_make(const etx__file_log *copy,
                       etx_file_report *report,
                       const etx__file_words *words) {
    etx__file_list list;
    int rc = etx__file_list_read(copy->dir_fd, &copy->allocator, &list, words);
    if (rc)
        return rc;
    *report = (etx_file_report){.size = sizeof *report,
                                .partitions = copy->home.partitions,
                                .segments = list.count,
                                .clean = 1};
    etx__file_list_free(&copy->allocator, &list);
    for (uint32_t i = 0; i < copy->home.partitions; i++) {
        report->slots += copy->partitions[i].copied.slots;
        report->bytes += copy->partitions[i].copied.bytes;
    }
    return 0;
}

/* Gives the copy its name, or removes it if `rc` says that it failed. */
int etx__file_copy_end(etx__file_log *copy,
                       int rc,
                       etx_file_report *report,
                       const etx__file_words *words) {
    etx__file_helper_stop(copy);
    if (!rc && report)
        rc = report_make(copy, report, words);
    if (!rc && (renameat(copy->dir_fd, "home.tmp", copy->dir_fd, "home") ||
                etx__file_sync_dir(copy->dir_fd)))
        rc = etx__file_say(words, ETX_EIO, "cannot finish the copy: %s", strerror(errno));
    if (!rc && etx__file_unmark_copy(copy))
        rc = etx__file_say(words, ETX_EIO, "cannot finish the copy: %s", strerror(errno));
    if (rc && !etx__file_dir_clear(copy, NULL)) {
        unlinkat(copy->dir_fd, "home.tmp", 0);
        etx__file_unmark_copy(copy);
    }
    etx__file_lock_drop(copy);
    if (rc) {
        unlinkat(copy->dir_fd, "lock", 0);
        unlinkat(copy->dir_fd, "owner", 0);
    }
    etx__file_free(copy);
    return rc;
}

static int source_open(const char *dir, etx__file_log **ret_log, const etx__file_words *words) {
    const etx_log_config config = {.size = sizeof config,
                                   .flags = ETX_LOG_READ_ONLY,
                                   .message = words->text,
                                   .message_size = words->size};
    etx__file_url url = {.direct = 0};
    if (!dir || !*dir)
        return etx__file_say(words, ETX_EINVALID, "name the directory of a log");
    if (strlen(dir) >= sizeof url.dir)
        return etx__file_name_long(strlen(dir), words);
    memcpy(url.dir, dir, strlen(dir) + 1);
    return etx__file_open(&config, &url, NULL, ret_log);
}

/* One partition. ETX_EUNAVAILABLE: it was trimmed meanwhile, begin again. */
static int partition_backup(etx__file_log *source,
                            etx__file_log *copy,
                            uint32_t number,
                            const etx__file_words *words) {
    etx__file_partition *from = &source->partitions[number];
    etx__file_partition *to = &copy->partitions[number];
    uint64_t mark = 0;
    int rc = etx_log_file()->get(&source->head, number, 0, etx__file_copy_slot, to, &mark,
                                 words->text, words->size);
    if (!rc)
        rc = etx__file_copy_partition_end(to, from->state.mark);
    if (rc == ETX_EIO || rc == ETX_EFULL)
        etx__file_say(words, rc, "cannot copy partition %u to %s: %s", number, copy->dir,
                      etx_error_name(rc));
    return rc;
}

int etx_log_file_backup(const char *dir,
                        const char *dest,
                        int same_id,
                        etx_file_report *ret_report,
                        char *message,
                        size_t message_size) {
    const etx__file_words words = {message, message_size};
    etx_file_report report = {.size = sizeof report};
    int rc = etx__file_room_check(ret_report, "etx_file_report", &words);
    if (rc)
        return rc;
    rc = ETX_EUNAVAILABLE;
    for (int i = 0; i < BACKUP_ATTEMPTS && rc == ETX_EUNAVAILABLE; i++) {
        etx__file_log *source = NULL;
        etx__file_log *copy = NULL;
        rc = source_open(dir, &source, &words);
        if (rc)
            return rc;
        rc = etx__file_copy_begin(source, dest, same_id, &copy, &words);
        for (uint32_t p = 0; !rc && p < source->home.partitions; p++)
            rc = partition_backup(source, copy, p, &words);
        if (copy)
            rc = etx__file_copy_end(copy, rc, ret_report ? &report : NULL, &words);
        etx__file_close(source, 0);
    }
    if (!rc)
        etx__file_give(ret_report, &report, sizeof report);
    return rc == ETX_EUNAVAILABLE
               ? etx__file_say(&words, ETX_EBUSY,
                               "%s is trimmed faster than it can be copied: try again later", dir)
               : rc;
}
