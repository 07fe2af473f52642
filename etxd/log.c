/* Log lines, and how they are written. */
#include "log.h"

#include <limits.h>
#include <string.h>
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

static void write_bytes(const etxd_log *log, const char *bytes, size_t len) {
    if (write(log->fd, bytes, len) < 0) {
        /* There is nobody left to tell. */
    }
}

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
