/* What is remembered: the last N that ended, no older than A, in a ring by their number. */
#include "tables.h"

#include <string.h>

#include "../protocol/assert.h"

/* ended_no counts the ended transactions of the partition, on disk too, so that what is
 * remembered does not depend on the order in which records are folded: a MOVE that comes late
 * falls into its own place. */

/* The ring is as long as is needed, and no longer than its room: what goes round in it touches the
 * same memory, however many end. */
static uint32_t *place_of(const etx__core *core, uint64_t number) {
    return &core->ended[(number - core->ended_base) % core->ended_turn];
}

void etx__history_remove(etx__core *core, etx__entry *entry) {
    uint32_t *place = place_of(core, entry->ended_no);
    etx_assert(*place ==
               etx__entry_number(core, entry) + 1); /* else history_add had forgotten it */
    *place = 0;
    core->remembered--;
    core->chosen -= (entry->marks & ETX_MARK_CHOSEN) != 0;
}

static void forget_number(etx__core *core, uint64_t number) {
    uint32_t *place = place_of(core, number);
    if (*place == 0) {
        return;
    }
    etx__entry *entry = &core->entry[*place - 1];
    etx_assert(entry->ended_no == number);
    if (entry->begin_ms >= core->forgotten_ms) {
        core->forgotten_ms = entry->begin_ms + 1;
    }
    etx__history_remove(core, entry);
    etx__entry_forget(core, entry);
}

/* Are there more numbers than are remembered? */
static int too_many(const etx__core *core) {
    return core->ended_last + 1 - core->ended_oldest > core->options.history_max;
}

static int forgettable(const etx__core *core, uint64_t number) {
    uint32_t place = *place_of(core, number);
    return place == 0 || core->entry[place - 1].last_seq <= core->durable;
}

/* Makes the ring longer. What stands before the oldest in it is newer than all else, and goes on
 * behind what was its end. */
static void widen(etx__core *core, uint64_t need) {
    uint64_t turn = need + need / 4 < core->ended_room ? need + need / 4 : core->ended_room;
    uint64_t more = turn - core->ended_turn;
    uint64_t before = (core->ended_oldest - core->ended_base) % core->ended_turn;
    uint64_t moved = before < more ? before : more;
    uint32_t *ended = core->ended;
    memcpy(ended + core->ended_turn, ended, moved * sizeof *ended);
    memmove(ended, ended + moved, (before - moved) * sizeof *ended);
    memset(ended + before - moved, 0, moved * sizeof *ended);
    core->ended_turn = turn;
    core->ended_base = core->ended_oldest - before;
}

/* Makes `number` the newest: the ring has a place for it. */
static void newest_is(etx__core *core, uint64_t number) {
    core->ended_last = number;
    if (number - core->ended_oldest < core->ended_turn) {
        return;
    }
    uint64_t oldest = number < core->ended_room ? 0 : number - core->ended_room + 1;
    for (uint64_t i = 0; i < core->ended_turn && core->ended_oldest < oldest; i++) {
        forget_number(core, core->ended_oldest++);
    }
    core->ended_oldest = core->ended_oldest > oldest ? core->ended_oldest : oldest;
    while (too_many(core) && core->ended_oldest < number && forgettable(core, core->ended_oldest)) {
        forget_number(core, core->ended_oldest++);
    }
    if (number - core->ended_oldest >= core->ended_turn) {
        widen(core, number - core->ended_oldest + 1);
    }
}

etx__entry *etx__history_add(etx__core *core, etx__entry *entry) {
    if (entry->ended_no > core->ended_last) {
        newest_is(core, entry->ended_no);
    }
    uint32_t *place = place_of(core, entry->ended_no);
    if (entry->ended_no < core->ended_oldest || *place != 0) {
        etx__entry_forget(core, entry);
        return NULL;
    }
    *place = etx__entry_number(core, entry) + 1;
    core->remembered++;
    core->chosen += (entry->marks & ETX_MARK_CHOSEN) != 0;
    return entry;
}

static int too_old(const etx__core *core, uint64_t number, uint64_t wall_ms) {
    uint32_t place = *place_of(core, number);
    if (place == 0) {
        return 1;
    }
    const etx__entry *entry = &core->entry[place - 1];
    return entry->ended_ms + core->options.history_age_ms < wall_ms &&
           entry->rests_on <= core->durable && entry->last_seq <= core->durable;
}

/* What is forgotten was touched long ago: it is brought near a few steps before. */
static void prefetch_number(const etx__core *core, uint64_t number) {
    uint32_t place = *place_of(core, number);
    if (place != 0) {
        const etx__entry *entry = &core->entry[place - 1];
        __builtin_prefetch(entry, 1);
        __builtin_prefetch((const char *)entry + 64, 1);
        __builtin_prefetch(&core->chained[place - 1], 1);
    }
}

static void prefetch_rest(const etx__core *core, uint64_t number) {
    uint32_t place = *place_of(core, number);
    if (place != 0) {
        const etx__entry *entry = &core->entry[place - 1];
        __builtin_prefetch(entry->gid, 1);
        etx__core_prefetch(core, core->chained[place - 1].hash);
    }
}

static __attribute__((noinline)) void trim_some(etx__core *core) {
    while (too_many(core) && forgettable(core, core->ended_oldest)) {
        prefetch_number(core, core->ended_oldest + 8);
        prefetch_rest(core, core->ended_oldest + 4);
        forget_number(core, core->ended_oldest++);
    }
}

void etx__history_trim(etx__core *core) {
    if (too_many(core)) {
        trim_some(core);
    }
}

void etx__history_age(etx__core *core, uint64_t wall_ms) {
    for (int i = 0; i < 64 && core->ended_oldest <= core->ended_last; i++) {
        if (!too_old(core, core->ended_oldest, wall_ms)) {
            return;
        }
        forget_number(core, core->ended_oldest++);
    }
}

/* All that is live will end, and push out as many of the oldest: is the newest of those, and so
 * all of them, old enough? */
int etx__history_full(const etx__core *core, uint64_t wall_ms) {
    uint64_t last = core->ended_last + core->live + 1;
    if (core->chosen == 0 || last < core->ended_oldest + core->options.history_max) {
        return core->live >= core->options.history_max;
    }
    uint64_t number = last - core->options.history_max;
    for (int i = 0; i < 64 && number >= core->ended_oldest && number <= core->ended_last; i++) {
        uint32_t place = *place_of(core, number--);
        if (place != 0) {
            return core->entry[place - 1].ended_ms + core->options.history_age_ms > wall_ms;
        }
    }
    return core->live >= core->options.history_max;
}

int etx__history_has_room(const etx__core *core) {
    return core->ended_last + 1 - core->ended_oldest + core->live < core->ended_room;
}

int etx__core_drained(const etx__core *core, uint64_t wall_ms) {
    for (uint64_t number = core->ended_oldest; number <= core->ended_last; number++) {
        uint32_t place = *place_of(core, number);
        if (place != 0 &&
            core->entry[place - 1].ended_ms + core->options.history_age_ms > wall_ms) {
            return 0;
        }
    }
    return core->live == 0;
}

uint64_t etx__core_known_since(const etx__core *core) {
    return core->forgotten_ms;
}
