/* The words of ETX: what users see and scripts parse must not change by accident. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <etx/monitor.h>
#include <etx/record.h>

static void test_errors(void **state) {
    (void)state;
    assert_string_equal(etx_error_name(0), "ETX_OK");
    assert_string_equal(etx_strerror(0), "success");
    assert_string_equal(etx_error_name(-3), "ETX_EBUSY");
    assert_string_equal(etx_strerror(ETX_EBUSY), "full or in use: try again later");
    for (int rc = -17; rc < 0; rc++) {
        assert_memory_equal(etx_error_name(rc), "ETX_E", 5);
        assert_true(strlen(etx_strerror(rc)) > 10);
    }
    static const int none[] = {1, -18, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_string_equal(etx_error_name(none[i]), "?");
        assert_string_equal(etx_strerror(none[i]), "not an error of ETX");
    }
    assert_string_equal(etx_version(), "0.1.0");
}

/* The names of first, first + 1..., then "?" on both sides. */
#define ASSERT_NAMES(function, type, first, ...)                          \
    do {                                                                  \
        static const char *const names[] = {__VA_ARGS__};                 \
        const unsigned count = sizeof names / sizeof names[0];            \
        for (unsigned i = 0; i < count; i++) {                            \
            assert_string_equal(function((type)((first) + i)), names[i]); \
        }                                                                 \
        assert_string_equal(function((type)((first) + count)), "?");      \
        assert_string_equal(function((type)((first)-1)), "?");            \
        assert_string_equal(function((type)200), "?");                    \
    } while (0)

static void test_enums(void **state) {
    (void)state;
    ASSERT_NAMES(etx_state_name, etx_state, 0, "NONE", "ACTIVE", "COMMITTING", "COMMITTED",
                 "ABORTING", "ABORTED");
    ASSERT_NAMES(etx_kind_name, etx_kind, 1, "tcc", "saga", "xa", "message", "notification");
    ASSERT_NAMES(etx_reply_name, etx_reply, 1, "done", "refused", "working", "retry", "later",
                 "unsent");
    ASSERT_NAMES(etx_mode_name, etx_mode, 1, "submitted", "interactive", "resumed");
    ASSERT_NAMES(etx_durability_name, etx_durability, 0, "default", "volatile", "local",
                 "replicated");
    ASSERT_NAMES(etx_record_name, unsigned, 1, "own", "begin", "enlist", "held", "result", "decide",
                 "force", "move", "end", "loss");
    ASSERT_NAMES(etx_event_name, etx_event_type, 0, "begun", "decided", "ended", "call-unknown",
                 "call-nonsense", "call-slow", "finish-refused", "stalled", "parked", "resumed",
                 "forced", "unregistered", "home-down", "home-up", "log-poisoned", "log-full",
                 "log-room", "partition-owned", "partition-lost", "log-regressed", "clock-stepped",
                 "workers-stuck", "partition-left", "state-failed", "loss-accepted", "home-graded",
                 "clock-off", "home-missed");
}

static void test_operations(void **state) {
    (void)state;
    static const char *const names[][3] = {
        {"?", "?", "?"}, /* no kind */
        {"try", "confirm", "cancel"},
        {"action", "", "compensate"},
        {"prepare", "commit", "rollback"},
        {"", "deliver", ""},
        {"", "notify", ""},
        {"?", "?", "?"},
    };
    for (unsigned kind = 0; kind < sizeof names / sizeof names[0]; kind++) {
        for (unsigned operation = 0; operation < 3; operation++) {
            assert_string_equal(etx_operation_name((etx_kind)kind, (etx_operation)operation),
                                names[kind][operation]);
        }
        assert_string_equal(etx_operation_name((etx_kind)kind, ETX_QUERY), "query");
        assert_string_equal(etx_operation_name((etx_kind)kind, ETX_RESUME), "resume");
        assert_string_equal(etx_operation_name((etx_kind)kind, (etx_operation)5), "?");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_enums),
        cmocka_unit_test(test_operations),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
