/* Copies into etcd that are broken off, overtaken or refused. Runs beside scripts/with-etcd. */
#include "../../conformance/log_copier.h"
#include "fixture.h"
#include "relay.h"

#include <stdlib.h>
#include <string.h>

/* A copy of the fixture's log, below a prefix beside it. */
static log_copier copier_beside(fixture *f) {
    char behind[200];
    snprintf(behind, sizeof behind, "/%s_c?timeout_ms=10000", f->prefix);
    return copier_of(&f->subject, fixture_url(f, "", behind));
}

static unsigned long count_keys(fixture *f, const char *more) {
    const char *count =
        fixture_do(f, "etcdctl get --prefix --keys-only %s%s/p/ | grep -c .", f->prefix, more);
    return strtoul(count, NULL, 10);
}

/* From the beginning to the end, and it is the only thing there. */
static void copy_whole(fixture *f, log_copier *copier) {
    copier_whole(copier);
    assert_int_equal(count_keys(f, "_c"), count_keys(f, ""));
}

/* ---- broken off */

/* It hangs while slots come, and is killed then. */
static void test_killed(void **state) {
    fixture *f = *state;
    log_copier copier = copier_beside(f);
    log_chain chain = chain_of(&f->subject, 1);
    uint8_t bytes[500];
    copier_fill_source(&f->subject);
    batch_fill(0, bytes, sizeof bytes);
    etx_put put = put_make(&chain, 0, bytes, sizeof bytes);
    etx_slot slot = {
        .partition = 1, .nonce = put.nonce, .checksum = put.checksum, .batch = put.batch};
    assert_int_equal(copier_begin(&copier), 0);
    assert_int_equal(copier_fill(&copier, 0), 0);
    int rc = 0;
    for (; rc == 0 && slot.slot < 120; slot.slot++) /* more than the source has there */
        rc = copier_slot(&copier, &slot);
    assert_int_equal(rc, 0);
    fixture_stop(f, 0);
    for (; rc == 0 && slot.slot < 1000; slot.slot++)
        rc = copier_slot(&copier, &slot);
    assert_int_equal(rc, ETX_EUNAVAILABLE);
    assert_int_equal(copier_end(&copier, 0), 0);
    fixture_kill(f);
    assert_true(count_keys(f, "_c") > 10);
    copier_refused(&copier, 0);
    copier_refused(&copier, ETX_LOG_READ_ONLY);
    copy_whole(f, &copier);
}

/* A member that is back has all that it acknowledged: the copy goes on. */
static void test_restarted(void **state) {
    fixture *f = *state;
    log_copier copier = copier_beside(f);
    copier_fill_source(&f->subject);
    assert_int_equal(copier_begin(&copier), 0);
    assert_int_equal(copier_fill(&copier, 0), 0);
    fixture_kill(f);
    assert_int_equal(copier_fill(&copier, 1), 0);
    assert_int_equal(copier_fill(&copier, 2), 0);
    assert_int_equal(copier_end(&copier, 1), 0);
    copier_check(&copier);
}

/* The last answer is not heard, or is that etcd is full, which may be said of what was applied. */
static void test_end_unknown(void **state) {
    static const relay_mode modes[] = {RELAY_DROP, RELAY_LIE};
    fixture *f = *state;
    const char *port = strchr(getenv("ETX_ETCD"), ':');
    for (int i = 0; i < 2; i++) {
        char url[200];
        relay *r = relay_start((uint16_t)strtoul(port + 1, NULL, 10));
        assert_non_null(r);
        snprintf(url, sizeof url, "etcd://127.0.0.1:%u/%s_%d?timeout_ms=1000", r->port, f->prefix,
                 i);
        log_copier copier = copier_of(&f->subject, url);
        assert_int_equal(copier_begin(&copier), 0);
        assert_int_equal(copier_fill(&copier, 1), 0); /* which is empty */
        relay_answer(r, "200", "8", "etcdserver: mvcc: database space exceeded");
        r->put_least = 100;
        r->mode = modes[i];
        assert_int_equal(copier_end(&copier, 1), ETX_EUNKNOWN);
        assert_int_equal(subject_open(&copier.dest, ETX_LOG_NO_CREATE), 0);
        copier.dest.ops->close(copier.dest.log, 1);
        relay_stop(r);
    }
}

