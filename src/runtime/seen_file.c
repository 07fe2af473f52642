/* The files of a state directory. */
#include "seen_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* DIR/ID.state is text, one fact a line, and ends with a line that sums up all before it:
 *
 *     etx-state 1
 *     home ID
 *     url URL
 *     store what the adapter told of it
 *     written MS
 *     partitions N
 *     PARTITION SLOT CHECKSUM ACCEPTED_MS     for each of which something is remembered
 *     sum CRC-32C of the bytes before this line
 *
 * A new one is written beside it, synced, and renamed: a crash leaves the old one or the new one.
 * What is not whole is told by its name and counts as absent: who knows less sees less. */

enum { VERSION = 1, FILE_MAX = 8 << 20, PARTITIONS_MAX = UINT16_MAX };

static int say(int rc, char *message, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int say(int rc, char *message, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(message, size, format, args);
    va_end(args);
    return rc;
}

static int path_of(char path[4096], const char *dir, const char *home, const char *ending) {
    int len = snprintf(path, 4096, "%s/%s.state%s", dir, home, ending);
    return len > 0 && len < 4096;
}

/* ---- the lock */

int etx__seen_dir_take(const char *dir, int *ret_fd, char *message, size_t size) {
    int made = mkdir(dir, 0700) == 0 || errno == EEXIST;
    int fd = made ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0 || faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) != 0) {
        int why = errno;
        if (fd >= 0) {
            close(fd);
        }
        return say(ETX_EIO, message, size, "the state directory %s cannot be %s: %s", dir,
                   made ? "written to" : "made", strerror(why));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return say(ETX_EBUSY, message, size,
                   "the state directory %s is in use by another node, or by a child that it left "
                   "behind: give each node one of its own",
                   dir);
    }
    *ret_fd = fd;
    return 0;
}

/* ---- writing */

static size_t print(const etx_seen *state, char *text, size_t size) {
    size_t len = (size_t)snprintf(text, size,
                                  "etx-state %d\nhome %s\nurl %s\nstore %s\nwritten %llu\n"
                                  "partitions %u\n",
                                  VERSION, state->home, state->url, state->identity,
                                  (unsigned long long)state->written_ms, state->partitions);
    for (uint32_t i = 0; i < state->partitions; i++) {
        const etx_seen_mark *mark = &state->mark[i];
        if (mark->known) {
            len += (size_t)snprintf(text + len, size - len, "%u %llu %08x %llu\n", i,
                                    (unsigned long long)mark->slot, mark->checksum,
                                    (unsigned long long)mark->accepted_ms);
        }
    }
    return len + (size_t)snprintf(text + len, size - len, "sum %08x\n", etx_crc32c(0, text, len));
}

static int write_all(int fd, const char *text, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t one = write(fd, text + done, len - done);
        if (one < 0 && errno != EINTR) {
            return -1;
        }
        done += one > 0 ? (size_t)one : 0;
    }
    return fsync(fd);
}

static int sync_dir(const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0) {
        close(fd); /* the lock stays: it is of another descriptor */
    }
    return rc;
}

static int replace(const char *dir, const char *home, const char *text, size_t len) {
    char path[4096];
    char fresh[4096];
    if (!path_of(path, dir, home, "") || !path_of(fresh, dir, home, ".new")) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -1;
    }
    int rc = write_all(fd, text, len);
    int why = errno;
    close(fd);
    errno = why;
    return rc != 0 || rename(fresh, path) != 0 ? -1 : sync_dir(dir);
}

int etx__seen_write(const etx_allocator *allocator,
                    const char *dir,
                    const etx_seen *state,
                    char *message,
                    size_t size) {
    size_t room = 1024 + (size_t)state->partitions * 64;
    char *text = allocator->allocate(allocator->user, room);
    if (text == NULL) {
        return say(ETX_ENOMEM, message, size, "no memory for the state of home %s", state->home);
    }
    int rc = replace(dir, state->home, text, print(state, text, room));
    int why = errno;
    allocator->release(allocator->user, text, room);
    return rc == 0 ? 0
                   : say(ETX_EIO, message, size, "%s/%s.state cannot be written: %s", dir,
                         state->home, strerror(why));
}

