/* The engine: create, homes, logs, codecs. */
#include <string.h>

#include "keeper.h"
#include "options.h"
#include "shard.h"
#include "seen.h"

/* ---- the engine's own memory */

void *etx__engine_alloc(const etx_engine *engine, size_t size) {
    return engine->allocator.allocate(engine->allocator.user, size);
}

void etx__engine_release(const etx_engine *engine, void *block, size_t size) {
    if (block != NULL) {
        engine->allocator.release(engine->allocator.user, block, size);
    }
}

void etx__engine_hold(etx_engine *engine) {
    atomic_fetch_add(&engine->holders, 1);
}

static void free_handle(void *object) {
    etx__request_trim((etx_tx *)object);
}

/* What callbacks answered after the end. */
static void drop_late(etx_engine *engine, etx__shard *shard) {
    etx__node *node = etx__queue_take(&shard->queue);
    while (node != NULL) {
        etx__node *next = node->next;
        if (node->kind == ETX__NODE_REPLY) {
            etx__reply_free(engine, (etx__reply *)(void *)node);
        }
        node = next;
    }
}

/* Of a close that left it: what waits there is freed, and nobody of the host is told any more. */
static void drop_stuck(etx_engine *engine, etx__shard *shard) {
    engine->monitored = 0;
    engine->monitor.on_ending = NULL;
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        if (shard->partition[i]->state == ETX__OPEN) {
            etx__partition_forget(shard->partition[i], ETX_ECLOSED);
        }
    }
    etx__shard_refuse(shard, ETX_ECLOSED);
    etx__shard_drop_calls(shard);
}

void etx__engine_drop(etx_engine *engine) {
    if (atomic_fetch_sub(&engine->holders, 1) != 1) {
        return;
    }
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        if (atomic_load(&engine->shard[i].stuck)) {
            drop_stuck(engine, &engine->shard[i]);
        }
        drop_late(engine, &engine->shard[i]);
        etx__shard_free(&engine->shard[i]);
    }
    for (uint32_t i = 0; i < engine->home_count; i++) {
        etx__home_close(engine->home[i], 0);
        etx__home_free(engine->home[i]);
    }
    etx__seen_free(engine);
    if (engine->state_dir != NULL) {
        etx__engine_release(engine, engine->state_dir, strlen(engine->state_dir) + 1);
    }
    etx__workers_free(engine);
    etx__stash_free(&engine->handles, free_handle);
    etx__stash_free(&engine->replies, NULL);
    for (uint32_t i = 0; i < engine->registered_count; i++) {
        etx__engine_release(engine, engine->registered[i], sizeof(etx__registered));
    }
    etx__engine_release(engine, engine->partition,
                        engine->partition_room * sizeof *engine->partition);
    etx__engine_release(engine, engine->shard, engine->shard_count * sizeof *engine->shard);
    etx__alive_free(engine->alive);
    pthread_mutex_destroy(&engine->lock);
    pthread_mutex_destroy(&engine->message_lock);
    etx_allocator allocator = engine->allocator;
    allocator.release(allocator.user, engine, sizeof *engine);
}

void etx_engine_free(etx_engine *engine) {
    if (engine == NULL || *engine->alive == 0) {
        return; /* a child's copy: its memory goes with it */
    }
    if (atomic_load(&engine->life) == ETX__STARTED) {
        etx_engine_close(engine, ETX_CLOSE_LEAVE, 10000);
    }
    etx__engine_drop(engine);
}

/* ---- state */

static int usable(etx_engine *engine, etx__life last) {
    if (engine == NULL) {
        return ETX_EINVALID;
    }
    if (*engine->alive == 0) {
        return ETX_EFORKED;
    }
    uint32_t life = atomic_load_explicit(&engine->life, memory_order_acquire);
    if (life >= ETX__STARTED && life <= last) {
        return 0;
    }
    return life == ETX__NEW ? etx__engine_fail(engine, ETX_ESTATE, "the engine is not started")
                            : etx__engine_refuse(engine, ETX_ECLOSED);
}

int etx__engine_usable(etx_engine *engine) {
    return usable(engine, ETX__STARTED);
}

int etx__engine_serves(etx_engine *engine) {
    return usable(engine, ETX__FINISHING);
}

const etx__shard *etx__engine_inside(const etx_engine *engine) {
    uintptr_t self = (uintptr_t)pthread_self();
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        if (atomic_load_explicit(&engine->shard[i].driver, memory_order_relaxed) == self) {
            return &engine->shard[i];
        }
    }
    return NULL;
}

