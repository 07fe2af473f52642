/* The OpenAPI document, as the build embeds it. */
#ifndef ETXD_OPENAPI_H
#define ETXD_OPENAPI_H

#include <stddef.h>

extern const unsigned char etxd_openapi[];
extern const size_t etxd_openapi_len;

#endif
