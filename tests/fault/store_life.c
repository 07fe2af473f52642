/* Calls a store's log, and judges each answer by the contract in etx/log.h.
 *
 * A slot whose put was not written gets other bytes the next time: if the first put takes effect
 * after all, they are found there. One whose put ended unknown gets the same until that is settled.
 */
#include "store_life.h"

#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 3, NONCE = 77, TTL_MS = 60000 };

#define NODE "here"
#define ADDRESS "http://here"

void store_wrong(store_life *life, const char *what, const char *how) {
    if (!life->wrong[0])
        snprintf(life->wrong, sizeof life->wrong, "%s: %s", what, how);
}

/* A call that failed has one of the errors that pass, and says why. `message` may be NULL. */
static void failed(store_life *life, const char *what, int rc, const char *message) {
    char how[300];
    if (!life->failed++)
        snprintf(life->said, sizeof life->said, "%s: %d %s", what, rc, message ? message : "");
    snprintf(how, sizeof how, "%d (%s) %s", rc, etx_strerror(rc), message ? message : "");
    if (rc != ETX_EUNAVAILABLE && rc != ETX_EIO && rc != ETX_ENOMEM)
        store_wrong(life, what, how);
    if (message && !message[0])
        store_wrong(life, what, "an error without a message");
}

void store_life_begin(store_life *life, const etx_log_ops *ops, const char *url) {
    memset(life, 0, sizeof *life);
    memory_make(&life->memory);
    life->ops = ops;
    life->url = url;
    for (uint32_t i = 0; i < STORE_CHAINS; i++)
        life->chains[i].partition = i * 2;
}

void store_life_end(store_life *life) {
    memory_drop(&life->memory);
    pthread_mutex_destroy(&life->memory.mutex);
}

void store_open(store_life *life) {
    char message[400] = "";
    etx_log_config config = {.size = sizeof config,
                             .url = life->url,
                             .node = NODE,
                             .allocator = &life->memory.allocator,
                             .message = message,
                             .message_size = sizeof message};
    for (int i = 0; i < TRIES && !life->log; i++) {
        message[0] = 0;
        int rc = life->ops->open(&config, &life->log);
        if (rc)
            failed(life, "open", rc, message);
    }
}

void store_close(store_life *life) {
    if (life->log)
        life->ops->close(life->log, 1);
    life->log = NULL;
    life->leased = 0;
    life->attended = 0;
}

/* ---- puts */

static size_t batch_make(const store_chain *chain, uint64_t slot, uint8_t *to) {
    const store_slot *what = &chain->slots[slot];
    uint64_t state = (uint64_t)what->version << 32 | (slot << 8) | chain->partition;
    for (size_t i = 0; i < what->len; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        to[i] = (uint8_t)(state >> 56);
    }
    return what->len;
}

/* What the put came to. */
static void judge(store_life *life, store_chain *chain, const etx_put *put, etx_put_result result) {
    char how[300];
    int ours = put->found_nonce == put->nonce && put->found_checksum == put->checksum;
    snprintf(how, sizeof how, "slot %llu of partition %u, %s: %s", (unsigned long long)put->slot,
             put->partition, chain->doubtful ? "doubtful" : "free", put->message);
    switch (result) {
        case ETX_PUT_OCCUPIED:
            if (!chain->doubtful || put->found_trimmed || !ours)
                store_wrong(life, "occupied by what was not written", how);
            break;
        case ETX_PUT_PREDECESSOR:
            store_wrong(life, "a put after what is there has no predecessor", how);
            return;
        case ETX_PUT_UNKNOWN:
            chain->doubtful = 1;
            failed(life, "put, unknown", put->error, put->message);
            return;
        case ETX_PUT_NOT_WRITTEN:
            failed(life, "put, not written", put->error, put->message);
            return;
        case ETX_PUT_WRITTEN:
            break;
    }
    chain->doubtful = 0;
    chain->next++;
    chain->checksum = put->checksum;
}

static void put_once(store_life *life, store_chain *chain, size_t len) {
    static uint8_t bytes[STORE_BATCH_MAX];
    store_slot *slot = &chain->slots[chain->next];
    if (!chain->doubtful)
        *slot = (store_slot){.version = ++life->versions, .len = len};
    etx_put put = {.size = sizeof put,
                   .partition = chain->partition,
                   .predecessor = chain->next ? chain->checksum : 0,
                   .slot = chain->next,
                   .nonce = NONCE,
                   .batch = {bytes, batch_make(chain, chain->next, bytes)}};
    put.checksum =
        etx_slot_checksum(put.partition, put.slot, put.nonce, put.predecessor, put.batch);
    slot->checksum = put.checksum;
    judge(life, chain, &put, life->ops->put(life->log, &put));
}

void store_put(store_life *life, store_chain *chain, uint32_t count, size_t len) {
    uint64_t until = chain->next + count;
    for (uint32_t i = 0; life->log && i < count + TRIES && chain->next < until; i++)
        put_once(life, chain, len);
}

/* ---- what is there */

typedef struct reading {
    store_life *life;
    store_chain *chain;
    uint64_t first;
    uint64_t count;
} reading;

