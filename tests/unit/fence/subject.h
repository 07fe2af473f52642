/* A database as the tests of its fence see it: connections, SQL, and the fence's functions. */
#ifndef ETX_TESTS_UNIT_FENCE_SUBJECT_H
#define ETX_TESTS_UNIT_FENCE_SUBJECT_H

#include <etx/fence.h>

enum { PLACE_MAX = 128 };

typedef struct fence_subject {
    int stories;       /* how many of them a test of seconds can play */
    const char *begin; /* the statement that opens a participant's transaction */
    /* A new database, empty; `ret_place` names it. */
    void (*make)(char ret_place[PLACE_MAX]);
    void (*remove)(const char *place);
    void *(*connect)(const char *place);
    void (*disconnect)(void *db);
    /* NULL, or what went wrong, until the next call. */
    const char *(*execute)(void *db, const char *sql);
    int64_t (*ask)(void *db, const char *sql);

    int (*prepare)(void *db);
    int (*enter)(void *db, const etx_fence_call *call, etx_fence_answer *ret_answer);
    int (*finish)(void *db,
                  const etx_fence_call *call,
                  etx_reply reply,
                  const char *reason,
                  const void *result,
                  size_t result_len);
    int (*clean)(void *db, uint64_t horizon_ms, uint32_t limit, uint64_t *ret_deleted);
} fence_subject;

/* The fence's functions of one database, as the subject has them. */
#define SUBJECT_FENCE(name)                                                                      \
    static int prepare(void *db) {                                                               \
        return etx_fence_##name##_prepare(db);                                                   \
    }                                                                                            \
    static int enter(void *db, const etx_fence_call *call, etx_fence_answer *ret_answer) {       \
        return etx_fence_##name##_enter(db, call, ret_answer);                                   \
    }                                                                                            \
    static int finish(void *db, const etx_fence_call *call, etx_reply reply, const char *reason, \
                      const void *result, size_t result_len) {                                   \
        return etx_fence_##name##_finish(db, call, reply, reason, result, result_len);           \
    }                                                                                            \
    static int clean(void *db, uint64_t horizon_ms, uint32_t limit, uint64_t *ret_deleted) {     \
        return etx_fence_##name##_clean(db, horizon_ms, limit, ret_deleted);                     \
    }

/* The one that the test is linked with. */
extern const fence_subject subject;

#endif
