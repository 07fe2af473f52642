/* The MariaDB log: not in libetx, but in the module etx/log_mariadb.so. */
#ifndef ETX_LOG_MARIADB_H
#define ETX_LOG_MARIADB_H

#include <etx/log.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Write-once slots in a MariaDB database: "mariadb://USER@HOST/DATABASE?prefix=etx". An engine
 * finds the module by the scheme; a program that links the adapter itself registers it with
 * etx_engine_log. Static. Any thread. */
ETX_API const etx_log_ops *etx_log_mariadb(void);

#ifdef __cplusplus
}
#endif
#endif
