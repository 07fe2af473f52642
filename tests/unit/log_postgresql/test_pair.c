/* A primary with a synchronous standby: what it promises, and what is there after a failover. Runs
 * beside scripts/with-postgres --pair. */
#include "fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static PGconn *standby_connect(void) {
    char conninfo[300];
    snprintf(conninfo, sizeof conninfo, "host='%s'", getenv("STANDBY_HOST"));
    PGconn *conn = PQconnectdb(conninfo);
    if (PQstatus(conn) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(conn));
    return conn;
}

static void standby_say(const char *sql) {
    PGconn *conn = standby_connect();
    PGresult *result = PQexec(conn, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

static void test_replicated(void **state) {
    fixture *f = *state;
    etx_log_info info = {.size = sizeof info};
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    assert_int_equal(info.grade, ETX_REPLICATED);
    assert_null(info.remark);
    fixture_set(f, "synchronous_standby_names", "");
    assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    for (int i = 0; info.grade != ETX_LOCAL && i < 6000; i++) {
        usleep(10000);
        assert_int_equal(f->subject.ops->info(f->subject.log, &info), 0);
    }
    assert_int_equal(info.grade, ETX_LOCAL);
    assert_non_null(strstr(info.remark, "1 standbys are asynchronous"));
    fixture_set(f, "synchronous_standby_names", "*");
}

static void test_standby_alone_is_refused(void **state) {
    fixture *f = *state;
    log_subject other;
    char host[300];
    snprintf(host, sizeof host, "&target_session_attrs=any&host=%s", getenv("STANDBY_HOST"));
    assert_int_equal(subject_beside(&f->subject, &other, host, 0), ETX_EUNAVAILABLE);
    assert_true(other.message[0]);
}

/* The last test: the primary is gone then. */
static void test_failover(void **state) {
    fixture *f = *state;
    log_subject other;
    char hosts[300];
    etx_log_info info = {.size = sizeof info};
    log_writer writer;
    snprintf(hosts, sizeof hosts, "&host=%s,%s", getenv("PGHOST"), getenv("STANDBY_HOST"));
    assert_int_equal(subject_beside(&f->subject, &other, hosts, 0), 0);
    writer_begin(&writer, &other);
    writer_await(&writer, 50);
    pid_t server = (pid_t)strtol(
        fixture_ask(f, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"), NULL, 10);
    assert_true(server > 1);
    assert_int_equal(kill(server, SIGKILL), 0);
    standby_say("SELECT pg_promote()");
    writer_await(&writer, 50);
    writer_end(&writer);
    assert_int_equal(other.ops->info(other.log, &info), 0);
    assert_int_equal(info.grade, ETX_LOCAL);
    other.ops->close(other.log, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_replicated),
        CASE(test_standby_alone_is_refused),
        CASE(test_failover),
    };
    return cmocka_run_group_tests_name("log_postgresql_pair", tests, NULL, NULL);
}