int etx_engine_lend(etx_engine *engine, int lends) {
    if (engine == NULL) {
        return ETX_EINVALID;
    }
    if (*engine->alive == 0) {
        return ETX_EFORKED;
    }
    if (lends && atomic_load_explicit(&engine->life, memory_order_acquire) > ETX__FINISHING) {
        return etx__engine_refuse(engine, ETX_ECLOSED);
    }
    atomic_store(&engine->lender, lends ? (uintptr_t)pthread_self() : 0);
    return 0;
}

void etx_engine_help(etx_engine *engine) {
    if (engine == NULL || *engine->alive == 0 || etx__engine_inside(engine)) {
        return;
    }
    uint32_t life = atomic_load_explicit(&engine->life, memory_order_acquire);
    if (life < ETX__STARTED || life > ETX__FINISHING) {
        return;
    }
    int before = etx__cancel_off();
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        etx__shard_help(&engine->shard[i]);
    }
    etx__cancel_back(before);
}

int etx__engine_new(etx_engine *engine) {
    if (engine == NULL) {
        return ETX_EINVALID;
    }
    if (*engine->alive == 0) {
        return ETX_EFORKED;
    }
    return atomic_load(&engine->life) == ETX__NEW
               ? 0
               : etx__engine_fail(engine, ETX_ESTATE, "the engine was started already");
}

/* ---- create */

enum { STATE_DIR_MAX = 1000 };

static const char *take_monitor(etx_engine *engine) {
    const etx_monitor *given = engine->options.monitor;
    uint64_t quiet = 1u << ETX_EVENT_BEGUN | 1u << ETX_EVENT_DECIDED | 1u << ETX_EVENT_ENDED;
    if (given == NULL) {
        return NULL;
    }
    if (etx__options_take(&engine->monitor, sizeof engine->monitor, given, given->size) != 0) {
        return "monitor: its size is not known to this version: use ETX_MONITOR_INIT";
    }
    if (engine->monitor.on_event != NULL) {
        engine->monitored = engine->monitor.events != 0 ? engine->monitor.events : ~quiet;
    }
    return NULL;
}

static const char *take_names(etx_engine *engine) {
    const char *node = engine->options.node != NULL ? engine->options.node : "node";
    const char *accept = engine->options.accept_chosen_home;
    const char *address = engine->options.address != NULL ? engine->options.address : "";
    if (etx_name_check(node, strlen(node)) != 0) {
        return "node: 1 to 64 printable characters, no space";
    }
    if (accept != NULL && strlen(accept) != ETX_HOME_ID_LEN) {
        return "accept_chosen_home: the id of a home, as etx_home_status.id says it";
    }
    if (strlen(address) >= sizeof engine->address || strpbrk(address, " \t\r\n") != NULL) {
        return "address: 255 characters at most, no spaces";
    }
    memcpy(engine->node, node, strlen(node) + 1);
    memcpy(engine->address, address, strlen(address) + 1);
    if (accept != NULL) {
        memcpy(engine->accept_chosen_home, accept, ETX_HOME_ID_LEN + 1);
    }
    return NULL;
}

static const char *take_state_dir(etx_engine *engine) {
    const char *dir = engine->options.state_dir;
    if (dir == NULL) {
        return NULL;
    }
    size_t len = strlen(dir);
    if (len == 0 || len > STATE_DIR_MAX) {
        return "state_dir: 1 to 1000 characters";
    }
    engine->state_dir = etx__engine_alloc(engine, len + 1);
    if (engine->state_dir == NULL) {
        return "no memory for the name of the state directory";
    }
    memcpy(engine->state_dir, dir, len + 1);
    return NULL;
}

