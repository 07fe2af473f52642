/* An etcd log below a prefix of its own, and an administrator's etcdctl beside it. */
#ifndef ETX_TESTS_LOG_ETCD_FIXTURE_H
#define ETX_TESTS_LOG_ETCD_FIXTURE_H

#include "../../conformance/log_writer.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

typedef struct fixture {
    log_subject subject; /* open; its URL has timeout_ms=1000 */
    char prefix[32];
    char text[400]; /* what etcdctl said last */
} fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* A shell's command with `format` of the words and numbers; it must succeed. What it says. */
const char *fixture_do(fixture *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Another one on the same log, with these options more ("&..."). */
int fixture_open(fixture *f, log_subject *other, const char *more, uint32_t flags);
/* ... as the node of that name. */
int fixture_open_as(fixture *f, log_subject *other, const char *node);
/* Opening that URL fails like this, with these words and without the word secret. */
void fixture_refuse(fixture *f, const char *url, uint32_t flags, int wanted, const char *words);
/* A URL with our hosts and this before and behind them, in f->text. */
const char *fixture_url(fixture *f, const char *user, const char *behind);
pid_t fixture_pid(int member);
/* Stops it, all of it, and lets it go on. */
void fixture_stop(fixture *f, int member);
void fixture_go_on(int member);
/* Kills the one member, and waits for the one that is started instead. */
void fixture_kill(fixture *f);

#define CASE(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

#endif
