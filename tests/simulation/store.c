/* Stores that nodes share: the slot interface, with all the freedom that its contract leaves. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static int store_open(const etx_log_config *config, etx_log **ret_log) {
    sim *s = *sim_current();
    unsigned node = 0;
    unsigned store = 0;
    const char *colon = strchr(config->url, ':');
    if (colon == NULL || sscanf(colon, ":%u/%u", &node, &store) != 2) {
        return ETX_EINVALID;
    }
    sim_adapter *made = config->allocator->allocate(config->allocator->user, sizeof *made);
    if (made == NULL) {
        return ETX_ENOMEM;
    }
    made->head.ops = sim_store_ops(s->store[store].leased);
    made->node = &s->node[node];
    made->store = &s->store[store];
    *ret_log = &made->head;
    return 0;
}

static void store_close(etx_log *log, int clean) {
    (void)log; /* its memory goes with its node's */
    (void)clean;
}

static int store_info(etx_log *log, etx_log_info *ret_info) {
    const sim_adapter *of = (sim_adapter *)(void *)log;
    snprintf(ret_info->id, sizeof ret_info->id, "%s", of->store->id);
    ret_info->partitions = of->store->world->partitions;
    ret_info->flags = 0;
    ret_info->batch_max = of->store->batch_max;
    ret_info->grade = of->store->grade;
    ret_info->remark = NULL;
    ret_info->block = 1;
    ret_info->slack = of->store->slack;
    return 0;
}

static int reachable(const sim_adapter *of) {
    return !of->store->down && !of->node->cut[of->store->place];
}

const char *sim_put_word(etx_put_result result) {
    static const char *const words[] = {
        "", "written", "occupied", "predecessor differs", "not written", "unknown"};
    return words[result];
}

/* Most faults come at any time. These come where they hurt: does this one, which the seed has, come
 * now, once in `of` times? */
static int strikes(sim *s, sim_fault fault, uint32_t of) {
    uint32_t drawn = sim_below(s, SIM_STORING, of);
    return !s->healing && s->chance[fault] > 0 && drawn == 0;
}

/* ---- slots */

static uint64_t own_of(sim *s, const sim_shelf *shelf, etx_bytes batch, uint64_t nonce) {
    etx_record record;
    size_t used = 0;
    int rc = ETX_ECORRUPT;
    uint64_t before = shelf->count > 0 ? shelf->slot[shelf->count - 1].own : 0;
    if (batch.len > 1) {
        etx_bytes first = {(const uint8_t *)batch.data + 1, batch.len - 1};
        do {
            rc = etx_codec_binary()->decode(first, &s->room, &record, &used);
        } while (rc == ETX_EBUSY && etx_record_room_grow(&s->room) == 0);
    }
    return rc == 0 && record.type == ETX_RECORD_OWN ? nonce : before;
}

void sim_store_append(sim_store *store, uint32_t number, const etx_put *put) {
    sim *s = store->world;
    sim_shelf *shelf = &store->shelf[number];
    if (shelf->count == shelf->room) {
        uint64_t room = shelf->room > 0 ? shelf->room * 2 : 256;
        sim_slot *slots = sim_alloc(s, room * sizeof *slots);
        if (shelf->count > 0) {
            memcpy(slots, shelf->slot, shelf->count * sizeof *slots);
        }
        shelf->slot = slots;
        shelf->room = room;
    }
    uint64_t own = own_of(s, shelf, put->batch, put->nonce);
    sim_slot *slot = &shelf->slot[shelf->count];
    *slot = (sim_slot){.len = (uint32_t)put->batch.len,
                       .checksum = put->checksum,
                       .predecessor = put->predecessor,
                       .nonce = put->nonce,
                       .own = own};
    slot->bytes = sim_alloc(s, put->batch.len);
    memcpy(slot->bytes, put->batch.data, put->batch.len);
    shelf->count++;
    if (own != put->nonce) {
        sim_break(s, "a superseded owner never appends", NULL, "store %u, partition %u, slot %llu",
                  store->place, number, (unsigned long long)put->slot);
    }
}

