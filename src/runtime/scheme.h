/* Adapters of logs by the scheme of a URL. */
#ifndef ETX__SCHEME_H
#define ETX__SCHEME_H

#include <etx/log.h>

/* The adapter that a module has: "postgresql" names log_postgresql and in it the function
 * etx_log_postgresql. NULL: it cannot be loaded, and why; or that is no word of small letters, and
 * nothing is said. */
const etx_log_ops *etx__scheme_load(const char *scheme, size_t len, char *why, size_t size);

#endif
