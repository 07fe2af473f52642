/* Three nodes of a Galera cluster: what they promise, two writers on different nodes, and what is
 * there when one is killed. Runs beside scripts/with-mariadb --galera. */
#include "../../conformance/log_copier.h"
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_replicated(void **state) {
    fixture *f = *state;
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    assert_int_equal(info.grade, ETX_REPLICATED);
    assert_null(info.remark);
    fixture_set(f, "innodb_flush_log_at_trx_commit = 0");
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    assert_int_equal(info.grade, ETX_VOLATILE);
}

/* The same log, by another node. */
static int open_at(fixture *f, log_subject *other, const char *node) {
    *other = f->subject;
    other->log = NULL;
    snprintf(other->url, sizeof other->url,
             "mariadb://etx@/etx?socket=%s&timeout_ms=1000&prefix=%s", getenv(node), f->prefix);
    return subject_open(other, ETX_LOG_NO_CREATE);
}

/* What one node has acknowledged, the other reads, judges by and does not write again. */
static void test_nodes_agree(void **state) {
    fixture *f = *state;
    log_subject other;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    assert_int_equal(open_at(f, &other, "NODE2_SOCKET"), 0);
    for (int i = 0; i < 30; i++) {
        log_chain late = chain;
        late.subject = &other;
        chain_put_surely(&chain);
        assert_int_equal(chain_put_next(&late, &put), ETX_PUT_OCCUPIED);
        assert_int_equal(put.found_nonce, chain.nonce);
        assert_int_equal(chain_check(&other, 0, 0, NULL), chain.next);
        late = chain;
        late.subject = &other;
        chain_put_surely(&late);
        chain.next = late.next;
        chain.checksum = late.checksum;
    }
    assert_int_equal(other.ops->trim(other.log, 0, 20), 0);
    log_chain stale = chain_make(&f->subject, 9);
    assert_int_equal(chain_put_next(&stale, &put), ETX_PUT_OCCUPIED);
    assert_int_equal(put.found_trimmed, 1);
    other.ops->close(other.log, 1);
}

static void test_race_on_two_nodes(void **state) {
    fixture *f = *state;
    log_subject other;
    assert_int_equal(open_at(f, &other, "NODE3_SOCKET"), 0);
    race_check(&f->subject, &other);
    other.ops->close(other.log, 1);
}

/* A copy that another node's overtakes in the midst of a transaction commits nothing of that. */
static void test_copies_on_two_nodes(void **state) {
    static const char *const nodes[] = {"NODE1_SOCKET", "NODE2_SOCKET"};
    fixture *f = *state;
    log_copier copiers[2];
    log_chain chain = chain_of(&f->subject, 0);
    log_chain small = chain_of(&f->subject, 2);
    puts_many(&chain, 30, 60000);
    puts_many(&small, 3, 10);
    for (int i = 0; i < 2; i++) {
        char url[512];
        snprintf(url, sizeof url, "mariadb://etx@/etx?socket=%s&timeout_ms=5000&prefix=%s_c",
                 getenv(nodes[i]), f->prefix);
        copiers[i] = copier_of(&f->subject, url);
    }
    assert_int_equal(copier_begin(&copiers[0]), 0);
    assert_int_equal(copier_fill(&copiers[0], 0), 0);
    assert_int_equal(copier_begin(&copiers[1]), 0);
    int rc = copier_fill(&copiers[0], 2); /* its node may not have heard of the other yet */
    assert_true(rc == 0 || rc == ETX_EBUSY);
    assert_int_not_equal(copier_end(&copiers[0], 1), 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(copier_fill(&copiers[1], i), 0);
    assert_int_equal(copier_end(&copiers[1], 1), 0);
    copier_check(&copiers[0]);
    copier_check(&copiers[1]);
}

static pid_t pid_of(const char *node) {
    FILE *file = fopen(getenv(node), "r");
    long pid = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pid), 1);
    fclose(file);
    assert_true(pid > 1);
    return (pid_t)pid;
}

typedef struct putter {
    log_chain chain;
    _Atomic uint64_t written;
} putter;

static void *put_on(void *user) {
    putter *p = user;
    etx_put put;
    while (chain_put_next(&p->chain, &put) == ETX_PUT_WRITTEN)
        p->written = p->chain.next;
    return NULL;
}

/* Through several hosts. */
static int open_hosts(fixture *f, log_subject *other, const char *first, const char *second) {
    *other = f->subject;
    other->log = NULL;
    snprintf(other->url, sizeof other->url, "mariadb://etx@%s,%s/etx?timeout_ms=1000&prefix=%s",
             getenv(first), getenv(second), f->prefix);
    return subject_open(other, ETX_LOG_NO_CREATE);
}

/* The node that is written to dies, and the next host has all that it acknowledged. Then one is
 * left of two, which is no majority and takes nothing. The last test. */
static void test_killed_nodes(void **state) {
    fixture *f = *state;
    log_subject other;
    pthread_t thread;
    etx_put put;
    assert_int_equal(open_hosts(f, &other, "NODE3_HOST", "NODE2_HOST"), 0);
    putter p = {.chain = chain_make(&other, 7)};
    assert_int_equal(pthread_create(&thread, NULL, put_on, &p), 0);
    for (int i = 0; p.written < 20 && i < 6000; i++)
        usleep(10000);
    assert_int_equal(kill(pid_of("NODE3_PID_FILE"), SIGKILL), 0);
    pthread_join(thread, NULL);
    assert_true(p.written >= 20);
    chain_put_surely(&p.chain);
    assert_int_equal(chain_check(&other, 0, 0, NULL), p.chain.next);
    other.ops->close(other.log, 1);

    p.chain.subject = &f->subject;
    chain_put_surely(&p.chain);
    assert_int_equal(kill(pid_of("NODE2_PID_FILE"), SIGKILL), 0);
    for (int i = 0; i < 6000; i++) {
        etx_put_result result = chain_put_next(&p.chain, &put);
        assert_true(result == ETX_PUT_UNKNOWN || result == ETX_PUT_NOT_WRITTEN);
        assert_int_equal(put.error, ETX_EUNAVAILABLE);
        if (result == ETX_PUT_NOT_WRITTEN && strstr(put.message, "Galera"))
            return;
        usleep(10000);
    }
    fail_msg("a node alone does not say so: %s", put.message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_replicated),          CASE(test_nodes_agree),  CASE(test_race_on_two_nodes),
        CASE(test_copies_on_two_nodes), CASE(test_killed_nodes),
    };
    return cmocka_run_group_tests_name("log_mariadb_galera", tests, NULL, NULL);
}