int etx_engine_create(const etx_options *options, etx_engine **ret_engine) {
    etx_options ours = ETX_OPTIONS_INIT;
    if (ret_engine == NULL) {
        return etx__engine_none(ETX_EINVALID, "ret_engine is NULL");
    }
    if (options != NULL && etx__options_take(&ours, sizeof ours, options, options->size) != 0) {
        return etx__engine_none(ETX_EINVALID,
                                "size: not known to this version: use ETX_OPTIONS_INIT");
    }
    etx__options_fill(&ours);
    const char *wrong = etx__options_wrong(&ours);
    if (wrong != NULL) {
        return etx__engine_none(ETX_EINVALID, wrong);
    }
    etx_allocator allocator = ours.allocator != NULL ? *ours.allocator : etx__allocator;
    etx_engine *engine = allocator.allocate(allocator.user, sizeof *engine);
    uint32_t *alive = engine != NULL ? etx__alive_make() : NULL;
    if (alive == NULL) {
        if (engine != NULL) {
            allocator.release(allocator.user, engine, sizeof *engine);
        }
        return etx__engine_none(ETX_ENOMEM, "no memory for an engine");
    }
    engine->options = ours;
    engine->allocator = allocator;
    engine->alive = alive;
    engine->holders = 1;
    engine->ample = 2;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->message_lock, NULL);
    etx__stash_init(&engine->handles, &engine->allocator, sizeof(etx_tx));
    etx__stash_init(&engine->replies, &engine->allocator, sizeof(etx__reply));
    engine->log_ops[engine->log_ops_count++] = etx_log_file();
    engine->log_ops[engine->log_ops_count++] = etx_log_memory();
    engine->codecs[etx_codec_binary()->id] = etx_codec_binary();
    engine->codecs[ours.codec->id] = ours.codec;
    const char *odd = take_monitor(engine);
    odd = odd != NULL ? odd : take_names(engine);
    odd = odd != NULL ? odd : take_state_dir(engine);
    if (odd != NULL) {
        etx__engine_drop(engine);
        return etx__engine_none(ETX_EINVALID, odd);
    }
    *ret_engine = engine;
    return 0;
}

int etx_engine_home(etx_engine *engine, const char *url) {
    int rc = etx__engine_new(engine);
    if (rc != 0) {
        return rc;
    }
    if (url == NULL) {
        return etx__engine_fail(engine, ETX_EINVALID, "a home needs a URL: file:DIR, or memory:");
    }
    if (engine->home_count == ETX__HOMES_MAX) {
        return etx__engine_fail(engine, ETX_EINVALID, "8 homes at most");
    }
    etx__home *home = NULL;
    rc = etx__home_make(engine, url, &home);
    if (rc == 0) {
        home->place = engine->home_count;
        engine->home[engine->home_count++] = home;
    }
    return rc;
}

int etx_engine_chosen_home(etx_engine *engine, unsigned place) {
    int rc = etx__engine_new(engine);
    if (rc == 0) {
        engine->chosen_home = place;
    }
    return rc;
}

int etx_engine_log(etx_engine *engine, const etx_log_ops *ops) {
    int rc = etx__engine_new(engine);
    if (rc != 0) {
        return rc;
    }
    if (ops == NULL || ops->version == 0 || ops->version > ETX_LOG_VERSION || ops->scheme == NULL ||
        ops->open == NULL || ops->close == NULL || ops->info == NULL || ops->put == NULL ||
        ops->get == NULL || ops->trim == NULL || ops->space == NULL) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "the log adapter lacks a version, a scheme or a function");
    }
    if (strcmp(ops->scheme, etx_log_file()->scheme) == 0 ||
        strcmp(ops->scheme, etx_log_memory()->scheme) == 0) {
        return etx__engine_fail(engine, ETX_ECONFLICT,
                                "the scheme '%s:' is built in: give the adapter another one",
                                ops->scheme);
    }
    if (engine->log_ops_count == ETX__LOGS_MAX) {
        return etx__engine_fail(engine, ETX_EBUSY, "16 log adapters at most");
    }
    engine->log_ops[engine->log_ops_count++] = ops;
    return 0;
}

int etx_engine_codec(etx_engine *engine, const etx_codec *codec) {
    int rc = etx__engine_new(engine);
    if (rc != 0) {
        return rc;
    }
    if (codec == NULL || codec->version != ETX_CODEC_VERSION || codec->bound == NULL ||
        codec->encode == NULL || codec->decode == NULL) {
        return etx__engine_fail(engine, ETX_EINVALID, "the codec lacks a version or a function");
    }
    if (engine->codecs[codec->id] != NULL && engine->codecs[codec->id] != codec) {
        return etx__engine_fail(engine, ETX_ECONFLICT, "codec id %u is taken", codec->id);
    }
    engine->codecs[codec->id] = codec;
    return 0;
}

const etx_codec *etx__engine_codec_of(const etx_engine *engine, uint8_t id) {
    return engine->codecs[id];
}
