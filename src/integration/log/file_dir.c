/* The directory of a file log: which names are its own, the home file, making and clearing it. */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAGIC_TMPFS 0x01021994
#define MAGIC_RAMFS ((long)0x858458f6)

typedef enum name_kind {
    NAME_HOME,
    NAME_HOME_TMP,
    NAME_LOCK,
    NAME_COPYING,
    NAME_MOVED,
    NAME_STATE,
    NAME_LEFTOVER,
    NAME_SEGMENT,
    NAME_IGNORED,
    NAME_FOREIGN
} name_kind;

void etx__file_segment_name(char name[ETX__NAME_SIZE], uint32_t partition, uint32_t number) {
    snprintf(name, ETX__NAME_SIZE, "p%02u-%08u.seg", partition, number);
}

void etx__file_spare_name(char name[ETX__NAME_SIZE], uint32_t partition) {
    snprintf(name, ETX__NAME_SIZE, "p%02u-spare.tmp", partition);
}

/* Digits at *at, at least `width` of them; moves *at behind them. */
static int parse_digits(const char **at, int width, uint64_t *ret_value) {
    const char *start = *at;
    uint64_t value = 0;
    for (; **at >= '0' && **at <= '9' && *at - start < 12; ++*at)
        value = value * 10 + (uint64_t)(**at - '0');
    *ret_value = value;
    return *at - start >= width;
}

static name_kind parse_name(const char *name, struct etx__file_entry *ret_entry) {
    static const struct {
        const char *name;
        name_kind kind;
    } known[] = {{"home", NAME_HOME},        {"home.tmp", NAME_HOME_TMP},  {"lock", NAME_LOCK},
                 {"owner", NAME_LOCK},       {"lost+found", NAME_IGNORED}, {".", NAME_IGNORED},
                 {"..", NAME_IGNORED},       {"copying", NAME_COPYING},    {"moved", NAME_MOVED},
                 {"moved.tmp", NAME_IGNORED}};
    const char *at = name + 1;
    uint64_t partition = 0;
    uint64_t number = 0;
    char canonical[ETX__NAME_SIZE];
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i].name) == 0)
            return known[i].kind;
    }
    if (name[0] != 'p' || !parse_digits(&at, 2, &partition) || partition >= ETX__PARTITIONS_MAX)
        return NAME_FOREIGN;
    if (strcmp(at, ".state") == 0)
        return NAME_STATE;
    if (strcmp(at, ".state.tmp") == 0 || strcmp(at, "-spare.tmp") == 0)
        return NAME_LEFTOVER;
    if (*at++ != '-' || !parse_digits(&at, 8, &number) || number == 0 || number > UINT32_MAX)
        return NAME_FOREIGN;
    ret_entry->partition = (uint32_t)partition;
    ret_entry->number = (uint32_t)number;
    etx__file_segment_name(canonical, ret_entry->partition, ret_entry->number);
    return strcmp(name, canonical) == 0 ? NAME_SEGMENT : NAME_FOREIGN;
}

static int compare_entries(const void *left, const void *right) {
    const struct etx__file_entry *a = left;
    const struct etx__file_entry *b = right;
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static int list_add(const etx_allocator *allocator,
                    etx__file_list *list,
                    struct etx__file_entry entry) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        struct etx__file_entry *grown =
            allocator->allocate(allocator->user, capacity * sizeof *grown);
        if (!grown)
            return ETX_ENOMEM;
        if (list->count)
            memcpy(grown, list->entries, list->count * sizeof *grown);
        if (list->entries)
            allocator->release(allocator->user, list->entries, list->capacity * sizeof *grown);
        list->entries = grown;
        list->capacity = capacity;
    }
    list->entries[list->count++] = entry;
    return 0;
}