/* ---- reading */

/* What is left of the text, which ends with NUL. */
typedef struct reader {
    char *at;
    int bad;
} reader;

/* The next line without its end, or "". */
static char *line_of(reader *from) {
    char *line = from->at;
    char *end = strchr(line, '\n');
    if (end == NULL) {
        from->bad = 1;
        return from->at + strlen(from->at);
    }
    *end = 0;
    from->at = end + 1;
    return line;
}

/* What follows the word in the next line. */
static const char *fact(reader *from, const char *word) {
    const char *line = line_of(from);
    size_t len = strlen(word);
    if (strncmp(line, word, len) != 0 || line[len] != ' ') {
        from->bad = 1;
        return "";
    }
    return line + len + 1;
}

static void text_fact(reader *from, const char *word, char *to, size_t size) {
    const char *text = fact(from, word);
    from->bad |= strlen(text) >= size;
    snprintf(to, size, "%s", text);
}

static uint64_t number_at(reader *from, const char **at, int base) {
    char *end = NULL;
    errno = 0;
    uint64_t number = strtoull(*at, &end, base);
    from->bad |= errno != 0 || end == *at || (*end != 0 && *end != ' ');
    *at = *end == ' ' ? end + 1 : end;
    return number;
}

static uint64_t number_fact(reader *from, const char *word) {
    const char *text = fact(from, word);
    return number_at(from, &text, 10);
}

static void read_mark(reader *from, etx_seen *state) {
    const char *line = line_of(from);
    uint64_t partition = number_at(from, &line, 10);
    uint64_t slot = number_at(from, &line, 10);
    uint64_t checksum = number_at(from, &line, 16);
    uint64_t accepted_ms = number_at(from, &line, 10);
    if (from->bad || partition >= state->partitions || checksum > UINT32_MAX) {
        from->bad = 1;
        return;
    }
    state->mark[partition] = (etx_seen_mark){slot, accepted_ms, (uint32_t)checksum, 1};
}

/* The text before the line with the sum, if that is right; else NULL. */
static char *sum_up(char *text, size_t len) {
    enum { SUM_LEN = sizeof "sum 01234567" };
    char sum[SUM_LEN + 1];
    if (strlen(text) != len || len <= SUM_LEN) {
        return NULL;
    }
    char *last = text + len - SUM_LEN;
    snprintf(sum, sizeof sum, "sum %08x\n", etx_crc32c(0, text, len - SUM_LEN));
    if (last[-1] != '\n' || strcmp(last, sum) != 0) {
        return NULL;
    }
    *last = 0;
    return text;
}

static int parse(char *text,
                 size_t len,
                 const char *path,
                 etx_seen *state,
                 char *message,
                 size_t size) {
    reader from = {.at = text};
    unsigned version = 0;
    if (sscanf(text, "etx-state %u\n", &version) == 1 && version > VERSION) {
        return say(ETX_EVERSION, message, size, "%s was written by a newer version", path);
    }
    from.bad = sum_up(text, len) == NULL || number_fact(&from, "etx-state") != VERSION;
    text_fact(&from, "home", state->home, sizeof state->home);
    text_fact(&from, "url", state->url, sizeof state->url);
    text_fact(&from, "store", state->identity, sizeof state->identity);
    state->written_ms = number_fact(&from, "written");
    uint64_t partitions = number_fact(&from, "partitions");
    if (from.bad || partitions == 0 || partitions > PARTITIONS_MAX) {
        return say(ETX_ECORRUPT, message, size,
                   "%s is damaged: what it remembered counts as unknown", path);
    }
    state->mark = calloc(partitions, sizeof *state->mark);
    if (state->mark == NULL) {
        return say(ETX_ENOMEM, message, size, "no memory for %s", path);
    }
    state->partitions = (uint32_t)partitions;
    while (*from.at != 0 && !from.bad) {
        read_mark(&from, state);
    }
    if (from.bad) {
        etx_seen_free(state);
        return say(ETX_ECORRUPT, message, size,
                   "%s is damaged: what it remembered counts as unknown", path);
    }
    return 0;
}

