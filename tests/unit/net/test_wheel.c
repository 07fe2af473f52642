/* The timer wheel against a list that is searched: both must agree on every call. */
#include "../../../net/wheel.h"
#include "cmocka_net.h"

#include <stdlib.h>
#include <string.h>

enum { TIMERS = 300 };

typedef struct rig {
    net__wheel wheel;
    net_timer timer[TIMERS];
    uint64_t due[TIMERS]; /* 0: not running */
    int fired;
    uint64_t last;
    uint64_t seed;
} rig;

typedef struct probe {
    net_timer timer;
    rig *rig;
    int index;
} probe;

static uint64_t next_number(uint64_t *seed) {
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return *seed >> 33;
}

static uint64_t some_delay(uint64_t *seed) {
    return next_number(seed) % (UINT64_C(1) << (1 + next_number(seed) % 30));
}

static void on_fire(net_timer *timer) {
    probe *one = (probe *)timer;
    rig *all = one->rig;
    assert_false(net_timer_runs(timer));
    assert_int_equal(all->due[one->index], all->wheel.now_ms);
    all->due[one->index] = 0;
    all->fired++;
    if (next_number(&all->seed) % 4 == 0) {
        uint64_t at = all->wheel.now_ms + 1 + some_delay(&all->seed);
        net__wheel_add(&all->wheel, timer, at);
        all->due[one->index] = at;
    }
}

static uint64_t earliest(const rig *all) {
    uint64_t first = UINT64_MAX;
    for (int i = 0; i < TIMERS; i++) {
        if (all->due[i] != 0 && all->due[i] < first) {
            first = all->due[i];
        }
    }
    return first;
}

static void test_against_a_list(void **state) {
    rig *all = calloc(1, sizeof *all);
    probe *probes = calloc(TIMERS, sizeof *probes);
    (void)state;
    all->seed = 7;
    for (int i = 0; i < TIMERS; i++) {
        probes[i] = (probe){.timer.fire = on_fire, .rig = all, .index = i};
    }
    for (int step = 0; step < 60000; step++) {
        int i = (int)(next_number(&all->seed) % TIMERS);
        switch (next_number(&all->seed) % 3) {
            case 0:
                net__wheel_remove(&all->wheel, &probes[i].timer);
                all->due[i] = all->wheel.now_ms + 1 + some_delay(&all->seed);
                net__wheel_add(&all->wheel, &probes[i].timer, all->due[i]);
                break;
            case 1:
                net__wheel_remove(&all->wheel, &probes[i].timer);
                all->due[i] = 0;
                break;
            default:
                net__wheel_advance(&all->wheel, all->wheel.now_ms + some_delay(&all->seed) % 50000);
                assert_true(earliest(all) > all->wheel.now_ms);
        }
        uint64_t next = net__wheel_next(&all->wheel);
        assert_true(next > all->wheel.now_ms && next <= earliest(all));
    }
    assert_true(all->fired > 1000);
    free(probes);
    free(all);
}

static void stop_other(net_timer *timer) {
    probe *one = (probe *)timer;
    one->rig->fired++;
    net__wheel_remove(&one->rig->wheel, &one[one->index].timer);
}

/* A timer that is due in the same millisecond can be stopped by another. */
static void test_stopped_while_due(void **state) {
    rig *all = calloc(1, sizeof *all);
    probe two[2] = {{.timer.fire = stop_other, .rig = all, .index = 1},
                    {.timer.fire = stop_other, .rig = all, .index = -1}};
    (void)state;
    net__wheel_add(&all->wheel, &two[0].timer, 70);
    net__wheel_add(&all->wheel, &two[1].timer, 70);
    net__wheel_advance(&all->wheel, 1000);
    assert_int_equal(all->fired, 1);
    assert_int_equal(net__wheel_next(&all->wheel), UINT64_MAX);
    free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_list),
        cmocka_unit_test(test_stopped_while_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
