/* Nodes: started, crashed, paused. Each is the real engine, with the world's adapters. */
#include <string.h>

#include "disk/disk.h"
#include "sim.h"

/* ---- running a node's code */

static void drop(sim_node *node) {
    sim *s = node->world;
    node->up = 0;
    node->paused = 0;
    node->current = NULL;
    node->returning = NULL;
    node->life++;
    node->engine = NULL;
    node->threads = 0;
    memset(node->known, 0, sizeof node->known);
    sim_machine_forget(node);
    for (int i = 0; i < SIM_THREADS; i++) {
        node->thread[i].alive = 0;
        node->thread[i].word = NULL;
    }
    s->stats.crashes++;
    sim_local_lost(node);
    sim_client_lost(s, node);
}

int sim_node_run(sim_node *node, void (*act)(sim_node *node, void *what), void *what) {
    sim *s = node->world;
    if (setjmp(node->out) == 0) {
        s->running = node;
        disk_clock_set(s->now_us / 1000);
        node->entered = 1;
        act(node, what);
        node->entered = 0;
        s->running = NULL;
        sim_node_poke(node);
        return 1;
    }
    node->entered = 0;
    s->running = NULL;
    sim_node_crash(node);
    return 0;
}

void sim_node_may_die(sim_node *node) {
    sim *s = node->world;
    if (node->entered && sim_happens(s, SIM_CRASH_INSIDE)) {
        sim_say(s, NULL, "%s: dies in the middle of its work", node->name);
        longjmp(node->out, 1);
    }
}

void sim_node_poke(sim_node *node) {
    for (uint32_t i = 0; i < node->threads; i++) {
        sim_thread *thread = &node->thread[i];
        if (!thread->alive || !thread->core || thread->word == NULL) {
            continue;
        }
        etx__shard *shard = thread->argument;
        if (!etx__queue_empty(&shard->queue) || *thread->word != thread->value) {
            thread->word = NULL;
            sim_thread_wake(thread, sim_about(node->world, 30));
        }
    }
}

/* ---- starting */

static void check_lost(const sim_node *node, const etx_event *event) {
    for (uint32_t i = 0; i < node->world->stores; i++) {
        if (strcmp(node->world->store[i].id, event->home) == 0 &&
            node->known[i][event->partition].lost) {
            sim_break(node->world, "a store that went back is noticed", NULL,
                      "%s says that another owns %s/%u, which has lost what it acknowledged",
                      node->name, event->home, event->partition);
        }
    }
}

static void monitor(const etx_event *event, void *user) {
    sim_node *node = user;
    sim *s = node->world;
    const char *gid = event->gid[0] != 0 ? event->gid : NULL;
    sim_say(s, gid, "%s: %s %s%s%s", node->name, etx_event_name(event->type), event->branch,
            event->reason[0] != 0 ? ": " : "", event->reason);
    sim_said_event(s, event);
    if (event->type == ETX_EVENT_PARTITION_LOST) {
        s->stats.takeovers++;
        check_lost(node, event);
    }
    s->stats.handovers += event->type == ETX_EVENT_PARTITION_LEFT;
    s->stats.disk_errors += event->type == ETX_EVENT_LOG_POISONED;
    s->stats.disk_full += event->type == ETX_EVENT_LOG_FULL;
}

static void node_options(sim_node *node, etx_options *options) {
    options->node = node->name;
    options->flags = ETX_ALLOW_VOLATILE;
    options->workers = 4;
    options->shards = 1 + (node->world->options.seed + node->place) % 2;
    options->transactions_max = 128;
    options->branches_max = 16;
    options->payload_max = 256;
    options->memory_max = 4 << 20;
    options->history_max = node->world->forgets ? 4 : 512;
    options->deadline_ms = 3000;
    options->call_timeout_ms = 800;
    options->retry_first_ms = 40;
    options->retry_cap_ms = 2000;
    options->working_ms = 100;
    options->park_after = 6;
    options->hold_down_ms = 1000;
    options->lease_ms = SIM_LEASE_MS;
    options->patience_ms = 5000;
    options->state_dir = node->name;
    options->durability = ETX_LOCAL;
}

