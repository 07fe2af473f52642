/* Nodes that remember what they were acknowledged, and a store that goes back. */
#include "rig_seen.h"

static void on_event(const etx_event *event, void *user) {
    struct shop *shop = user;
    atomic_uint *count = event->type == ETX_EVENT_LOG_REGRESSED   ? &shop->regressed
                         : event->type == ETX_EVENT_LOSS_ACCEPTED ? &shop->accepted
                         : event->type == ETX_EVENT_STATE_FAILED  ? &shop->failed
                                                                  : NULL;
    if (count != NULL) {
        pthread_mutex_lock(&shop->lock);
        snprintf(shop->said, sizeof shop->said, "%s", event->reason);
        pthread_mutex_unlock(&shop->lock);
        atomic_fetch_add(count, 1);
    }
}

void shop_make(struct shop *shop) {
    memset(shop, 0, sizeof *shop);
    pthread_mutex_init(&shop->lock, NULL);
    host_dir_make(&shop->dir);
    snprintf(shop->state, sizeof shop->state, "%s/state", shop->dir.path);
    rig_log_make(&shop->log, NULL, "partitions=4");
    snprintf(shop->url, sizeof shop->url, "shared%s", strchr(shop->log.url, ':'));
    rig_bank_make(&shop->bank, 1000);
}

void shop_end(struct shop *shop) {
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
    host_dir_remove(&shop->dir);
    pthread_mutex_destroy(&shop->lock);
}

etx_engine *shop_node_make(struct shop *shop, const char *name, const char *state) {
    etx_options options = rig_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_engine *engine = NULL;
    monitor.on_event = on_event;
    monitor.user = shop;
    options.monitor = &monitor;
    options.node = name;
    options.flags |= shop->flags;
    options.address = shop->address;
    options.lease_ms = LEASE_MS;
    options.state_dir = state;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    rig_must(engine, etx_engine_log(engine, rig_shared_ops()), "log");
    rig_must(engine, etx_engine_home(engine, shop->url), "home");
    rig_bank_register(&shop->bank, engine, "bank", ETX_TCC, ETX_INLINE);
    return engine;
}

etx_engine *shop_node_start(struct shop *shop, const char *name, const char *state) {
    etx_engine *engine = shop_node_make(shop, name, state);
    rig_start(engine);
    return engine;
}

etx_partition_status shop_partition(etx_engine *engine, uint32_t number) {
    etx_partition_status status = {.size = sizeof status};
    rig_must(engine, etx_engine_partition_status(engine, 0, number, &status), "status");
    return status;
}

/* Waits until the engine works on the partition, or has found that something is lost there. */
void shop_await_here(etx_engine *engine, uint32_t number) {
    for (uint64_t until = host_now_ms() + 60000; !shop_partition(engine, number).here;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

void shop_await_regressed(etx_engine *engine, uint32_t number) {
    for (uint64_t until = host_now_ms() + 60000; !shop_partition(engine, number).regressed;) {
        assert_false(shop_partition(engine, number).here);
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

/* The same where nothing is lost. */
void shop_await_whole(etx_engine *engine, uint32_t number) {
    for (uint64_t until = host_now_ms() + 60000; !shop_partition(engine, number).here;) {
        assert_false(shop_partition(engine, number).regressed);
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

/* A gid of the caller's own that belongs to the partition. */
void shop_gid_in(etx_engine *engine, const char *prefix, uint32_t number, char gid[32]) {
    etx_partition_status status = {.size = sizeof status};
    for (int i = 0; i == 0 || status.number != number; i++) {
        snprintf(gid, 32, "%s-%d", prefix, i);
        rig_must(engine, etx_engine_gid_status(engine, gid, &status), "gid");
    }
}

int shop_run_in(etx_engine *engine, const char *prefix, uint32_t number, etx_outcome *outcome) {
    char gid[32];
    shop_gid_in(engine, prefix, number, gid);
    *outcome = (etx_outcome)ETX_OUTCOME_INIT;
    return etx_tx_run(rig_pair(engine, "bank", gid, 'D'), outcome);
}

void shop_commit_in(etx_engine *engine, const char *prefix, uint32_t number) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(engine, shop_run_in(engine, prefix, number, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
}

/* One commits in every partition, and in partition 2 once more after the backup; it is restored
 * when nobody runs. */
void shop_lose_partition_2(struct shop *shop) {
    etx_engine *one = shop_node_start(shop, "one", shop->state);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        shop_commit_in(one, "before", i);
    }
    assert_true(rig_written(one, PARTITIONS));
    rig_log_backup(&shop->log);
    shop_commit_in(one, "after", 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_restore(&shop->log);
}

/* What `etx log accept-loss` writes. */
void shop_accept_loss(struct shop *shop, uint32_t number, uint64_t time_ms) {
    uint8_t room[512] = {etx_codec_binary()->id};
    etx_record own = {.type = ETX_RECORD_OWN};
    etx_record loss = {.type = ETX_RECORD_LOSS};
    own.u.own = (etx_record_own){.nonce = 4711, .time_ms = time_ms};
    loss.u.loss = (etx_record_loss){time_ms, {"ann", 3}, {"the disk burnt", 14}};
    size_t len = 1 + etx_codec_binary()->encode(&own, room + 1);
    len += etx_codec_binary()->encode(&loss, room + len);
    rig_log_put(&shop->log, number, 4711, (etx_bytes){room, len});
}
