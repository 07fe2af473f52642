/* Confinement: what the process takes away from itself, so that who breaks into it gains little. */
#ifndef ETXD_CONFINE_H
#define ETXD_CONFINE_H

#include "config.h"
#include "log.h"

typedef enum etxd_confined {
    ETXD_CONFINED_NOT = 0, /* by `why` */
    ETXD_CONFINED = 1,     /* all that is asked for */
} etxd_confined;

/* What is in force; `why_...` says why something is not. */
typedef struct etxd_confinement {
    etxd_confined files, calls;
    unsigned files_version; /* of Landlock's interface */
    char why_files[160], why_calls[160];
} etxd_confinement;

/* ---- confine.c: as the setting `confine` says */

/* Before any thread is started, and after the listeners are open: from here on only the homes can
 * be written, only files that settings name and those of the system be read, and no TCP port be
 * bound. 0, or -1 and a message. */
int etxd_confine_files(const etxd_config *config, etxd_confinement *ret, char *message);
/* Once all is started, for all threads: no system calls but those that serving needs. Says in the
 * log what is in force. 0, or -1 and a message. */
int etxd_confine_calls(const etxd_config *config,
                       etxd_log *log,
                       etxd_confinement *confinement,
                       char *message);

/* ---- confine_files.c, confine_calls.c: 0, or -1 and why not */

int etxd_landlock(const etxd_config *config, unsigned *ret_version, char *why, size_t size);
int etxd_seccomp(char *why, size_t size);

#endif
