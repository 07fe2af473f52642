/* What a put comes to when etcd, the connection or another writer gets in between. Runs beside
 * scripts/with-etcd. */
#include "fixture.h"
#include "relay.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is answered, and what is not */

static relay *open_behind_relay(fixture *f, log_subject *ret_subject) {
    const char *port = strchr(getenv("ETX_ETCD"), ':');
    relay *r = relay_start((uint16_t)strtoul(port + 1, NULL, 10));
    assert_non_null(r);
    *ret_subject = f->subject;
    snprintf(ret_subject->url, sizeof ret_subject->url, "etcd://127.0.0.1:%u/%s?timeout_ms=1000",
             r->port, f->prefix);
    assert_int_equal(subject_open(ret_subject, ETX_LOG_NO_CREATE), 0);
    return r;
}

typedef struct answer {
    const char *http;
    const char *status;
    const char *message;
    etx_put_result result;
    int error;
} answer;

static const answer answers[] = {
    {"200", "14", "etcdserver: request timed out", ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE},
    {"200", "14", "etcdserver: leader changed", ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE},
    {"200", "14", "etcdserver: no leader", ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE},
    {"200", "14", "etcdserver: server stopped", ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE},
    {"200", "14", "transport is closing", ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE},
    {"200", "4", "context deadline exceeded", ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE},
    {"200", "15", "etcdserver: corrupt cluster", ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE},
    {"200", "0", "", ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE}, /* but without an answer */
    {"502", NULL, NULL, ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE},
    {"200", NULL, NULL, ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE},
    {"200", "8", "etcdserver: too many requests", ETX_PUT_NOT_WRITTEN, ETX_EUNAVAILABLE},
    {"200", "8", "etcdserver: mvcc: database space exceeded", ETX_PUT_NOT_WRITTEN, ETX_EFULL},
    {"200", "3", "etcdserver: request is too large", ETX_PUT_NOT_WRITTEN, ETX_EINVALID},
    {"200", "7", "etcdserver: permission denied", ETX_PUT_NOT_WRITTEN, ETX_EINVALID},
};

/* Only what says that nothing was proposed, or that it was not applied, is definite. */
static void test_answers(void **state) {
    fixture *f = *state;
    log_subject subject;
    relay *r = open_behind_relay(f, &subject);
    log_chain chain = chain_make(&subject, 7);
    chain_put_surely(&chain);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        etx_put put;
        relay_answer(r, answers[i].http, answers[i].status, answers[i].message);
        etx_put_result result = chain_put_next(&chain, &put);
        if (result != answers[i].result || put.error != answers[i].error)
            fail_msg("answer %zu: %d %d %s", i, result, put.error, put.message);
        assert_true(put.message[0]);
    }
    chain_put_surely(&chain);
    assert_int_equal(chain_check(&subject, 0, 0, NULL), 2);
    subject.ops->close(subject.log, 0);
    relay_stop(r);
}

/* Not sent a second time behind our back: the first may be under way, and then no answer to the
 * second says what became of it. */
static void test_cut_is_unknown(void **state) {
    fixture *f = *state;
    log_subject subject;
    etx_put put;
    relay *r = open_behind_relay(f, &subject);
    log_chain chain = chain_make(&subject, 7);
    chain_put_surely(&chain);
    for (int i = 0; i < 2; i++) {
        unsigned before = r->puts;
        unsigned connections = r->connections;
        r->mode = i ? RELAY_RESET : RELAY_CUT;
        assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
        assert_int_equal(put.error, ETX_EUNAVAILABLE);
        assert_int_equal(r->puts, before + 1);
        assert_int_equal(r->connections, connections);
        assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
    }
    subject.ops->close(subject.log, 0);
    relay_stop(r);
}

static void test_answer_lost(void **state) {
    fixture *f = *state;
    log_subject subject;
    etx_put put;
    relay *r = open_behind_relay(f, &subject);
    log_chain chain = chain_make(&subject, 7);
    chain_put_surely(&chain);
    r->mode = RELAY_DROP;
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
    chain_settle(&chain);
    assert_int_equal(chain_check(&subject, 0, 0, NULL), 3);
    subject.ops->close(subject.log, 0);
    relay_stop(r);
}

/* etcd says so of the put that takes it to its quota, and has applied it. */
static void test_full_and_written(void **state) {
    fixture *f = *state;
    log_subject subject;
    etx_put put;
    relay *r = open_behind_relay(f, &subject);
    log_chain chain = chain_make(&subject, 7);
    chain_put_surely(&chain);
    relay_answer(r, "200", "8", "etcdserver: mvcc: database space exceeded");
    r->mode = RELAY_LIE;
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
    assert_int_equal(chain_check(&subject, 0, 0, NULL), 3);
    subject.ops->close(subject.log, 0);
    relay_stop(r);
}

