/* Names: which bytes may be a gid or a name, and the gid of a nested transaction. */
#include <etx/types.h>

#include <string.h>

#include "assert.h"
#include "hash.h"

#define BYTES(n) (0x0101010101010101u * (n))

/* Is each of eight bytes within '!' to '~'? The upper bit of each byte that is not is set. No carry
 * or borrow leaves a byte: the sum is only trusted where no byte has its upper bit, and the
 * difference starts with all of them set. */
static inline uint64_t not_printable(uint64_t word) {
    uint64_t above = word | (word + BYTES(1));             /* 0x7f and up */
    uint64_t below = ~((word | BYTES(0x80)) - BYTES('!')); /* less than '!' */
    return (above | below) & BYTES(0x80);
}

static inline uint64_t load_word(const unsigned char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* One to seven bytes as eight: some stand there twice. */
static inline uint64_t load_short(const unsigned char *at, size_t len) {
    if (len >= 4) {
        uint32_t first, last;
        memcpy(&first, at, sizeof first);
        memcpy(&last, at + len - 4, sizeof last);
        return first | (uint64_t)last << 32;
    }
    return BYTES('!') << 24 | (uint64_t)at[len - 1] << 16 | (uint64_t)at[len / 2] << 8 | at[0];
}

static int name_is_valid(const unsigned char *at, size_t len, size_t max) {
    if (len - 1 >= max || at == NULL) { /* 0 wraps around */
        return 0;
    }
    if (len < 8) {
        return not_printable(load_short(at, len)) == 0;
    }
    uint64_t bad = not_printable(load_word(at + len - 8));
    for (size_t i = 0; i + 8 < len; i += 8) {
        bad |= not_printable(load_word(at + i));
    }
    return bad == 0;
}

int etx_gid_check(const void *gid, size_t len) {
    return name_is_valid(gid, len, ETX_GID_MAX) ? 0 : ETX_EINVALID;
}

int etx_name_check(const void *name, size_t len) {
    return name_is_valid(name, len, ETX_NAME_MAX) ? 0 : ETX_EINVALID;
}

/* ---- the gid of a nested transaction
 *
 * Plain form: PARENT/BRANCH. Short form: '~' and 32 hexadecimal digits, a 128-bit hash of both,
 * where the plain form is too long, would not be unique (the branch has a '/'), or would begin
 * with '@' and so name a home, which the child must not inherit. No two pairs share a plain form,
 * since the last '/' separates it, and no plain form is a short one, which has no '/'. */

#define CHILD_DIGITS 32
#define CHILD_SEED_0 0x6368696c64203020u /* "child 0 " */
#define CHILD_SEED_1 0x6368696c64203120u /* "child 1 " */

static uint64_t hash_pair(uint64_t seed, const char *parent, const char *branch) {
    uint64_t hash = etx__hash_bytes(seed, parent, strlen(parent));
    return etx__hash_finish(etx__hash_bytes(hash, branch, strlen(branch)));
}

static void write_short(const char *parent, const char *branch, char *ret_gid) {
    const uint64_t hash[2] = {hash_pair(CHILD_SEED_0, parent, branch),
                              hash_pair(CHILD_SEED_1, parent, branch)};
    ret_gid[0] = '~';
    for (unsigned i = 0; i < CHILD_DIGITS; i++) {
        ret_gid[1 + i] = "0123456789abcdef"[hash[i / 16] >> (60 - 4 * (i % 16)) & 15];
    }
    ret_gid[1 + CHILD_DIGITS] = '\0';
}

int etx_gid_child(const char *parent, const char *branch, char ret_gid[ETX_GID_MAX + 1]) {
    if (parent == NULL || branch == NULL || ret_gid == NULL) {
        return ETX_EINVALID;
    }
    size_t parent_len = strnlen(parent, ETX_GID_MAX + 1);
    size_t branch_len = strnlen(branch, ETX_NAME_MAX + 1);
    if (etx_gid_check(parent, parent_len) != 0 || etx_name_check(branch, branch_len) != 0) {
        return ETX_EINVALID;
    }
    if (parent_len + 1 + branch_len > ETX_GID_MAX || parent[0] == '@' ||
        memchr(branch, '/', branch_len) != NULL) {
        write_short(parent, branch, ret_gid);
    } else {
        memcpy(ret_gid, parent, parent_len);
        ret_gid[parent_len] = '/';
        memcpy(ret_gid + parent_len + 1, branch, branch_len + 1);
    }
    etx_assert(etx_gid_check(ret_gid, strlen(ret_gid)) == 0);
    return 0;
}
