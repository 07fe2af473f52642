/* Options: defaults, limits, and structs of another version's size. */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "machine.h"

int etx__options_take(void *to, size_t to_size, const void *from, size_t from_size) {
    const uint8_t *bytes = from;
    if (from_size < sizeof(size_t)) {
        return ETX_EINVALID;
    }
    for (size_t i = to_size; i < from_size; i++) {
        if (bytes[i] != 0) { /* a newer caller asks for what this version does not have */
            return ETX_EINVALID;
        }
    }
    memset(to, 0, to_size);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
    return 0;
}

static void fill_u32(uint32_t *value, uint32_t or_else) {
    *value = *value != 0 ? *value : or_else;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static void fill_u64(uint64_t *value, uint64_t or_else) {
    *value = *value != 0 ? *value : or_else;
}

void etx__options_fill(etx_options *o) {
    uint32_t processors = etx__processors();
    fill_u32(&o->shards, processors < 4 ? processors : 4);
    fill_u32(&o->workers, 16);
    fill_u32(&o->transactions_max, 1u << 20);
    fill_u32(&o->branches_max, 128);
    fill_u32(&o->payload_max, 1u << 20);
    fill_u64(&o->memory_max, 4ull << 30);
    fill_u64(&o->history_max, 1000000);
    fill_u64(&o->history_age_ms, 24ull * 3600 * 1000);
    fill_u32(&o->patience_ms, 30000);
    fill_u32(&o->call_timeout_ms, 30000);
    fill_u32(&o->retry_first_ms, o->retry_cap_ms != 0 ? least(100, o->retry_cap_ms) : 100);
    fill_u32(&o->retry_cap_ms, 30000);
    fill_u32(&o->working_ms, 1000);
    fill_u32(&o->park_after, 10);
    fill_u32(&o->hold_down_ms, 5000);
    fill_u32(&o->flush_ms, 4);
    fill_u32(&o->fence_age_ms, 7u * 24 * 3600 * 1000);
    fill_u32(&o->deadline_ms, least(60000, o->fence_age_ms / 2));
    fill_u32(&o->lease_ms, 5000);
    if (o->durability == ETX_DURABILITY_DEFAULT) {
        o->durability = ETX_LOCAL;
    }
    if (o->flags & ETX_READ_ONLY) {
        o->flags |= ETX_INSPECT;
    }
    if (o->codec == NULL) {
        o->codec = etx_codec_binary();
    }
}

const char *etx__options_wrong(const etx_options *o) {
    const uint32_t flags = ETX_ALLOW_VOLATILE | ETX_INSPECT | ETX_HISTORY_STRICT |
                           ETX_NO_CALLER_DRIVES | ETX_READ_ONLY | ETX_START_WAITS;
    if (o->flags & ~flags) {
        return "flags: unknown bits are set";
    }
    if (o->shards > 16) {
        return "shards: 16 at most";
    }
    if (o->workers > 4096) {
        return "workers: 4096 at most";
    }
    if (o->branches_max > ETX_BRANCHES_MAX) {
        return "branches_max: 1024 at most";
    }
    if (o->payload_max > (64u << 20)) {
        return "payload_max: 67108864 (64 MiB) at most";
    }
    if (o->transactions_max > (64u << 20)) {
        return "transactions_max: 67108864 at most";
    }
    if (o->history_max > (256u << 20)) {
        return "history_max: 268435456 at most";
    }
    if (o->memory_max < (4u << 20)) {
        return "memory_max: 4194304 (4 MiB) at least";
    }
    if (o->durability < ETX_VOLATILE || o->durability > ETX_REPLICATED) {
        return "durability: ETX_VOLATILE, ETX_LOCAL or ETX_REPLICATED";
    }
    if (o->retry_first_ms > o->retry_cap_ms) {
        return "retry_first_ms: retry_cap_ms (30000 unless told) at most";
    }
    if (o->fence_age_ms < 2) {
        return "fence_age_ms: 2 at least";
    }
    if (o->deadline_ms > o->fence_age_ms / 2) {
        return "deadline_ms: half of fence_age_ms (7 days unless told) at most";
    }
    if (o->allocator != NULL && (o->allocator->allocate == NULL || o->allocator->release == NULL)) {
        return "allocator: allocate and release must both be there";
    }
    if (o->busy_poll_us > 10000) {
        return "busy_poll_us: 10000 at most";
    }
    if (o->lease_ms < 500) {
        return "lease_ms: 500 at least";
    }
    if (o->codec->version != ETX_CODEC_VERSION) {
        return "codec: its version is not this library's (ETX_CODEC_VERSION)";
    }
    if (o->codec->bound == NULL || o->codec->encode == NULL || o->codec->decode == NULL) {
        return "codec: bound, encode and decode must all be there";
    }
    if (o->codec->id == etx_codec_binary()->id && o->codec != etx_codec_binary()) {
        return "codec: its id is that of etx_codec_binary";
    }
    return NULL;
}
