/* Participants that answer nonsense, nothing, too much, or elsewhere: each is unknown, says why, is
 * asked again, and the transaction ends as it should. */
#include "rig.h"

static const struct {
    const char *bytes, *reason;
} raws[] = {
    {"", "ended before the answer's end"},
    {"garbage\r\n\r\n", "does not speak HTTP/1.1"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "ended before the answer's end"},
    {"HTTP/1.1 200 OK\r\nContent-Le", "ended before the answer's end"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "ended before"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "does not speak HTTP/1.1"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "does not speak"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "does not speak"},
    {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}", "does not speak HTTP/1.1"},
    {"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", "does not speak HTTP/1.1"},
    {"HTTP/1.1 200 OK\r\n\r\nuntil the end", "does not speak HTTP/1.1"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "larger than allowed"},
    {"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", "the status is not valid"},
    {"HTTP/1.1 599 What\r\nContent-Length: 0\r\n\r\n", "599 from http://127.0.0.1:"},
    {"HTTP/1.1 500 No\r\nContent-Type: application/problem+json\r\nContent-Length: 28\r\n\r\n"
     "{\"detail\":\"bad\\u0007 \\\"x\\\"\"}",
     ": bad  \"x\""},
};

static void test_raw(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof raws / sizeof *raws; i++) {
        rig_raw raw;
        rig self = {0};
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_raw_start(&raw, raws[i].bytes, strlen(raws[i].bytes), 0);
        rig_start(&self);
        assert_int_equal(rig_run(&self, raw.url, "/secret?token=secret", &outcome), ETX_COMMITTED);
        if (atomic_load(&raw.calls) != 2 || !rig_said(&self, raws[i].reason)) {
            fail_msg("%zu: %u calls, \"%s\" wanted in \"%s\"", i, atomic_load(&raw.calls),
                     raws[i].reason, self.reason[0]);
        }
        assert_true(rig_said(&self, "http://127.0.0.1:"));
        assert_false(rig_said(&self, "secret"));
        rig_stop(&self, ETX_CLOSE_FINISH);
        rig_raw_stop(&raw);
    }
}

/* A refusal whose words are none is a refusal. */
static void test_odd_refusal(void **state) {
    static const char bytes[] =
        "HTTP/1.1 409 No\r\nContent-Type: application/problem+json\r\n"
        "Content-Length: 12\r\n\r\n{\"detail\": 7";
    rig_raw raw;
    rig self = {0};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    rig_raw_start(&raw, bytes, sizeof bytes - 1, 0);
    rig_start(&self);
    assert_int_equal(rig_run(&self, raw.url, "/", &outcome), ETX_ABORTED);
    assert_non_null(strstr(outcome.reason, "409 from http://127.0.0.1:"));
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_raw_stop(&raw);
}

static void test_slow_and_huge(void **state) {
    rig_server server = {0};
    rig self = {0};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    assert_int_equal(rig_run(&self, server.url, "/first/hang", &outcome), ETX_COMMITTED);
    assert_true(rig_said(&self, "the time given is over: http://127.0.0.1:"));
    assert_int_equal(rig_run(&self, server.url, "/first/huge", &outcome), ETX_COMMITTED);
    assert_true(rig_said(&self, "larger than allowed: http://127.0.0.1:"));
    assert_int_equal(atomic_load(&server.calls), 4);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

/* When the engine's time for a call is over, nothing of it is left: the connection is closed. */
static void test_cancelled(void **state) {
    static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    rig_raw raw;
    rig self = {0};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    rig_raw_start(&raw, half, sizeof half - 1, 1);
    rig_start(&self);
    uint64_t begin = host_now_ms();
    etx_tx *tx = rig_tx(&self, "half");
    rig_add_timed(tx, "http-saga", "s", raw.url, "/", NULL, 300);
    rig_must(etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_true(host_now_ms() - begin >= 280);
    assert_int_equal(atomic_load(&raw.closed), 1);
    assert_int_equal(atomic_load(&raw.calls), 2);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_raw_stop(&raw);
}

/* A payload that is no envelope, and a port where nobody listens. */
static void test_nobody(void **state) {
    rig self = {0};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    (void)state;
    rig_start(&self);
    etx_tx *tx = rig_tx(&self, "odd");
    branch.participant = "http-notification"; /* failure is tolerated after three attempts */
    branch.payload = "not an envelope";
    branch.payload_len = 15;
    rig_must(etx_tx_add_branch(tx, &branch), "add");
    rig_must(etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_true(rig_said(&self, "not what etx_http_branch_write makes"));
    tx = rig_tx(&self, "closed");
    rig_add(tx, "http-notification", "n", "http://127.0.0.1:9", "/", NULL);
    rig_must(etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_true(rig_said(&self, "no connection could be made: http://127.0.0.1:9"));
    rig_stop(&self, ETX_CLOSE_FINISH);
}

static void notify(rig *self, const char *gid, const char *url) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = rig_tx(self, gid);
    rig_add(tx, "http-notification", "n", url, "/ok", NULL);
    rig_must(etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
}

/* What may not be called is not called, whatever was allowed when it was submitted. */
static void test_forbidden(void **state) {
    static const char *const nets[] = {"http://10.0.0.0/8:*"};
    static const char *const loopback[] = {"http://127.0.0.0/8:*", "http://[::1]:*"};
    rig_server server = {0};
    rig self = {.options = {.allow = nets, .allow_count = 1}};
    char by_name[64];
    char why[200] = "";
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    snprintf(by_name, sizeof by_name, "http://localhost:%u", server.port);
    assert_int_equal(etx_http_allowed(self.http, server.url, why, sizeof why), ETX_ESTATE);
    notify(&self, "address", server.url);
    assert_true(rig_said(&self, "is not among the targets that may be called"));
    /* the name may lead to 10.0.0.0/8, but leads to this machine */
    assert_int_equal(etx_http_allowed(self.http, by_name, why, sizeof why), 0);
    notify(&self, "name", by_name);
    assert_true(rig_said(&self, "no address of the target is allowed: http://localhost:"));
    assert_int_equal(atomic_load(&server.calls), 0);
    self.options.allow = loopback;
    self.options.allow_count = 2;
    rig_must(etx_http_reload(self.http, &self.options, why, sizeof why), why);
    notify(&self, "allowed", by_name);
    assert_int_equal(atomic_load(&server.calls), 1);
    self.options.allow_count = 0;
    rig_must(etx_http_reload(self.http, &self.options, why, sizeof why), why);
    notify(&self, "no-more", by_name); /* also where a connection is open */
    assert_int_equal(atomic_load(&server.calls), 1);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw),           cmocka_unit_test(test_odd_refusal),
        cmocka_unit_test(test_slow_and_huge), cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_nobody),        cmocka_unit_test(test_forbidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
