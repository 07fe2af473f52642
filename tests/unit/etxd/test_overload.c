/* When a server refuses what is new, by how long its loop lets others wait. The loop is played. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "../../../etxd/etxd.h"

enum { MOST_MS = 5, MANY = 1000, FEW = 100 };

static struct { uint64_t now_ms, turns, waited_us; } played;

uint64_t net_loop_now_ms(const net_loop *loop) {
    (void)loop;
    return played.now_ms;
}

uint64_t net_loop_turns(const net_loop *loop) {
    (void)loop;
    return played.turns;
}

uint64_t net_loop_waited_us(const net_loop *loop) {
    (void)loop;
    return played.waited_us;
}

typedef struct rig {
    etxd server;
    etxd_exchange x;
} rig;

static int set_up(void **state) {
    rig *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return -1;
    }
    self->x.server = &self->server;
    self->server.config.overload = MOST_MS;
    self->server.pressure.limit = UINT32_MAX;
    played.now_ms = 1000;
    *state = self;
    return 0;
}

static int tear_down(void **state) {
    free(*state);
    return 0;
}

/* One more turn of the loop, in which so many are open: is a new one refused? */
static int turn(rig *self, uint64_t waited_ms, uint32_t open) {
    played.turns++;
    played.now_ms++;
    played.waited_us = waited_ms * 1000;
    atomic_store(&self->server.counts.waiting, open);
    self->x.problem = (etxd_problem){.code = ETXD_NO_PROBLEM};
    if (etxd_overload_guard(&self->x) == 0) {
        assert_int_equal(self->x.problem.code, ETXD_NO_PROBLEM);
        return 0;
    }
    assert_int_equal(self->x.problem.code, ETXD_BUSY_PROBLEM);
    return 1;
}

static void overload(rig *self) {
    for (int i = 0; i < 10; i++) {
        (void)turn(self, 2 * MOST_MS, MANY);
    }
    assert_int_equal(turn(self, 2 * MOST_MS, MANY), 1);
}

static void test_one_late_turn_says_little(void **state) {
    for (int i = 0; i < 20; i++) {
        assert_int_equal(turn(*state, 1000, MANY), 0);
        assert_int_equal(turn(*state, MOST_MS, MANY), 0);
    }
}

static void test_several_in_a_row_refuse(void **state) {
    int refused = 0;
    for (int i = 0; i < 10; i++) {
        refused += turn(*state, MOST_MS + 1, MANY);
    }
    assert_true(refused >= 5 && refused < 10);
}

/* Requests of one turn are one sign of an overload, not many. */
static void test_a_turn_counts_once(void **state) {
    for (int i = 0; i < 50; i++) {
        played.turns--;
        assert_int_equal(turn(*state, 2 * MOST_MS, MANY), 0);
    }
}

static void test_few_are_never_refused(void **state) {
    for (int i = 0; i < 50; i++) {
        assert_int_equal(turn(*state, 1000, FEW), 0);
    }
}

static void test_it_can_be_turned_off(void **state) {
    rig *self = *state;
    self->server.config.overload = 0;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(turn(self, 1000, MANY), 0);
    }
}

/* For a while after it no more are taken than were done in time; then all is forgotten. */
static void test_a_limit_for_a_while(void **state) {
    rig *self = *state;
    overload(self);
    assert_int_equal(turn(self, 0, MANY), 1);
    assert_int_equal(turn(self, 0, MANY / 5), 0);
    played.now_ms += 2000;
    assert_int_equal(turn(self, 0, MANY), 0);
    assert_int_equal(turn(self, 0, 100 * MANY), 0);
}

/* From then on one late turn refuses. */
static void test_it_comes_back_at_once(void **state) {
    rig *self = *state;
    overload(self);
    assert_int_equal(turn(self, 0, MANY / 5), 0);
    assert_int_equal(turn(self, 2 * MOST_MS, MANY / 5), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_late_turn_says_little, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_in_a_row_refuse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_turn_counts_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_few_are_never_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_can_be_turned_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_limit_for_a_while, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_comes_back_at_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
