/* Makes a log with tables of its own, and says things to its server as an administrator. */
#include "fixture.h"

#include <etx/log_mariadb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AWAIT_STEPS = 6000 };

/* The server may be on its way back from a kill. */
static int connect_admin(fixture *f) {
    for (int i = 0; i < AWAIT_STEPS; i++) {
        f->admin = mysql_init(NULL);
        if (mysql_real_connect(f->admin, NULL, "root", "", "etx", 0, getenv("MARIADB_SOCKET"), 0))
            return 0;
        mysql_close(f->admin);
        f->admin = NULL;
        usleep(10000);
    }
    return -1;
}

/* What a test that failed has left. */
static void forget_settings(fixture *f) {
    static const char *const defaults[] = {"innodb_flush_log_at_trx_commit = 1",
                                           "sync_binlog = 1",
                                           "read_only = 0",
                                           "binlog_format = ROW",
                                           "max_allowed_packet = 16777216",
                                           "rpl_semi_sync_master_enabled = 0",
                                           "rpl_semi_sync_master_timeout = DEFAULT",
                                           "rpl_semi_sync_master_wait_point = DEFAULT",
                                           "rpl_semi_sync_master_wait_no_slave = DEFAULT",
                                           "autocommit = 1",
                                           "sql_mode = DEFAULT",
                                           "tx_isolation = DEFAULT",
                                           "sql_select_limit = DEFAULT",
                                           "completion_type = DEFAULT",
                                           "innodb_file_per_table = 1",
                                           "max_statement_time = 0"};
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        char sql[100];
        snprintf(sql, sizeof sql, "SET GLOBAL %s", defaults[i]);
        fixture_say(f, sql);
    }
}

int fixture_setup(void **state) {
    uint32_t random;
    fixture *f = calloc(1, sizeof *f);
    if (!f || !getenv("MARIADB_SOCKET") || getentropy(&random, sizeof random))
        return -1;
    *state = f;
    snprintf(f->prefix, sizeof f->prefix, "t_%x", random);
    f->subject.ops = etx_log_mariadb();
    f->subject.persistent = 1;
    snprintf(f->subject.url, sizeof f->subject.url,
             "mariadb://etx@/etx?socket=%s&partitions=3&timeout_ms=1000&prefix=%s",
             getenv("MARIADB_SOCKET"), f->prefix);
    if (connect_admin(f))
        return -1;
    forget_settings(f);
    int rc = subject_open(&f->subject, 0);
    if (rc)
        print_message("%s\n", f->subject.message);
    return rc;
}

int fixture_teardown(void **state) {
    fixture *f = *state;
    if (f->subject.log)
        f->subject.ops->close(f->subject.log, 1);
    mysql_close(f->admin);
    free(f);
    return 0;
}

/* With the tables' prefix for each %s. */
static void expand(const fixture *f, const char *sql, char *to, size_t size) {
    size_t len = 0;
    for (; *sql && len < size; sql++) {
        int here = sql[0] == '%' && sql[1] == 's';
        len += (size_t)snprintf(to + len, size - len, "%.*s", here ? (int)strlen(f->prefix) : 1,
                                here ? f->prefix : sql);
        sql += here;
    }
}

const char *fixture_ask(fixture *f, const char *sql) {
    char full[2000];
    expand(f, sql, full, sizeof full);
    int failed = mysql_query(f->admin, full);
    if (failed && mysql_errno(f->admin) >= 2000 && mysql_errno(f->admin) < 3000) {
        mysql_close(f->admin); /* killed: once more, to the next one */
        assert_int_equal(connect_admin(f), 0);
        failed = mysql_query(f->admin, full);
    }
    if (failed)
        fail_msg("%s: %s", full, mysql_error(f->admin));
    MYSQL_RES *result = mysql_store_result(f->admin);
    MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
    snprintf(f->text, sizeof f->text, "%s", row && row[0] ? row[0] : "");
    mysql_free_result(result);
    return f->text;
}

uint64_t fixture_count(fixture *f, const char *sql) {
    return strtoull(fixture_ask(f, sql), NULL, 10);
}

void fixture_say(fixture *f, const char *sql) {
    (void)fixture_ask(f, sql);
}

void fixture_await(fixture *f, const char *sql, const char *wanted) {
    for (int i = 0; i < AWAIT_STEPS; i++) {
        if (strcmp(fixture_ask(f, sql), wanted) == 0)
            return;
        usleep(10000);
    }
    fail_msg("%s is '%s' and not '%s'", sql, f->text, wanted);
}

void fixture_set(fixture *f, const char *setting) {
    char sql[200];
    snprintf(sql, sizeof sql, "SET GLOBAL %s", setting);
    fixture_say(f, sql);
}

void fixture_kill_sessions(fixture *f) {
    fixture_say(f, "KILL CONNECTION USER etx@localhost");
    fixture_await(f, "SELECT count(*) FROM information_schema.processlist WHERE user = 'etx'", "0");
}

pid_t fixture_server(void) {
    FILE *file = fopen(getenv("MARIADB_PID_FILE"), "r");
    long pid = 0;
    int read = file ? fscanf(file, "%ld", &pid) : 0;
    if (file)
        fclose(file);
    return read == 1 && pid > 1 ? (pid_t)pid : 0;
}

void fixture_kill_server(fixture *f) {
    pid_t server = fixture_server();
    assert_true(server > 1);
    assert_int_equal(kill(server, SIGKILL), 0);
    for (int i = 0; fixture_server() == server && i < AWAIT_STEPS; i++)
        usleep(10000);
    fixture_await(f, "SELECT 1", "1");
}

void put_await_lock(fixture *f, const put_thread *put) {
    static const char waiting[] =
        "SELECT variable_value FROM information_schema.global_status"
        " WHERE variable_name = 'Innodb_row_lock_current_waits'";
    for (int i = 0; i < AWAIT_STEPS && fixture_ask(f, waiting)[0] == '0'; i++) {
        if (put->over)
            fail_msg("the put waited for no lock");
        usleep(10000);
    }
}
