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
/* Warns of homes in directories that were made beforehand, and not for the owner alone. */
void etxd_check_modes(etxd *server);

#endif
