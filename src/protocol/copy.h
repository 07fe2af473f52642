/* Copies of what is short: gids, names, small payloads. */
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

#endif
