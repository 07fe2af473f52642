/* A PostgreSQL log in a schema of its own, and an administrator's session beside it. */
#ifndef ETX_TESTS_LOG_POSTGRESQL_FIXTURE_H
#define ETX_TESTS_LOG_POSTGRESQL_FIXTURE_H

#include "../../conformance/log_subject.h"

#include <libpq-fe.h>
#include <pthread.h>
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
/* Another one on the same log, with these options more ("&..."). */
int fixture_open(fixture *f, log_subject *other, const char *more, uint32_t flags);
log_chain fixture_chain(log_subject *subject, uint64_t nonce);
/* Puts the chain's next batch, which follows from its slot. */
etx_put_result fixture_put(log_chain *chain, etx_put *ret_put);
/* ... until it stands, and goes on to the next slot. */
void fixture_put_surely(log_chain *chain);

/* A put on a thread of its own. */
typedef struct put_thread {
    pthread_t thread;
    log_chain *chain;
    etx_put put;
    etx_put_result result;
    _Atomic int over;
} put_thread;
void put_begin(put_thread *put, log_chain *chain);
/* Until it waits for a lock. */
void put_await_lock(fixture *f, const put_thread *put);
etx_put_result put_end(put_thread *put);

#define CASE(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

#endif