/* ---- members that hang and die */

static void test_hung(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    fixture_stop(f, 0);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
    assert_int_equal(put.error, ETX_EUNAVAILABLE);
    /* the connection is given up, and no new one answers: nothing is sent */
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EUNAVAILABLE);
    fixture_go_on(0);
    chain_put_surely(&chain);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 2);
}

/* An etcd that was restarted has closed the connection: that is seen before anything is sent. */
static void test_idle_connection_lost(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    fixture_kill(f);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
}

static void test_killed(void **state) {
    fixture *f = *state;
    log_writer writer;
    writer_begin(&writer, &f->subject);
    for (int i = 0; i < 5; i++) {
        writer_await(&writer, 20);
        fixture_kill(f);
    }
    writer_end(&writer);
}

/* ---- other writers, older data */

/* From before its slot was filled, trimmed and deleted. */
static void test_late_put(void **state) {
    fixture *f = *state;
    log_subject other;
    etx_put put;
    uint64_t mark;
    log_chain chain = chain_make(&f->subject, 7);
    for (int i = 0; i < 5; i++)
        chain_put_surely(&chain);
    assert_int_equal(fixture_open(f, &other, "", 0), 0);
    log_chain late = chain;
    late.subject = &other;
    late.nonce = 8;
    for (int i = 0; i < 3; i++)
        chain_put_surely(&chain);
    assert_int_equal(f->subject.ops->trim(f->subject.log, 0, 7), 0);
    assert_int_equal(chain_put_next(&late, &put), ETX_PUT_OCCUPIED);
    assert_int_equal(put.found_trimmed, 1);
    /* not even where its predecessor is still there, deletion having been held up */
    fixture_do(f,
               "etcdctl get --print-value-only %s/p/000/s/0000000000000007 | head -c -1 |"
               " etcdctl put %s/p/000/s/0000000000000003",
               f->prefix, f->prefix);
    late.next = 4;
    late.checksum = chain.checksum;
    assert_int_equal(chain_put_next(&late, &put), ETX_PUT_OCCUPIED);
    assert_int_equal(put.found_trimmed, 1);
    assert_int_equal(chain_check(&f->subject, 0, 0, &mark), 1);
    assert_int_equal(mark, 7);
    other.ops->close(other.log, 1);
}

/* A snapshot that is older than what was acknowledged; the revisions come again. */
static void test_restored(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    for (int i = 0; i < 3; i++)
        chain_put_surely(&chain);
    log_chain older = chain;
    fixture_do(f, "cd $ETX_ETCD_DIR/0 && etcdctl snapshot save ../snapshot >&2");
    for (int i = 0; i < 2; i++)
        chain_put_surely(&chain);
    fixture_do(
        f,
        "cd $ETX_ETCD_DIR/0 && peer=$(etcdctl member list | cut -d, -f4) &&"
        " etcdctl snapshot restore ../snapshot --data-dir ../restored --name m0"
        " --initial-cluster m0=${peer# } --initial-advertise-peer-urls ${peer# } >&2 2>&1"
        " && chown -R --reference=data ../restored && mv data before && mv ../restored data");
    fixture_kill(f);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_PREDECESSOR);
    /* another one writes on, over the revisions that were */
    older.nonce = 8;
    for (int i = 0; i < 2; i++)
        assert_int_equal(chain_put_next(&older, &put), ETX_PUT_WRITTEN);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_PREDECESSOR);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 5);
    fixture_do(f, "rm -rf $ETX_ETCD_DIR/0/before $ETX_ETCD_DIR/snapshot");
}

static void test_two_owners(void **state) {
    fixture *f = *state;
    log_subject one;
    log_subject two;
    assert_int_equal(fixture_open(f, &one, "", 0), 0);
    assert_int_equal(fixture_open(f, &two, "", 0), 0);
    race_check(&one, &two);
    one.ops->close(one.log, 0);
    two.ops->close(two.log, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_answers),          CASE(test_cut_is_unknown), CASE(test_answer_lost),
        CASE(test_full_and_written), CASE(test_hung),           CASE(test_idle_connection_lost),
        CASE(test_killed),           CASE(test_late_put),       CASE(test_restored),
        CASE(test_two_owners),
    };
    return cmocka_run_group_tests_name("log_etcd_settle", tests, NULL, NULL);
}
