/* A connection as bytes: every wait ends, no signal is raised, and no child inherits it. */
#ifndef ETX__LOG_REDIS_LINK_H
#define ETX__LOG_REDIS_LINK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Of one thread at a time. */
typedef struct etx__redis_link {
    int fd;             /* -1: not open */
    struct ssl_st *tls; /* NULL: without */
} etx__redis_link;

/* Where to connect to. */
typedef struct etx__redis_address {
    const char *socket; /* the path of a Unix socket; or NULL */
    const char *host;
    uint16_t port;
    struct ssl_ctx_st *tls; /* for a host; or NULL */
} etx__redis_address;

/* ms of a clock that only goes forward: what `until` counts by. */
uint64_t etx__redis_now_ms(void);
/* ETX_EUNAVAILABLE: nobody is there; `why` says it. Over TLS: as etx__redis_tls_begin, too. */
int etx__redis_link_open(etx__redis_link *link,
                         const etx__redis_address *address,
                         uint64_t until,
                         char *why,
                         size_t size);
void etx__redis_link_close(etx__redis_link *link);
/* ETX_EUNAVAILABLE: not all of it has left. */
int etx__redis_link_send(etx__redis_link *link, const char *data, size_t len, uint64_t until);
/* How many bytes came; 0: the peer has closed it, or it broke; -1: nothing came in time. */
ssize_t etx__redis_link_receive(etx__redis_link *link, char *to, size_t size, uint64_t until);
/* The same below TLS. */
int etx__redis_link_send_bare(etx__redis_link *link, const char *data, size_t len, uint64_t until);
ssize_t etx__redis_link_receive_bare(etx__redis_link *link, char *to, size_t size, uint64_t until);

#endif
