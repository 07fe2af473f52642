/* A Redis log with a prefix of its own, and an administrator's session beside it. */
#ifndef ETX_TESTS_LOG_REDIS_FIXTURE_H
#define ETX_TESTS_LOG_REDIS_FIXTURE_H

#include "../../conformance/log_writer.h"

#include <hiredis/hiredis.h>
#include <unistd.h>

typedef struct fixture {
    log_subject subject; /* open; its URL has timeout_ms=1000 */
    char prefix[32];
    redisContext *admin;
    char text[8000]; /* of the last fixture_ask */
} fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* The administrator says it, in hiredis' words; it must succeed. What is answered is told as text:
 * of an array the last element. A key of the log is "{%s}:0" with f->prefix. */
const char *fixture_ask(fixture *f, const char *format, ...);
/* Sends it, and waits for no answer: for what takes long. The connection is the caller's. */
redisContext *fixture_send(const char *format, ...);
/* The server's process, and its end; then waits for the one that is started instead. */
pid_t fixture_server(fixture *f);
void fixture_kill_server(fixture *f);
/* Changes a setting of the server. */
void fixture_set(fixture *f, const char *name, const char *value);

#define CASE(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

#endif
