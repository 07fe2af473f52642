/* Bytes under numbers, and a map from two words to one: what the explorer does once, it keeps. */
#ifndef ETX__EXPLORE_MEMO_H
#define ETX__EXPLORE_MEMO_H

#include <stddef.h>
#include <stdint.h>

#include <etx/types.h>

/* Distinct byte strings, numbered from 1. */
typedef struct explore_intern {
    struct explore_kept {
        const uint8_t *bytes;
        uint64_t hash;
        uint32_t len;
    } * kept;
    uint32_t *table;
    uint32_t count, room, mask;
    uint8_t
        *chunk; /* the newest, of which `left` bytes are free; its first word is the one before */
    size_t left;
    uint64_t total;
} explore_intern;

/* The number of the bytes; *ret_new says whether they were there. */
uint32_t explore_intern_bytes(explore_intern *in, const void *bytes, size_t len, int *ret_new);
etx_bytes explore_intern_at(const explore_intern *in, uint32_t number);
void explore_intern_free(explore_intern *in);

typedef struct explore_memo {
    struct explore_pair {
        uint64_t a, b; /* a: never 0 */
        uint64_t value;
    } * pair;
    uint64_t count, mask;
} explore_memo;

/* 1, and the value; or 0. */
int explore_memo_get(const explore_memo *memo, uint64_t a, uint64_t b, uint64_t *ret_value);
void explore_memo_put(explore_memo *memo, uint64_t a, uint64_t b, uint64_t value);
void explore_memo_free(explore_memo *memo);

/* Hash of words; len in bytes, a multiple of 8. */
uint64_t explore_hash_words(const void *words, size_t len);
/* calloc, realloc that end the program when there is no memory. */
void *explore_make(size_t count, size_t size);
void *explore_grow(void *block, size_t size);

#endif