static int list_take(const etx_allocator *allocator, etx__file_list *list, const char *name) {
    struct etx__file_entry entry = {0};
    switch (parse_name(name, &entry)) {
        case NAME_HOME:
            list->home = 1;
            return 0;
        case NAME_HOME_TMP:
            list->home_tmp = 1;
            return 0;
        case NAME_COPYING:
            list->copying = 1;
            return 0;
        case NAME_MOVED:
            list->moved = 1;
            return 0;
        case NAME_STATE:
        case NAME_LEFTOVER:
            list->leftovers++;
            return 0;
        case NAME_SEGMENT:
            return list_add(allocator, list, entry);
        case NAME_FOREIGN:
            snprintf(list->foreign, sizeof list->foreign, "%s", name);
            return 0;
        case NAME_LOCK:
        case NAME_IGNORED:
            return 0;
    }
    return 0;
}

/* Which of our files are there. Errors: ETX_EIO, ETX_ENOMEM. */
int etx__file_list_read(int dir_fd,
                        const etx_allocator *allocator,
                        etx__file_list *ret_list,
                        const etx__file_words *words) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int rc = 0;
    *ret_list = (etx__file_list){0};
    if (!dir) {
        rc = etx__file_say(words, ETX_EIO, "cannot list the directory: %s", etx__file_why(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    for (errno = 0; !rc; errno = 0) {
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        rc = list_take(allocator, ret_list, entry->d_name);
        if (rc)
            etx__file_say(words, rc, "out of memory");
    }
    if (!rc && errno)
        rc = etx__file_say(words, ETX_EIO, "cannot list the directory: %s", strerror(errno));
    closedir(dir);
    if (rc)
        etx__file_list_free(allocator, ret_list);
    else if (ret_list->count)
        qsort(ret_list->entries, ret_list->count, sizeof ret_list->entries[0], compare_entries);
    return rc;
}

void etx__file_list_free(const etx_allocator *allocator, etx__file_list *list) {
    if (list->entries)
        allocator->release(allocator->user, list->entries,
                           list->capacity * sizeof list->entries[0]);
    *list = (etx__file_list){0};
}

/* mkdir found nothing to make it in: is there no directory above, or one that takes none? */
static int refuse_parent(const etx__file_log *log, const etx__file_words *words) {
    char above[sizeof log->dir];
    char *slash;
    struct stat found;
    snprintf(above, sizeof above, "%s", log->dir);
    slash = strrchr(above, '/');
    if (slash == above)
        slash++; /* the root */
    if (slash)
        *slash = 0;
    if (slash && !stat(above, &found))
        return etx__file_say(words, ETX_EINVALID,
                             "cannot make %s: no directory can be made in %s; name one on a disk",
                             log->dir, above);
    return etx__file_say(words, ETX_ENOTFOUND,
                         "cannot make %s: the directory above it does not exist; make it "
                         "first (mkdir -p), owned by the user that runs this",
                         log->dir);
}

int etx__file_in_memory(const etx__file_log *log) {
    struct statfs fs;
    return !fstatfs(log->dir_fd, &fs) &&
           ((long)fs.f_type == MAGIC_TMPFS || (long)fs.f_type == MAGIC_RAMFS);
}

/* A directory that was made for the log goes, as long as nobody else has put something there. */
int etx__file_refuse_in_memory(const etx__file_log *log, const etx__file_words *words) {
    if (log->dir_made)
        rmdir(log->dir);
    return etx__file_say(words, ETX_EINVALID,
                         "a log made there promises durability 'volatile' only (the directory is "
                         "on a file system in memory): name one on a disk, or allow it with "
                         "ETX_ALLOW_VOLATILE (etxd: --allow-volatile)");
}

/* Opens log->dir, making it (mode 0700) if `create` and its parent is there. */
int etx__file_dir_open(etx__file_log *log, int create, const etx__file_words *words) {
    log->dir_made = create && !mkdir(log->dir, 0700);
    if (create && !log->dir_made && errno != EEXIST && errno != ENAMETOOLONG) {
        if (errno == ENOENT)
            return refuse_parent(log, words);
        if (errno == ENOTDIR)
            return etx__file_say(words, ETX_EINVALID,
                                 "cannot make %s: what stands above it is not a directory; name "
                                 "one below a directory",
                                 log->dir);
        if (errno == EACCES || errno == EPERM || errno == EROFS)
            return etx__file_say(words, ETX_EINVALID, "cannot make %s: %s; %s", log->dir,
                                 strerror(errno),
                                 etx__file_remedy(errno,
                                                  "make it by hand, owned by the user that "
                                                  "runs this"));
        return etx__file_say(words, etx__file_error_code(errno), "cannot make %s: %s", log->dir,
                             strerror(errno));
    }
    log->dir_fd = etx__file_above_streams(open(log->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (log->dir_fd >= 0)
        return 0;
    if (errno == ENAMETOOLONG)
        return etx__file_name_long(strlen(log->dir), words);
    if (errno == ENOENT)
        return etx__file_say(words, ETX_ENOTFOUND, "there is no log at %s", log->dir);
    if (errno == ENOTDIR)
        return etx__file_say(words, ETX_EINVALID, "%s is not a directory: name %s", log->dir,
                             create ? "one, or what is not there yet: it will be made"
                                    : "the one that the log is in");
    if (errno == EACCES)
        return etx__file_say(
            words, ETX_EINVALID,
            "%s may not be read by this user: change its owner or run as its owner", log->dir);
    return etx__file_say(words, ETX_EIO, "cannot open %s: %s", log->dir, etx__file_why(errno));
}

/* Reads and checks the home file into log->home. */
int etx__file_home_read(etx__file_log *log, const etx__file_words *words) {
    uint8_t sector[ETX__SECTOR + 1];
    size_t len = 0;
    int fd = etx__file_open_at(log->dir_fd, "home", O_RDONLY);
    int error = fd < 0 ? errno : etx__file_read(fd, sector, sizeof sector, 0, &len);
    int rc;
    if (fd >= 0)
        close(fd);
    if (error)
        return etx__file_say(words, ETX_EIO, "cannot read %s/home: %s", log->dir,
                             etx__file_reason(error));
    rc = len == ETX__SECTOR ? etx__file_home_decode(sector, &log->home) : ETX_ECORRUPT;
    if (rc == ETX_EVERSION)
        return etx__file_say(words, rc,
                             "%s was made by a newer version (format %u, this knows %u): use that "
                             "version",
                             log->dir, etx__get32(sector + 8), ETX__FORMAT);
    if (rc)
        return etx__file_say(
            words, rc,
            "%s/home at byte 0 is damaged: 'etx log verify %s' shows what else is, "
            "'etx log repair' copies what is sound",
            log->dir, log->dir);
    return 0;
}

/* Writes log->home durably under `name`. */
int etx__file_home_write(etx__file_log *log, const char *name, const etx__file_words *words) {
    uint8_t sector[ETX__SECTOR];
    int fd = etx__file_open_at(log->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC);
    int error = fd < 0 ? errno : 0;
    etx__file_home_encode(sector, &log->home);
    if (!error)
        etx__file_own(log->dir_fd, fd);
    if (!error)
        error = etx__file_write(fd, sector, sizeof sector, 0);
    if (!error && fsync(fd))
        error = errno;
    if (fd >= 0)
        close(fd);
    if (!error)
        error = etx__file_sync_dir(log->dir_fd);
    if (error == EACCES || error == EPERM || error == EROFS)
        return etx__file_say(words, ETX_EINVALID, "cannot write in %s: %s; %s", log->dir,
                             strerror(error), etx__file_remedy(error, "change its owner or mode"));
    if (error)
        return etx__file_say(words, etx__file_error_code(error), "cannot write %s/%s: %s", log->dir,
                             name, etx__file_why(error));
    return 0;
}

/* Removes what a making that was interrupted has left: every file of ours but those
 * that must go last: home.tmp and copying, and lock and owner. */
int etx__file_dir_clear(etx__file_log *log, const etx__file_words *words) {
    int fd = openat(log->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int rc = 0;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return etx__file_say(words, ETX_EIO, "cannot list %s", log->dir);
    }
    while (!rc && (entry = readdir(dir)) != NULL) {
        struct etx__file_entry unused;
        name_kind kind = parse_name(entry->d_name, &unused);
        if (kind == NAME_FOREIGN || kind == NAME_IGNORED || kind == NAME_LOCK ||
            kind == NAME_HOME_TMP || kind == NAME_COPYING)
            continue;
        if (unlinkat(log->dir_fd, entry->d_name, 0) && errno != ENOENT)
            rc = etx__file_say(words, ETX_EIO, "cannot remove %s/%s: %s", log->dir, entry->d_name,
                               strerror(errno));
    }
    closedir(dir);
    return rc;
}

/* Was nothing ever put into this segment? A making that was interrupted has only such ones. 0 or
 * an errno: what cannot be read is neither. */
static int segment_unused(const etx__file_log *log,
                          const struct etx__file_entry *entry,
                          int *ret_unused) {
    char name[ETX__NAME_SIZE];
    uint8_t sector[ETX__SECTOR] = {0};
    size_t len = 0;
    int error;
    int fd;
    etx__file_segment_name(name, entry->partition, entry->number);
    fd = etx__file_open_at(log->dir_fd, name, O_RDONLY);
    if (fd < 0)
        return errno;
    error = etx__file_read(fd, sector, sizeof sector, ETX__BLOCK, &len);
    *ret_unused = 1;
    for (size_t i = 0; *ret_unused && i < len; i++)
        *ret_unused = sector[i] == 0;
    close(fd);
    return error;
}

/* Refuses a directory whose files are not one log, or not all of it. Without `home` nothing but a
 * making that was interrupted is accepted, which is made anew; whether it is one may be unknown
 * (ETX_EIO), which is no damage. */
int etx__file_dir_judge(etx__file_log *log, const etx__file_list *list, etx__file_fault *fault) {
    int made = list->home || (!list->count && !list->leftovers) || list->home_tmp;
    if (list->foreign[0])
        return etx__file_fault_set(fault, ETX_EINVALID, "", 0, 0,
                                   "it holds a file that is not the log's: '%.80s'; move it "
                                   "away, or give the log a directory of its own",
                                   list->foreign);
    if (list->copying)
        return etx__file_fault_set(fault, ETX_ECORRUPT, "copying", 0, 0,
                                   "an unfinished copy: delete it and repeat");
    for (size_t i = 0; made && !list->home && i < list->count; i++) {
        const struct etx__file_entry *entry = &list->entries[i];
        int error = segment_unused(log, entry, &made);
        char name[ETX__NAME_SIZE];
        etx__file_segment_name(name, entry->partition, entry->number);
        if (error)
            return etx__file_fault_set(fault, etx__file_error_code(error), name, 0, 0,
                                       "cannot read %s: %s", name, etx__file_reason(error));
        if (!made)
            return etx__file_fault_set(fault, ETX_ECORRUPT, name, ETX__BLOCK, 0,
                                       "something was put here, and home is missing");
    }
    if (!made)
        return etx__file_fault_set(fault, ETX_ECORRUPT, "home", 0, 0,
                                   "home is missing, but there are other files of a log: put it "
                                   "back from a backup, or see 'etx log repair'");
    return 0;
}

/* Says, durably and before anything else is written, that the directory is an unfinished copy. */
int etx__file_mark_copy(etx__file_log *log, const etx__file_words *words) {
    int fd = etx__file_open_at(log->dir_fd, "copying", O_WRONLY | O_CREAT);
    int error = fd < 0 || fsync(fd) ? errno : etx__file_sync_dir(log->dir_fd);
    if (fd >= 0)
        etx__file_own(log->dir_fd, fd);
    if (fd >= 0)
        close(fd);
    return error ? etx__file_say(words, etx__file_error_code(error), "cannot write in %s: %s",
                                 log->dir, strerror(error))
                 : 0;
}

/* 0 or an errno. */
int etx__file_unmark_copy(etx__file_log *log) {
    if (unlinkat(log->dir_fd, "copying", 0))
        return errno;
    return etx__file_sync_dir(log->dir_fd);
}

/* A fresh home id: its class, then six characters of Crockford's base 32. */
int etx__file_id_draw(char first, char ret_id[ETX_HOME_ID_LEN + 1]) {
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint8_t random[ETX_HOME_ID_LEN - 1];
    if (etx__file_random(random, sizeof random))
        return ETX_EIO;
    ret_id[0] = first;
    for (int i = 1; i < ETX_HOME_ID_LEN; i++)
        ret_id[i] = digits[random[i - 1] % 32];
    ret_id[ETX_HOME_ID_LEN] = 0;
    return 0;
}
