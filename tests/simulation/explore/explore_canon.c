/* A core's memory as a string of bytes: what does not matter for its future is made equal first. */
#include "explore.h"

#include <string.h>

/* What is made equal: how far the numbers of records have come (they count from the durable one),
 * serials of calls (they name the place), attempts beyond those that change anything, times (due,
 * or not yet), blocks that are free. What is not named here tells two memories apart, so that a
 * member added to the core can make the exploration larger, never wrong. */

enum { FAILURES_MAX = 3, SERIAL = 1000, SPAN_CUT = 3 };
static const uint64_t not_yet = 1ull << 50;

static void due_canon(uint64_t *due_ms, uint64_t now_ms) {
    if (*due_ms != UINT64_MAX) {
        *due_ms = *due_ms <= now_ms ? 0 : not_yet;
    }
}

static void attempt_canon(etx__attempt *attempt, unsigned place, uint64_t now_ms) {
    due_canon(&attempt->due_ms, now_ms);
    if (attempt->serial != 0) {
        attempt->serial = place + 1;
        attempt->due_ms = not_yet;
    }
    attempt->count = attempt->count > 0;
    if (attempt->failures > FAILURES_MAX) {
        attempt->failures = FAILURES_MAX;
    }
}

static void seq_canon(uint64_t *seq, uint64_t durable) {
    *seq = *seq > durable ? *seq - durable : 0;
}

static void tx_canon(etx__tx *tx, uint64_t durable, uint64_t now_ms) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        attempt_canon(&tx->branch[i]->r.call, i, now_ms);
    }
    if (tx->r.asking != NULL) {
        attempt_canon(tx->r.asking, EXPLORE_INITIATOR, now_ms);
    }
    due_canon(&tx->r.silent_ms, now_ms);
    due_canon(&tx->r.grace_ms, now_ms);
    seq_canon(&tx->r.queued_seq, durable);
    seq_canon(&tx->r.decided_seq, durable);
    if (tx->s.mode != ETX_RESUMED) {
        tx->r.silent_ms = 0;
        tx->r.run_no = 0;
    }
}

static unsigned note_waiters(explore_cores *c, const etx__waiter *waiter) {
    unsigned found = 0;
    for (; waiter != NULL; waiter = waiter->next) {
        found |= 1u << (waiter - c->waiter);
    }
    return found;
}

static unsigned waiters_of(explore_cores *c) {
    unsigned found = note_waiters(c, c->core->absent_first);
    for (uint32_t i = 0; i < c->core->entries_top; i++) {
        const etx__tx *tx = c->core->entry[i].tx;
        found |= tx != NULL ? note_waiters(c, tx->r.waiters) : 0;
    }
    return found;
}

static void waiters_canon(explore_cores *c, uint64_t durable) {
    unsigned found = waiters_of(c);
    for (unsigned i = 0; i < EXPLORE_CLIENTS; i++) {
        if (found & (1u << i)) {
            seq_canon(&c->waiter[i].seq, durable);
        } else {
            memset(&c->waiter[i], 0, sizeof c->waiter[i]);
        }
    }
}

/* ---- the pool */

/* As in the pool: four steps to each doubling. */
static size_t class_bytes(unsigned class) {
    if (class < 4) {
        return (class + 1) * (size_t)16;
    }
    unsigned top = (class - 4) / 4 + 2;
    return ((size_t)((class - 4) % 4 + 5) << (top - 2)) * 16;
}

/* Free blocks are zero, and listed by their addresses. */
static void span_canon(etx__pool *pool, uint32_t at) {
    etx__span *span = &pool->spans[at];
    uint8_t *base = pool->region + (size_t)at * ETX__SPAN;
    size_t size = class_bytes(span->class);
    uint8_t is_free[256] = {0};
    uint32_t link = span->free_head;
    if (span->cut > sizeof is_free) {
        return;
    }
    while (link != 0) {
        uint8_t *block = base + (size_t)(link - 1) * 16;
        is_free[(link - 1) * 16 / size] = 1;
        memcpy(&link, block, sizeof link);
        memset(block, 0, size);
    }
    span->free_head = 0;
    while (span->cut > 0 && is_free[span->cut - 1]) {
        is_free[--span->cut] = 0;
    }
    for (unsigned i = span->cut; i-- > 0;) {
        if (is_free[i]) {
            memcpy(base + i * size, &span->free_head, sizeof span->free_head);
            span->free_head = (uint32_t)(i * size / 16 + 1);
        }
    }
}

void explore_canon(explore_cores *c, int late) {
    etx__core *core = c->core;
    /* What is read is durable: who owns the partition begins to count behind it. */
    uint64_t durable = core->started ? core->durable : core->seq;
    uint64_t now_ms = explore_now(late).mono_ms;
    while (core->buried != NULL) {
        etx__tx *tx = core->buried;
        core->buried = tx->buried_next;
        etx__body_free(core, tx);
    }
    for (uint32_t i = 0; i < core->entries_top; i++) {
        etx__entry *entry = &core->entry[i];
        seq_canon(&entry->first_seq, durable);
        seq_canon(&entry->rests_on, durable);
        seq_canon(&entry->last_seq, durable);
        entry->begun_us = 0;
        if (entry->tx != NULL) {
            tx_canon(entry->tx, durable, now_ms);
        }
    }
    waiters_canon(c, durable);
    for (uint32_t i = 0; i < core->timer_count; i++) {
        due_canon(&core->timer[i].due_ms, now_ms);
    }
    core->seq -= durable;
    core->durable = 0;
    core->serial = SERIAL;
    for (uint32_t i = 0; i < core->pool.span_top; i++) {
        if (core->pool.spans[i].kind == SPAN_CUT) {
            span_canon(&core->pool, i);
        }
    }
}

