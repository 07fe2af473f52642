/* Copies of what is short: gids, names, small payloads, texts that are cut. */
#ifndef ETX_PROTOCOL_COPY_H
#define ETX_PROTOCOL_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* memcpy, also of no bytes from NULL. Words, the last of which may overlap, cost less than a call
 * does. */
static inline void etx__copy(void *to, const void *from, size_t len) {
    uint8_t *at = to;
    const uint8_t *data = from;
    if (len > 40) {
        memcpy(at, data, len);
    } else if (len >= 8) {
        for (size_t i = 0; i + 8 < len; i += 8) {
            memcpy(at + i, data + i, 8);
        }
        memcpy(at + len - 8, data + len - 8, 8);
    } else if (len >= 4) {
        memcpy(at, data, 4);
        memcpy(at + len - 4, data + len - 4, 4);
    } else if (len > 0) { /* the first, the middle and the last are all */
        at[0] = data[0];
        at[len / 2] = data[len / 2];
        at[len - 1] = data[len - 1];
    }
}

/* So many of its bytes are kept where there is room for `most`: a character of UTF-8 (four bytes at
 * most, those behind the first begin with the bits 10) is kept whole, or not at all. */
static inline size_t etx__cut(const void *text, size_t len, size_t most) {
    const uint8_t *byte = text;
    size_t kept = most;
    if (len <= most) {
        return len;
    }
    while (kept > 0 && kept + 3 > most && (byte[kept] & 0xc0) == 0x80) {
        kept--;
    }
    return kept;
}

/* The same of a text that ends with NUL. */
static inline size_t etx__cut_text(const char *text, size_t most) {
    return etx__cut(text, strnlen(text, most + 1), most);
}

#endif