/* ---- overtaken, refused */

/* Who was overtaken adds nothing to the other's, and does not end it. */
static void test_of_two(void **state) {
    fixture *f = *state;
    log_copier one = copier_beside(f);
    log_copier two = one;
    copier_fill_source(&f->subject);
    assert_int_equal(copier_begin(&one), 0);
    assert_int_equal(copier_fill(&one, 0), 0);
    assert_int_equal(copier_begin(&two), 0);
    assert_int_equal(copier_fill(&one, 2), ETX_EBUSY);
    assert_int_equal(copier_end(&one, 1), ETX_EBUSY);
    copier_refused(&one, 0);
    copier_fill_all(&two);
    assert_int_equal(copier_end(&two, 1), 0);
    copier_check(&two);
    assert_int_equal(count_keys(f, "_c"), count_keys(f, ""));
    assert_int_equal(copier_begin(&one), ETX_EBUSY);
    assert_non_null(strstr(one.dest.message, "name another prefix"));
    copier_check(&two);
}

/* Keys of nobody knows whom stay. */
static void test_other_keys(void **state) {
    fixture *f = *state;
    log_copier copier = copier_beside(f);
    fixture_do(f, "etcdctl put %s_c/p/000/s/tree oak", f->prefix);
    assert_int_equal(copier_begin(&copier), ETX_EBUSY);
    fixture_do(f, "etcdctl del %s_c/p/000/s/tree && etcdctl put %s_c/log tree", f->prefix,
               f->prefix);
    assert_int_equal(copier_begin(&copier), ETX_EBUSY);
    assert_string_equal(fixture_do(f, "etcdctl get --print-value-only %s_c/log", f->prefix),
                        "tree");
}

/* From a store that takes larger slots: as large as etcd lets them be. */
static void test_large_slots(void **state) {
    enum { LEN = 1300000, TOO_MUCH = 2000000 };
    fixture *f = *state;
    log_copier copier = copier_beside(f);
    log_chain chain = chain_of(&f->subject, 1);
    uint8_t *bytes = malloc(TOO_MUCH);
    assert_non_null(bytes);
    batch_fill(3, bytes, LEN);
    etx_put put = put_make(&chain, 3, bytes, LEN);
    etx_slot slot = {.partition = 1,
                     .slot = 3,
                     .nonce = put.nonce,
                     .checksum = put.checksum,
                     .batch = put.batch};
    assert_int_equal(copier_begin(&copier), 0);
    assert_int_equal(copier_slot(&copier, &slot), 0);
    slot.slot++;
    slot.batch.len = TOO_MUCH;
    assert_int_equal(copier_slot(&copier, &slot), ETX_EINVALID);
    assert_non_null(strstr(copier.dest.message, "slot 4 of partition 1 has 2000000 bytes"));
    assert_non_null(strstr(copier.dest.message, "--max-request-bytes=2065536"));
    assert_int_equal(copier_end(&copier, 1), 0);
    assert_int_equal(subject_open(&copier.dest, ETX_LOG_NO_CREATE), 0);
    assert_int_equal(chain_check(&copier.dest, 1, 0, NULL), 1);
    copier.dest.ops->close(copier.dest.log, 1);
    free(bytes);
}

/* What the log says of itself may be changed by one only. */
static void test_retired_at_once(void **state) {
    fixture *f = *state;
    log_subject other;
    char message[300];
    assert_int_equal(fixture_open(f, &other, "", 0), 0);
    assert_int_equal(f->subject.ops->retire(f->subject.log, ETX_RETIRE_COPYING, "here", NULL, 0),
                     0);
    assert_int_equal(
        other.ops->retire(other.log, ETX_RETIRE_COPYING, "there", message, sizeof message),
        ETX_EBUSY);
    fixture_refuse(f, f->subject.url, 0, ETX_ECONFLICT, "here");
    other.ops->close(other.log, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_killed),          CASE(test_restarted),  CASE(test_end_unknown),
        CASE(test_of_two),          CASE(test_other_keys), CASE(test_large_slots),
        CASE(test_retired_at_once),
    };
    return cmocka_run_group_tests_name("log_etcd_copy", tests, NULL, NULL);
}
