/* Who writes to a log while its store is killed, cut off or shared: chains whose batches follow
 * from their slots, on this thread or on one of their own. */
#ifndef ETX_TESTS_CONFORMANCE_LOG_WRITER_H
#define ETX_TESTS_CONFORMANCE_LOG_WRITER_H

#include "log_subject.h"

#include <pthread.h>

/* Another one on the same log, with these options more ("&..."). */
int subject_beside(const log_subject *subject,
                   log_subject *other,
                   const char *more,
                   uint32_t flags);
log_chain chain_make(log_subject *subject, uint64_t nonce);
/* Puts the chain's next batch, which follows from its slot. */
etx_put_result chain_put_next(log_chain *chain, etx_put *ret_put);
/* ... until it stands, and goes on to the next slot. */
void chain_put_surely(log_chain *chain);
/* The last put was unknown, and has been written: so says the same put, and the next one. */
void chain_settle(log_chain *chain);

/* A put on a thread of its own. */
typedef struct put_thread {
    pthread_t thread;
    log_chain *chain;
    etx_put put;
    etx_put_result result;
    _Atomic int over;
} put_thread;
void put_begin(put_thread *put, log_chain *chain);
etx_put_result put_end(put_thread *put);

/* One that puts surely, again and again. */
typedef struct log_writer {
    pthread_t thread;
    log_chain chain;
    _Atomic uint64_t written;
    _Atomic int stop;
} log_writer;
void writer_begin(log_writer *writer, log_subject *subject);
/* Until it has written so many more than now. */
void writer_await(log_writer *writer, uint64_t more);
/* One put more, and all is there. */
void writer_end(log_writer *writer);

/* Two that are open on the same log race for each slot of its first partition, which is empty: one
 * wins it, and the chain is one. */
void race_check(log_subject *one, log_subject *two);

#endif
