/* What a put comes to when the server, the session or another writer gets in between. Runs beside
 * scripts/with-postgres --durable. */
#include "../../conformance/server_pause.h"
#include "fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* The backend of the log's session that put last. */
static const char put_backend[] =
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'etx'"
    " AND query LIKE 'INSERT INTO etx_log_slot%' ORDER BY state_change DESC LIMIT 1";
static const char waiting_for_standby[] =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/* ---- unknown, and what settles it */

static void test_standby_does_not_answer(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    fixture_standby_away(f);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
    assert_int_equal(put.error, ETX_EUNAVAILABLE);
    assert_non_null(strstr(put.message, "not answered"));
    /* its connection is given up, its commit still waits: the same put waits for it */
    fixture_await(f, waiting_for_standby, "1");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    fixture_standby_forget(f);
    chain_settle(&chain);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 3);
}

static void test_warned_is_unknown(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    put_thread thread;
    chain_put_surely(&chain);
    fixture_standby_away(f);
    put_begin(&thread, &chain);
    fixture_await(f, waiting_for_standby, "1");
    fixture_say(f,
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event = 'SyncRep'");
    assert_int_equal(put_end(&thread), ETX_PUT_UNKNOWN);
    assert_non_null(strstr(thread.put.message, "warns"));
    /* it can be read already, and is not settled by that */
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 2);
    fixture_standby_forget(f);
    chain_settle(&chain);
}

/* Whoever weakened the user's default does not weaken the log. */
static void test_waits_whatever_the_default(void **state) {
    fixture *f = *state;
    log_subject other;
    etx_put put;
    fixture_say(f, "ALTER ROLE etx SET synchronous_commit = off");
    assert_int_equal(subject_beside(&f->subject, &other, "", 0), 0);
    log_chain chain = chain_make(&other, 7);
    fixture_standby_away(f);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
    fixture_standby_forget(f);
    fixture_say(f, "ALTER ROLE etx RESET synchronous_commit");
    other.ops->close(other.log, 0);
}

static void test_hung_server(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    pid_t backend = (pid_t)strtol(fixture_ask(f, put_backend), NULL, 10);
    assert_true(backend > 1);
    server_pause(backend);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
    assert_int_equal(kill(backend, SIGCONT), 0);
    chain_put_surely(&chain);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 2);
}

/* The statement is cancelled by the server before it has committed: that is definite. */
static void test_lock_held(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    fixture_say(f, "BEGIN; UPDATE %s.etx_log_partition SET below = below");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EUNAVAILABLE);
    assert_non_null(strstr(put.message, "timeout_ms"));
    fixture_say(f, "ROLLBACK");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
}

/* Its session is ended while it runs: whether it had committed by then is not said. */
static void test_terminated_put(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    put_thread thread;
    fixture_say(f, "BEGIN; UPDATE %s.etx_log_partition SET below = below");
    put_begin(&thread, &chain);
    put_await_lock(f, &thread);
    fixture_say(f,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'etx' AND wait_event_type = 'Lock'");
    assert_int_equal(put_end(&thread), ETX_PUT_UNKNOWN);
    assert_int_equal(thread.put.error, ETX_EUNAVAILABLE);
    fixture_say(f, "ROLLBACK");
    chain_put_surely(&chain);
}

static void test_read_only_server(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    fixture_set(f, "default_transaction_read_only", "on");
    for (int i = 0; i < 2; i++) { /* also on a new connection */
        assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
        assert_int_equal(put.error, ETX_EUNAVAILABLE);
        assert_non_null(strstr(put.message, "read-only"));
    }
    fixture_set(f, "default_transaction_read_only", "");
    chain_put_surely(&chain);
}

/* ---- servers and sessions that die */

/* Kills the server, and waits for the one that is started instead. */
static void kill_server(fixture *f) {
    static const char pid[] = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)";
    char other[160];
    pid_t server = (pid_t)strtol(fixture_ask(f, pid), NULL, 10);
    snprintf(other, sizeof other, "SELECT %d <> (%s)::integer", (int)server, pid);
    assert_true(server > 1);
    assert_int_equal(kill(server, SIGKILL), 0);
    fixture_await(f, other, "t");
}

static void write_while(fixture *f, const char *sql, int times) {
    log_writer writer;
    writer_begin(&writer, &f->subject);
    for (int i = 0; i < times; i++) {
        writer_await(&writer, 5);
        if (sql) {
            fixture_say(f, sql);
        } else {
            kill_server(f);
        }
    }
    writer_end(&writer);
}

static void test_terminated_sessions(void **state) {
    write_while(*state,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'etx'",
                20);
}

static void test_killed_server(void **state) {
    write_while(*state, NULL, 3);
}

/* A server that was restarted has closed the connection: that is seen before anything is sent, so
 * nothing becomes unknown. */
static void test_idle_session_lost(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    fixture_say(f,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'etx'");
    fixture_await(f, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'etx'", "0");
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
    fixture_say(f, "BEGIN; UPDATE %s.etx_log_partition SET below = below WHERE partition = 0");
    put_begin(&late, &chain);
    put_await_lock(f, &late);
    fixture_say(f,
                "INSERT INTO %s.etx_log_slot SELECT 0, n, 99, 0, n, 'x'"
                " FROM generate_series(5, 7) AS n");
    fixture_say(f, "UPDATE %s.etx_log_partition SET below = 7 WHERE partition = 0");
    fixture_say(f, "DELETE FROM %s.etx_log_slot WHERE slot < 7");
    fixture_say(f, "COMMIT");
    assert_int_equal(put_end(&late), ETX_PUT_OCCUPIED);
    assert_int_equal(late.put.found_trimmed, 1);
    assert_string_equal(fixture_ask(f, "SELECT count(*) FROM %s.etx_log_slot"), "1");
}

/* A backup that is older than what was acknowledged. */
static void test_restored(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    for (int i = 0; i < 5; i++)
        chain_put_surely(&chain);
    fixture_say(f, "DELETE FROM %s.etx_log_slot WHERE slot > 2");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_PREDECESSOR);
}

static void test_two_owners(void **state) {
    fixture *f = *state;
    race_check(&f->subject, &f->subject);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_standby_does_not_answer),
        CASE(test_warned_is_unknown),
        CASE(test_waits_whatever_the_default),
        CASE(test_hung_server),
        CASE(test_lock_held),
        CASE(test_terminated_put),
        CASE(test_read_only_server),
        CASE(test_terminated_sessions),
        CASE(test_killed_server),
        CASE(test_idle_session_lost),
        CASE(test_late_put),
        CASE(test_restored),
        CASE(test_two_owners),
    };
    return cmocka_run_group_tests_name("log_postgresql_settle", tests, NULL, NULL);
}
