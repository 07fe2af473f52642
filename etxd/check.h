/* What can be wrong with settings beside their words: files, URLs, what the engine takes. */
#ifndef ETXD_CHECK_H
#define ETXD_CHECK_H

#include "etxd.h"

/* The file of tokens, certificates, keys and headers, as a start would read them. 0, or -1 and a
 * message. */
int etxd_check_files(const etxd_config *config, char *message);
/* That, and all else that a start would find before it opens a home or a port. The server is of no
 * more use then. 0, or -1 and a message. */
int etxd_check(etxd *server, char *message);
/* Tells of certificates that are not valid now, with the date, and of a file of tokens that others
 * may write. `date` is empty if there is none. */
typedef void (*etxd_warn_fn)(void *user, const char *message, const char *path, const char *date);
void etxd_warn_files(const etxd_config *config, etxd_warn_fn warn, void *user);
/* An etxd_warn_fn for an etxd_log. */
void etxd_warn_log(void *user, const char *message, const char *path, const char *date);
/* Warns of homes in directories that were made beforehand, and not for the owner alone. */
void etxd_check_modes(etxd *server);

#endif
