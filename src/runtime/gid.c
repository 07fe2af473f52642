/* Gids made by ETX: time-ordered, naming home and partition, unique by construction. */
#include <string.h>

#include "runtime.h"

/* TTTTTTTTTT-HHHHHHHPPP-NNNNNNNNNCCC...: ms since 1970 in ten digits, the home's id, the
 * partition in three digits, the claim's nonce in eight, then the claim's counter. Digits are
 * Crockford's base 32 in lower case, so that text order is time order. Home, partition, nonce
 * and counter together come only once. */

enum {
    TIME = 10,
    PARTITION = 3,
    NONCE = 8,
    HEAD = TIME + 1 + ETX_HOME_ID_LEN + PARTITION + 1 + NONCE
};

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

static void write_digits(char *at, unsigned count, uint64_t value) {
    for (unsigned i = count; i > 0; i--) {
        at[i - 1] = digits[value & 31];
        value >>= 5;
    }
}

static int read_digits(const char *at, size_t count, uint64_t *ret_value) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        const char *digit = memchr(digits, at[i], sizeof digits - 1);
        if (digit == NULL) {
            return 0;
        }
        value = value << 5 | (uint64_t)(digit - digits);
    }
    *ret_value = value;
    return 1;
}

size_t etx__gid_make(char *gid,
                     uint64_t wall_ms,
                     const char *home_id,
                     uint32_t partition,
                     uint64_t nonce,
                     uint64_t counter) {
    char *at = gid;
    write_digits(at, TIME, wall_ms);
    at += TIME;
    *at++ = '-';
    memcpy(at, home_id, ETX_HOME_ID_LEN);
    at += ETX_HOME_ID_LEN;
    write_digits(at, PARTITION, partition);
    at += PARTITION;
    *at++ = '-';
    write_digits(at, NONCE, nonce);
    at += NONCE;
    unsigned count = counter < (1ull << 20) ? 4 : counter < (1ull << 35) ? 7 : 13;
    write_digits(at, count, counter);
    at += count;
    *at = 0;
    return (size_t)(at - gid);
}

static int read_made(const char *at,
                     size_t len,
                     char *home,
                     uint32_t *ret_partition,
                     uint64_t *ret_ms) {
    uint64_t partition = 0;
    uint64_t rest = 0;
    const char *id = at + TIME + 1;
    if ((len != HEAD + 4 && len != HEAD + 7 && len != HEAD + 13) || at[TIME] != '-' ||
        id[ETX_HOME_ID_LEN + PARTITION] != '-') {
        return 0;
    }
    if (!read_digits(at, TIME, ret_ms) ||
        !read_digits(id + ETX_HOME_ID_LEN, PARTITION, &partition) ||
        !read_digits(id + ETX_HOME_ID_LEN + PARTITION + 1, len - (HEAD - NONCE), &rest)) {
        return 0;
    }
    memcpy(home, id, ETX_HOME_ID_LEN);
    home[ETX_HOME_ID_LEN] = 0;
    *ret_partition = (uint32_t)partition;
    return 1;
}

int etx__gid_read(etx_bytes gid,
                  char ret_home[ETX_HOME_ID_LEN + 1],
                  uint32_t *ret_partition,
                  uint64_t *ret_ms) {
    const char *at = gid.data;
    if (gid.len > ETX_HOME_ID_LEN + 2 && at[0] == '@' && at[ETX_HOME_ID_LEN + 1] == ':') {
        memcpy(ret_home, at + 1, ETX_HOME_ID_LEN);
        ret_home[ETX_HOME_ID_LEN] = 0;
        return 2;
    }
    return read_made(at, gid.len, ret_home, ret_partition, ret_ms);
}
