/* The pauses between two attempts at a log that does not answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../src/runtime/partition.h"

/* A home that is away for a night is used again within seconds of its return. */
static void test_pauses_grow_to_five_seconds(void **state) {
    (void)state;
    uint64_t before = etx__partition_pause_ms(0);
    assert_int_equal(before, 20);
    for (uint32_t retries = 1; retries < 100; retries++) {
        uint64_t pause = etx__partition_pause_ms(retries);
        assert_true(pause >= before && pause <= 2 * before);
        before = pause;
    }
    assert_int_equal(before, 5000);
    assert_int_equal(etx__partition_pause_ms(UINT32_MAX), 5000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pauses_grow_to_five_seconds),
    };
    return cmocka_run_group_tests_name("runtime pause", tests, NULL, NULL);
}
