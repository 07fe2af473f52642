/* Starts the nodes of a cluster, and waits until each has its part. */
#include "rig_cluster.h"

static void on_event(const etx_event *event, void *user) {
    struct cluster *cluster = user;
    if (event->type == ETX_EVENT_PARTITION_LOST) {
        atomic_fetch_add(&cluster->lost, 1);
    } else if (event->type == ETX_EVENT_HOME_DOWN) {
        atomic_fetch_add(&cluster->down, 1);
    } else if (event->type == ETX_EVENT_HOME_UP) {
        atomic_fetch_add(
            strcmp(event->reason, "well again") == 0 ? &cluster->back : &cluster->first, 1);
    } else if (event->type == ETX_EVENT_HOME_GRADED) {
        atomic_fetch_add(&cluster->graded, 1);
    } else if (event->type == ETX_EVENT_HOME_MISSED) {
        rig_check(strstr(event->reason, "was node ") != NULL);
        atomic_fetch_add(&cluster->missed, 1);
    } else if (event->type == ETX_EVENT_CLOCK_OFF) {
        atomic_fetch_add(&cluster->clock_off, 1);
    }
}

void cluster_make(struct cluster *cluster) {
    atomic_store(&cluster->lost, 0);
    atomic_store(&cluster->down, 0);
    atomic_store(&cluster->first, 0);
    atomic_store(&cluster->back, 0);
    atomic_store(&cluster->graded, 0);
    atomic_store(&cluster->clock_off, 0);
    atomic_store(&cluster->missed, 0);
    cluster->flags = 0;
    rig_log_make(&cluster->log, NULL, "partitions=4");
    snprintf(cluster->url, sizeof cluster->url, "shared%s", strchr(cluster->log.url, ':'));
    rig_bank_make(&cluster->bank, 1000);
}

void cluster_end(struct cluster *cluster) {
    rig_bank_end(&cluster->bank);
    rig_log_end(&cluster->log);
}

etx_engine *cluster_node_start_with(struct cluster *cluster,
                                    const char *name,
                                    const char *address,
                                    const char *own,
                                    unsigned chosen_home) {
    etx_options options = rig_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_engine *engine = NULL;
    monitor.on_event = on_event;
    monitor.user = cluster;
    options.monitor = &monitor;
    options.node = name;
    options.flags |= cluster->flags;
    options.address = address;
    options.lease_ms = LEASE_MS;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    rig_must(engine, etx_engine_log(engine, rig_shared_ops()), "log");
    if (own) {
        rig_must(engine, etx_engine_log(engine, rig_log_ops()), "own log");
        rig_must(engine, etx_engine_home(engine, own), "own home");
        rig_must(engine, etx_engine_chosen_home(engine, chosen_home), "chosen home");
    }
    rig_must(engine, etx_engine_home(engine, cluster->url), "home");
    rig_bank_register(&cluster->bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    return engine;
}

etx_engine *cluster_node_start(struct cluster *cluster, const char *name, const char *address) {
    return cluster_node_start_with(cluster, name, address, NULL, 0);
}

unsigned cluster_count_here(etx_engine *engine) {
    unsigned count = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        etx_partition_status status = {.size = sizeof status};
        rig_must(engine, etx_engine_partition_status(engine, 0, i, &status), "status");
        count += status.here;
    }
    return count;
}

void cluster_give_away_rest(struct cluster *cluster, etx_engine *engine) {
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        etx_partition_status status = {.size = sizeof status};
        rig_must(engine, etx_engine_partition_status(engine, 0, i, &status), "status");
        if (!status.here) {
            rig_lease_take(&cluster->log, i, 600000);
        }
    }
}

uint64_t cluster_wait_for(etx_engine *engine, unsigned count) {
    uint64_t begin = host_now_ms();
    while (cluster_count_here(engine) != count) {
        assert_true(host_now_ms() < begin + 60000);
        usleep(2000);
    }
    return host_now_ms() - begin;
}

int cluster_run(etx_engine *engine, const char *gid, etx_outcome *outcome) {
    *outcome = (etx_outcome)ETX_OUTCOME_INIT;
    return etx_tx_run(rig_pair(engine, "bank", gid, 'D'), outcome);
}

void cluster_wait_for_halves(etx_engine *one, etx_engine *two) {
    etx_engine *both[] = {one, two};
    unsigned known = 0;
    for (uint64_t begin = host_now_ms(); known < 2 * PARTITIONS;) {
        known = 0;
        for (uint32_t i = 0; i < 2 * PARTITIONS; i++) {
            etx_partition_status status = {.size = sizeof status};
            etx_engine *engine = both[i % 2];
            rig_must(engine, etx_engine_partition_status(engine, 0, i / 2, &status), "status");
            known += status.here == (strcmp(status.node, i % 2 == 0 ? "one" : "two") == 0) &&
                     status.node[0] != 0;
        }
        known =
            cluster_count_here(one) == PARTITIONS / 2 && cluster_count_here(two) == PARTITIONS / 2
                ? known
                : 0;
        assert_true(host_now_ms() < begin + 60000);
        usleep(2000);
    }
}

void cluster_begin_at(etx_engine *engine, const char *prefix, char gid[32]) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    int rc = ETX_EELSEWHERE;
    for (int i = 0; i < 64 && rc == ETX_EELSEWHERE; i++) {
        snprintf(gid, 32, "%s-%d", prefix, i);
        rc = cluster_run(engine, gid, &outcome);
    }
    rig_must(engine, rc, "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
}
