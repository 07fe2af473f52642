/* The Redis log: not in libetx, but in the module etx/log_redis.so. */
#ifndef ETX_LOG_REDIS_H
#define ETX_LOG_REDIS_H

#include <etx/log.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Write-once slots in a Redis server: "redis://USER@HOST:PORT/DBNUMBER?prefix=etx". An engine finds
 * the module by the scheme; a program that links the adapter itself registers it with
 * etx_engine_log. Static. Any thread. */
ETX_API const etx_log_ops *etx_log_redis(void);

#ifdef __cplusplus
}
#endif
#endif
