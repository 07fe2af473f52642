/* The pool: small blocks in spans of one size class each, large ones in runs of whole spans. */
#include "pool.h"

#include <string.h>

#include "../protocol/assert.h"

/* Happy path: a class has a span with room; its free list or its uncut rest gives the block. A
 * span without blocks in use goes back to the runs, so that memory moves between classes. Runs
 * are first-fit, split and merged with their neighbours; what was never used (from span_top on)
 * is taken last, so that it stays untouched. An empty span that its class still holds goes back
 * when a run is wanted and none is found. */

enum { SPAN_NONE = 0, SPAN_FREE = 1, SPAN_RUN = 2, SPAN_CUT = 3 };

static uint32_t class_of(size_t size) {
    uint32_t units = (uint32_t)((size + 15) / 16);
    if (units <= 4) {
        return units == 0 ? 0 : units - 1;
    }
    uint32_t top = 31u - (uint32_t)__builtin_clz(units - 1);
    return 4 + (top - 2) * 4 + (((units - 1) >> (top - 2)) & 3);
}

static uint32_t class_bytes(uint32_t class) {
    if (class < 4) {
        return (class + 1) * 16;
    }
    uint32_t top = (class - 4) / 4 + 2;
    return ((((class - 4) & 3) + 5) << (top - 2)) * 16;
}

size_t etx__pool_table_size(size_t region_size) {
    return (region_size / ETX__SPAN) * sizeof(etx__span);
}

void etx__pool_init(etx__pool *pool, void *region, size_t region_size, void *table) {
    memset(pool, 0, sizeof *pool);
    pool->region = region;
    pool->spans = table;
    pool->span_count = (uint32_t)(region_size / ETX__SPAN);
    pool->capacity_bytes = (uint64_t)pool->span_count * ETX__SPAN;
}

static void list_push(etx__pool *pool, uint32_t *head, uint32_t at) {
    etx__span *span = &pool->spans[at];
    span->prev = 0;
    span->next = *head;
    if (*head != 0) {
        pool->spans[*head - 1].prev = at + 1;
    }
    *head = at + 1;
}

static void list_remove(etx__pool *pool, uint32_t *head, uint32_t at) {
    etx__span *span = &pool->spans[at];
    if (span->prev != 0) {
        pool->spans[span->prev - 1].next = span->next;
    } else {
        etx_assert(*head == at + 1);
        *head = span->next;
    }
    if (span->next != 0) {
        pool->spans[span->next - 1].prev = span->prev;
    }
}

static void run_mark(etx__pool *pool, uint32_t at, uint32_t spans, uint8_t kind) {
    pool->spans[at].kind = kind;
    pool->spans[at].spans = spans;
    pool->spans[at + spans - 1].kind = kind;
    pool->spans[at + spans - 1].spans = spans;
}

static int run_find(etx__pool *pool, uint32_t spans, uint32_t *ret_at) {
    for (uint32_t link = pool->free_runs; link != 0; link = pool->spans[link - 1].next) {
        uint32_t at = link - 1;
        uint32_t have = pool->spans[at].spans;
        if (have < spans) {
            continue;
        }
        list_remove(pool, &pool->free_runs, at);
        if (have > spans) {
            run_mark(pool, at + spans, have - spans, SPAN_FREE);
            list_push(pool, &pool->free_runs, at + spans);
        }
        *ret_at = at;
        return 1;
    }
    if (pool->span_count - pool->span_top < spans) {
        return 0;
    }
    *ret_at = pool->span_top;
    pool->span_top += spans;
    return 1;
}

static void run_return(etx__pool *pool, uint32_t at, uint32_t spans) {
    pool->spans_used -= spans;
    if (at > 0 && pool->spans[at - 1].kind == SPAN_FREE) {
        uint32_t before = pool->spans[at - 1].spans;
        list_remove(pool, &pool->free_runs, at - before);
        at -= before;
        spans += before;
    }
    if (at + spans < pool->span_top && pool->spans[at + spans].kind == SPAN_FREE) {
        uint32_t after = pool->spans[at + spans].spans;
        list_remove(pool, &pool->free_runs, at + spans);
        spans += after;
    }
    if (at + spans == pool->span_top) {
        pool->span_top = at;
        return;
    }
    run_mark(pool, at, spans, SPAN_FREE);
    list_push(pool, &pool->free_runs, at);
}

/* A class keeps one span without blocks in use, its list's first, so that it need not be cut anew
 * each time. */
