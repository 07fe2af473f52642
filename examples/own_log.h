/* The log adapter of own_log.c. */
#ifndef OWN_LOG_H
#define OWN_LOG_H

#include <etx/log.h>

/* Static. A module log_own.so exports it under this name: etx_log_ and the scheme. */
const etx_log_ops *etx_log_own(void);

#endif
