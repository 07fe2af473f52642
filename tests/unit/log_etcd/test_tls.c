/* An etcd that speaks TLS, and asks for certificates. Runs beside scripts/with-etcd --tls. */
#include "fixture.h"

#include <etx/log_etcd.h>
#include <stdlib.h>
#include <string.h>

static const char *url_of(fixture *f, const char *options) {
    char behind[400];
    snprintf(behind, sizeof behind, "/t?timeout_ms=2000&partitions=1%s", options);
    return fixture_url(f, "", behind);
}

static void test_refused(void **state) {
    fixture f = {.subject = {.ops = etx_log_etcd()}};
    (void)state;
    fixture_refuse(&f, url_of(&f, ""), 0, ETX_EUNAVAILABLE, "is tls=on needed?");
    fixture_refuse(&f, url_of(&f, "&tls=on"), 0, ETX_EINVALID, "certificate");
    fixture_refuse(&f, url_of(&f, "&tls=on&tls_ca=/nowhere/x"), 0, ETX_EINVALID, "/nowhere/x");
}

static void test_used(void **state) {
    fixture f = {.subject = {.ops = etx_log_etcd()}};
    char options[300];
    const char *dir = getenv("ETX_ETCD_DIR");
    log_subject other = f.subject;
    (void)state;
    snprintf(options, sizeof options, "&tls=on&tls_ca=%.100s/cert.pem", dir);
    fixture_refuse(&f, url_of(&f, options), 0, ETX_EUNAVAILABLE, "127.0.0.1"); /* who is that? */
    snprintf(options, sizeof options,
             "&tls=on&tls_ca=%.50s/cert.pem&tls_cert=%.50s/cert.pem&tls_key=%.50s/key.pem", dir,
             dir, dir);
    snprintf(other.url, sizeof other.url, "%s", url_of(&f, options));
    int rc = subject_open(&other, 0);
    if (rc)
        fail_msg("%s", other.message);
    log_chain chain = chain_make(&other, 7);
    for (int i = 0; i < 50; i++)
        chain_put_surely(&chain);
    assert_int_equal(chain_check(&other, 0, 0, NULL), 50);
    other.ops->close(other.log, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_used),
    };
    return cmocka_run_group_tests_name("log_etcd_tls", tests, NULL, NULL);
}
