/* The 64-bit hash of ETX: each word of eight bytes is folded in by one wide multiplication. */
#include "hash.h"

#include <string.h>

/* How: hash' = fold((hash ^ word) * K), where fold adds (xor) the upper half of the 128-bit
 * product to its lower half. The lower half carries differences upwards, the upper half carries
 * them down again, so one step spreads every bit of the word over all of hash'. From 32 bytes on
 * two such chains run side by side, since one would wait for its own multiplications.
 *
 * The constants are the first 64 fractional bits of the square roots of 2, 3, 5 and 7, made odd. */
#define HASH_K0 0x6a09e667f3bcc909u
#define HASH_K1 0xbb67ae8584caa73bu
#define HASH_K2 0x3c6ef372fe94f82bu
#define HASH_SEED 0xa54ff53a5f1d36f1u

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 hash_wide;

static inline uint64_t fold_product(uint64_t a, uint64_t b) {
    hash_wide product = (hash_wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
#else
static inline uint64_t fold_product(uint64_t a, uint64_t b) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32;
    uint64_t b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0;
    uint64_t cross = a1 * b0 + (low >> 32);
    uint64_t middle = a0 * b1 + (uint32_t)cross;
    uint64_t high = a1 * b1 + (cross >> 32) + (middle >> 32);
    return ((middle << 32) | (uint32_t)low) ^ high;
}
#endif

static inline uint64_t load_word(const unsigned char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline uint64_t load_half(const unsigned char *at) {
    uint32_t half;
    memcpy(&half, at, sizeof half);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    half = __builtin_bswap32(half);
#endif
    return half;
}

/* The last 1 to 7 bytes. Its value need not be that of the bytes read as a number, only differ
 * wherever they differ: the length is already in the hash. */
static inline uint64_t load_tail(const unsigned char *at, size_t len) {
    if (len >= 4) {
        return load_half(at) | load_half(at + len - 4) << 32;
    }
    return (uint64_t)at[0] | (uint64_t)at[len / 2] << 8 | (uint64_t)at[len - 1] << 16;
}

static inline uint64_t add_word(uint64_t hash, uint64_t word) {
    return fold_product(hash ^ word, HASH_K0);
}

static inline uint64_t add_bytes(uint64_t hash, const unsigned char *at, size_t len) {
    hash = add_word(hash, len);
    if (len >= 32) {
        uint64_t second = hash ^ HASH_K2;
        for (; len >= 16; at += 16, len -= 16) {
            hash = add_word(hash, load_word(at));
            second = fold_product(second ^ load_word(at + 8), HASH_K1);
        }
        hash = add_word(hash, second);
    }
    for (; len >= 8; at += 8, len -= 8) {
        hash = add_word(hash, load_word(at));
    }
    return len > 0 ? add_word(hash, load_tail(at, len)) : hash;
}

uint64_t etx__hash_word(uint64_t hash, uint64_t word) {
    return add_word(hash, word);
}

uint64_t etx__hash_bytes(uint64_t hash, const void *data, size_t len) {
    return add_bytes(hash, data, len);
}

/* One more step, so that the last word is spread as well as the first. */
uint64_t etx__hash_finish(uint64_t hash) {
    return fold_product(hash ^ (hash >> 32), HASH_K1);
}

uint64_t etx__hash(const void *data, size_t len) {
    return etx__hash_finish(add_bytes(HASH_SEED, data, len));
}
