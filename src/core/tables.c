/* Entries and their index: chains by the gid's hash, in a table that grows bucket by bucket. */
#include "tables.h"

#include <string.h>

#include "../protocol/assert.h"
#include "../protocol/copy.h"
#include "../protocol/hash.h"

uint32_t etx__core_hash(etx_bytes gid) {
    return (uint32_t)etx__hash(gid.data, gid.len);
}

uint32_t etx__entry_number(const etx__core *core, const etx__entry *entry) {
    return (uint32_t)(entry - core->entry);
}

/* The bucket of a hash: by one bit more where that bucket has been split already. */
static uint32_t bucket_of(const etx__core *core, uint32_t hash) {
    uint32_t at = hash & (core->buckets_mask * 2 + 1);
    return at < core->buckets ? at : hash & core->buckets_mask;
}

uint32_t etx__core_hash_of(const etx__core *core, const etx__entry *entry) {
    return core->chained[etx__entry_number(core, entry)].hash;
}

etx__entry *etx__entry_find(const etx__core *core, etx_bytes gid, uint32_t hash) {
    uint32_t link = core->bucket[bucket_of(core, hash)];
    for (; link != 0; link = core->chained[link - 1].next) {
        etx__entry *entry = &core->entry[link - 1];
        if (core->chained[link - 1].hash == hash && entry->gid_len == gid.len &&
            memcmp(entry->gid, gid.data, gid.len) == 0) {
            return entry;
        }
    }
    return NULL;
}

void etx__core_prefetch(const etx__core *core, uint32_t hash) {
    __builtin_prefetch(&core->bucket[bucket_of(core, hash)], 1);
    if (core->entries_free != 0) {
        __builtin_prefetch(&core->entry[core->entries_free - 1], 1);
    }
}

const etx__entry *etx__core_find(const etx__core *core, etx_bytes gid, uint32_t hash) {
    return etx__entry_find(core, gid, hash);
}

/* What the split after the next few will touch is brought near. */
static void prefetch_split(const etx__core *core) {
    uint32_t link = core->bucket[(core->buckets + 4) & core->buckets_mask];
    if (link != 0) {
        __builtin_prefetch(&core->chained[link - 1], 1);
    }
}

/* Splits one bucket, so that the table grows without a pause. */
static void index_grow(etx__core *core) {
    uint32_t made = core->buckets;
    uint32_t *old = &core->bucket[made & core->buckets_mask];
    uint32_t *new = &core->bucket[made];
    prefetch_split(core);
    core->buckets++;
    for (uint32_t *link = old; *link != 0;) {
        struct etx__chained *chained = &core->chained[*link - 1];
        if ((chained->hash & (core->buckets_mask * 2 + 1)) != made) {
            link = &chained->next;
            continue;
        }
        uint32_t moved = *link;
        *link = chained->next;
        chained->next = *new;
        *new = moved;
    }
    if (core->buckets == core->buckets_mask * 2 + 2) {
        core->buckets_mask = core->buckets_mask * 2 + 1;
    }
}

static void index_insert(etx__core *core, uint32_t number, uint32_t hash) {
    if (core->entries++ >= core->buckets) {
        index_grow(core);
    }
    uint32_t *head = &core->bucket[bucket_of(core, hash)];
    core->chained[number] = (struct etx__chained){hash, *head};
    *head = number + 1;
}

static void index_remove(etx__core *core, uint32_t number) {
    uint32_t *link = &core->bucket[bucket_of(core, core->chained[number].hash)];
    while (*link != number + 1) {
        etx_assert(*link != 0);
        link = &core->chained[*link - 1].next;
    }
    *link = core->chained[number].next;
    core->entries--;
}

static int entry_take(etx__core *core, uint32_t *ret_number) {
    if (core->entries_free != 0) {
        *ret_number = core->entries_free - 1;
        core->entries_free = core->entry[*ret_number].newer;
        return 1;
    }
    if (core->entries_top == core->entries_max) {
        return 0;
    }
    *ret_number = core->entries_top++;
    return 1;
}

