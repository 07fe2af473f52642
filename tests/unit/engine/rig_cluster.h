/* A cluster for tests: engines that share one log of the rig, by leases. */
#ifndef ETX_TESTS_UNIT_ENGINE_RIG_CLUSTER_H
#define ETX_TESTS_UNIT_ENGINE_RIG_CLUSTER_H

#include "rig.h"

enum { PARTITIONS = 4, LEASE_MS = 1000 };

struct cluster {
    rig_log log;
    rig_bank bank;
    char url[64];
    atomic_uint lost;        /* partitions, as the nodes tell */
    atomic_uint down;        /* homes */
    atomic_uint first, back; /* homes that are well: as they open, and again */
    atomic_uint graded, clock_off;
    atomic_uint missed; /* homes that nodes had before */
    uint32_t flags;     /* of all nodes that are started from now on */
};

void cluster_make(struct cluster *cluster);
void cluster_end(struct cluster *cluster);
/* `own`: the URL of a home that this node prefers, and has for itself; or NULL. */
etx_engine *cluster_node_start_with(struct cluster *cluster,
                                    const char *name,
                                    const char *address,
                                    const char *own,
                                    unsigned chosen_home);
etx_engine *cluster_node_start(struct cluster *cluster, const char *name, const char *address);
unsigned cluster_count_here(etx_engine *engine);
/* Waits until the engine works on so many; a minute at most. How long it took. */
uint64_t cluster_wait_for(etx_engine *engine, unsigned count);
int cluster_run(etx_engine *engine, const char *gid, etx_outcome *outcome);
/* What the engine has not is another's, for ten minutes. */
void cluster_give_away_rest(struct cluster *cluster, etx_engine *engine);
/* Two nodes have half of the partitions each, and both know it. */
void cluster_wait_for_halves(etx_engine *one, etx_engine *two);
/* Gids of the caller's own, until one was begun at this engine; else where it should go. */
void cluster_begin_at(etx_engine *engine, const char *prefix, char gid[32]);

#endif
