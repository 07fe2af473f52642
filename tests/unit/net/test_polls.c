/* How long a loop polls busily, by a clock and a scheduler of the test's. */
#include "../../../net/loop.h"
#include "cmocka_net.h"

#include <sched.h>
#include <time.h>

/* Whoever lets others go first waits for so long. */
static uint64_t now_us = 1000000;
static uint64_t others_us;
static unsigned yields;

int sched_yield(void) {
    now_us += others_us;
    yields++;
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *ret_now) {
    (void)clock;
    *ret_now = (struct timespec){(time_t)(now_us / 1000000), (long)(now_us % 1000000) * 1000};
    return 0;
}

/* How often a turn in which nothing is ready lets others go first. */
static unsigned yields_of(net_loop *loop, uint64_t each_us, int timeout_ms) {
    yields = 0;
    others_us = each_us;
    assert_int_equal(net_loop_turn(loop, timeout_ms), 0);
    return yields;
}

static net_loop *polling(uint32_t us) {
    net_loop *loop;
    assert_int_equal(net_loop_create(&loop), 0);
    net_loop_busy_poll(loop, us);
    return loop;
}

static void test_so_long(void **state) {
    (void)state;
    net_loop *loop = polling(250);
    assert_int_equal(yields_of(loop, 10, 1), 25);
    assert_int_equal(yields_of(loop, 50, 1), 5);
    assert_int_equal(yields_of(loop, 10, 0), 0);
    net_loop_busy_poll(loop, 0);
    assert_int_equal(yields_of(loop, 10, 1), 0);
    net_loop_free(loop);
}

static void on_timer(net_timer *timer) {
    (void)timer;
}

static void test_no_longer_than_it_would_sleep(void **state) {
    (void)state;
    net_loop *loop = polling(9000);
    net_timer timer = {.fire = on_timer};
    assert_int_equal(yields_of(loop, 10, 1), 100);
    net_timer_start(loop, &timer, 2);
    assert_in_range(yields_of(loop, 10, 1000), 100, 300);
    net_timer_stop(loop, &timer);
    net_loop_free(loop);
}

/* Who goes first keeps the processor: then nobody polls for 10 ms, for 20 if it is so again within
 * that time after it and 100 ms, and so on up to a second; for 10 if it was later. */
static void test_beside_others(void **state) {
    static const unsigned pauses_ms[] = {10, 20, 40, 80, 160, 320, 640, 1000, 1000};
    (void)state;
    net_loop *loop = polling(9000);
    assert_int_equal(yields_of(loop, 500, 5), 10);
    for (size_t i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++) {
        assert_int_equal(yields_of(loop, 501, 5), 1);
        now_us += pauses_ms[i] * 1000 - 1;
        assert_int_equal(yields_of(loop, 10, 1), 0);
        now_us += 1;
        assert_int_equal(yields_of(loop, 10, 1), 100);
    }
    now_us += 1100000;
    assert_int_equal(yields_of(loop, 501, 5), 1);
    now_us += 10000;
    assert_int_equal(yields_of(loop, 10, 1), 100);
    net_loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_so_long),
        cmocka_unit_test(test_no_longer_than_it_would_sleep),
        cmocka_unit_test(test_beside_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
