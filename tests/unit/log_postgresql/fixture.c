/* Makes a log in a schema of its own, and says things to its server as an administrator. */
#include "fixture.h"

#include <etx/log_postgres.h>
#include <stdlib.h>
#include <string.h>

enum { AWAIT_STEPS = 6000 };

/* The server may be on its way back from a kill. */
static int connect_admin(fixture *f) {
    for (int i = 0; i < AWAIT_STEPS; i++) {
        f->admin = PQconnectdb("");
        if (PQstatus(f->admin) == CONNECTION_OK) {
            PQclear(PQexec(f->admin, "SET client_min_messages = error"));
            return 0;
        }
        PQfinish(f->admin);
        f->admin = NULL;
        usleep(10000);
    }
    return -1;
}

/* What a test that failed has left; a pair keeps its standby. */
static void forget_settings(fixture *f) {
    if (getenv("STANDBY_HOST"))
        return;
    fixture_say(f, "ALTER SYSTEM RESET ALL");
    fixture_say(f, "SELECT pg_reload_conf()");
    fixture_await(f,
                  "SELECT count(*) FROM pg_settings WHERE setting <> boot_val AND name IN"
                  " ('synchronous_standby_names', 'default_transaction_read_only')",
                  "0");
}

int fixture_setup(void **state) {
    uint32_t random;
    fixture *f = calloc(1, sizeof *f);
    if (!f || getentropy(&random, sizeof random) || connect_admin(f))
        return -1;
    *state = f;
    forget_settings(f);
    snprintf(f->schema, sizeof f->schema, "t_%x", random);
    f->subject.ops = etx_log_postgresql();
    f->subject.persistent = 1;
    snprintf(f->subject.url, sizeof f->subject.url,
             "postgresql://?partitions=3&timeout_ms=1000&schema=%s", f->schema);
    int rc = subject_open(&f->subject, 0);
    if (rc)
        print_message("%s\n", f->subject.message);
    return rc;
}

int fixture_teardown(void **state) {
    fixture *f = *state;
    if (f->subject.log)
        f->subject.ops->close(f->subject.log, 1);
    PQfinish(f->admin);
    free(f);
    return 0;
}

const char *fixture_ask(fixture *f, const char *sql) {
    char full[2000];
    const char *at = strstr(sql, "%s");
    if (at)
        snprintf(full, sizeof full, "%.*s%s%s", (int)(at - sql), sql, f->schema, at + 2);
    else
        snprintf(full, sizeof full, "%s", sql);
    PGresult *result = PQexec(f->admin, full);
    if (PQstatus(f->admin) != CONNECTION_OK) { /* killed: once more, to the next one */
        PQclear(result);
        PQfinish(f->admin);
        assert_int_equal(connect_admin(f), 0);
        result = PQexec(f->admin, full);
    }
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", full, PQerrorMessage(f->admin));
    snprintf(f->text, sizeof f->text, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return f->text;
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

void fixture_set(fixture *f, const char *name, const char *value) {
    char sql[200];
    if (value[0]) {
        snprintf(sql, sizeof sql, "ALTER SYSTEM SET %s = '%s'", name, value);
        fixture_say(f, sql);
    } else {
        snprintf(sql, sizeof sql, "ALTER SYSTEM RESET %s", name);
        fixture_say(f, sql);
    }
    fixture_say(f, "SELECT pg_reload_conf()");
    if (value[0]) {
        snprintf(sql, sizeof sql, "SELECT current_setting('%s')", name);
        fixture_await(f, sql, value);
    } else {
        snprintf(sql, sizeof sql, "SELECT setting = boot_val FROM pg_settings WHERE name = '%s'",
                 name);
        fixture_await(f, sql, "t");
    }
}

/* Sessions know the setting before the server does as a whole: a commit is asked. */
void fixture_standby_away(fixture *f) {
    int waits = 0;
    fixture_set(f, "synchronous_standby_names", "nobody");
    for (int i = 0; !waits && i < AWAIT_STEPS; i++) {
        PGconn *probe = PQconnectdb("application_name=probe options='-c synchronous_commit=on'");
        assert_int_equal(PQsendQuery(probe, "SELECT pg_logical_emit_message(true, 'a', 'b')"), 1);
        fixture_await(f,
                      "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'probe'"
                      " AND query LIKE '%emit%' AND (state = 'idle' OR wait_event = 'SyncRep')",
                      "t");
        waits = fixture_ask(f,
                            "SELECT count(*) FROM pg_stat_activity WHERE application_name ="
                            " 'probe' AND wait_event = 'SyncRep'")[0] != '0';
        fixture_say(f,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'probe'");
        PQfinish(probe);
        fixture_await(f, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'probe'",
                      "0");
    }
    assert_true(waits);
}

void fixture_standby_forget(fixture *f) {
    fixture_set(f, "synchronous_standby_names", "");
    fixture_await(f, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", "0");
}

void put_await_lock(fixture *f, const put_thread *put) {
    static const char waiting[] =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'etx'"
        " AND wait_event_type = 'Lock'";
    for (int i = 0; i < AWAIT_STEPS && fixture_ask(f, waiting)[0] == '0'; i++) {
        if (put->over)
            fail_msg("the put waited for no lock");
        usleep(10000);
        /* within a transaction the view stays as it was first seen */
        fixture_say(f, "SELECT pg_stat_clear_snapshot()");
    }
}