/* What the contract says a put comes to, in its order. */
static etx_put_result judge(sim_store *store, etx_put *put, int effect) {
    sim_shelf *shelf = &store->shelf[put->partition];
    if (put->slot < shelf->mark) {
        put->found_trimmed = 1;
        return ETX_PUT_OCCUPIED;
    }
    if (put->slot < shelf->count) {
        put->found_nonce = shelf->slot[put->slot].nonce;
        put->found_checksum = shelf->slot[put->slot].checksum;
        return ETX_PUT_OCCUPIED;
    }
    uint32_t before = 0;
    if (put->slot > 0) {
        if (put->slot > shelf->count) {
            return ETX_PUT_PREDECESSOR;
        }
        before = shelf->slot[put->slot - 1].checksum;
    }
    if (before != put->predecessor) {
        return ETX_PUT_PREDECESSOR;
    }
    if (effect) {
        sim_store_append(store, put->partition, put);
    }
    return ETX_PUT_WRITTEN;
}

/* All up to and with this slot cannot vanish any more. */
void sim_store_acknowledge(sim_store *store, uint32_t number, uint64_t slot) {
    sim_shelf *shelf = &store->shelf[number];
    while (shelf->told <= slot) {
        sim_truth_durable(store->world, store, number, shelf->told++);
    }
}

static void put_again(sim *s, void *what) {
    struct late {
        sim_store *store;
        etx_put put;
    } *late = what;
    sim_store *store = late->store;
    if (judge(store, &late->put, 1) == ETX_PUT_WRITTEN) {
        s->stats.late_puts++;
        sim_say(s, NULL, "store %u: a late copy of slot %llu takes effect", store->place,
                (unsigned long long)late->put.slot);
    }
}

/* A copy of the put is still on its way: for long, or it takes the slot while that is free. */
static void put_late(sim_store *store, const etx_put *put) {
    sim *s = store->world;
    struct late {
        sim_store *store;
        etx_put put;
    } *late = sim_alloc(s, sizeof *late);
    late->store = store;
    late->put = *put;
    void *bytes = sim_alloc(s, put->batch.len);
    memcpy(bytes, put->batch.data, put->batch.len);
    late->put.batch.data = bytes;
    uint64_t soon = sim_below(s, SIM_STORING, 400000);
    uint64_t long_after = sim_about(s, 2000000);
    sim_at(s, sim_below(s, SIM_STORING, 2) == 0 ? soon : long_after, put_again, late);
}

static void fail_over(sim *s, void *what) {
    (void)s;
    sim_store_failover(what);
}

/* Somebody knows of a slot that the store has not acknowledged: it may be gone before he asks. */
static void seen_too_early(sim_store *store) {
    sim *s = store->world;
    int comes = strikes(s, SIM_FAILOVER, 3);
    uint64_t in_us = sim_below(s, SIM_STORING, 80000);
    if (comes) {
        sim_at(s, in_us, fail_over, store);
    }
}

static etx_put_result unknown(sim_store *store, etx_put *put, const char *why) {
    sim *s = store->world;
    s->stats.unknown_puts++;
    put->error = ETX_EUNAVAILABLE;
    snprintf(put->message, sizeof put->message, "%s", why);
    if (sim_happens(s, SIM_PUT_LATE)) {
        put_late(store, put);
    }
    store->shelf[put->partition].doubt = put->slot + 1;
    return ETX_PUT_UNKNOWN;
}

static etx_put_result not_written(etx_put *put, const char *why) {
    put->error = ETX_EUNAVAILABLE;
    snprintf(put->message, sizeof put->message, "%s", why);
    return ETX_PUT_NOT_WRITTEN;
}

static etx_put_result put_once(sim_adapter *of, etx_put *put) {
    sim_store *store = of->store;
    sim *s = store->world;
    if (!reachable(of)) {
        return sim_below(s, SIM_STORING, 2) == 0
                   ? not_written(put, "nobody is there to take it")
                   : unknown(store, put, "no answer: the connection broke");
    }
    int in_doubt = store->shelf[put->partition].doubt == put->slot + 1;
    if (sim_happens(s, SIM_PUT_REFUSED) || (in_doubt && strikes(s, SIM_PUT_REFUSED, 2))) {
        return not_written(put, "too busy");
    }
    if (sim_happens(s, SIM_PUT_UNKNOWN)) {
        if (sim_below(s, SIM_STORING, 2) == 0) {
            judge(store, put, 1);
            put->found_nonce = 0;
            put->found_checksum = 0;
            put->found_trimmed = 0;
            seen_too_early(store);
        }
        return unknown(store, put, "no answer in time");
    }
    etx_put_result result = judge(store, put, 1);
    if (result == ETX_PUT_WRITTEN) {
        sim_store_acknowledge(store, put->partition, put->slot);
    } else if (result == ETX_PUT_OCCUPIED && put->slot >= store->shelf[put->partition].told) {
        seen_too_early(store);
    }
    return result;
}

