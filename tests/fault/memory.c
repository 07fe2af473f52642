/* The allocator that keeps account: each block is in a list, with its size. */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

struct memory_block {
    memory_block *next;
    memory_block *previous;
    size_t size;
    size_t unused; /* what follows is aligned */
};

static void *block_allocate(void *user, size_t size) {
    memory *all = user;
    memory_block *block = NULL;
    int fails;
    pthread_mutex_lock(&all->mutex);
    all->count++;
    fails =
        all->fail_at && (all->for_good ? all->count >= all->fail_at : all->count == all->fail_at);
    all->failed += fails != 0;
    if (!fails)
        block = calloc(1, sizeof *block + size);
    if (block) {
        block->size = size;
        block->next = all->blocks;
        if (block->next)
            block->next->previous = block;
        all->blocks = block;
        all->outstanding++;
    }
    pthread_mutex_unlock(&all->mutex);
    return block ? block + 1 : NULL;
}

static void block_release(void *user, void *data, size_t size) {
    memory *all = user;
    memory_block *block = data;
    if (!data)
        return;
    block--;
    pthread_mutex_lock(&all->mutex);
    all->wrong |= block->size != size;
    if (block->previous)
        block->previous->next = block->next;
    else
        all->blocks = block->next;
    if (block->next)
        block->next->previous = block->previous;
    all->outstanding--;
    pthread_mutex_unlock(&all->mutex);
    free(block);
}

void memory_make(memory *made) {
    memset(made, 0, sizeof *made);
    pthread_mutex_init(&made->mutex, NULL);
    made->allocator =
        (etx_allocator){.allocate = block_allocate, .release = block_release, .user = made};
}

void memory_drop(memory *all) {
    memory_block *block;
    while ((block = all->blocks) != NULL) {
        all->blocks = block->next;
        free(block);
    }
    all->outstanding = 0;
}
