/* A shop whose nodes have a state directory, at a store that is restored from an older backup. */
#ifndef ETX_TESTS_UNIT_ENGINE_RIG_SEEN_H
#define ETX_TESTS_UNIT_ENGINE_RIG_SEEN_H

#include "rig.h"

enum { PARTITIONS = 4, LEASE_MS = 1000 };

struct shop {
    rig_log log;
    rig_bank bank;
    host_dir dir;
    char url[64];
    char state[HOST_PATH_MAX + 16];
    atomic_uint regressed, accepted, failed; /* as the nodes tell */
    pthread_mutex_t lock;
    char said[512]; /* with the last of those */
    uint32_t flags; /* of all nodes that are made from now on */
    const char *address;
};

void shop_make(struct shop *shop);
void shop_end(struct shop *shop);
etx_engine *shop_node_make(struct shop *shop, const char *name, const char *state);
etx_engine *shop_node_start(struct shop *shop, const char *name, const char *state);
etx_partition_status shop_partition(etx_engine *engine, uint32_t number);
/* Waits until the engine works on the partition, or has found that something is lost there. */
void shop_await_here(etx_engine *engine, uint32_t number);
void shop_await_regressed(etx_engine *engine, uint32_t number);
/* The same where nothing is lost. */
void shop_await_whole(etx_engine *engine, uint32_t number);
/* A gid of the caller's own that belongs to the partition. */
void shop_gid_in(etx_engine *engine, const char *prefix, uint32_t number, char gid[32]);
int shop_run_in(etx_engine *engine, const char *prefix, uint32_t number, etx_outcome *outcome);
void shop_commit_in(etx_engine *engine, const char *prefix, uint32_t number);
/* One commits in every partition, and in partition 2 once more after the backup; it is restored
 * when nobody runs. */
void shop_lose_partition_2(struct shop *shop);
/* What `etx log accept-loss` writes. */
void shop_accept_loss(struct shop *shop, uint32_t number, uint64_t time_ms);

#endif
