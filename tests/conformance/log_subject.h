/* One log adapter under the conformance suite: how it is opened, and what it can. */
#ifndef ETX_TESTS_CONFORMANCE_LOG_SUBJECT_H
#define ETX_TESTS_CONFORMANCE_LOG_SUBJECT_H

#include <etx/log.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { SUBJECT_PARTITIONS = 3 }; /* tests use all of them, by number */

typedef struct log_subject {
    const etx_log_ops *ops;
    char url[512];    /* a fresh one of SUBJECT_PARTITIONS for each test; options behind '?' */
    char absent[512]; /* of a log that is not there */
    char copy[512];   /* the same, for one that is made; or "" */
    char dir[256];    /* to be removed afterwards, or "" */
    int persistent;
    etx_log *log;
    char message[512];
} log_subject;

/* A chain of puts in one partition, remembered for comparing. */
typedef struct log_chain {
    log_subject *subject;
    uint32_t partition;
    uint64_t next;
    uint64_t nonce;
    uint32_t checksum; /* of slot next - 1 */
} log_chain;

int subject_open(log_subject *subject, uint32_t flags);
void subject_reopen(log_subject *subject, int clean);
/* Opening that URL fails like this, with these words, and without the word "secret". */
void subject_refused(const log_subject *subject,
                     const char *url,
                     uint32_t flags,
                     int wanted,
                     const char *words);
etx_put put_make(const log_chain *chain, uint64_t slot, const void *bytes, size_t len);
etx_put_result chain_put(log_chain *chain, const void *bytes, size_t len);
/* A batch that follows from the slot: so a reader can tell whether it is the right one. */
size_t batch_fill(uint64_t slot, uint8_t *to, size_t len);
/* Reads from `from` to the end and checks each slot; returns how many. */
uint64_t chain_check(log_subject *subject, uint32_t partition, uint64_t from, uint64_t *ret_mark);

log_chain chain_of(log_subject *subject, uint32_t partition);
void puts_many(log_chain *chain, uint64_t count, size_t len);

/* log_copy.c: a log that takes the place of another, and one that is retired. */
void test_copy(void **state);
void test_retire(void **state);

#endif
