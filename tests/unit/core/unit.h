/* What the tests of the core share: cmocka's headers and a world of their own. */
#ifndef UNIT_CORE_UNIT_H
#define UNIT_CORE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

/* Story commands, one a line; what they bring is thrown away, what must always hold is checked. */
static inline void say(world **w, const char *text) {
    char *lines = strdup(text);
    char *rest = lines;
    FILE *nowhere = fopen("/dev/null", "w");
    assert_non_null(nowhere);
    if (*w != NULL) {
        (*w)->trace = nowhere;
    }
    for (char *line = strtok_r(lines, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (story_do(w, line, nowhere) != 0) {
            fail_msg("not understood: %s", line);
        }
    }
    assert_int_equal((*w)->failures, 0);
    (*w)->trace = NULL;
    fclose(nowhere);
    free(lines);
}

static inline etx_bytes text_of(const char *text) {
    return (etx_bytes){text, strlen(text)};
}

static inline const etx__entry *known(const world *w, const char *gid) {
    return etx__core_find(w->core, text_of(gid), etx__core_hash(text_of(gid)));
}

/* What the newest waiter whose command began so was answered; fails if it was not. */
static inline int answer_of(const world *w, const char *label) {
    for (uint32_t i = w->waiters; i > 0; i--) {
        if (strcmp(w->waiter[i - 1].label, label) == 0) {
            assert_true(w->waiter[i - 1].answered);
            return w->waiter[i - 1].waiter.rc;
        }
    }
    fail_msg("nobody said: %s", label);
    return 0;
}

static inline int is_answered(const world *w, const char *label) {
    for (uint32_t i = w->waiters; i > 0; i--) {
        if (strcmp(w->waiter[i - 1].label, label) == 0) {
            return w->waiter[i - 1].answered;
        }
    }
    return 0;
}

static inline uint64_t wakes_in(const world *w) {
    uint64_t next = etx__timer_next(w->core);
    return next == UINT64_MAX ? UINT64_MAX : next - w->now.mono_ms;
}

#endif
