/* Which targets may be called: patterns, URLs, and the addresses that names lead to. */
#ifndef ETX_PARTICIPANT_HTTP_ALLOW_H
#define ETX_PARTICIPANT_HTTP_ALLOW_H

#include "net/url.h"

typedef enum etx__http_scheme {
    ETX__HTTP_PLAIN,
    ETX__HTTP_TLS,
    ETX__HTTP_GRPC,
    ETX__HTTP_GRPC_TLS,
} etx__http_scheme;

typedef enum etx__http_host {
    ETX__HTTP_NAME,
    ETX__HTTP_BELOW, /* *.name */
    ETX__HTTP_NET,   /* an address is one with all its bits */
} etx__http_host;

typedef struct etx__http_pattern {
    etx__http_scheme scheme;
    etx__http_host host;
    uint32_t port;  /* 0: any */
    uint8_t ip_len; /* 4 or 16 */
    uint8_t bits;   /* of the network */
    uint8_t ip[16];
    char name[NET_HOST_MAX + 1];
} etx__http_pattern;

typedef struct etx__http_allow {
    etx__http_pattern *pattern;
    size_t count;
} etx__http_allow;

/* Errors: ETX_EINVALID, ETX_ENOMEM; `why` says which pattern. Freed by free(pattern). */
int etx__http_allow_read(etx__http_allow *allow,
                         const char *const *patterns,
                         size_t count,
                         char *why,
                         size_t size);
/* Reads a URL of any of the four schemes. Errors: ETX_EINVALID. */
int etx__http_url(const char *text,
                  net_url *ret_url,
                  etx__http_scheme *ret_scheme,
                  char *why,
                  size_t size);
/* May it be called, as far as its text tells? With `listed`, a name only if a pattern of names
 * allows it. Errors: ETX_ESTATE. */
int etx__http_allow_url(const etx__http_allow *allow,
                        const net_url *url,
                        etx__http_scheme scheme,
                        int listed,
                        char *why,
                        size_t size);
/* May a call of that URL connect to that address? */
int etx__http_allow_address(const etx__http_allow *allow,
                            const net_url *url,
                            etx__http_scheme scheme,
                            const uint8_t *ip,
                            size_t ip_len);

/* ---- reach.c: what addresses are for */

typedef enum etx__http_reach {
    ETX__HTTP_OPEN,
    ETX__HTTP_LOOPBACK,
    ETX__HTTP_SPECIAL, /* link-local, metadata, multicast, reserved: never by a pattern of more */
    ETX__HTTP_NOWHERE, /* unspecified: no target at all */
} etx__http_reach;

etx__http_reach etx__http_reach_of(const uint8_t *ip, size_t ip_len);

#endif
