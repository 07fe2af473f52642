/* A MariaDB log with tables of its own, and an administrator's session beside it. */
#ifndef ETX_TESTS_LOG_MARIADB_FIXTURE_H
#define ETX_TESTS_LOG_MARIADB_FIXTURE_H

#include "../../conformance/log_writer.h"

#include <mysql.h>
#include <unistd.h>

typedef struct fixture {
    log_subject subject; /* open; its URL has timeout_ms=1000 */
    char prefix[32];
    MYSQL *admin;
    char text[256]; /* of the last fixture_ask */
} fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* The administrator says it; it must succeed. "%s" stands for the prefix of the log's tables. */
void fixture_say(fixture *f, const char *sql);
/* ... and its first value, as text or as a number. */
const char *fixture_ask(fixture *f, const char *sql);
uint64_t fixture_count(fixture *f, const char *sql);
/* Until the first value is `wanted`. */
void fixture_await(fixture *f, const char *sql, const char *wanted);
/* Changes a setting of the server: "read_only = 1". The next fixture has the defaults again. */
void fixture_set(fixture *f, const char *setting);
/* Ends all sessions of logs. */
void fixture_kill_sessions(fixture *f);
pid_t fixture_server(void);
/* Kills the server, and waits for the one that is started instead. */
void fixture_kill_server(fixture *f);
/* Until it waits for a lock. */
void put_await_lock(fixture *f, const put_thread *put);

#define CASE(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

#endif
