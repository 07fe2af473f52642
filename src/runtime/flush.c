/* Answers that nobody waits for: when they are written although nothing else is. */
#include "home.h"
#include "shard.h"

/* What is answered and not recorded rides along with the next put. A decision or an end makes most
 * of it superfluous, and comes soon as a rule: so it is no record before it must be one. Where
 * neither comes, it is put once it is five times flush_ms old. While a put is under way the next
 * one takes it along. It is looked for in each round of the shard and before it sleeps, not in each
 * step. */

enum {
    TIMES = 5,   /* flush_ms: most decisions come before that */
    LACK_MS = 5, /* until memory that was lacking is asked for again */
};

void etx__flush_note(etx__partition *partition) {
    if (partition->memory->core->list[ETX__DIRTY].first == 0) {
        partition->flush_ms = UINT64_MAX;
    } else if (partition->flush_ms == UINT64_MAX) {
        partition->flush_ms = partition->shard->now.mono_ms +
                              (uint64_t)partition->home->engine->options.flush_ms * TIMES;
    }
}

uint64_t etx__flush_wake(const etx__partition *partition) {
    return partition->flush_ms > partition->retry_ms ? partition->flush_ms : partition->retry_ms;
}

void etx__flush_look(etx__partition *partition) {
    uint64_t now = partition->shard->now.mono_ms;
    etx__flush_note(partition);
    if (etx__flush_wake(partition) > now || partition->busy || partition->again ||
        !etx__partition_has_lease(partition)) {
        return;
    }
    etx__event event = {.type = ETX__EV_FLUSH};
    if (!etx__partition_step_list(partition, ETX__DIRTY, &event)) {
        partition->flush_ms = now + LACK_MS;
    }
    for (etx__batch *batch = partition->first; batch != NULL; batch = batch->next) {
        batch->wanted = 1;
    }
}

int etx__flush_rest(etx__partition *partition) {
    etx__flush_note(partition);
    if (partition->first != NULL) {
        partition->first->wanted = 1;
    }
    if (partition->flush_ms == UINT64_MAX) {
        return partition->first != NULL;
    }
    partition->flush_ms = 0;
    return 1;
}
