/* What a log was given, and what of it was acknowledged, at every moment of a run: the judge of its
 * crash images. */
#ifndef ETX_TESTS_CRASH_HISTORY_H
#define ETX_TESTS_CRASH_HISTORY_H

#include <etx/log.h>

#define HISTORY_PARTITIONS 2

/* What holds from here on, of each partition. */
typedef struct history_point {
    uint8_t made; /* the log was opened at least once: from then on it is there */
    struct {
        uint64_t acknowledged; /* slots below are there */
        uint64_t issued;       /* slots from here on are not */
        uint64_t mark_least;   /* the trim mark is between these two */
        uint64_t mark_most;
    } of[HISTORY_PARTITIONS];
} history_point;

/* A slot was issued with this content. */
typedef struct history_slot {
    uint32_t partition;
    uint32_t checksum;
    uint64_t slot;
    uint64_t since; /* the number of the first point for which it holds */
} history_slot;

typedef struct history {
    history_point *points;
    size_t count;
    size_t capacity;
    history_slot *slots;
    size_t slot_count;
    size_t slot_capacity;
} history;

void history_free(history *done);
/* Adds a point, the same as the last one, to be changed; gives its number. */
history_point *history_add(history *on);
/* The next slot is issued: adds a point. */
void history_issue(history *on, const etx_put *put);
/* The content of a slot as of a point. 0: it never had one. */
int history_find(const history *on,
                 uint64_t point,
                 uint32_t partition,
                 uint64_t slot,
                 uint32_t *ret_checksum);

/* A reading of a partition of an open log. What is wrong is put into words; "" if all is well. */
typedef struct history_reading {
    const history *on;
    uint64_t point;
    uint32_t partition;
    uint64_t own; /* slots from here on were put by the reader: not judged; UINT64_MAX: none */
    uint64_t mark;
    uint64_t next; /* the slot behind the last */
    uint32_t checksum;
    uint64_t found;
    int rc;
    char wrong[400];
} history_reading;
void history_read(history_reading *reading,
                  const history *on,
                  uint64_t point,
                  etx_log *log,
                  uint32_t partition);
/* Reads again what was read before, and maybe a slot that was put since. */
void history_read_again(history_reading *reading, const history_reading *before, etx_log *log);

#endif
