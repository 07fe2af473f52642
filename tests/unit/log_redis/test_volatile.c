/* A Redis that keeps nothing on a disk, and is told to while it runs. Runs beside
 * scripts/with-redis. */
#include "fixture.h"

#include <string.h>

static void await_grade(const fixture *f, etx_durability grade, const char *words) {
    etx_log_info info = {.size = sizeof info};
    for (int i = 0; i < 6000; i++) {
        assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
        if (info.grade == grade && info.remark && strstr(info.remark, words))
            return;
        usleep(10000);
    }
    fail_msg("grade %d, %s", (int)info.grade, info.remark ? info.remark : "");
}

/* What is switched on counts from when its first file is complete. */
static void test_append_only_begins(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_log_info info = {.size = sizeof info};
    for (int i = 0; i < 20; i++)
        chain_put_surely(&chain);
    await_grade(f, ETX_VOLATILE, "appendonly yes");
    fixture_set(f, "appendfsync", "always");
    fixture_set(f, "rdb-key-save-delay", "100000000"); /* us for each key */
    fixture_set(f, "appendonly", "yes");
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    assert_int_equal(info.grade, ETX_VOLATILE);
    assert_non_null(strstr(info.remark, "still being written"));
    fixture_set(f, "appendonly", "no"); /* which ends the rewrite */
    fixture_set(f, "rdb-key-save-delay", "0");
    fixture_set(f, "appendonly", "yes");
    await_grade(f, ETX_LOCAL, "one disk");
}

int main(void) {
    const struct CMUnitTest tests[] = {CASE(test_append_only_begins)};
    return cmocka_run_group_tests_name("log_redis_volatile", tests, NULL, NULL);
}