/* A store that has lost what it acknowledged is noticed by who was acknowledged: the next that his
 * node says of that partition is LOG_REGRESSED, and it puts nothing more there. */
static int is_there(const sim_shelf *shelf, uint64_t slot, uint32_t checksum) {
    return slot < shelf->mark || (slot < shelf->count && shelf->slot[slot].checksum == checksum);
}

/* Who claims has all that he was acknowledged, and all that he remembers of earlier lives. */
static void check_claim(const sim_adapter *of, const etx_put *put) {
    const sim_store *store = of->store;
    const sim_known *known = &of->node->known[store->place][put->partition];
    const etx_seen_mark *kept = &of->node->kept[store->place].mark[put->partition];
    const sim_shelf *shelf = &store->shelf[put->partition];
    if (store->leased && known->nonce != put->nonce &&
        ((known->nonce != 0 && !is_there(shelf, known->slot, known->checksum)) ||
         (kept->known && kept->accepted_ms >= shelf->accepted_ms &&
          !is_there(shelf, kept->slot, kept->checksum)))) {
        sim_break(store->world, "what a store has lost is not claimed", NULL,
                  "%s: claims store %u/%u, which has lost what he remembers", of->node->name,
                  store->place, put->partition);
    }
}

static void note_regress(const sim_adapter *of, const etx_put *put, etx_put_result result) {
    sim_known *known = &of->node->known[of->store->place][put->partition];
    if (known->lost && known->nonce == put->nonce) {
        sim_break(of->store->world, "a store that went back is noticed", NULL,
                  "%s: writes on in store %u/%u, which lost slot %llu", of->node->name,
                  of->store->place, put->partition, (unsigned long long)known->slot);
    }
    if (result == ETX_PUT_WRITTEN) {
        check_claim(of, put);
        *known = (sim_known){put->nonce, put->slot, put->checksum, 0};
    } else if (result == ETX_PUT_PREDECESSOR && known->nonce == put->nonce &&
               known->slot + 1 == put->slot && known->checksum == put->predecessor) {
        known->lost = 1;
        of->store->world->stats.regressed++;
    }
}

static etx_put_result store_put(etx_log *log, etx_put *put) {
    sim_adapter *of = (sim_adapter *)(void *)log;
    sim *s = of->store->world;
    s->stats.puts++;
    put->error = 0;
    put->message[0] = 0;
    put->found_nonce = 0;
    put->found_checksum = 0;
    put->found_trimmed = 0;
    sim_node_may_die(of->node);
    etx_put_result result = put_once(of, put);
    sim_say(s, NULL, "%s: store %u/%u slot %llu: %s", of->node->name, of->store->place,
            put->partition, (unsigned long long)put->slot, sim_put_word(result));
    note_regress(of, put, result);
    sim_node_may_die(of->node);
    return result;
}

static int store_get(etx_log *log,
                     uint32_t partition,
                     uint64_t from,
                     etx_slot_fn visit,
                     void *user,
                     uint64_t *ret_mark,
                     char *message,
                     size_t message_size) {
    sim_adapter *of = (sim_adapter *)(void *)log;
    const sim_shelf *shelf = &of->store->shelf[partition];
    sim_node_may_die(of->node);
    if (shelf->count > shelf->told) {
        seen_too_early(of->store);
    }
    *ret_mark = shelf->mark;
    for (uint64_t i = from > shelf->mark ? from : shelf->mark; i < shelf->count; i++) {
        if (!reachable(of)) {
            break;
        }
        const sim_slot *slot = &shelf->slot[i];
        etx_slot seen = {.partition = partition,
                         .predecessor = slot->predecessor,
                         .slot = i,
                         .nonce = slot->nonce,
                         .checksum = slot->checksum,
                         .batch = {slot->bytes, slot->len}};
        int rc = visit(&seen, user);
        if (rc != 0) {
            return rc;
        }
    }
    if (!reachable(of)) {
        if (message != NULL) {
            snprintf(message, message_size, "the store is not reachable");
        }
        return ETX_EUNAVAILABLE;
    }
    return 0;
}