static int take_slot(const etx_slot *slot, void *user) {
    static uint8_t bytes[STORE_BATCH_MAX];
    reading *state = user;
    const store_chain *chain = state->chain;
    char how[100];
    snprintf(how, sizeof how, "slot %llu of partition %u", (unsigned long long)slot->slot,
             slot->partition);
    if (state->count == 0)
        state->first = slot->slot;
    if (slot->slot != state->first + state->count++)
        store_wrong(state->life, "slots are not read in their order", how);
    else if (slot->slot > chain->next || (slot->slot == chain->next && !chain->doubtful))
        store_wrong(state->life, "what was not written is there", how);
    else if (slot->batch.len != batch_make(chain, slot->slot, bytes) ||
             memcmp(slot->batch.data, bytes, slot->batch.len) != 0 ||
             slot->checksum != chain->slots[slot->slot].checksum || slot->nonce != NONCE)
        store_wrong(state->life, "a slot has not what was put there", how);
    return 0;
}

/* One slot more at each of its turns, as long as one stays. */
static void trim_beside(void *user) {
    reading *state = user;
    store_chain *chain = state->chain;
    uint64_t below = chain->mark_most + 1;
    etx_log_config config = {.size = sizeof config, .url = state->life->url, .node = "other"};
    etx_log *other = NULL;
    if (below >= chain->next)
        return;
    chain->mark_most = below;
    if (state->life->ops->open(&config, &other))
        return;
    (void)state->life->ops->trim(other, chain->partition, below);
    state->life->ops->close(other, 1);
}

void store_get(store_life *life, store_chain *chain) {
    reading state = {.life = life, .chain = chain};
    char message[300] = "";
    char how[200];
    uint64_t mark = 0;
    if (!life->log)
        return;
    wire_others(trim_beside, &state);
    int rc = life->ops->get(life->log, chain->partition, 0, take_slot, &state, &mark, message,
                            sizeof message);
    wire_others(NULL, NULL);
    if (rc) {
        failed(life, "get", rc, message);
        return;
    }
    snprintf(how, sizeof how, "%llu slots from %llu of partition %u, mark %llu; %llu were written",
             (unsigned long long)state.count, (unsigned long long)state.first, chain->partition,
             (unsigned long long)mark, (unsigned long long)chain->next);
    uint64_t end = state.first + state.count;
    if (state.count > 0 && state.first != mark)
        store_wrong(life, "the first slot is not at the mark", how);
    if (mark < chain->mark_least || mark > chain->mark_most)
        store_wrong(life, "the mark is none that was set", how);
    if (end < chain->next && chain->next > 0)
        store_wrong(life, "what was written is lost", how);
    chain->mark_least = mark;
}

void store_trim(store_life *life, store_chain *chain, uint64_t below) {
    if (!life->log)
        return;
    below = below < chain->next ? below : chain->next ? chain->next - 1 : 0;
    int rc = life->ops->trim(life->log, chain->partition, below);
    chain->mark_most = below > chain->mark_most ? below : chain->mark_most;
    if (rc)
        failed(life, "trim", rc, NULL);
    else if (below > chain->mark_least)
        chain->mark_least = below;
}

/* ---- nodes and leases */

void store_attend(store_life *life, uint32_t ttl_ms) {
    char message[300] = "";
    if (!life->log)
        return;
    int rc = life->ops->attend(life->log, ADDRESS, ttl_ms, message, sizeof message);
    life->attended = rc == 0 && ttl_ms > 0;
    if (rc)
        failed(life, "attend", rc, message);
}

void store_renew(store_life *life) {
    int rc = life->log ? life->ops->renew(life->log, life->chains[0].partition, TTL_MS) : 0;
    if (rc < 0)
        failed(life, "renew", rc, NULL);
    else if (rc == 1 && life->leased)
        store_wrong(life, "renew", "a lease that it has is taken anew");
    else if (life->log)
        life->leased = 1;
}

void store_release(store_life *life) {
    int rc = life->log ? life->ops->release(life->log, life->chains[0].partition) : 0;
    life->leased = 0;
    if (rc)
        failed(life, "release", rc, NULL);
}

typedef struct seen {
    int nodes;
    int leases;
} seen;

static void see_node(const etx_log_node *node, void *user) {
    seen *all = user;
    all->nodes += strcmp(node->name, NODE) == 0 && strcmp(node->address, ADDRESS) == 0;
}

static void see_lease(const etx_log_lease *lease, void *user) {
    seen *all = user;
    all->leases += lease->partition == 0 && strcmp(lease->node, NODE) == 0;
}

void store_survey(store_life *life) {
    seen all = {0};
    const etx_log_survey survey = {sizeof survey, see_node, see_lease, &all};
    char message[300] = "";
    int rc = life->log ? life->ops->survey(life->log, &survey, message, sizeof message) : 0;
    if (rc)
        failed(life, "survey", rc, message);
    else if (life->log && (all.nodes < life->attended || all.leases < life->leased))
        store_wrong(life, "survey", "a node that attends, or its lease, is not shown");
}

/* ---- what it says of itself */

void store_ask(store_life *life) {
    etx_log_info info = {.size = sizeof info};
    etx_log_space space = {.size = sizeof space};
    uint64_t now = 0;
    if (!life->log)
        return;
    int rc = life->ops->info(life->log, &info);
    if (rc)
        failed(life, "info", rc, NULL);
    else if (info.partitions != 3 || (life->id[0] && strcmp(life->id, info.id) != 0))
        store_wrong(life, "info", "it is another log");
    else
        memcpy(life->id, info.id, sizeof life->id);
    rc = life->ops->clock(life->log, &now);
    if (rc)
        failed(life, "clock", rc, NULL);
    else if (now < 1000)
        store_wrong(life, "clock", "it says nothing");
    rc = life->ops->space(life->log, life->chains[0].partition, &space);
    if (rc)
        failed(life, "space", rc, NULL);
    else if (space.full)
        store_wrong(life, "space", "it says that it is full");
}
