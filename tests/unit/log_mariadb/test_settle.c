/* What a put comes to when the server, the session or another writer gets in between. Runs beside
 * scripts/with-mariadb --durable. */
#include "../../conformance/server_pause.h"
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- unknown, and what settles it */

static void test_hung_server(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    pid_t server = fixture_server();
    assert_true(server > 1);
    server_pause(server);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
    assert_int_equal(put.error, ETX_EUNAVAILABLE);
    /* now it has no connection, and none is to be had */
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EUNAVAILABLE);
    assert_int_equal(kill(server, SIGCONT), 0);
    chain_put_surely(&chain);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 2);
}

static const char hold_mark[] = "SELECT below FROM %s_log_partition WHERE part = 0 FOR UPDATE";

/* The statement is ended by the server before it has committed: that is definite. */
static void test_lock_held(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    fixture_say(f, "BEGIN");
    fixture_say(f, hold_mark);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EUNAVAILABLE);
    assert_non_null(strstr(put.message, "timeout_ms"));
    fixture_say(f, "ROLLBACK");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
}

/* Its session is ended while it runs: whether it had committed by then is not said. */
static void test_killed_put(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    put_thread thread;
    fixture_say(f, "BEGIN");
    fixture_say(f, hold_mark);
    put_begin(&thread, &chain);
    put_await_lock(f, &thread);
    fixture_kill_sessions(f);
    assert_int_equal(put_end(&thread), ETX_PUT_UNKNOWN);
    assert_int_equal(thread.put.error, ETX_EUNAVAILABLE);
    fixture_say(f, "ROLLBACK");
    chain_put_surely(&chain);
}

/* The administrator's transaction has more work to lose: InnoDB ends the put's, which is made
 * again. */
static void test_deadlock(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    put_thread thread;
    chain_put_surely(&chain);
    fixture_say(f, "BEGIN");
    fixture_say(f, "UPDATE %s_log_partition SET below = below + 1 WHERE part > 0");
    fixture_say(f, "SELECT slot FROM %s_log_slot WHERE part = 0 FOR UPDATE");
    put_begin(&thread, &chain);
    put_await_lock(f, &thread);
    uint64_t before = fixture_count(f,
                                    "SELECT variable_value FROM information_schema.global_status"
                                    " WHERE variable_name = 'Innodb_deadlocks'");
    fixture_say(f, hold_mark);
    fixture_say(f, "ROLLBACK");
    assert_int_equal(put_end(&thread), ETX_PUT_WRITTEN);
    assert_true(fixture_count(f,
                              "SELECT variable_value FROM information_schema.global_status"
                              " WHERE variable_name = 'Innodb_deadlocks'") > before);
}

static void test_read_only_server(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    fixture_set(f, "read_only = 1");
    for (int i = 0; i < 2; i++) { /* also on a new connection */
        assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
        assert_int_equal(put.error, ETX_EUNAVAILABLE);
        assert_non_null(strstr(put.message, "read-only"));
    }
    fixture_set(f, "read_only = 0");
    chain_put_surely(&chain);
}

/* The server was started again with less: what it does not take is not sent. */
static void test_packet_shrinks(void **state) {
    enum { LEN = 300000 };
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    uint8_t *bytes = calloc(1, LEN);
    assert_non_null(bytes);
    fixture_set(f, "max_allowed_packet = 262144");
    fixture_kill_sessions(f);
    etx_put put = put_make(&chain, 0, bytes, LEN);
    assert_int_equal(f->subject.ops->put(f->subject.log, &put), ETX_PUT_NOT_WRITTEN);
    assert_non_null(strstr(put.message, "max_allowed_packet"));
    put = put_make(&chain, 0, bytes, LEN / 2);
    assert_int_equal(f->subject.ops->put(f->subject.log, &put), ETX_PUT_WRITTEN);
    free(bytes);
}

/* Until not one row more finds room. */
static void fill_up(fixture *f) {
    char sql[160];
    fixture_say(f, "CREATE TABLE %s_filler(bytes varbinary(3000)) ENGINE=InnoDB");
    for (unsigned rows = 4000; rows > 0; rows /= 4) {
        snprintf(sql, sizeof sql, "INSERT INTO %s_filler SELECT repeat('x', 3000) FROM seq_1_to_%u",
                 f->prefix, rows);
        while (mysql_query(f->admin, sql) == 0)
            continue;
    }
}