etx__entry *etx__entry_make(etx__core *core, etx_bytes gid, uint32_t hash) {
    uint8_t *block = etx__pool_alloc(&core->pool, gid.len + 1);
    uint32_t number = 0;
    if (block == NULL || !entry_take(core, &number)) {
        etx__pool_free(&core->pool, block, gid.len + 1);
        return NULL;
    }
    etx__entry *entry = &core->entry[number];
    memset(entry, 0, sizeof *entry);
    etx__copy(block, gid.data, gid.len);
    block[gid.len] = 0;
    entry->gid = block;
    entry->gid_len = (uint8_t)gid.len;
    index_insert(core, number, hash);
    return entry;
}

static void order_remove(etx__core *core, etx__entry *entry) {
    uint32_t number = etx__entry_number(core, entry);
    if (entry->older != 0) {
        core->entry[entry->older - 1].newer = entry->newer;
    } else if (core->oldest == number + 1) {
        core->oldest = entry->newer;
    }
    if (entry->newer != 0) {
        core->entry[entry->newer - 1].older = entry->older;
    } else if (core->newest == number + 1) {
        core->newest = entry->older;
    }
    entry->older = 0;
    entry->newer = 0;
}

void etx__entry_renew(etx__core *core, etx__entry *entry, uint64_t seq) {
    uint32_t number = etx__entry_number(core, entry);
    order_remove(core, entry);
    entry->first_seq = seq;
    entry->older = core->newest;
    if (core->newest != 0) {
        core->entry[core->newest - 1].newer = number + 1;
    } else {
        core->oldest = number + 1;
    }
    core->newest = number + 1;
}

static size_t gid_block_size(const etx__entry *entry) {
    return entry->gid_len + 1u + (entry->reason_len > 0 ? entry->reason_len + 1u : 0u);
}

void etx__entry_forget(etx__core *core, etx__entry *entry) {
    uint32_t number = etx__entry_number(core, entry);
    etx_assert(entry->tx == NULL);
    order_remove(core, entry);
    index_remove(core, number);
    etx__pool_free(&core->pool, entry->gid, gid_block_size(entry));
    memset(entry, 0, sizeof *entry);
    entry->newer = core->entries_free;
    core->entries_free = number + 1;
}

/* ---- who is registered */

/* Where the name stands, or would. */
static uint16_t *named_at(const etx__core *core, const void *name, size_t len) {
    uint32_t at = (uint32_t)etx__hash(name, len) & core->named_mask;
    for (; core->named[at] != 0; at = (at + 1) & core->named_mask) {
        const etx__policy *policy = &core->policy[core->named[at] - 1];
        if (policy->name_len == len && memcmp(policy->name, name, len) == 0) {
            break;
        }
    }
    return &core->named[at];
}

void etx__policy_set(etx__core *core, uint32_t place, const etx__policy *policy) {
    etx_assert(place < core->options.participants_max && place < UINT16_MAX);
    core->policy[place] = *policy;
    *named_at(core, policy->name, policy->name_len) = (uint16_t)(place + 1);
}

uint32_t etx__policy_find(const etx__core *core, const uint8_t *name, size_t len) {
    uint16_t found = len > 0 ? *named_at(core, name, len) : 0;
    return found != 0 ? found - 1u : ETX__NOBODY;
}

/* ---- lists of live transactions */

void etx__list_push(etx__core *core, etx__list list, etx__tx *tx) {
    struct etx__ends *ends = &core->list[list];
    etx_assert(!(tx->r.listed & (1u << list)));
    tx->r.listed |= (uint8_t)(1u << list);
    tx->link[list].before = ends->last;
    tx->link[list].after = 0;
    if (ends->last != 0) {
        core->entry[ends->last - 1].tx->link[list].after = tx->entry + 1;
    } else {
        ends->first = tx->entry + 1;
    }
    ends->last = tx->entry + 1;
}

void etx__list_remove(etx__core *core, etx__list list, etx__tx *tx) {
    struct etx__ends *ends = &core->list[list];
    struct etx__link *link = &tx->link[list];
    if (!(tx->r.listed & (1u << list))) {
        return;
    }
    tx->r.listed &= (uint8_t) ~(1u << list);
    if (link->before != 0) {
        core->entry[link->before - 1].tx->link[list].after = link->after;
    } else {
        ends->first = link->after;
    }
    if (link->after != 0) {
        core->entry[link->after - 1].tx->link[list].before = link->before;
    } else {
        ends->last = link->before;
    }
}
