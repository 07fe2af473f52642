/* A PostgreSQL log in a schema of its own, and an administrator's session beside it. */
#ifndef ETX_TESTS_LOG_POSTGRESQL_FIXTURE_H
#define ETX_TESTS_LOG_POSTGRESQL_FIXTURE_H

#include "../../conformance/log_writer.h"

#include <libpq-fe.h>
#include <unistd.h>

typedef struct fixture {
    log_subject subject; /* open; its URL has timeout_ms=1000 */
    char schema[32];
    PGconn *admin;
    char text[256]; /* of the last fixture_ask */
} fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* The administrator says it; it must succeed. "%s" stands for the log's schema. */
void fixture_say(fixture *f, const char *sql);
/* ... and its first value as text. */
const char *fixture_ask(fixture *f, const char *sql);
/* Until the first value is `wanted`. */
void fixture_await(fixture *f, const char *sql, const char *wanted);
/* Changes a setting of the server, and waits until sessions have it. An empty value resets it. */
void fixture_set(fixture *f, const char *name, const char *value);
/* Commits wait for a standby that is not there, from now on; until it is taken back. */
void fixture_standby_away(fixture *f);
void fixture_standby_forget(fixture *f);
/* Until it waits for a lock. */
void put_await_lock(fixture *f, const put_thread *put);

#define CASE(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

#endif