/* The system's tablespace has a limit here (scripts/with-mariadb). */
static void test_full(void **state) {
    fixture *f = *state;
    log_subject other;
    etx_put_result result = ETX_PUT_WRITTEN;
    etx_put put;
    fixture_set(f, "innodb_file_per_table = 0");
    assert_int_equal(subject_beside(&f->subject, &other, "_full", 0), 0);
    log_chain chain = chain_make(&other, 7);
    fill_up(f);
    for (int i = 0; i < 400 && result == ETX_PUT_WRITTEN; i++)
        result = chain_put_next(&chain, &put);
    fixture_say(f, "DROP TABLE %s_filler");
    assert_int_equal(result, ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EFULL);
    assert_non_null(strstr(put.message, "free space"));
    for (int i = 0; i < 6000 && result == ETX_PUT_NOT_WRITTEN; i++) { /* the room comes later */
        result = chain_put_next(&chain, &put);
        usleep(10000);
    }
    assert_int_equal(result, ETX_PUT_WRITTEN);
    assert_int_equal(chain_check(&other, 0, 0, NULL), chain.next);
    other.ops->close(other.log, 1);
}

/* ---- servers and sessions that die */

static void test_killed_sessions(void **state) {
    fixture *f = *state;
    log_writer writer;
    writer_begin(&writer, &f->subject);
    for (int i = 0; i < 20; i++) {
        writer_await(&writer, 5);
        fixture_say(f, "KILL CONNECTION USER etx@localhost");
    }
    writer_end(&writer);
}

static void test_killed_server(void **state) {
    fixture *f = *state;
    log_writer writer;
    writer_begin(&writer, &f->subject);
    for (int i = 0; i < 3; i++) {
        writer_await(&writer, 5);
        fixture_kill_server(f);
    }
    writer_end(&writer);
}

/* A server that was restarted has closed the connection: that is seen before anything is sent, so
 * nothing becomes unknown. */
static void test_idle_session_lost(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    fixture_kill_sessions(f);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
}

/* ---- other writers */

/* From before its slot was filled, trimmed and deleted. */
static void test_late_put(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    put_thread late;
    for (int i = 0; i < 5; i++)
        chain_put_surely(&chain);
    fixture_say(f, "BEGIN");
    fixture_say(f, hold_mark);
    put_begin(&late, &chain);
    put_await_lock(f, &late);
    fixture_say(f,
                "INSERT INTO %s_log_slot VALUES(0, 5, 99, 0, 5, 1, 'x'),"
                " (0, 6, 99, 0, 6, 1, 'x'), (0, 7, 99, 0, 7, 1, 'x')");
    fixture_say(f, "UPDATE %s_log_partition SET below = 7 WHERE part = 0");
    fixture_say(f, "DELETE FROM %s_log_slot WHERE slot < 7");
    fixture_say(f, "COMMIT");
    assert_int_equal(put_end(&late), ETX_PUT_OCCUPIED);
    assert_int_equal(late.put.found_trimmed, 1);
    assert_int_equal(fixture_count(f, "SELECT count(*) FROM %s_log_slot"), 1);
}

/* A backup that is older than what was acknowledged. */
static void test_restored(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    for (int i = 0; i < 5; i++)
        chain_put_surely(&chain);
    fixture_say(f, "DELETE FROM %s_log_slot WHERE slot > 2");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_PREDECESSOR);
}

static void test_two_owners(void **state) {
    fixture *f = *state;
    race_check(&f->subject, &f->subject);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_hung_server),
        CASE(test_lock_held),
        CASE(test_killed_put),
        CASE(test_deadlock),
        CASE(test_read_only_server),
        CASE(test_packet_shrinks),
        CASE(test_killed_sessions),
        CASE(test_killed_server),
        CASE(test_idle_session_lost),
        CASE(test_late_put),
        CASE(test_restored),
        CASE(test_two_owners),
        CASE(test_full),
    };
    return cmocka_run_group_tests_name("log_mariadb_settle", tests, NULL, NULL);
}
