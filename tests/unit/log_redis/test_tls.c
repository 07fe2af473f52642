/* A log over TLS: whose certificates are taken, and what is carried. Runs beside
 * scripts/with-redis --tls. */
#include "../../conformance/server_pause.h"
#include "fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* The log at that HOST:PORT; "%s" in the options stands for the directory of the certificates. */
static int open_at(fixture *f, log_subject *ret_subject, const char *place, const char *options) {
    const char *dir = getenv("REDIS_DIR");
    char full[400];
    size_t len = 0;
    full[0] = 0;
    for (const char *at = options; *at; at += *at == '%' ? 2 : 1)
        len += (size_t)snprintf(full + len, sizeof full - len, "%.*s", *at == '%' ? 200 : 1,
                                *at == '%' ? dir : at);
    *ret_subject = f->subject;
    ret_subject->log = NULL;
    snprintf(ret_subject->url, sizeof ret_subject->url, "%.100s/?timeout_ms=1000&prefix=%s%s",
             place, f->prefix, full);
    return subject_open(ret_subject, 0);
}

static int open_tls(fixture *f, log_subject *ret_subject, const char *options) {
    char place[100];
    snprintf(place, sizeof place, "rediss://%.80s", getenv("REDIS_TLS"));
    return open_at(f, ret_subject, place, options);
}

static void refuse(fixture *f, const char *options, int wanted, const char *words) {
    log_subject other;
    int rc = open_tls(f, &other, options);
    if (rc != wanted || !strstr(other.message, words))
        fail_msg("%d %s", rc, other.message);
}

static void accept_it(fixture *f, const char *options) {
    log_subject other;
    if (open_tls(f, &other, options))
        fail_msg("%s", other.message);
    other.ops->close(other.log, 1);
}

static void test_carries(void **state) {
    enum { SIZES = 5 };
    static const size_t sizes[SIZES] = {1, 16383, 16384, 16385, 4 << 20};
    fixture *f = *state;
    log_subject secure;
    uint8_t *bytes = malloc(sizes[SIZES - 1]);
    assert_non_null(bytes);
    assert_int_equal(open_tls(f, &secure, "&ca_file=%s/one.pem"), 0);
    log_chain chain = chain_make(&secure, 7);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < SIZES; i++) {
            batch_fill(chain.next, bytes, sizes[i]);
            assert_int_equal(chain_put(&chain, bytes, sizes[i]), ETX_PUT_WRITTEN);
        }
    }
    assert_int_equal(chain_check(&secure, 0, 0, NULL), 3 * SIZES);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 3 * SIZES);
    fixture_ask(f, "CLIENT KILL TYPE normal SKIPME yes");
    assert_int_equal(chain_put(&chain, "x", 1), ETX_PUT_WRITTEN);
    secure.ops->close(secure.log, 1);
    free(bytes);
}

static void present(fixture *f, const char *name) {
    fixture_ask(f, "CONFIG SET tls-cert-file %s.pem tls-key-file %s.key", name, name);
}

static void test_whom_it_trusts(void **state) {
    fixture *f = *state;
    refuse(f, "", ETX_EINVALID, "ca_file=");
    refuse(f, "&ca_file=%s/two.pem", ETX_EINVALID, "ca_file=");
    present(f, "elsewhere");
    refuse(f, "&ca_file=%s/one.pem", ETX_EINVALID, "mismatch");
    present(f, "expired");
    refuse(f, "&ca_file=%s/one.pem", ETX_EINVALID, "expired");
    present(f, "server");
    accept_it(f, "&ca_file=%s/one.pem");
    log_subject other;
    char place[64];
    snprintf(place, sizeof place, "rediss://localhost%.20s", strchr(getenv("REDIS_TLS"), ':'));
    assert_int_equal(open_at(f, &other, place, "&ca_file=%s/one.pem"), 0);
    other.ops->close(other.log, 1);
}

static void test_who_it_is(void **state) {
    fixture *f = *state;
    fixture_set(f, "tls-auth-clients", "yes");
    refuse(f, "&ca_file=%s/one.pem", ETX_EUNAVAILABLE, "connection");
    refuse(f, "&ca_file=%s/one.pem&cert_file=%s/stranger.pem&key_file=%s/stranger.key",
           ETX_EUNAVAILABLE, "connection");
    accept_it(f, "&ca_file=%s/one.pem&cert_file=%s/client.pem&key_file=%s/client.key");
    refuse(f, "&ca_file=%s/one.pem&cert_file=%s/client.pem&key_file=%s/server.key", ETX_EINVALID,
           "server.key");
    fixture_set(f, "tls-auth-clients", "optional");
}

/* Each protocol at the other's port, and a server that hangs. */
static void test_no_tls_there(void **state) {
    fixture *f = *state;
    log_subject other;
    char place[100];
    snprintf(place, sizeof place, "rediss://%.80s", getenv("REDIS_PRIMARY"));
    assert_int_equal(open_at(f, &other, place, "&ca_file=%s/one.pem"), ETX_EUNAVAILABLE);
    assert_non_null(strstr(other.message, "TLS"));
    snprintf(place, sizeof place, "redis://%.80s", getenv("REDIS_TLS"));
    assert_int_equal(open_at(f, &other, place, ""), ETX_EUNAVAILABLE);
    pid_t server = fixture_server(f);
    server_pause(server);
    refuse(f, "&ca_file=%s/one.pem", ETX_EUNAVAILABLE, "does not go on with TLS");
    assert_int_equal(kill(server, SIGCONT), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_carries),
        CASE(test_whom_it_trusts),
        CASE(test_who_it_is),
        CASE(test_no_tls_there),
    };
    return cmocka_run_group_tests_name("log_redis_tls", tests, NULL, NULL);
}
