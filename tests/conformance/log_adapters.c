/* The row of each log adapter: how a fresh log is named for each test. A store on a network is
 * there already, and found by the environment (scripts/with-postgres and the like). */
#include "log_adapters.h"

#include "own_log.h"

#ifdef ETX_TEST_POSTGRESQL
#include <etx/log_postgres.h>
#endif
#ifdef ETX_TEST_MARIADB
#include <etx/log_mariadb.h>
#endif
#ifdef ETX_TEST_ETCD
#include <etx/log_etcd.h>
#endif
#ifdef ETX_TEST_REDIS
#include <etx/log_redis.h>
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int name_memory(log_subject *subject) {
    snprintf(subject->url, sizeof subject->url, "memory:?partitions=3");
    snprintf(subject->absent, sizeof subject->absent, "memory:");
    return 0;
}

static int name_file(log_subject *subject) {
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    snprintf(subject->dir, sizeof subject->dir, "%s/etx-conformance-XXXXXX", base);
    if (!mkdtemp(subject->dir))
        return -1;
    snprintf(subject->url, sizeof subject->url, "file:%s/log?partitions=3&segment=1M",
             subject->dir);
    snprintf(subject->absent, sizeof subject->absent, "file:%s/absent?partitions=3", subject->dir);
    snprintf(subject->copy, sizeof subject->copy, "file:%s/copy?segment=1M", subject->dir);
    return 0;
}

/* The example of docs/writing-an-adapter.md. */
static int name_own(log_subject *subject) {
    snprintf(subject->url, sizeof subject->url, "own:?partitions=3");
    snprintf(subject->absent, sizeof subject->absent, "own:");
    return 0;
}

#ifdef ETX_TEST_POSTGRESQL
static int name_postgresql(log_subject *subject) {
    uint64_t random;
    if (getentropy(&random, sizeof random))
        return -1;
    snprintf(subject->url, sizeof subject->url,
             "postgresql://?partitions=3&timeout_ms=30000&schema=t_%llx",
             (unsigned long long)random);
    snprintf(subject->absent, sizeof subject->absent, "postgresql://?schema=absent");
    snprintf(subject->copy, sizeof subject->copy, "postgresql://?timeout_ms=30000&schema=c_%llx",
             (unsigned long long)random);
    return 0;
}
#endif

#ifdef ETX_TEST_MARIADB
static int name_mariadb(log_subject *subject) {
    const char *socket = getenv("MARIADB_SOCKET");
    uint64_t random;
    if (!socket || getentropy(&random, sizeof random))
        return -1;
    snprintf(subject->url, sizeof subject->url,
             "mariadb://etx@/etx?socket=%s&partitions=3&timeout_ms=30000&prefix=t_%llx", socket,
             (unsigned long long)random);
    snprintf(subject->absent, sizeof subject->absent, "mariadb://etx@/etx?socket=%s&prefix=absent",
             socket);
    snprintf(subject->copy, sizeof subject->copy,
             "mariadb://etx@/etx?socket=%s&timeout_ms=30000&prefix=c_%llx", socket,
             (unsigned long long)random);
    return 0;
}
#endif

#ifdef ETX_TEST_ETCD
static int name_etcd(log_subject *subject) {
    uint64_t random;
    const char *hosts = getenv("ETX_ETCD");
    if (!hosts || getentropy(&random, sizeof random))
        return -1;
    snprintf(subject->url, sizeof subject->url,
             "etcd://%.100s/t_%llx?partitions=3&timeout_ms=30000", hosts,
             (unsigned long long)random);
    snprintf(subject->absent, sizeof subject->absent, "etcd://%.100s/absent", hosts);
    snprintf(subject->copy, sizeof subject->copy, "etcd://%.100s/c_%llx?timeout_ms=30000", hosts,
             (unsigned long long)random);
    return 0;
}
#endif

#ifdef ETX_TEST_REDIS
static int name_redis(log_subject *subject) {
    const char *socket = getenv("REDIS_SOCKET");
    uint64_t random;
    if (!socket || getentropy(&random, sizeof random))
        return -1;
    snprintf(subject->url, sizeof subject->url,
             "redis:///0?partitions=3&timeout_ms=30000&prefix=t_%llx&socket=%s",
             (unsigned long long)random, socket);
    snprintf(subject->absent, sizeof subject->absent, "redis:///0?prefix=absent&socket=%s", socket);
    snprintf(subject->copy, sizeof subject->copy, "redis:///0?prefix=c_%llx&socket=%s",
             (unsigned long long)random, socket);
    return 0;
}
#endif

static const log_adapter adapters[] = {
    {"memory", etx_log_memory, name_memory, 0},
    {"file", etx_log_file, name_file, 1},
    {"own", etx_log_own, name_own, 0},
#ifdef ETX_TEST_POSTGRESQL
    {"postgresql", etx_log_postgresql, name_postgresql, 1},
#endif
#ifdef ETX_TEST_MARIADB
    {"mariadb", etx_log_mariadb, name_mariadb, 1},
#endif
#ifdef ETX_TEST_ETCD
    {"etcd", etx_log_etcd, name_etcd, 1},
#endif
#ifdef ETX_TEST_REDIS
    {"redis", etx_log_redis, name_redis, 1},
#endif
};

const log_adapter *log_adapter_find(const char *scheme) {
    for (size_t i = 0; i < sizeof adapters / sizeof adapters[0]; i++)
        if (strcmp(scheme, adapters[i].scheme) == 0)
            return &adapters[i];
    return NULL;
}
