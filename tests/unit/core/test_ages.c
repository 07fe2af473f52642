/* Ages: against a model that keeps every begin; the oldest is exact while few spans are needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../src/core/ages.h"

enum { MANY = 4000 };

typedef struct fixture {
    etx__ages ages;
    uint64_t begin[MANY];
    uint32_t count, seed;
} fixture;

static uint32_t next_random(fixture *f) {
    f->seed = f->seed * 1664525u + 1013904223u;
    return f->seed >> 8;
}

static void add(fixture *f, uint64_t begin_ms) {
    assert_true(f->count < MANY);
    f->begin[f->count++] = begin_ms;
    etx__ages_add(&f->ages, begin_ms);
}

static void drop(fixture *f, uint32_t which) {
    etx__ages_remove(&f->ages, f->begin[which]);
    f->begin[which] = f->begin[--f->count];
}

static uint64_t oldest(const fixture *f) {
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < f->count; i++) {
        least = f->begin[i] < least ? f->begin[i] : least;
    }
    return f->count > 0 ? least : 0;
}

/* Spans rise, none is empty, and they count all that is there. */
static void check(const fixture *f) {
    uint64_t all = 0;
    for (uint32_t i = 0; i < f->ages.used; i++) {
        const struct etx__age *age = &f->ages.age[i];
        assert_true(age->count > 0 && age->from_ms <= age->to_ms);
        assert_true(i == 0 || f->ages.age[i - 1].to_ms < age->from_ms);
        all += age->count;
    }
    assert_int_equal(all, f->count);
    assert_true(etx__ages_oldest(&f->ages) <= oldest(f));
    assert_int_equal(etx__ages_oldest(&f->ages) == 0, f->count == 0);
}

static void test_one_span_each(void **state) {
    fixture f = {.seed = 1};
    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        add(&f, 1000 + i * ETX__AGE_MS);
        check(&f);
    }
    assert_int_equal(f.ages.used, 100);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(etx__ages_oldest(&f.ages), oldest(&f));
        uint32_t least = 0;
        for (uint32_t k = 1; k < f.count; k++) {
            least = f.begin[k] < f.begin[least] ? k : least;
        }
        drop(&f, least);
        check(&f);
    }
    assert_int_equal(f.ages.used, 0);
}

static void test_out_of_order(void **state) {
    fixture f = {.seed = 1};
    (void)state;
    static const uint64_t begins[] = {50000, 10000, 30000, 30500, 29000, 50999, 51000, 10000};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        add(&f, begins[i]);
        check(&f);
        assert_int_equal(etx__ages_oldest(&f.ages), oldest(&f));
    }
    drop(&f, 1);
    assert_int_equal(etx__ages_oldest(&f.ages), 10000); /* the other one */
    drop(&f, f.count - 1);
    check(&f);
}

/* More spans than there is room for: neighbours become one, and nothing is lost. */
static void test_any_order(void **state) {
    fixture *f = calloc(1, sizeof *f);
    (void)state;
    f->seed = 7;
    for (int i = 0; i < 40000; i++) {
        uint64_t now = 1000000 + (uint64_t)i * 700;
        if (f->count > 0 && (f->count == MANY || next_random(f) % 100 < 48)) {
            drop(f, next_random(f) % f->count);
        } else {
            add(f, now - next_random(f) % (next_random(f) % 4 == 0 ? 900000 : 3));
        }
        check(f);
    }
    assert_true(f->count > ETX__AGES);
    while (f->count > 0) {
        drop(f, next_random(f) % f->count);
    }
    check(f);
    free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_span_each),
        cmocka_unit_test(test_out_of_order),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
