/* How long etcd is asked for its quota. What is asked of it here answers by itself: no server. */
#include "../../../src/integration/log/etcd/etcd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { ASK_MAX = 10 };

static struct {
    int asked;
    int rc;           /* of the page */
    int lacks_memory; /* though it has come */
} page;

/* ---- instead of session.c */

uint64_t etx__etcd_now_ms(void) {
    return 1;
}

etx__etcd_text *etx__etcd_begin(etx__etcd_session *session) {
    return &session->request;
}

int etx__etcd_run(etx__etcd_session *session, const char *method, etx_bytes *ret_answer) {
    (void)session;
    (void)method;
    *ret_answer = (etx_bytes){.data = NULL};
    return 0;
}

int etx__etcd_page(etx__etcd_session *session, const char *path, int64_t *ret_time) {
    static const char text[] = "# metrics\netcd_server_quota_backend_bytes 2.5165824e+07\n";
    page.asked++;
    assert_string_equal(path, "/metrics");
    session->answer.len = 0;
    session->answer.failed = 0;
    if (page.rc)
        return page.rc;
    etx__etcd_text_add(&session->answer, text, sizeof text - 1);
    session->answer.failed = page.lacks_memory;
    *ret_time = 1;
    return 0;
}

/* ---- */

/* Looks once more; how often it has asked for its quota by now. */
static int look(etx__etcd_log *log) {
    assert_int_equal(etx__etcd_upkeep(log), 0);
    return page.asked;
}

static int begin(void **state) {
    static etx__etcd_log log;
    memset(&page, 0, sizeof page);
    log = (etx__etcd_log){.quota_bytes = 0};
    *state = &log;
    return 0;
}

static int end(void **state) {
    etx__etcd_text_free(&((etx__etcd_log *)*state)->care.answer);
    return 0;
}

static void expect_it_is_told(etx__etcd_log *log) {
    int before = page.asked;
    memset(&page, 0, sizeof page);
    page.asked = before;
    assert_int_equal(look(log), before + 1);
    assert_true(log->quota_bytes == 24 << 20);
    assert_int_equal(look(log), before + 1); /* it is known */
}

static void test_known(void **state) {
    expect_it_is_told(*state);
}

/* A moment without memory does not count, however long it is. */
static void test_no_memory(void **state) {
    etx__etcd_log *log = *state;
    page.lacks_memory = 1;
    for (int i = 1; i <= 2 * ASK_MAX; i++)
        assert_int_equal(look(log), i);
    page.rc = ETX_ENOMEM;
    for (int i = 1; i <= 2 * ASK_MAX; i++)
        assert_int_equal(look(log), 2 * ASK_MAX + i);
    assert_true(log->quota_bytes == 0);
    expect_it_is_told(log);
}

static void test_not_shown(void **state) {
    page.rc = ETX_EUNAVAILABLE;
    for (int i = 1; i < ASK_MAX; i++)
        assert_int_equal(look(*state), i);
    for (int i = 0; i < 3; i++)
        assert_int_equal(look(*state), ASK_MAX);
}

static void test_not_shown_for_a_while(void **state) {
    page.rc = ETX_EUNAVAILABLE;
    for (int i = 1; i < ASK_MAX; i++)
        assert_int_equal(look(*state), i);
    expect_it_is_told(*state);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_known),
        CASE(test_no_memory),
        CASE(test_not_shown),
        CASE(test_not_shown_for_a_while),
    };
    return cmocka_run_group_tests_name("log_etcd_upkeep", tests, NULL, NULL);
}
