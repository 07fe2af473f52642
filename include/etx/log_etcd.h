/* The etcd log: not in libetx, but in the module etx/log_etcd.so. */
#ifndef ETX_LOG_ETCD_H
#define ETX_LOG_ETCD_H

#include <etx/log.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Write-once slots as keys of an etcd cluster: "etcd://USER@HOST:2379,HOST2/PREFIX?tls=on". An
 * engine finds the module by the scheme; a program that links the adapter itself registers it with
 * etx_engine_log. Static. Any thread. */
ETX_API const etx_log_ops *etx_log_etcd(void);

#ifdef __cplusplus
}
#endif
#endif
