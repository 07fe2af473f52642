/* Registering participants, before start and after. */
#include <string.h>

#include "../protocol/hash.h"
#include "home.h"
#include "options.h"
#include "shard.h"

/* A registration is published once its news are queued at every shard: whoever can find the name
 * finds the cores told before its own request comes. */

typedef struct etx__news {
    etx__node node;
    uint32_t place;
} etx__news;

void etx__policy_of(const etx__registered *registered, etx__policy *ret_policy) {
    const etx_participant *p = &registered->p;
    memset(ret_policy, 0, sizeof *ret_policy);
    ret_policy->call_timeout_ms = p->call_timeout_ms;
    ret_policy->retry_first_ms = p->retry_first_ms;
    ret_policy->retry_cap_ms = p->retry_cap_ms;
    ret_policy->attempts_max = p->attempts_max;
    ret_policy->name_len = (uint8_t)strlen(registered->name);
    memcpy(ret_policy->name, registered->name, ret_policy->name_len + 1u);
}

void etx__news_handle(etx__shard *shard, etx__node *node) {
    etx__news *news = (etx__news *)(void *)node;
    etx__policy policy;
    etx__policy_of(shard->engine->registered[news->place], &policy);
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        etx__partition *partition = shard->partition[i];
        if (partition->state != ETX__OPEN) {
            continue; /* a load registers all that are known by then */
        }
        etx__event event = {.type = ETX__EV_REGISTERED};
        event.u.registered.place = news->place;
        event.u.registered.policy = &policy;
        etx__partition_step(partition, &event);
    }
    etx__engine_release(shard->engine, news, sizeof *news);
}

/* Where the name is published, or would be: at most half of the places are taken. */
static uint32_t at_of(const etx_engine *engine,
                      const char *name,
                      size_t len,
                      etx__registered **ret_found) {
    enum { PLACES = 2 * ETX__PARTICIPANTS_MAX };
    uint32_t at = (uint32_t)etx__hash(name, len) % PLACES;
    *ret_found = NULL;
    for (;; at = (at + 1) % PLACES) {
        uint32_t taken = atomic_load_explicit(&engine->registered_at[at], memory_order_acquire);
        if (taken == 0) {
            return at;
        }
        etx__registered *registered =
            atomic_load_explicit(&engine->registered[taken - 1], memory_order_relaxed);
        if (strncmp(registered->name, name, len) == 0 && registered->name[len] == 0) {
            *ret_found = registered;
            return at;
        }
    }
}

etx__registered *etx__engine_participant(const etx_engine *engine, const char *name, size_t len) {
    etx__registered *found;
    at_of(engine, name, len, &found);
    return found;
}

int etx__initiator_check(etx_engine *engine, etx_mode mode, const char *initiator) {
    if ((mode != ETX_INTERACTIVE && mode != ETX_RESUMED) ||
        (mode == ETX_RESUMED && initiator == NULL)) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "mode: ETX_INTERACTIVE, or ETX_RESUMED with an initiator");
    }
    const etx__registered *known =
        initiator != NULL ? etx__engine_participant(engine, initiator, strlen(initiator)) : NULL;
    if (known != NULL && (mode == ETX_RESUMED ? known->p.resume : known->p.query) == NULL) {
        return etx__engine_fail(
            engine, ETX_EINVALID,
            "initiator %.64s was registered without `%s`: nobody could be asked", initiator,
            mode == ETX_RESUMED ? "resume" : "query");
    }
    return 0;
}

/* The operation that is missing although the kind needs it, or NULL. */
static const char *missing(const etx_participant *p) {
    switch (p->kind) {
        case ETX_TCC:
        case ETX_XA:
            return p->commit == NULL ? "commit" : p->undo == NULL ? "undo" : NULL;
        case ETX_SAGA:
            return p->undo == NULL ? "undo" : NULL;
        case ETX_MESSAGE:
        case ETX_NOTIFICATION:
            return p->commit == NULL ? "commit" : NULL;
    }
    return "a kind (ETX_TCC to ETX_NOTIFICATION)";
}