static int store_trim(etx_log *log, uint32_t partition, uint64_t below) {
    sim_adapter *of = (sim_adapter *)(void *)log;
    sim_shelf *shelf = &of->store->shelf[partition];
    sim_node_may_die(of->node);
    if (!reachable(of)) {
        return ETX_EUNAVAILABLE;
    }
    if (shelf->count > 0 && below >= shelf->count) {
        below = shelf->count - 1;
    }
    if (below > shelf->mark) {
        sim_truth_trim(of->store->world, of->store, partition, below);
        shelf->mark = below;
        sim_say(of->store->world, NULL, "%s: store %u/%u is trimmed below %llu", of->node->name,
                of->store->place, partition, (unsigned long long)below);
    }
    sim_node_may_die(of->node);
    return 0;
}

static int store_space(etx_log *log, uint32_t partition, etx_log_space *ret_space) {
    (void)log;
    (void)partition;
    ret_space->bytes_used = 0;
    ret_space->bytes_total = 0;
    ret_space->trim_unit = 1;
    ret_space->full = 0;
    return 0;
}

/* ---- leases */

static int away(char *message, size_t size) {
    if (message != NULL) {
        snprintf(message, size, "the store is not reachable");
    }
    return ETX_EUNAVAILABLE;
}

static int store_attend(etx_log *log,
                        const char *address,
                        uint32_t ttl_ms,
                        char *message,
                        size_t size) {
    sim_adapter *of = (sim_adapter *)(void *)log;
    sim_store *store = of->store;
    uint32_t place = of->node->place;
    sim_node_may_die(of->node);
    if (!reachable(of)) {
        return away(message, size);
    }
    if (of->attended && store->attends[place] != of->node->life) {
        return ETX_ECONFLICT;
    }
    of->attended = 1;
    store->attends[place] = of->node->life;
    snprintf(store->address[place], sizeof store->address[place], "%s", address);
    store->attends_us[place] = ttl_ms > 0 ? store->world->now_us + ttl_ms * 1000ull : 0;
    return 0;
}

/* The store's clock may jump: then a lease is over before its time. */
static int is_leased(sim_store *store, uint32_t number) {
    const sim_shelf *shelf = &store->shelf[number];
    return shelf->lease_us > store->world->now_us;
}

static int store_renew(etx_log *log, uint32_t number, uint32_t ttl_ms) {
    const sim_adapter *of = (sim_adapter *)(void *)log;
    sim *s = of->store->world;
    sim_shelf *shelf = &of->store->shelf[number];
    sim_node_may_die(of->node);
    if (!reachable(of)) {
        return ETX_EUNAVAILABLE;
    }
    if (is_leased(of->store, number) && shelf->lease_place != of->node->place) {
        return ETX_EBUSY;
    }
    int taken = !is_leased(of->store, number) || shelf->lease_place != of->node->place;
    if (taken) {
        sim_say(s, NULL, "%s: takes the lease of %u/%u", of->node->name, of->store->place, number);
    }
    shelf->lease_place = of->node->place;
    shelf->lease_us = s->now_us + ttl_ms * 1000ull;
    return taken;
}

static int store_release(etx_log *log, uint32_t number) {
    const sim_adapter *of = (sim_adapter *)(void *)log;
    sim_shelf *shelf = &of->store->shelf[number];
    sim_node_may_die(of->node);
    if (!reachable(of)) {
        return ETX_EUNAVAILABLE;
    }
    if (shelf->lease_place == of->node->place) {
        shelf->lease_us = 0;
    }
    return 0;
}

static int store_survey(etx_log *log, const etx_log_survey *survey, char *message, size_t size) {
    const sim_adapter *of = (sim_adapter *)(void *)log;
    sim_store *store = of->store;
    const sim *s = store->world;
    sim_node_may_die(of->node);
    if (!reachable(of)) {
        return away(message, size);
    }
    for (uint32_t i = 0; i < s->nodes; i++) {
        if (store->attends_us[i] > s->now_us) {
            etx_log_node node = {sizeof node, s->node[i].name, store->address[i],
                                 (store->attends_us[i] - s->now_us) / 1000 + 1};
            survey->on_node(&node, survey->user);
        }
    }
    for (uint32_t i = 0; i < s->partitions; i++) {
        if (is_leased(store, i)) {
            const sim_shelf *shelf = &store->shelf[i];
            etx_log_lease lease = {sizeof lease, i, s->node[shelf->lease_place].name,
                                   (shelf->lease_us - s->now_us) / 1000 + 1};
            survey->on_lease(&lease, survey->user);
        }
    }
    return 0;
}

