/* Bytes under numbers, and a map from two words to one. */
#include "explore_memo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 20 };

static void *need(void *block) {
    if (block == NULL) {
        fprintf(stderr, "explore: out of memory\n");
        exit(2);
    }
    return block;
}

void *explore_make(size_t count, size_t size) {
    return need(calloc(count, size));
}

void *explore_grow(void *block, size_t size) {
    return need(realloc(block, size));
}

static uint64_t mix(uint64_t hash, uint64_t word) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(hash ^ word) * 0x9e3779b97f4a7c15ull;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t explore_hash_words(const void *words, size_t len) {
    const uint8_t *at = words;
    uint64_t a = 0x243f6a8885a308d3ull;
    uint64_t b = 0x13198a2e03707344ull;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        a = mix(a + b, word);
        b += word * 0xd6e8feb86659fd93ull;
        b ^= b >> 29;
    }
    return mix(mix(a, b), len);
}

/* ---- bytes */

static uint64_t hash_bytes(const void *bytes, size_t len) {
    uint64_t last = 0;
    size_t whole = len & ~(size_t)7;
    if (len > whole) {
        memcpy(&last, (const uint8_t *)bytes + whole, len - whole);
    }
    return mix(explore_hash_words(bytes, whole), last + len);
}

static void table_grow(explore_intern *in) {
    uint32_t size = in->mask == 0 ? 1024 : (in->mask + 1) * 2;
    free(in->table);
    in->table = explore_make(size, sizeof *in->table);
    in->mask = size - 1;
    for (uint32_t number = 1; number <= in->count; number++) {
        uint32_t at = (uint32_t)in->kept[number].hash & in->mask;
        while (in->table[at] != 0) {
            at = (at + 1) & in->mask;
        }
        in->table[at] = number;
    }
}

static uint8_t *copy_of(explore_intern *in, const void *bytes, size_t len) {
    size_t room = (len + 16) & ~(size_t)15;
    if (in->left < room) {
        size_t size = room + 16 > CHUNK ? room + 16 : CHUNK;
        uint8_t *chunk = explore_make(1, size);
        memcpy(chunk, &in->chunk, sizeof in->chunk);
        in->chunk = chunk;
        in->left = size - 16;
        in->total += size;
    }
    uint8_t *copy = in->chunk + 16 + (in->left -= room);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    return copy;
}

uint32_t explore_intern_bytes(explore_intern *in, const void *bytes, size_t len, int *ret_new) {
    uint64_t hash = hash_bytes(bytes, len);
    if (in->count * 2 >= in->mask) {
        table_grow(in);
    }
    uint32_t at = (uint32_t)hash & in->mask;
    for (; in->table[at] != 0; at = (at + 1) & in->mask) {
        const struct explore_kept *kept = &in->kept[in->table[at]];
        if (kept->hash == hash && kept->len == len && memcmp(kept->bytes, bytes, len) == 0) {
            *ret_new = 0;
            return in->table[at];
        }
    }
    if (in->count + 2 > in->room) {
        in->room = in->room * 2 + 256;
        in->kept = explore_grow(in->kept, in->room * sizeof *in->kept);
    }
    uint32_t number = ++in->count;
    in->kept[number] = (struct explore_kept){copy_of(in, bytes, len), hash, (uint32_t)len};
    in->table[at] = number;
    *ret_new = 1;
    return number;
}

etx_bytes explore_intern_at(const explore_intern *in, uint32_t number) {
    return (etx_bytes){in->kept[number].bytes, in->kept[number].len};
}

void explore_intern_free(explore_intern *in) {
    while (in->chunk != NULL) {
        uint8_t *chunk = in->chunk;
        memcpy(&in->chunk, chunk, sizeof in->chunk);
        free(chunk);
    }
    free(in->kept);
    free(in->table);
}

/* ---- the map */

static struct explore_pair *place_of(const explore_memo *memo, uint64_t a, uint64_t b) {
    uint64_t at = mix(mix(a, b), 1) & memo->mask;
    while (memo->pair[at].a != 0 && (memo->pair[at].a != a || memo->pair[at].b != b)) {
        at = (at + 1) & memo->mask;
    }
    return &memo->pair[at];
}

int explore_memo_get(const explore_memo *memo, uint64_t a, uint64_t b, uint64_t *ret_value) {
    if (memo->count == 0) {
        return 0;
    }
    const struct explore_pair *pair = place_of(memo, a, b);
    *ret_value = pair->value;
    return pair->a != 0;
}

void explore_memo_put(explore_memo *memo, uint64_t a, uint64_t b, uint64_t value) {
    if (memo->count * 2 >= memo->mask) {
        explore_memo old = *memo;
        uint64_t size = old.mask == 0 ? 4096 : (old.mask + 1) * 2;
        memo->pair = explore_make(size, sizeof *memo->pair);
        memo->mask = size - 1;
        for (uint64_t i = 0; old.count > 0 && i <= old.mask; i++) {
            if (old.pair[i].a != 0) {
                *place_of(memo, old.pair[i].a, old.pair[i].b) = old.pair[i];
            }
        }
        free(old.pair);
    }
    *place_of(memo, a, b) = (struct explore_pair){a, b, value};
    memo->count++;
}

void explore_memo_free(explore_memo *memo) {
    free(memo->pair);
}