/* The whole file, with a NUL behind it. */
static int slurp(const char *path, char **ret_text, size_t *ret_len) {
    struct stat found;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ETX_ENOTFOUND : ETX_EIO;
    }
    int rc =
        fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size > FILE_MAX ? ETX_EIO : 0;
    size_t len = 0;
    char *text = rc == 0 ? malloc((size_t)found.st_size + 1) : NULL;
    rc = rc == 0 && text == NULL ? ETX_ENOMEM : rc;
    while (rc == 0 && len < (size_t)found.st_size) {
        ssize_t one = read(fd, text + len, (size_t)found.st_size - len);
        if (one == 0) {
            break;
        }
        rc = one < 0 && errno != EINTR ? ETX_EIO : 0;
        len += one > 0 ? (size_t)one : 0;
    }
    close(fd);
    if (rc != 0) {
        free(text);
        return rc;
    }
    text[len] = 0;
    *ret_text = text;
    *ret_len = len;
    return 0;
}

static int read_path(const char *path, etx_seen *ret_state, char *message, size_t size) {
    char *text = NULL;
    size_t len = 0;
    *ret_state = (etx_seen){.size = sizeof *ret_state};
    int rc = slurp(path, &text, &len);
    if (rc != 0) {
        return say(rc, message, size, "%s cannot be read: %s", path,
                   rc == ETX_ENOMEM ? "no memory" : strerror(errno));
    }
    rc = parse(text, len, path, ret_state, message, size);
    free(text);
    return rc;
}

int etx_seen_read(const char *dir,
                  const char *home,
                  etx_seen *ret_state,
                  char *message,
                  size_t message_size) {
    char path[4096];
    if (dir == NULL || home == NULL || ret_state == NULL) {
        return say(ETX_EINVALID, message, message_size, "dir, home or ret_state is NULL");
    }
    if (!path_of(path, dir, home, "")) {
        return say(ETX_EINVALID, message, message_size, "the name of the directory is too long");
    }
    int rc = read_path(path, ret_state, message, message_size);
    if (rc == 0 && strcmp(ret_state->home, home) != 0) {
        etx_seen_free(ret_state);
        return say(ETX_ECORRUPT, message, message_size,
                   "%s is of another home: what it remembered counts as unknown", path);
    }
    return rc;
}

void etx_seen_free(etx_seen *state) {
    if (state == NULL) {
        return;
    }
    free(state->mark);
    state->mark = NULL;
    state->partitions = 0;
}

int etx__seen_find(const char *dir,
                   const char *url,
                   etx_seen *ret_state,
                   char *message,
                   size_t size) {
    DIR *all = opendir(dir);
    int rc = ETX_ENOTFOUND;
    if (all == NULL) {
        return say(ETX_EIO, message, size, "%s cannot be read: %s", dir, strerror(errno));
    }
    for (struct dirent *each = readdir(all); each != NULL && rc != 0; each = readdir(all)) {
        char home[ETX_HOME_ID_LEN + 1];
        if (strlen(each->d_name) != ETX_HOME_ID_LEN + strlen(".state") ||
            strcmp(each->d_name + ETX_HOME_ID_LEN, ".state") != 0) {
            continue;
        }
        memcpy(home, each->d_name, ETX_HOME_ID_LEN);
        home[ETX_HOME_ID_LEN] = 0;
        if (etx_seen_read(dir, home, ret_state, message, size) == 0) {
            rc = strcmp(ret_state->url, url) == 0 ? 0 : ETX_ENOTFOUND;
            if (rc != 0) {
                etx_seen_free(ret_state);
            }
        }
    }
    closedir(all);
    return rc;
}