static int check(etx_engine *engine, const etx_participant *p) {
    if (p->name == NULL || etx_name_check(p->name, strlen(p->name)) != 0) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "a participant's name is 1 to 64 printable characters");
    }
    if ((p->flags & ~(uint32_t)ETX_INLINE) ||
        (p->branch_flags &
         ~(uint32_t)(ETX_BY_INITIATOR | ETX_KEEPS_REFUSALS | ETX_WANTS_RESULTS))) {
        return etx__engine_fail(engine, ETX_EINVALID, "participant %.64s: unknown flags", p->name);
    }
    if (p->retry_cap_ms > 0 && p->retry_first_ms > p->retry_cap_ms) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "participant %.64s: retry_first_ms: retry_cap_ms (%u) at most",
                                p->name, p->retry_cap_ms);
    }
    const char *without = missing(p);
    int initiator_only = p->forward == NULL && p->commit == NULL && p->undo == NULL &&
                         (p->query != NULL || p->resume != NULL);
    if (without != NULL && !initiator_only) {
        return etx__engine_fail(engine, ETX_EINVALID, "participant %.64s: %s is missing", p->name,
                                without);
    }
    return 0;
}

static int send_news(etx_engine *engine, uint32_t place) {
    etx__news *news[ETX__SHARDS_MAX];
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        news[i] = etx__engine_alloc(engine, sizeof *news[i]);
        if (news[i] == NULL) {
            while (i > 0) {
                etx__engine_release(engine, news[--i], sizeof *news[i]);
            }
            return ETX_ENOMEM;
        }
        news[i]->node.kind = ETX__NODE_NEWS;
        news[i]->place = place;
    }
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        etx__shard_send(&engine->shard[i], &news[i]->node);
    }
    return 0;
}

static int add(etx_engine *engine, const etx_participant *p) {
    uint32_t place = atomic_load(&engine->registered_count);
    etx__registered *known;
    uint32_t at = at_of(engine, p->name, strlen(p->name), &known);
    if (known != NULL) {
        return ETX_ECONFLICT;
    }
    if (place == ETX__PARTICIPANTS_MAX) {
        return ETX_EBUSY;
    }
    etx__registered *registered = etx__engine_alloc(engine, sizeof *registered);
    if (registered == NULL) {
        return ETX_ENOMEM;
    }
    registered->p = *p;
    memcpy(registered->name, p->name, strlen(p->name) + 1);
    registered->p.name = registered->name;
    registered->place = place;
    atomic_store(&engine->registered[place], registered);
    int rc = atomic_load(&engine->life) == ETX__STARTED ? send_news(engine, place) : 0;
    if (rc == 0) {
        atomic_store(&engine->registered_count, place + 1);
        atomic_store_explicit(&engine->registered_at[at], (uint16_t)(place + 1),
                              memory_order_release);
    } else {
        atomic_store(&engine->registered[place], NULL);
        etx__engine_release(engine, registered, sizeof *registered);
    }
    return rc;
}

int etx_engine_register(etx_engine *engine, const etx_participant *participant) {
    etx_participant ours = ETX_PARTICIPANT_INIT;
    if (engine == NULL) {
        return ETX_EINVALID;
    }
    if (*engine->alive == 0) {
        return ETX_EFORKED;
    }
    if (participant == NULL) {
        return etx__engine_invalid(engine, "the participant is NULL");
    }
    if (atomic_load(&engine->life) > ETX__STARTED) {
        return etx__engine_refuse(engine, ETX_ECLOSED);
    }
    if (etx__engine_inside(engine)) {
        return etx__engine_fail(engine, ETX_EINVALID, "register: not from inline callbacks");
    }
    if (etx__options_take(&ours, sizeof ours, participant, participant->size) != 0) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "the participant's struct begins with no size that is known: use "
                                "ETX_PARTICIPANT_INIT");
    }
    int rc = check(engine, &ours);
    if (rc != 0) {
        return rc;
    }
    pthread_mutex_lock(&engine->lock);
    rc = add(engine, &ours);
    pthread_mutex_unlock(&engine->lock);
    if (rc == ETX_ECONFLICT) {
        return etx__engine_fail(engine, rc, "participant %.64s is registered already", ours.name);
    }
    return rc == 0 ? 0 : etx__engine_refuse(engine, rc);
}
