/* What a MariaDB log promises, whatever the server's defaults are, and that its space stays
 * bounded. Runs beside scripts/with-mariadb --durable. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_grade(fixture *f, etx_durability grade, const char *words) {
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    if (info.grade != grade || !info.remark || !strstr(info.remark, words))
        print_message("grade %d: %s\n", (int)info.grade, info.remark ? info.remark : "");
    assert_int_equal(info.grade, grade);
    assert_non_null(info.remark);
    assert_non_null(strstr(info.remark, words));
    assert_true(strlen(info.remark) <= 200); /* more would be cut off */
}

static void test_grades(void **state) {
    fixture *f = *state;
    expect_grade(f, ETX_LOCAL, "no copy that is waited for");
    fixture_set(f, "innodb_flush_log_at_trx_commit = 2");
    expect_grade(f, ETX_VOLATILE, "innodb_flush_log_at_trx_commit = 1");
    fixture_set(f, "innodb_flush_log_at_trx_commit = 1");
    fixture_set(f, "sync_binlog = 0");
    expect_grade(f, ETX_VOLATILE, "sync_binlog = 1");
    fixture_set(f, "sync_binlog = 1");
    fixture_say(f, "ALTER TABLE %s_log_partition ENGINE=Aria");
    expect_grade(f, ETX_VOLATILE, "ENGINE=InnoDB");
    fixture_say(f, "DROP TABLE %s_log_slot");
    expect_grade(f, ETX_VOLATILE, "was it dropped?");
}

/* Replicas are a promise where nothing but one of them ends the waiting. */
static void test_replicas(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    fixture_set(f, "rpl_semi_sync_master_enabled = 1");
    expect_grade(f, ETX_LOCAL, "rpl_semi_sync_master_timeout = 4294967295");
    fixture_set(f, "rpl_semi_sync_master_timeout = 4294967295");
    expect_grade(f, ETX_LOCAL, "rpl_semi_sync_master_wait_point = AFTER_SYNC");
    fixture_set(f, "rpl_semi_sync_master_wait_point = AFTER_SYNC");
    fixture_set(f, "rpl_semi_sync_master_wait_no_slave = 0");
    expect_grade(f, ETX_LOCAL, "rpl_semi_sync_master_wait_no_slave = 1");
    fixture_set(f, "rpl_semi_sync_master_wait_no_slave = 1");
    expect_grade(f, ETX_REPLICATED, "no semi-synchronous replica is connected");
    /* the server's limit for a statement does not cut its commit short */
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
    assert_int_equal(put.error, ETX_EUNAVAILABLE);
    assert_int_equal(fixture_count(f, "SELECT count(*) FROM %s_log_slot"), 1);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    fixture_set(f, "rpl_semi_sync_master_enabled = 0");
    chain_settle(&chain);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 3);
}

/* An acknowledged put is committed, a batch is never cut, all rows are read: also where the
 * defaults of the server would have it otherwise. */
static void test_whatever_the_defaults(void **state) {
    fixture *f = *state;
    log_subject other;
    fixture_set(f, "autocommit = 0");
    fixture_set(f, "sql_mode = ''");
    fixture_set(f, "tx_isolation = 'READ-UNCOMMITTED'");
    fixture_set(f, "sql_select_limit = 1");
    fixture_set(f, "completion_type = 2");
    assert_int_equal(subject_beside(&f->subject, &other, "", 0), 0);
    log_chain chain = chain_make(&other, 7);
    for (int i = 0; i < 3; i++)
        chain_put_surely(&chain);
    assert_int_equal(fixture_count(f, "SELECT count(*) FROM %s_log_slot"), 3);
    assert_int_equal(chain_check(&other, 0, 0, NULL), 3);
    other.ops->close(other.log, 1);
    assert_int_equal(fixture_count(f, "SELECT count(*) FROM %s_log_slot"), 3);
}

/* InnoDB would have to lock gaps for it, in which puts wait for each other. */
static void test_statements_in_the_binlog(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    fixture_set(f, "binlog_format = STATEMENT");
    fixture_kill_sessions(f);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EINVALID);
    assert_non_null(strstr(put.message, "set binlog_format to MIXED or ROW"));
    subject_refused(&f->subject, f->subject.url, 0, ETX_EINVALID,
                    "set binlog_format to MIXED or ROW");
}

static void test_batch_max(void **state) {
    fixture *f = *state;
    log_subject other;
    etx_log_info info = {.size = sizeof info};
    fixture_set(f, "max_allowed_packet = 65536");
    assert_int_equal(subject_beside(&f->subject, &other, "", 0), ETX_EINVALID);
    assert_non_null(strstr(other.message, "max_allowed_packet is 65536"));
    fixture_set(f, "max_allowed_packet = 262144");
    assert_int_equal(subject_beside(&f->subject, &other, "", 0), 0);
    assert_int_equal(other.ops->info(other.log, &info), 0);
    assert_true(info.batch_max > 200000 && info.batch_max < 262144);
    uint8_t *bytes = malloc(info.batch_max);
    assert_non_null(bytes);
    batch_fill(0, bytes, info.batch_max);
    log_chain chain = chain_make(&other, 7);
    assert_int_equal(chain_put(&chain, bytes, info.batch_max), ETX_PUT_WRITTEN);
    assert_int_equal(chain_check(&other, 0, 0, NULL), 1);
    free(bytes);
    other.ops->close(other.log, 1);
}

/* What was deleted can be used once it is purged, which a busy machine does late. */
static void await_purge(fixture *f) {
    static const char history[] =
        "SELECT variable_value FROM information_schema.global_status"
        " WHERE variable_name = 'Innodb_history_list_length'";
    for (int i = 0; i < 3000 && fixture_count(f, history) > 50; i++)
        usleep(10000);
}

/* What is deleted is used again, while puts go on: the table does not grow with what was put. */
static void test_space_is_used_again(void **state) {
    enum { LEN = 100000, ROUNDS = 40, EACH = 20 };
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    uint8_t *bytes = malloc(LEN);
    assert_non_null(bytes);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EACH; i++) {
            batch_fill(chain.next, bytes, LEN);
            for (int more = 6000; chain_put(&chain, bytes, LEN) != ETX_PUT_WRITTEN; more--)
                assert_true(more > 0);
        }
        assert_int_equal(f->subject.ops->trim(f->subject.log, 0, chain.next - 2), 0);
        await_purge(f);
    }
    free(bytes);
    uint64_t size = fixture_count(f,
                                  "SELECT file_size FROM information_schema.innodb_sys_tablespaces"
                                  " WHERE name = 'etx/%s_log_slot'");
    print_message("%d MB were put, %llu MB are used\n", LEN / 1000 * ROUNDS * EACH / 1000,
                  (unsigned long long)size / 1000000);
    assert_true(size > 0 && size < 40 * 1000000);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_grades),
        CASE(test_replicas),
        CASE(test_whatever_the_defaults),
        CASE(test_statements_in_the_binlog),
        CASE(test_batch_max),
        CASE(test_space_is_used_again),
    };
    return cmocka_run_group_tests_name("log_mariadb_promise", tests, NULL, NULL);
}