/* ---- saving and restoring */

typedef struct cursor {
    uint8_t *at;
    uint8_t restores;
} cursor;

static void part(cursor *at, void *memory, size_t len) {
    if (at->restores) {
        memcpy(memory, at->at, len);
    } else {
        memcpy(at->at, memory, len);
    }
    at->at += len;
}

static size_t span_used(const etx__pool *pool, uint32_t at) {
    const etx__span *span = &pool->spans[at];
    return at < pool->span_top && span->kind == SPAN_CUT ? span->cut * class_bytes(span->class) : 0;
}

static void pool_parts(explore_cores *c, cursor *at) {
    etx__pool *pool = &c->core->pool;
    part(at, pool->spans, pool->span_top * sizeof *pool->spans);
    for (uint32_t i = 0; i < pool->span_count; i++) {
        uint8_t *base = pool->region + (size_t)i * ETX__SPAN;
        size_t used = span_used(pool, i);
        part(at, base, used);
        if (at->restores && c->dirty[i] > used) {
            memset(base + used, 0, c->dirty[i] - used);
        }
        c->dirty[i] = used;
    }
}

static void parts(explore_cores *c, cursor *at) {
    etx__core *core = c->core;
    part(at, core, sizeof *core);
    part(at, core->entry, core->entries_top * sizeof *core->entry);
    part(at, core->chained, core->entries_top * sizeof *core->chained);
    part(at, core->bucket, core->buckets * sizeof *core->bucket);
    part(at, core->timer, core->timer_count * sizeof *core->timer);
    part(at, core->ended, (size_t)core->ended_room * sizeof *core->ended);
    part(at, c->waiter, sizeof c->waiter);
    pool_parts(c, at);
}

size_t explore_save(explore_cores *c) {
    cursor at = {c->buffer, 0};
    parts(c, &at);
    return (size_t)(at.at - c->buffer);
}

void explore_restore(explore_cores *c, uint32_t number) {
    /* What was used since the last save is not zero any more. */
    const etx__pool *pool = &c->core->pool;
    for (uint32_t i = 0; i < pool->span_count; i++) {
        size_t used = span_used(pool, i);
        c->dirty[i] = c->dirty[i] > used ? c->dirty[i] : used;
    }
    etx_bytes kept = explore_intern_at(&c->memory, number);
    memcpy(c->buffer, kept.data, kept.len);
    cursor at = {c->buffer, 1};
    parts(c, &at);
}

/* ---- what can be read off */

static void known_of(explore_cores *c, const etx__entry *entry, struct explore_known *known) {
    const etx__tx *tx = entry->tx;
    known->state = entry->state;
    known->marks = entry->marks;
    known->live = tx != NULL;
    for (uint16_t i = 0; tx != NULL && i < tx->s.branch_count; i++) {
        const etx__branch *branch = tx->branch[i];
        known->branches++;
        known->forward[i] = branch->s.forward;
        known->bytes |= (uint8_t)((branch->s.result_len > 0) << i);
        known->settled |= (uint8_t)((branch->s.settled != 0) << i);
        known->outstanding |= (uint8_t)((branch->r.call.serial != 0) << i);
        known->waiting |=
            (uint8_t)((branch->r.call.serial == 0 && branch->r.call.due_ms != 0) << i);
    }
    if (tx != NULL && tx->r.asking != NULL) {
        const etx__attempt *asking = tx->r.asking;
        known->asks = 1;
        known->outstanding |= (uint8_t)((asking->serial != 0) << EXPLORE_INITIATOR);
        known->waiting |=
            (uint8_t)((asking->serial == 0 && asking->due_ms != 0) << EXPLORE_INITIATOR);
    }
    if (tx != NULL && entry->state == ETX_ACTIVE && !(entry->marks & ETX_MARK_HELD)) {
        known->deadline = tx->s.deadline_ms != 0;
        known->silent = tx->s.mode == ETX_RESUMED && tx->r.silent_ms != 0;
    }
    (void)c;
}

void explore_facts_of(explore_cores *c, explore_facts *ret_facts) {
    uint8_t bytes[2048];
    size_t len = 0;
    int is_new;
    memset(ret_facts, 0, sizeof *ret_facts);
    for (unsigned i = 0; i < EXPLORE_TX; i++) {
        etx_bytes gid = explore_gid(i);
        const etx__entry *entry = etx__core_find(c->core, gid, etx__core_hash(gid));
        if (entry == NULL) {
            continue;
        }
        etx_record move;
        etx__core_image(c->core, entry, c->core->image_branch, c->core->image_progress, &move);
        len += c->codec->encode(&move, bytes + len);
        known_of(c, entry, &ret_facts->tx[i]);
    }
    ret_facts->live = (uint8_t)c->core->live;
    ret_facts->clients = (uint8_t)waiters_of(c);
    ret_facts->image = explore_intern_bytes(&c->bytes, bytes, len, &is_new);
}
