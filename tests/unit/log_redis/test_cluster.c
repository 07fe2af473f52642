/* A server of a cluster keeps no log. Runs beside scripts/with-redis --cluster. */
#include "../../conformance/log_subject.h"

#include <etx/log_redis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_refused(void **state) {
    log_subject subject = {.ops = etx_log_redis()};
    (void)state;
    snprintf(subject.url, sizeof subject.url, "redis:///?socket=%s", getenv("REDIS_SOCKET"));
    assert_int_equal(subject_open(&subject, 0), ETX_EINVALID);
    assert_non_null(strstr(subject.message, "is a cluster"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests_name("log_redis_cluster", tests, NULL, NULL);
}
