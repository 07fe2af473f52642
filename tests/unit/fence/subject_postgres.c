/* PostgreSQL as the tests of its fence see it: a schema in the database that the environment
 * names. */
#include "subject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

static void say_nothing(void *user, const char *message) {
    (void)user;
    (void)message;
}

static PGconn *open_database(void) {
    PGconn *conn = PQconnectdb("");
    if (PQstatus(conn) != CONNECTION_OK) {
        fail_msg("%s", PQerrorMessage(conn));
    }
    return conn;
}

static const char *execute(void *db, const char *sql) {
    PGresult *result = PQexec(db, sql);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? NULL : PQerrorMessage(db);
}

static int64_t ask(void *db, const char *sql) {
    PGresult *result = PQexec(db, sql);
    int64_t value;
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) < 1) {
        fail_msg("%s: %s", sql, PQerrorMessage(db));
    }
    value = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return value;
}

static void make(char ret_place[PLACE_MAX]) {
    char sql[PLACE_MAX + 32];
    PGconn *conn = open_database();
    snprintf(ret_place, PLACE_MAX, "bank_%lld",
             (long long)ask(conn,
                            "SELECT coalesce(max(substr(nspname, 6)::int), 0) + 1"
                            " FROM pg_namespace WHERE nspname LIKE 'bank\\_%'"));
    snprintf(sql, sizeof sql, "CREATE SCHEMA %s", ret_place);
    assert_null(execute(conn, sql));
    PQfinish(conn);
}

static void remove_place(const char *place) {
    char sql[PLACE_MAX + 32];
    PGconn *conn = open_database();
    (void)PQsetNoticeProcessor(conn, say_nothing, NULL);
    snprintf(sql, sizeof sql, "DROP SCHEMA %s CASCADE", place);
    assert_null(execute(conn, sql));
    PQfinish(conn);
}

static void *connect_to(const char *place) {
    char sql[PLACE_MAX + 32];
    PGconn *conn = open_database();
    snprintf(sql, sizeof sql, "SET search_path TO %s", place);
    assert_null(execute(conn, sql));
    return conn;
}

static void disconnect(void *db) {
    PQfinish(db);
}

SUBJECT_FENCE(postgres)

const fence_subject subject = {
    200,     "BEGIN", make,    remove_place, connect_to, disconnect,
    execute, ask,     prepare, enter,        finish,     clean,
};
