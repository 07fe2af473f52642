/* Writers on a log whose store is broken meanwhile: one that goes on until each put stands, two
 * that race for each slot; and what a survey shows. */
#ifndef ETX_TESTS_CONFORMANCE_LOG_WRITERS_H
#define ETX_TESTS_CONFORMANCE_LOG_WRITERS_H

#include "log_subject.h"

#include <pthread.h>

enum { LOG_WAIT_STEPS = 6000, LOG_WAIT_US = 10000 };

log_chain writer_chain(log_subject *subject, uint64_t nonce);
/* Puts the chain's next batch, which follows from its slot. */
etx_put_result writer_put(log_chain *chain, etx_put *ret_put);
/* ... until it stands, and goes on to the next slot. */
void writer_put_surely(log_chain *chain);

/* One on a thread of its own. */
typedef struct log_writer {
    pthread_t thread;
    log_chain chain;
    _Atomic uint64_t written;
    _Atomic int stop;
} log_writer;
void writer_start(log_writer *writer, log_subject *subject, uint64_t nonce);
/* Until so many more stand. */
void writer_await(const log_writer *writer, uint64_t more);
/* Ends it; all that it has put must be there. */
void writer_end(log_writer *writer);

/* Both put until there are so many slots, each reading on when it has lost: each slot is written
 * once, and they form one chain. */
void writers_race(log_subject *one, log_subject *two, uint64_t slots);

/* The survey's nodes and leases in their order: "a@http://a b@ 1:a 2:b ". */
void survey_expect(const log_subject *subject, const char *wanted);
/* ... until it is so. */
void survey_await(const log_subject *subject, const char *wanted);

#endif
