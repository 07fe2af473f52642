/* Timers: against a plain list of when each is due. */
#include "unit.h"

enum { TIMERS = 200 };

typedef struct fixture {
    world *w;
    etx__tx *tx;
    uint64_t due[TIMERS];
} fixture;

static uint64_t earliest(const fixture *f) {
    uint64_t due = UINT64_MAX;
    for (int i = 0; i < TIMERS; i++) {
        due = f->due[i] < due ? f->due[i] : due;
    }
    return due;
}

static void set(fixture *f, int i, uint64_t due) {
    etx__timer_set(f->w->core, &f->tx[i], due);
    f->due[i] = due;
    assert_int_equal(etx__timer_next(f->w->core), earliest(f));
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->tx = calloc(TIMERS, sizeof *f->tx);
    say(&f->w, "world transactions=200");
    for (int i = 0; i < TIMERS; i++) {
        f->tx[i].entry = (uint32_t)i;
        f->w->core->entry[i].tx = &f->tx[i];
        f->due[i] = UINT64_MAX;
    }
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    world_free(f->w);
    free(f->tx);
    free(f);
    return 0;
}

static void test_random(void **state) {
    fixture *f = *state;
    uint32_t seed = 3;
    for (int round = 0; round < 20000; round++) {
        seed = seed * 1664525u + 1013904223u;
        int i = (int)(seed >> 8) % TIMERS;
        uint64_t due = seed % 5 == 0 ? UINT64_MAX : (seed >> 12) % 1000;
        set(f, i, due);
    }
}

static void test_in_order(void **state) {
    fixture *f = *state;
    for (int i = 0; i < TIMERS; i++) {
        set(f, i, (uint64_t)((i * 37) % TIMERS));
    }
    for (uint64_t due = 0; due < TIMERS; due++) {
        assert_int_equal(etx__timer_next(f->w->core), due);
        set(f, (int)f->w->core->timer[0].entry, UINT64_MAX);
    }
    assert_int_equal(f->w->core->timer_count, 0);
    set(f, 0, UINT64_MAX); /* taking away what is not there */
}

/* The last takes the place of what is taken away. Where it is due before all that stands above that
 * place, it goes up. */
static void test_the_last_goes_up(void **state) {
    static const uint64_t due[] = {0, 100, 1, 200, 201, 101, 102, 103, 104, 10};
    static const uint64_t then[] = {0, 1, 10, 100, 102, 103, 104, 200, 201, UINT64_MAX};
    fixture *f = *state;
    for (int i = 0; i < 10; i++) {
        set(f, i, due[i]); /* each stays where it comes: fours of children */
    }
    set(f, 5, UINT64_MAX);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(etx__timer_next(f->w->core), then[i]);
        for (int j = 0; j < 10 && then[i] != UINT64_MAX; j++) {
            if (f->due[j] == then[i]) {
                set(f, j, UINT64_MAX);
                break;
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_last_goes_up, setup, teardown),
    };
    return cmocka_run_group_tests_name("core timers", tests, NULL, NULL);
}
