/* What participants are called with, and what their answers come to. */
#include "rig.h"

#include <openssl/evp.h>

static void check_call(rig_server *server, const char *gid, int at, unsigned attempt) {
    assert_true(at >= 0);
    const rig_call *call = &server->call[at];
    char trace[56];
    assert_string_equal(call->gid, gid);
    assert_int_equal(call->attempt, attempt);
    assert_int_equal(strlen(call->key), 32);
    assert_string_equal(call->type, "application/json");
    assert_int_equal(call->body_len, 8);
    assert_memory_equal(call->body, "{\"n\": 1}", 8);
    assert_int_equal(etx_http_traceparent(NULL, gid, call->branch, call->operation, attempt, trace),
                     0);
    assert_string_equal(call->trace, trace);
}

static void test_kinds(void **state) {
    rig_server server = {0};
    rig self = {0};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    etx_tx *tx = rig_tx(&self, "kinds");
    rig_add(tx, "http-tcc", "t", server.url, "/ok", NULL);
    rig_add(tx, "http-saga", "s", server.url, "/empty", NULL);
    rig_add(tx, "http-message", "m", server.url, "/ok", NULL);
    rig_add(tx, "http-notification", "n", server.url, "/ok", NULL);
    rig_must(etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&server.calls), 5);
    check_call(&server, "kinds", rig_find(&server, 0, "t", "try"), 1);
    check_call(&server, "kinds", rig_find(&server, 0, "t", "confirm"), 1);
    check_call(&server, "kinds", rig_find(&server, 0, "s", "action"), 1);
    check_call(&server, "kinds", rig_find(&server, 0, "m", "deliver"), 1);
    check_call(&server, "kinds", rig_find(&server, 0, "n", "notify"), 1);
    tx = rig_tx(&self, "undone");
    rig_add(tx, "http-tcc", "t", server.url, "/ok", NULL);
    rig_add(tx, "http-tcc", "r", server.url, "/refuse", "/ok");
    rig_must(etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_non_null(strstr(outcome.reason, "no stock left"));
    assert_true(rig_find(&server, 0, "t", "cancel") >= 0);
    assert_true(rig_find(&server, 0, "r", "cancel") >= 0);
    assert_int_equal(rig_find(&server, 5, "t", "confirm"), -1);
    tx = rig_tx(&self, "said");
    rig_add(tx, "http-saga", "x", server.url, "/refuse-text", "/ok");
    rig_must(etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_non_null(strstr(outcome.reason, "sold out"));
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

static void test_xa(void **state) {
    host_dir dir;
    rig_server server = {0};
    rig self = {0};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    host_dir_make(&dir);
    self.home = dir.url; /* a volatile home takes none */
    rig_server_start(&server);
    rig_start(&self);
    etx_tx *tx = rig_tx(&self, "xa");
    rig_add(tx, "http-xa", "x", server.url, "/ok", NULL);
    rig_must(etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_true(rig_find(&server, 0, "x", "prepare") >= 0);
    assert_true(rig_find(&server, 0, "x", "commit") >= 0);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
    host_dir_remove(&dir);
}

/* Headers, another body, results, and an operation that is nothing. */
static void test_said(void **state) {
    static const char *const headers[] = {"X-Secret: hush"};
    static const char *const statics[] = {"X-Static: all"};
    static const char *const after[] = {"one"};
    rig_server server = {0};
    rig self = {.options = {.headers = statics, .header_count = 1}};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_branch one = ETX_BRANCH_INIT;
    etx_tx *tx;
    char url[128];
    void *bytes;
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    options.deadline_ms = 60000;
    rig_must(etx_tx_new(self.engine, &options, &tx), "new");
    snprintf(url, sizeof url, "%s/ok?q=1", server.url);
    etx_http_branch said = {
        .size = sizeof said,
        .forward_url = url,
        .content_type = "application/x-thing",
        .headers = headers,
        .header_count = 1,
        .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        .payload = {"\0\1\2\r\n", 5}};
    rig_must(etx_http_branch_write(&said, &bytes, &one.payload_len, NULL, 0), "write");
    one.participant = "http-saga";
    one.name = "one";
    one.payload = bytes;
    rig_must(etx_tx_add_branch(tx, &one), "add");
    free(bytes);
    said.wants_results = 1;
    rig_must(etx_http_branch_write(&said, &bytes, &one.payload_len, NULL, 0), "write");
    one.name = "two";
    one.payload = bytes;
    one.depends_on = after;
    one.depends_on_count = 1;
    one.flags = ETX_WANTS_RESULTS;
    rig_must(etx_tx_add_branch(tx, &one), "add");
    free(bytes);
    rig_add(tx, "http-saga", "three", server.url, "/refuse", "/ok");
    rig_must(etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_ABORTED);
    const rig_call *call = &server.call[rig_find(&server, 0, "one", "action")];
    assert_string_equal(call->secret, "hush");
    assert_string_equal(call->statics, "all");
    assert_string_equal(call->type, "application/x-thing");
    assert_memory_equal(call->trace, said.traceparent, 36);
    assert_int_equal(call->body_len, 5);
    assert_memory_equal(call->body, "\0\1\2\r\n", 5);
    assert_true(strtoull(call->begin, NULL, 10) > 1700000000000ull);
    assert_true(strtoull(call->deadline, NULL, 10) == strtoull(call->begin, NULL, 10) + 60000);
    assert_string_equal(server.call[rig_find(&server, 0, "three", "compensate")].begin,
                        call->begin);
    call = &server.call[rig_find(&server, 0, "two", "action")];
    assert_string_equal(call->type, "application/json");
    assert_string_equal(
        call->body, "{\"payload_base64\":\"AAECDQo=\",\"results\":{\"one\":{\"result\":\"one\"}}}");
    assert_int_equal(rig_find(&server, 0, "two", "compensate"), -1); /* has no URL: is done */
    assert_int_equal(rig_find(&server, 0, "one", "compensate"), -1);
    assert_true(rig_find(&server, 0, "three", "compensate") >= 0);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

static uint64_t pause_of(rig_server *server, rig *self, const char *path) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    unsigned from = atomic_load(&server->calls);
    assert_int_equal(rig_run(self, server->url, path, &outcome), ETX_COMMITTED);
    assert_int_equal(atomic_load(&server->calls) - from, 2);
    assert_string_equal(server->call[from].key, server->call[from + 1].key);
    assert_string_not_equal(server->call[from].trace, server->call[from + 1].trace);
    assert_int_equal(server->call[from + 1].attempt, 2);
    return server->call[from + 1].at_ms - server->call[from].at_ms;
}

/* Working and unknown are asked again, and not before the time that the participant names. */
static void test_again(void **state) {
    rig_server server = {0};
    rig self = {0};
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    assert_true(pause_of(&server, &self, "/first/202") >= 29);
    assert_true(pause_of(&server, &self, "/first/425") >= 29);
    assert_int_equal(self.reasons, 0); /* that was no failure */
    assert_true(pause_of(&server, &self, "/first/202?1") >= 999);
    assert_true(pause_of(&server, &self, "/first/503?1") >= 999);
    assert_true(rig_said(&self, "503 from http://127.0.0.1:"));
    assert_true(rig_said(&self, "in words"));
    assert_true(pause_of(&server, &self, "/first/429?1") >= 999);
    assert_true(pause_of(&server, &self, "/first/500?3600") < 3000); /* names none for a 500 */
    assert_true(pause_of(&server, &self, "/first/301") < 3000);
    assert_true(rig_said(&self, "301 (redirects are not followed) from http://127.0.0.1:"));
    assert_true(pause_of(&server, &self, "/first/404") < 3000);
    assert_true(rig_said(&self, "404 from http://127.0.0.1:"));
    assert_false(rig_said(&self, "/first"));
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

static void check_signature(const rig_call *call, const char *key) {
    char base[2048];
    unsigned char mac[32];
    char wanted[80] = "sig=:";
    unsigned char digest[32];
    char digest_wanted[80] = "sha-256=:";
    size_t len;
    assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, call->body, call->body_len, digest, &len),
                     1);
    EVP_EncodeBlock((unsigned char *)digest_wanted + 9, digest, 32);
    strncat(digest_wanted, ":", 2);
    assert_string_equal(call->digest, digest_wanted);
    assert_memory_equal(call->input, "sig=(", 5);
    int base_len = snprintf(base, sizeof base,
                            "\"@method\": POST\n\"@target-uri\": %s\n\"content-digest\": %s\n"
                            "\"etx-gid\": %s\n\"etx-branch\": %s\n\"etx-operation\": %s\n"
                            "\"etx-begin\": %s\n"
                            "\"@signature-params\": %s",
                            call->uri, call->digest, call->gid, call->branch, call->operation,
                            call->begin, call->input + 4);
    assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, strlen(key),
                              (const unsigned char *)base, (size_t)base_len, mac, sizeof mac,
                              &len));
    EVP_EncodeBlock((unsigned char *)wanted + 5, mac, 32);
    strncat(wanted, ":", 2);
    assert_string_equal(call->signature, wanted);
}

static void test_signed(void **state) {
    rig_server server = {0};
    rig self = {
        .options = {.sign_key_id = "2026-01", .sign_key = "0123456789abcdef", .sign_key_len = 16}};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char why[200];
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    assert_int_equal(rig_run(&self, server.url, "/ok?a=%20b", &outcome), ETX_COMMITTED);
    check_signature(&server.call[0], "0123456789abcdef");
    assert_non_null(strstr(server.call[0].input, ";keyid=\"2026-01\";alg=\"hmac-sha256\""));
    self.options.sign_key_id = "2026-02";
    self.options.sign_key = "fedcba9876543210";
    rig_must(etx_http_reload(self.http, &self.options, why, sizeof why), why);
    assert_int_equal(rig_run(&self, server.url, "/ok", &outcome), ETX_COMMITTED);
    check_signature(&server.call[1], "fedcba9876543210");
    assert_non_null(strstr(server.call[1].input, ";keyid=\"2026-02\""));
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds), cmocka_unit_test(test_xa),     cmocka_unit_test(test_said),
        cmocka_unit_test(test_again), cmocka_unit_test(test_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
