/* The pool: against a model of what is taken; nothing overlaps, all memory comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../src/core/pool.h"

enum { SPANS = 24, REGION = SPANS * ETX__SPAN, BLOCKS = 4096 };

typedef struct block {
    uint8_t *at;
    size_t size;
    uint8_t fill;
} block;

typedef struct fixture {
    etx__pool pool;
    void *region, *table;
    block block[BLOCKS];
    int blocks;
    uint32_t seed;
} fixture;

static uint32_t next_random(fixture *f) {
    f->seed = f->seed * 1664525u + 1013904223u;
    return f->seed >> 8;
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->region = aligned_alloc(16, REGION);
    f->table = calloc(1, etx__pool_table_size(REGION));
    f->seed = 7;
    etx__pool_init(&f->pool, f->region, REGION, f->table);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    free(f->region);
    free(f->table);
    free(f);
    return 0;
}

static int take(fixture *f, size_t size) {
    uint8_t *at = etx__pool_alloc(&f->pool, size);
    if (at == NULL) {
        return 0;
    }
    assert_int_equal((uintptr_t)at % 16, 0);
    assert_true(at >= (uint8_t *)f->region && at + size <= (uint8_t *)f->region + REGION);
    block *made = &f->block[f->blocks++];
    *made = (block){at, size, (uint8_t)next_random(f)};
    memset(at, made->fill, size);
    return 1;
}

/* Whoever else wrote into it would have changed the fill. */
static void give(fixture *f, int which) {
    block *gone = &f->block[which];
    for (size_t i = 0; i < gone->size; i++) {
        assert_int_equal(gone->at[i], gone->fill);
    }
    etx__pool_free(&f->pool, gone->at, gone->size);
    *gone = f->block[--f->blocks];
}

static size_t some_size(fixture *f) {
    uint32_t chance = next_random(f) % 100;
    if (chance < 80) {
        return next_random(f) % 2048;
    }
    return chance < 95 ? next_random(f) % (ETX__SPAN / 2 + 64) : next_random(f) % (3 * ETX__SPAN);
}

static void test_random(void **state) {
    fixture *f = *state;
    int refused = 0;
    for (int round = 0; round < 20000; round++) {
        int more = round % 2000 < 1200;
        if (f->blocks == 0 || (f->blocks < BLOCKS && next_random(f) % 100 < (more ? 60u : 40u))) {
            refused += !take(f, some_size(f));
        } else {
            give(f, (int)(next_random(f) % (uint32_t)f->blocks));
        }
        assert_true(f->pool.used_bytes <= f->pool.capacity_bytes);
    }
    assert_true(refused > 0); /* it was full, at times */
    while (f->blocks > 0) {
        give(f, 0);
    }
    assert_int_equal(f->pool.used_bytes, 0);
}

/* Every class has held a block, and then all of the region is wanted at once. */
static void test_memory_comes_back(void **state) {
    fixture *f = *state;
    for (size_t size = 0; size < ETX__SPAN / 2; size += 16) {
        assert_true(take(f, size));
        give(f, 0);
    }
    assert_int_equal(f->pool.used_bytes, 0);
    assert_true(take(f, REGION));
    assert_false(take(f, 1));
    give(f, 0);
    for (int i = 0; i < SPANS; i++) {
        assert_true(take(f, ETX__SPAN));
    }
    assert_false(take(f, 16));
    while (f->blocks > 0) {
        give(f, f->blocks / 2 < f->blocks ? f->blocks / 2 : 0);
    }
    assert_true(take(f, REGION));
}

static void test_each_size_has_its_room(void **state) {
    fixture *f = *state;
    for (size_t size = 1; size <= ETX__SPAN; size++) {
        assert_true(take(f, size));
        give(f, 0);
    }
    etx__pool_free(&f->pool, NULL, 0);
    assert_null(etx__pool_alloc(&f->pool, (size_t)REGION + 1));
    assert_null(etx__pool_alloc(&f->pool, SIZE_MAX / 2));
}

/* What may be refused leaves whole spans to what may not. */
static void test_spans_are_kept(void **state) {
    fixture *f = *state;
    f->pool.spans_kept = 2;
    while (take(f, ETX__SPAN / 2)) {
    }
    assert_int_equal(f->blocks, (SPANS - 2) * 2);
    f->pool.spans_kept = 0;
    assert_true(take(f, ETX__SPAN));
    assert_true(take(f, 100));
    f->pool.spans_kept = 2;
    assert_true(take(f, 100)); /* there is room in a span that is cut already */
    assert_false(take(f, 1000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_size_has_its_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spans_are_kept, setup, teardown),
    };
    return cmocka_run_group_tests_name("core pool", tests, NULL, NULL);
}
