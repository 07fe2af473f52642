/* What servers and clients of HTTP share in their interfaces. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stddef.h>

/* Borrowed bytes, not ended by a 0; `bytes` is NULL for what is not there. */
typedef struct net_text {
    const char *bytes;
    size_t len;
} net_text;

/* A field to be sent. A name is a token of RFC 9110; a value has no control characters. */
typedef struct net_header {
    const char *name;
    const char *value;
} net_header;

#endif
