/* Copies the log of a subject into another one, as `etx log copy` does, in steps. */
#ifndef ETX_TESTS_CONFORMANCE_LOG_COPIER_H
#define ETX_TESTS_CONFORMANCE_LOG_COPIER_H

#include "log_subject.h"

typedef struct log_copier {
    log_subject *source; /* open */
    log_subject dest;    /* not open; with the message of what failed */
    etx_log *copy;
} log_copier;

log_copier copier_of(log_subject *source, const char *url);
/* The source gets more than adapters copy in one transaction, by bytes and by number. */
void copier_fill_source(log_subject *source);
/* All return what the adapter's function does. */
int copier_begin(log_copier *copier);
int copier_fill(log_copier *copier, uint32_t partition);
int copier_slot(log_copier *copier, const etx_slot *slot);
int copier_end(log_copier *copier, int whole);
/* All three partitions. */
void copier_fill_all(log_copier *copier);
/* From the beginning to the end; copier_check follows. */
void copier_whole(log_copier *copier);
/* Opening it fails, since it is not whole. */
void copier_refused(log_copier *copier, uint32_t flags);
/* Opens it: each of the three partitions has what the source's has, and the mark. */
void copier_check(log_copier *copier);

#endif
