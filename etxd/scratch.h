/* Memory for what is made of one body and given back as a whole: jansson's, see scratch.c. */
#ifndef ETXD_SCRATCH_H
#define ETXD_SCRATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

enum { ETXD_SCRATCH_PIECES = 64, ETXD_SCRATCH_BYTES = 16384 };

typedef struct etxd_scratch {
    char *memory; /* NULL: there is none, and all comes from malloc */
    pthread_t owner;
    _Atomic int filling; /* what the owner takes comes from the piece that is filled */
    char *at, *end;      /* of that piece: what is free of it */
    int spilled;         /* something did not fit, and came from malloc */
    int free[ETXD_SCRATCH_PIECES], free_count;
} etxd_scratch;

/* Of the calling thread. Without memory it stays empty, which is no error. */
void etxd_scratch_open(etxd_scratch *scratch);
void etxd_scratch_close(etxd_scratch *scratch);

/* Begins to fill a piece: its number, or -1 if none is left. NULL is allowed, as below. */
int etxd_scratch_begin(etxd_scratch *scratch);
/* Ends that: is everything that was taken meanwhile in the piece? */
int etxd_scratch_end(etxd_scratch *scratch);
/* Nobody looks at what is in the piece any more. */
void etxd_scratch_release(etxd_scratch *scratch, int piece);

/* In the place of malloc and free, for whoever takes and gives. Any thread. */
void *etxd_scratch_take(etxd_scratch *scratch, size_t size);
void etxd_scratch_give(const etxd_scratch *scratch, void *bytes);

#endif