static void empty_return(etx__pool *pool) {
    for (uint32_t class = 0; class < ETX__CLASSES; class ++) {
        uint32_t link = pool->partial[class];
        if (link != 0 && pool->spans[link - 1].used == 0) {
            list_remove(pool, &pool->partial[class], link - 1);
            run_return(pool, link - 1, 1);
        }
    }
}

static int run_take(etx__pool *pool, uint32_t spans, uint32_t *ret_at) {
    for (int again = 0; again < 2; again++) {
        if ((uint64_t)pool->spans_used + spans + pool->spans_kept <= pool->span_count &&
            run_find(pool, spans, ret_at)) {
            run_mark(pool, *ret_at, spans, SPAN_RUN);
            pool->spans_used += spans;
            return 1;
        }
        empty_return(pool);
    }
    return 0;
}

static void *large_alloc(etx__pool *pool, size_t size) {
    uint32_t at = 0;
    size_t spans = (size + ETX__SPAN - 1) / ETX__SPAN;
    if (spans > pool->span_count || !run_take(pool, (uint32_t)spans, &at)) {
        return NULL;
    }
    pool->used_bytes += (uint64_t)spans * ETX__SPAN;
    return pool->region + (size_t)at * ETX__SPAN;
}

static int span_open(etx__pool *pool, uint32_t class) {
    uint32_t at = 0;
    if (!run_take(pool, 1, &at)) {
        return 0;
    }
    etx__span *span = &pool->spans[at];
    span->kind = SPAN_CUT;
    span->class = (uint8_t) class;
    span->used = 0;
    span->cut = 0;
    span->free_head = 0;
    list_push(pool, &pool->partial[class], at);
    return 1;
}

void *etx__pool_alloc(etx__pool *pool, size_t size) {
    if (size > ETX__SPAN / 2) {
        return large_alloc(pool, size);
    }
    uint32_t class = class_of(size);
    if (pool->partial[class] == 0 && !span_open(pool, class)) {
        return NULL;
    }
    uint32_t at = pool->partial[class] - 1;
    etx__span *span = &pool->spans[at];
    uint32_t bytes = class_bytes(class);
    uint8_t *base = pool->region + (size_t)at * ETX__SPAN;
    uint8_t *block;
    if (span->free_head != 0) {
        block = base + (size_t)(span->free_head - 1) * 16;
        memcpy(&span->free_head, block, sizeof span->free_head);
    } else {
        block = base + (size_t)span->cut * bytes;
        span->cut++;
    }
    span->used++;
    if (span->free_head == 0 && (uint32_t)(span->cut + 1) * bytes > ETX__SPAN) {
        list_remove(pool, &pool->partial[class], at);
    }
    pool->used_bytes += bytes;
    return block;
}

static void large_free(etx__pool *pool, uint32_t at, size_t size) {
    uint32_t spans = (uint32_t)((size + ETX__SPAN - 1) / ETX__SPAN);
    etx_assert(pool->spans[at].kind == SPAN_RUN && pool->spans[at].spans == spans);
    pool->used_bytes -= (uint64_t)spans * ETX__SPAN;
    run_return(pool, at, spans);
}

void etx__pool_free(etx__pool *pool, void *block, size_t size) {
    if (block == NULL) {
        return;
    }
    size_t offset = (size_t)((uint8_t *)block - pool->region);
    uint32_t at = (uint32_t)(offset / ETX__SPAN);
    etx_assert(at < pool->span_top);
    if (size > ETX__SPAN / 2) {
        large_free(pool, at, size);
        return;
    }
    etx__span *span = &pool->spans[at];
    uint32_t bytes = class_bytes(span->class);
    etx_assert(span->kind == SPAN_CUT && span->class == class_of(size) && span->used > 0);
    int was_full = span->free_head == 0 && (uint32_t)(span->cut + 1) * bytes > ETX__SPAN;
    memcpy(block, &span->free_head, sizeof span->free_head);
    span->free_head = (uint32_t)((offset % ETX__SPAN) / 16) + 1;
    span->used--;
    pool->used_bytes -= bytes;
    uint32_t first = pool->partial[span->class];
    if (was_full) {
        list_push(pool, &pool->partial[span->class], at);
    }
    if (was_full && first != 0 && pool->spans[first - 1].used == 0) {
        list_remove(pool, &pool->partial[span->class], first - 1);
        run_return(pool, first - 1, 1);
    }
    if (span->used == 0 && pool->partial[span->class] != at + 1) {
        list_remove(pool, &pool->partial[span->class], at);
        run_return(pool, at, 1);
    }
}
