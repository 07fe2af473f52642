/* The guard in front of the parser: every byte of a message's head and of its chunks' frames. */
#ifndef NET_GUARD_H
#define NET_GUARD_H

#include <stddef.h>
#include <stdint.h>

/* The guard takes one form of each thing and refuses the rest, so that no two readers of the same
 * bytes can disagree on where a message ends: lines end in CR LF, nothing is folded, there is no
 * space before a colon, no control character stands anywhere, a chunk's size is hexadecimal digits.
 * It reads on from any byte, and refuses at the first byte that is wrong. */

typedef enum net__guard_end {
    NET__GUARD_MORE,    /* all bytes are fine so far */
    NET__GUARD_DATA,    /* chunks only: `data_left` bytes of data follow */
    NET__GUARD_DONE,    /* the head, or the body, ends here */
    NET__GUARD_REFUSED, /* `status` and `reason` say how to refuse it */
} net__guard_end;

typedef struct net__guard {
    uint8_t state;
    uint8_t response;
    uint8_t index;
    uint8_t empty_lines;
    uint8_t in_body;     /* its head is read */
    uint16_t line_len;   /* of the target, or of a chunk's line */
    uint16_t headers;    /* fields, of head and trailer */
    uint32_t head_len;   /* bytes of the head so far */
    uint32_t extras_len; /* bytes of chunk extensions and trailer so far */
    uint64_t chunk_len;  /* its size, as far as it was read */
    uint64_t data_left;  /* of this chunk */
    int status;          /* 400, 414, 431, 505 */
    const char *reason;
} net__guard;

/* What a head may have; a chunk's line and the trailer count as its head. */
typedef struct net__guard_limits {
    uint32_t head_bytes_max;
    uint16_t target_bytes_max;
    uint16_t headers_max;
    uint32_t chunk_extras_max; /* bytes of extensions and trailer in a body */
} net__guard_limits;

/* Begins with a head. */
void net__guard_begin(net__guard *guard, int response);
/* Reads on in the head; `*ret_used` bytes were looked at. MORE, DONE or REFUSED. */
net__guard_end net__guard_head(net__guard *guard,
                               const net__guard_limits *limits,
                               const char *bytes,
                               size_t len,
                               size_t *ret_used);
/* Reads on in a chunked body, whose first byte follows the head. After DATA the caller takes up to
 * `data_left` bytes, subtracts them, and goes on. */
net__guard_end net__guard_chunks(net__guard *guard,
                                 const net__guard_limits *limits,
                                 const char *bytes,
                                 size_t len,
                                 size_t *ret_used);

/* Whether it may be a method or a field's name. */
int net__is_token(const char *text, size_t len);
/* Whether all bytes may stand in a field's value. */
int net__is_value(const char *text, size_t len);

#endif
