/* An allocator that keeps account, fails on request, and can give all back at once. */
#ifndef ETX_TESTS_FAULT_MEMORY_H
#define ETX_TESTS_FAULT_MEMORY_H

#include <etx/types.h>

#include <pthread.h>

typedef struct memory_block memory_block;

typedef struct memory {
    etx_allocator allocator; /* to be given away */
    pthread_mutex_t mutex;
    memory_block *blocks;
    uint64_t outstanding; /* blocks */
    uint64_t count;       /* allocations so far */
    uint64_t fail_at;     /* the n-th from the beginning fails; 0: none */
    int for_good;         /* and all later ones */
    uint64_t failed;
    int wrong; /* a block was given back with another size */
} memory;

void memory_make(memory *made);
/* Those who died cannot give back: all of it is free again. */
void memory_drop(memory *all);

#endif
