/* What is remembered: the last N that ended, no older than A, in a ring by their number. */
#include "tables.h"

#include "../protocol/assert.h"

/* ended_no counts the ended transactions of the partition, on disk too, so that what is
 * remembered does not depend on the order in which records are folded: a MOVE that comes late
 * falls into its own place. */

static void forget_number(etx__core *core, uint64_t number) {
    uint32_t *place = &core->ended[number % core->ended_room];
    if (*place == 0) {
        return;
    }
    etx__entry *entry = &core->entry[*place - 1];
    etx_assert(entry->ended_no == number);
    if (entry->begin_ms >= core->forgotten_ms) {
        core->forgotten_ms = entry->begin_ms + 1;
    }
    *place = 0;
    core->remembered--;
    etx__entry_forget(core, entry);
}

/* Slack for what ended in one step: the ring is larger than what is remembered. */
static uint64_t oldest_wanted(const etx__core *core) {
    uint64_t max = core->options.history_max;
    return core->ended_last >= max ? core->ended_last - max + 1 : 1;
}

void etx__history_add(etx__core *core, etx__entry *entry) {
    if (entry->ended_no > core->ended_last) {
        core->ended_last = entry->ended_no;
        if (core->remembered == 0 && core->ended_last > core->ended_room) {
            core->ended_oldest = core->ended_last - core->ended_room + 1;
        }
        for (; core->ended_oldest + core->ended_room <= core->ended_last; core->ended_oldest++) {
            forget_number(core, core->ended_oldest);
        }
    }
    uint32_t *place = &core->ended[entry->ended_no % core->ended_room];
    if (entry->ended_no < core->ended_oldest || *place != 0) {
        if (*place != 0 && core->entry[*place - 1].ended_no == entry->ended_no) {
            return;
        }
        etx__entry_forget(core, entry);
        return;
    }
    *place = etx__entry_number(core, entry) + 1;
    core->remembered++;
}

static int too_old(const etx__core *core, uint64_t number, uint64_t wall_ms) {
    uint32_t place = core->ended[number % core->ended_room];
    if (place == 0) {
        return 1;
    }
    const etx__entry *entry = &core->entry[place - 1];
    return entry->ended_ms + core->options.history_age_ms < wall_ms &&
           entry->rests_on <= core->durable && entry->last_seq <= core->durable;
}

static int forgettable(const etx__core *core, uint64_t number) {
    uint32_t place = core->ended[number % core->ended_room];
    return place == 0 || core->entry[place - 1].last_seq <= core->durable;
}

void etx__history_trim(etx__core *core) {
    uint64_t wanted = oldest_wanted(core);
    while (core->ended_oldest < wanted && forgettable(core, core->ended_oldest)) {
        forget_number(core, core->ended_oldest++);
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

int etx__history_full(const etx__core *core, uint64_t wall_ms) {
    if (core->remembered + core->live < core->options.history_max) {
        return 0;
    }
    uint32_t place = core->ended[core->ended_oldest % core->ended_room];
    if (place == 0) {
        return core->live >= core->options.history_max;
    }
    const etx__entry *entry = &core->entry[place - 1];
    return (entry->marks & ETX_MARK_CHOSEN) != 0 &&
           entry->ended_ms + core->options.history_age_ms > wall_ms;
}

uint64_t etx__core_known_since(const etx__core *core) {
    return core->forgotten_ms;
}
