/* One message being read: the guard, then http_parser, then what framing and fields must be. */
#ifndef NET_MESSAGE_H
#define NET_MESSAGE_H

#include <http_parser.h>

#include "guard.h"

enum { NET__HEADERS_MAX = 100 };

/* A piece of a message; names where it begins. Heads are shorter than 64 KiB. */
typedef struct net__slice {
    uint16_t at;
    uint16_t len;
} net__slice;

typedef struct net__field {
    net__slice name;
    net__slice value;
} net__field;

typedef enum net__framing {
    NET__FRAMING_NONE, /* no body */
    NET__FRAMING_LENGTH,
    NET__FRAMING_CHUNKS,
    NET__FRAMING_CLOSE, /* a response: until the connection ends */
} net__framing;

typedef enum net__reading {
    NET__READING_MORE,    /* all bytes are taken; more must come */
    NET__READING_DONE,    /* the message is whole; `used` bytes were its own */
    NET__READING_REFUSED, /* `guard.status` and `guard.reason` say how */
} net__reading;

typedef struct net__message_limits {
    net__guard_limits guard;
    uint64_t body_bytes_max;
} net__message_limits;

typedef struct net__message {
    http_parser parser;
    net__guard guard;
    net__framing framing;
    uint32_t head_len; /* 0: the head is not whole */
    size_t seen;       /* bytes of the buffer that were looked at */
    size_t body_len;   /* decoded bytes; they begin at head_len */
    uint64_t length;   /* what Content-Length says */
    size_t used;       /* of the bytes given, when it is done */
    uint8_t parsed;    /* the parser has said that the message ends */
    uint8_t no_body;   /* a response that has none, whatever its head says (to HEAD) */
    uint8_t keep_alive;
    uint8_t expects; /* 1: 100-continue; 2: something else */
    uint8_t hosts;   /* 0, 1, or 3 for more; the same with the next two */
    uint8_t lengths;
    uint8_t encodings;
    uint8_t welcome; /* of a request: its body is waited for */
    net__slice target;
    net__field *host;
    net__field *encoding;
    unsigned field_count;
    net__field field[NET__HEADERS_MAX];
} net__message;

/* Begins to read a request or a response. */
void net__message_begin(net__message *message, int response, int no_body);

/* Reads on. `bytes` is the message from its first byte, of which the first `message->seen` were
 * given before (they may have moved). What was chunked is decoded in place: after MORE the message
 * so far is the first `*len` bytes, which then are fewer than were given. */
net__reading net__message_read(net__message *message,
                               const net__message_limits *limits,
                               char *bytes,
                               size_t *len);

/* Whether a response whose bytes end here is whole: one that is framed by the end. */
int net__message_ends(const net__message *message);

/* The field of that name (lower case), the first from `after` on, or NULL. */
const net__field *net__message_find(const net__message *message,
                                    const char *bytes,
                                    const char *name,
                                    size_t name_len,
                                    const net__field *after);

#endif
