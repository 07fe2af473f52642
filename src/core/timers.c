/* Timers: a heap of four, one place a transaction, which knows its place. */
#include "tables.h"

#include "../protocol/assert.h"

static void place_at(etx__core *core, uint32_t at, etx__timer timer) {
    core->timer[at] = timer;
    core->entry[timer.entry].tx->r.timer = at + 1;
}

static void sift_up(etx__core *core, uint32_t at, etx__timer timer) {
    while (at > 0) {
        uint32_t parent = (at - 1) / 4;
        if (core->timer[parent].due_ms <= timer.due_ms) {
            break;
        }
        place_at(core, at, core->timer[parent]);
        at = parent;
    }
    place_at(core, at, timer);
}

static uint32_t least_child(const etx__core *core, uint32_t at) {
    uint32_t first = at * 4 + 1;
    uint32_t least = first;
    for (uint32_t i = first + 1; i < first + 4 && i < core->timer_count; i++) {
        if (core->timer[i].due_ms < core->timer[least].due_ms) {
            least = i;
        }
    }
    return least;
}

static void sift_down(etx__core *core, uint32_t at, etx__timer timer) {
    while (at * 4 + 1 < core->timer_count) {
        uint32_t child = least_child(core, at);
        if (core->timer[child].due_ms >= timer.due_ms) {
            break;
        }
        place_at(core, at, core->timer[child]);
        at = child;
    }
    place_at(core, at, timer);
}

static void timer_remove(etx__core *core, etx__tx *tx) {
    uint32_t at = tx->r.timer - 1;
    tx->r.timer = 0;
    core->timer_count--;
    if (at == core->timer_count) {
        return;
    }
    etx__timer last = core->timer[core->timer_count];
    if (at > 0 && core->timer[(at - 1) / 4].due_ms > last.due_ms) {
        sift_up(core, at, last);
    } else {
        sift_down(core, at, last);
    }
}

void etx__timer_set(etx__core *core, etx__tx *tx, uint64_t due_ms) {
    if (due_ms == UINT64_MAX) {
        if (tx->r.timer != 0) {
            timer_remove(core, tx);
        }
        return;
    }
    etx__timer timer = {due_ms, tx->entry};
    if (tx->r.timer == 0) {
        etx_assert(core->timer_count < core->options.transactions_room);
        sift_up(core, core->timer_count++, timer);
        return;
    }
    uint32_t at = tx->r.timer - 1;
    if (core->timer[at].due_ms > due_ms) {
        sift_up(core, at, timer);
    } else if (core->timer[at].due_ms < due_ms) {
        sift_down(core, at, timer);
    }
}
