/* Log lines: text for a terminal, JSON for machines. */
#ifndef ETXD_LOG_H
#define ETXD_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

typedef enum etxd_level { ETXD_ERROR, ETXD_WARNING, ETXD_INFO, ETXD_DEBUG } etxd_level;

typedef struct etxd_log {
    int fd;
    int waits; /* to write to it may wait: it is asked first */
    int json;
    int color;
    _Atomic int level;
    pthread_mutex_t lock;  /* of writing, and of what follows */
    _Atomic uint64_t lost; /* lines, ever; read without the lock */
    uint64_t told;         /* of these, in the log */
    int cut;               /* what was written last is half a line */
} etxd_log;

/* What a line says beside its message. `text` NULL: `number` is meant. Empty texts are left out. */
typedef struct etxd_field {
    const char *name;
    const char *text;
    uint64_t number;
} etxd_field;

/* Where lines go: if that may wait, by a descriptor of our own that does not. The other members are
 * the caller's. */
void etxd_log_open(etxd_log *log, int fd);
/* The level of a word of --log-level. */
etxd_level etxd_log_level(const char *word);
/* Is a line of that level written? Any thread. */
int etxd_log_wants(const etxd_log *log, etxd_level level);
/* Nobody waits for who reads the log: what he does not take at once is lost, and counted; the next
 * line that can be written is preceded by one that says how many were. Any thread. */
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
