/* Limits: what all of the engine has in flight and in memory, and what the home promises by now, so
 * that each core judges a begin by it. */
#include "home.h"
#include "shard.h"

/* transactions_max and memory_max hold for the engine, and each core counts its own. A shard looks
 * at the sums of the others once in a round of its work, which reads a few words that nobody locks.
 * Near a limit it looks before each begin: then only what other shards begin at the same instant
 * can come on top, one transaction each. Far from it a round is too short to get there. */
enum { NEAR_PART = 8, NEAR_LIVE = 4096, NEAR_BYTES = 16 << 20 };

void etx__limits_look(etx__shard *shard) {
    const etx_engine *engine = shard->engine;
    etx__others others = {0, 0};
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        const etx__shard *other = &engine->shard[i];
        if (other != shard) {
            others.live += atomic_load_explicit(&other->live, memory_order_relaxed);
            others.bytes += atomic_load_explicit(&other->bytes, memory_order_relaxed);
        }
    }
    shard->others = others;
}

void etx__limits_tell(etx__partition *partition) {
    etx__shard *shard = partition->shard;
    const etx_options *o = &shard->engine->options;
    uint64_t live = atomic_load_explicit(&shard->live, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&shard->bytes, memory_order_relaxed);
    uint64_t near_live = o->transactions_max / NEAR_PART + NEAR_LIVE;
    uint64_t near_bytes = o->memory_max / NEAR_PART + NEAR_BYTES;
    if (live + shard->others.live + near_live >= o->transactions_max ||
        bytes + shard->others.bytes + near_bytes >= o->memory_max) {
        etx__limits_look(shard);
    }
    etx__core *core = partition->memory->core;
    etx__others *others = &core->others;
    others->live =
        shard->others.live + live - atomic_load_explicit(&partition->live, memory_order_relaxed);
    others->bytes = shard->others.bytes + bytes -
                    atomic_load_explicit(&partition->memory_used, memory_order_relaxed);
    core->grade = (uint8_t)etx__home_grade(partition->home);
}
