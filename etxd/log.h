/* Log lines: text for a terminal, JSON for machines. */
#ifndef ETXD_LOG_H
#define ETXD_LOG_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

typedef enum etxd_level { ETXD_ERROR, ETXD_WARNING, ETXD_INFO, ETXD_DEBUG } etxd_level;

typedef struct etxd_log {
    int fd;
    int json;
    int color;
    _Atomic int level;
} etxd_log;

/* What a line says beside its message. `text` NULL: `number` is meant. Empty texts are left out. */
typedef struct etxd_field {
    const char *name;
    const char *text;
    uint64_t number;
} etxd_field;

/* The level of a word of --log-level. */
etxd_level etxd_log_level(const char *word);
/* Is a line of that level written? Any thread. */
int etxd_log_wants(const etxd_log *log, etxd_level level);
/* Any thread. */
void etxd_log_line(etxd_log *log,
                   etxd_level level,
                   const char *message,
                   const etxd_field *fields,
                   size_t count);
/* Lines that are written together: as many as a pipe takes in one piece. Appends one, after which
 * `lines` may be written; a lack of memory loses it. Of one thread. */
void etxd_log_keep(etxd_log *log,
                   etxd_text *lines,
                   etxd_level level,
                   const char *message,
                   const etxd_field *fields,
                   size_t count);
/* Writes what was kept. */
void etxd_log_write(etxd_log *log, etxd_text *lines);
/* A line with one field, or none if `name` is NULL. Any thread. */
void etxd_log_say(etxd_log *log,
                  etxd_level level,
                  const char *message,
                  const char *name,
                  const char *text);

#endif