static int store_clock(etx_log *log, uint64_t *ret_ms) {
    const sim_adapter *of = (sim_adapter *)(void *)log;
    *ret_ms = 1700000000000 + of->store->world->now_us / 1000;
    return reachable(of) ? 0 : ETX_EUNAVAILABLE;
}

/* What both kinds of store have. */
#define STORE_OPS                                                                             \
    .version = ETX_LOG_VERSION, .open = store_open, .close = store_close, .info = store_info, \
    .put = store_put, .get = store_get, .trim = store_trim, .space = store_space

const etx_log_ops *sim_store_ops(int leased) {
    static const etx_log_ops ops = {STORE_OPS, .scheme = "sim"};
    static const etx_log_ops with_leases = {STORE_OPS,
                                            .scheme = "leased",
                                            .attend = store_attend,
                                            .renew = store_renew,
                                            .release = store_release,
                                            .survey = store_survey,
                                            .clock = store_clock};
    return leased ? &with_leases : &ops;
}

/* ---- what happens to a store */

void sim_store_failover(sim_store *store) {
    sim *s = store->world;
    uint64_t lost = 0;
    for (uint32_t i = 0; i < s->partitions; i++) {
        sim_shelf *shelf = &store->shelf[i];
        lost += shelf->count - shelf->told;
        shelf->count = shelf->told;
    }
    s->stats.failovers++;
    s->stats.erased += lost;
    sim_say(s, NULL, "store %u: fails over; %llu slots that nobody was told of are gone",
            store->place, (unsigned long long)lost);
}

/* Its clock jumps: whatever is leased is free. */
void sim_store_jump(sim_store *store) {
    for (uint32_t i = 0; i < store->world->partitions; i++) {
        store->shelf[i].lease_us = 0;
    }
    sim_say(store->world, NULL, "store %u: its clock jumps, and all leases are over", store->place);
}

/* What it had acknowledged is lost: nothing that concerns it can be promised any more, but that
 * nobody decides against it. */
void sim_store_regress(sim_store *store) {
    sim *s = store->world;
    for (uint32_t i = 0; i < s->partitions; i++) {
        sim_shelf *shelf = &store->shelf[i];
        uint64_t least = shelf->mark + 1;
        if (shelf->count > least) {
            shelf->count -= 1 + sim_below(s, SIM_STORING, (uint32_t)(shelf->count - least));
            shelf->told = shelf->told < shelf->count ? shelf->told : shelf->count;
        }
    }
    store->regressed = 1;
    sim_say(s, NULL, "store %u: is restored from an older backup", store->place);
}

/* Behind the last slot, as etx log accept-loss writes it. */
static void accept_in(sim_store *store, uint32_t number, uint64_t nonce) {
    sim *s = store->world;
    sim_shelf *shelf = &store->shelf[number];
    const etx_codec *codec = etx_codec_binary();
    uint8_t batch[256] = {codec->id};
    etx_record own = {.type = ETX_RECORD_OWN};
    etx_record loss = {.type = ETX_RECORD_LOSS};
    shelf->accepted_ms = s->now_us / 1000;
    own.u.own.nonce = nonce;
    loss.u.loss = (etx_record_loss){shelf->accepted_ms, {"ann", 3}, {"it burnt", 8}};
    size_t len = 1 + codec->encode(&own, batch + 1);
    len += codec->encode(&loss, batch + len);
    etx_put put = {.size = sizeof put,
                   .partition = number,
                   .slot = shelf->count,
                   .predecessor = shelf->count > 0 ? shelf->slot[shelf->count - 1].checksum : 0,
                   .nonce = nonce,
                   .batch = {batch, len}};
    put.checksum = etx_slot_checksum(number, put.slot, nonce, put.predecessor, put.batch);
    etx_assert(judge(store, &put, 1) == ETX_PUT_WRITTEN);
    sim_store_acknowledge(store, number, put.slot);
    for (uint32_t i = 0; i < s->nodes; i++) {
        s->node[i].known[store->place][number] = (sim_known){0};
    }
}

void sim_store_accept(sim_store *store) {
    sim *s = store->world;
    for (uint32_t i = 0; i < s->partitions; i++) {
        if (store->shelf[i].accepted_ms == 0) {
            accept_in(store, i, sim_random(s, SIM_STORING) | 1);
        }
    }
    sim_say(s, NULL, "store %u: somebody accepts what it has lost", store->place);
}
