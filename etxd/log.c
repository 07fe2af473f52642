/* Log lines, and how they are written. */
#include "log.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"error", "warning", "info", "debug"};

etxd_level etxd_log_level(const char *word) {
    int level;
    for (level = ETXD_ERROR; level < ETXD_DEBUG; level++) {
        if (strcmp(word, names[level]) == 0) {
            break;
        }
    }
    return (etxd_level)level;
}

static void put_json(etxd_text *line, etxd_level level, const char *message) {
    char moment[ETXD_MOMENT_MAX];
    etxd_text_put(line, "{");
    etxd_text_member(line, "time", etxd_moment(etxd_now_ms(), moment));
    etxd_text_member(line, "level", names[level]);
    etxd_text_member(line, "message", message);
}

static void put_text(etxd_text *line, const etxd_log *log, etxd_level level, const char *message) {
    static const char *const colors[] = {"\033[31m", "\033[33m", "", "\033[2m"};
    char moment[ETXD_MOMENT_MAX];
    etxd_moment(etxd_now_ms(), moment);
    etxd_text_print(line, "%s %s%-7s%s %s", moment, log->color ? colors[level] : "", names[level],
                    log->color ? "\033[0m" : "", message);
}

/* A value as it is if it is one plain word, else as JSON has it. */
static void put_word(etxd_text *line, const char *word) {
    const char *at = word;
    while (*at > ' ' && *at < 0x7f && *at != '"') {
        at++;
    }
    if (*at == '\0') {
        etxd_text_put(line, word);
    } else {
        etxd_text_json(line, word, strlen(word));
    }
}

static void put_field(etxd_text *line, int json, const etxd_field *field) {
    if (json && field->text != NULL) {
        etxd_text_member(line, field->name, field->text);
    } else if (json) {
        etxd_text_member_number(line, field->name, field->number);
    } else {
        etxd_text_print(line, " %s=", field->name);
        if (field->text != NULL) {
            put_word(line, field->text);
        } else {
            etxd_text_number(line, field->number);
        }
    }
}

int etxd_log_wants(const etxd_log *log, etxd_level level) {
    return (int)level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

static void put_line(etxd_text *line,
                     const etxd_log *log,
                     etxd_level level,
                     const char *message,
                     const etxd_field *fields,
                     size_t count) {
    size_t i;
    if (log->json) {
        put_json(line, level, message);
    } else {
        put_text(line, log, level, message);
    }
    for (i = 0; i < count; i++) {
        if (fields[i].text == NULL || fields[i].text[0] != '\0') {
            put_field(line, log->json, &fields[i]);
        }
    }
    etxd_text_put(line, log->json ? "}\n" : "\n");
}

/* ---- writing, without waiting for who reads */

/* A pipe that says it can be written takes PIPE_BUF bytes at once, unless another process was
 * quicker; a terminal may wait all the same. Neither does where the descriptor is one of our own
 * that does not wait: the flag of the given one belongs to all who share it. */
void etxd_log_open(etxd_log *log, int fd) {
    struct stat found;
    char path[32];
    int own = -1;
    (void)pthread_mutex_init(&log->lock, NULL);
    log->waits = (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
    if (log->waits && fstat(fd, &found) == 0 && (S_ISFIFO(found.st_mode) || isatty(fd))) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        log->waits = own < 0;
    }
    log->fd = own >= 0 ? own : fd;
}

static int can_write(const etxd_log *log) {
    struct pollfd ready = {log->fd, POLLOUT, 0};
    return !log->waits || poll(&ready, 1, 0) > 0;
}

/* How many bytes were taken at once. */
static size_t write_now(const etxd_log *log, const char *bytes, size_t len) {
    size_t done = 0;
    while (done < len) {
        size_t most = len - done < PIPE_BUF ? len - done : PIPE_BUF;
        ssize_t taken = can_write(log) ? write(log->fd, bytes + done, most) : -1;
        if (taken <= 0) {
            break;
        }
        done += (size_t)taken;
    }
    return done;
}

/* Says how many lines were lost since that was said last. 0, or -1: it cannot be said yet. */
static int tell_lost(etxd_log *log) {
    uint64_t lost = atomic_load(&log->lost);
    const etxd_field field = {"count", NULL, lost - log->told};
    etxd_text line = {0};
    size_t done = 0;
    int whole;
    etxd_text_put(&line, log->cut ? "\n" : "");
    put_line(&line, log, ETXD_WARNING, "lines of the log were lost: nobody took them", &field, 1);
    if (!line.failed) {
        done = write_now(log, line.bytes, line.len);
    }
    whole = !line.failed && done == line.len;
    if (done > 0) {
        log->cut = !whole;
    }
    if (whole) {
        log->told = lost;
    }
    etxd_text_free(&line);
    return whole ? 0 : -1;
}

static void write_bytes(etxd_log *log, const char *bytes, size_t len) {
    size_t done = 0, i;
    uint64_t lost = 0;
    pthread_mutex_lock(&log->lock);
    if (atomic_load(&log->lost) == log->told || tell_lost(log) == 0) {
        done = write_now(log, bytes, len);
        log->cut = done > 0 && bytes[done - 1] != '\n';
    }
    for (i = done; i < len; i++) {
        lost += bytes[i] == '\n';
    }
    atomic_fetch_add(&log->lost, lost);
    pthread_mutex_unlock(&log->lock);
}

/* ---- lines */

void etxd_log_line(etxd_log *log,
                   etxd_level level,
                   const char *message,
                   const etxd_field *fields,
                   size_t count) {
    etxd_text line = {0};
    if (!etxd_log_wants(log, level)) {
        return;
    }
    put_line(&line, log, level, message, fields, count);
    if (!line.failed) {
        write_bytes(log, line.bytes, line.len);
    }
    etxd_text_free(&line);
}

void etxd_log_keep(etxd_log *log,
                   etxd_text *lines,
                   etxd_level level,
                   const char *message,
                   const etxd_field *fields,
                   size_t count) {
    size_t before = lines->len;
    if (!etxd_log_wants(log, level)) {
        return;
    }
    put_line(lines, log, level, message, fields, count);
    if (lines->failed) {
        lines->len = before;
        etxd_log_write(log, lines);
        etxd_text_free(lines);
    } else if (lines->len > PIPE_BUF && before > 0) {
        write_bytes(log, lines->bytes, before);
        lines->len -= before;
        memmove(lines->bytes, lines->bytes + before, lines->len);
    }
}

void etxd_log_write(etxd_log *log, etxd_text *lines) {
    if (lines->len > 0) {
        write_bytes(log, lines->bytes, lines->len);
        lines->len = 0;
    }
}

void etxd_log_say(etxd_log *log,
                  etxd_level level,
                  const char *message,
                  const char *name,
                  const char *text) {
    const etxd_field field = {name, text != NULL ? text : "", 0};
    etxd_log_line(log, level, message, &field, name != NULL);
}
