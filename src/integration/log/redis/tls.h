/* TLS over a link, by OpenSSL: the server's name and certificate are always verified. */
#ifndef ETX__LOG_REDIS_TLS_H
#define ETX__LOG_REDIS_TLS_H

#include "link.h"

/* The files of a URL's options; "": none. */
typedef struct etx__redis_tls_files {
    char authorities[256]; /* whom to trust, instead of whom the system trusts */
    char certificate[256]; /* our own; with key */
    char key[256];
} etx__redis_tls_files;

/* Reads the files. ETX_EINVALID, ETX_ENOMEM; `why` says which one and what was wrong with it. */
int etx__redis_tls_make(const etx__redis_tls_files *files,
                        struct ssl_ctx_st **ret_tls,
                        char *why,
                        size_t size);
void etx__redis_tls_free(struct ssl_ctx_st *tls);
/* Goes on with TLS on a link that is open. ETX_EINVALID: the server's certificate is none that is
 * trusted, or of another host; ETX_EUNAVAILABLE, ETX_ENOMEM. */
int etx__redis_tls_begin(etx__redis_link *link,
                         struct ssl_ctx_st *tls,
                         const char *host,
                         uint64_t until,
                         char *why,
                         size_t size);
void etx__redis_tls_end(etx__redis_link *link);
/* As etx__redis_link_send and etx__redis_link_receive. */
int etx__redis_tls_send(etx__redis_link *link, const char *data, size_t len, uint64_t until);
ssize_t etx__redis_tls_receive(etx__redis_link *link, char *to, size_t size, uint64_t until);

#endif
