/* What a durable write costs, as `etx bench` tells it: it is measured twice, and the faster one
 * counts. Linked with --wrap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"

/* What is measured next: its median, in microseconds; 0: nothing can be measured. */
static double next_us;

int __wrap_etx_log_file_sync_cost(const char *dir,
                                  uint32_t milliseconds,
                                  etx_sync_cost *ret_cost,
                                  char *message,
                                  size_t message_size);
int __wrap_etx_log_file_sync_cost(const char *dir,
                                  uint32_t milliseconds,
                                  etx_sync_cost *ret_cost,
                                  char *message,
                                  size_t message_size) {
    assert_string_equal(dir, "beside the log");
    assert_true(milliseconds > 0);
    snprintf(message, message_size, "%s", next_us > 0 ? "" : "no space");
    if (next_us == 0) {
        return ETX_EFULL;
    }
    ret_cost->p50_us = next_us;
    ret_cost->p99_us = 3 * next_us;
    ret_cost->per_s = 1e6 / next_us;
    return 0;
}

static void expect(double before_us, double after_us, double counts_us) {
    static bench_run run = {.sync_url = "beside the log"};
    bench_results results = {.sync_p50_us = -1, .sync_p99_us = -1, .sync_per_s = -1};
    next_us = before_us;
    etx__bench_sync_cost(&run, &results);
    next_us = after_us;
    etx__bench_sync_cost(&run, &results);
    assert_true(results.sync_p50_us == counts_us);
    assert_true(results.sync_p99_us == (counts_us > 0 ? 3 * counts_us : -1));
    assert_true(results.sync_per_s == (counts_us > 0 ? 1e6 / counts_us : -1));
}

static void test_the_faster_counts(void **state) {
    (void)state;
    expect(100, 250, 100); /* the machine became busy */
    expect(250, 100, 100);
    expect(100, 0, 100);
    expect(0, 100, 100);
    expect(0, 0, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_faster_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
