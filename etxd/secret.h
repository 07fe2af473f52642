/* Secrets: read from the files that settings refer to, and never shown. */
#ifndef ETXD_SECRET_H
#define ETXD_SECRET_H

#include <stddef.h>

#include "config.h"

/* Headers "Name: value" as they are sent: references are read. */
typedef struct etxd_headers {
    char **lines;
    size_t count;
} etxd_headers;

/* Whether a text is a reference, "file:PATH". */
int etxd_secret_is_reference(const char *text);
/* The length of a header's name; 0: the text is no header "Name: value". */
size_t etxd_header_name(const char *text);
/* The bytes behind a reference, ended by a 0 that *ret_len does not count; freed by free(). `name`
 * is the setting's, for the message. 0, or -1 and a message. */
int etxd_secret_read(const char *name,
                     const char *reference,
                     char **ret_bytes,
                     size_t *ret_len,
                     char *message);
/* Reads "Name: value" and "Name: file:PATH" (of one line). To be freed in either case.
 * 0, or -1 and a message, which has no value. */
int etxd_headers_read(const char *name,
                      const etxd_list *list,
                      etxd_headers *ret_headers,
                      char *message);
void etxd_headers_free(etxd_headers *headers);

#endif