static void set_up(sim_node *node, etx_engine *engine) {
    sim *s = node->world;
    char url[32];
    int rc = etx_engine_log(engine, sim_store_ops(0));
    rc = rc != 0 ? rc : etx_engine_log(engine, sim_store_ops(1));
    for (uint32_t i = 0; i < s->stores && rc == 0; i++) {
        snprintf(url, sizeof url, "%s:%u/%u", s->store[i].leased ? "leased" : "sim", node->place,
                 i);
        rc = etx_engine_home(engine, url);
    }
    if (s->locals != SIM_NO_LOCALS && rc == 0) {
        snprintf(url, sizeof url, "local:%u", node->place);
        rc = etx_engine_log(engine, sim_local_ops());
        rc = rc != 0 ? rc : etx_engine_home(engine, url);
    }
    etx_assert(rc == 0);
    node->late_names = (uint8_t)sim_happens(s, SIM_LATE_NAME);
    if (!node->late_names) {
        sim_bank_register(node);
    }
}

static void try_again(sim *s, void *what) {
    sim_node *node = what;
    (void)s;
    if (!node->up) {
        sim_node_boot(node);
    }
}

static void start(sim_node *node, void *what) {
    sim *s = node->world;
    etx_options options = ETX_OPTIONS_INIT;
    etx_monitor told = ETX_MONITOR_INIT;
    etx_engine *engine = NULL;
    int *ret_rc = what;
    told.on_event = monitor;
    told.user = node;
    told.events = ~0ull;
    options.monitor = &told;
    node_options(node, &options);
    int rc = etx_engine_create(&options, &engine);
    etx_assert(rc == 0);
    node->engine = engine;
    set_up(node, engine);
    rc = etx_engine_start(engine);
    if (rc != 0) {
        char message[256];
        etx_engine_message(engine, message, sizeof message);
        sim_say(s, NULL, "%s: cannot start: %s", node->name, message);
        if (rc == ETX_ECORRUPT && sim_local_refused(node, message)) {
            longjmp(node->out, 1);
        }
        if (rc == ETX_ECORRUPT || rc == ETX_EVERSION || rc == ETX_ECONFLICT || s->healing) {
            *ret_rc = rc;
        }
        longjmp(node->out, 1);
    }
    node->up = 1;
    sim_say(s, NULL, "%s: started", node->name);
}

static void register_late(sim *s, void *what) {
    sim_node *node = what;
    (void)s;
    if (node->up && node->late_names) {
        node->late_names = 0;
        sim_node_register(node);
    }
}

void sim_node_boot(sim_node *node) {
    sim *s = node->world;
    int bad = 0;
    node->life++;
    if (sim_node_run(node, start, &bad) && node->late_names) {
        sim_at(s, sim_about(s, 1000000), register_late, node);
    }
    if (bad != 0) {
        sim_break(s, "a log is never refused", NULL, "%s cannot start: %s", node->name,
                  etx_error_name(bad));
    }
}

static void register_now(sim_node *node, void *what) {
    (void)what;
    sim_bank_register(node);
}

void sim_node_register(sim_node *node) {
    sim_say(node->world, NULL, "%s: registers its participants", node->name);
    sim_node_run(node, register_now, NULL);
}

/* ---- failing */

void sim_node_crash(sim_node *node) {
    sim *s = node->world;
    sim_say(s, NULL, "%s: is gone", node->name);
    drop(node);
    sim_at(s, sim_about(s, 400000), try_again, node);
}

static void close_now(sim_node *node, void *what) {
    (void)what;
    etx_engine_close(node->engine, ETX_CLOSE_LEAVE, 50);
    etx_engine_free(node->engine);
}

void sim_node_close(sim_node *node) {
    sim *s = node->world;
    sim_say(s, NULL, "%s: closes in order", node->name);
    if (sim_node_run(node, close_now, NULL)) {
        sim_node_crash(node);
    }
}

/* What its threads put off until the end of the pause comes now. */
void sim_node_wake(sim_node *node) {
    node->paused = 0;
    node->paused_until_us = 0;
    sim_say(node->world, NULL, "%s: wakes up", node->name);
    for (uint32_t i = 0; i < node->threads; i++) {
        if (node->thread[i].alive) {
            sim_thread_wake(&node->thread[i], i);
        }
    }
}

static void wake_up(sim *s, void *what) {
    sim_node *node = what;
    if (node->paused && s->now_us >= node->paused_until_us) {
        sim_node_wake(node);
    }
}

void sim_node_pause(sim_node *node, uint64_t us) {
    sim *s = node->world;
    node->paused = 1;
    node->paused_until_us = s->now_us + us;
    s->stats.pauses++;
    sim_say(s, NULL, "%s: pauses for %.1f s", node->name, (double)us / 1e6);
    sim_at(s, us, wake_up, node);
}

int sim_node_ready(const sim_node *node) {
    return node->up && !node->paused;
}
