/* What is made of a server's metrics: rows, sums, growth, quantiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "metrics.h"

static metrics parse(const char *text) {
    metrics self;
    assert_int_equal(etx__metrics_read(text, &self), 0);
    return self;
}

static void assert_near(double is, double wanted) {
    assert_true(is > wanted - 1e-9 && is < wanted + 1e-9);
}

static void test_rows(void **state) {
    metrics self = parse(
        "# TYPE a counter\na_total 3\nb{x=\"1\",y=\"two } {\"} 4.5\n"
        "broken\n{} 1\nc{ 2\nd nan\ne \n\nf 1e3");
    char value[8];
    (void)state;
    assert_int_equal(self.count, 3);
    assert_near(etx__metrics_sum(&self, "a_total", NULL), 3);
    assert_near(etx__metrics_sum(&self, "f", NULL), 1000);
    assert_near(etx__metrics_sum(&self, "nothing", NULL), 0);
    etx__metrics_label(&self.rows[1], "y", value, sizeof value);
    assert_string_equal(value, "two } {");
    etx__metrics_label(&self.rows[1], "x", value, sizeof value);
    assert_string_equal(value, "1");
    etx__metrics_label(&self.rows[1], "z", value, sizeof value);
    assert_string_equal(value, "");
    etx__metrics_label(&self.rows[1], "y", value, 4);
    assert_string_equal(value, "two");
    etx__metrics_free(&self);
    self = parse("");
    assert_int_equal(self.count, 0);
    etx__metrics_free(&self);
}

static void test_growth(void **state) {
    metrics before = parse("calls_total{result=\"done\"} 5\ncalls_total{result=\"unknown\"} 2\n");
    metrics now = parse("calls_total{result=\"done\"} 9\ncalls_total{result=\"unknown\"} 1\n");
    (void)state;
    assert_near(etx__metrics_grown(&now, &before, "calls_total", NULL), 3);
    assert_near(etx__metrics_grown(&now, &before, "calls_total", "result=\"done\""), 4);
    /* it began anew */
    assert_near(etx__metrics_grown(&now, &before, "calls_total", "result=\"unknown\""), 1);
    etx__metrics_free(&before);
    etx__metrics_free(&now);
}

static void test_quantiles(void **state) {
    metrics before = parse(
        "t_bucket{le=\"0.1\"} 100\nt_bucket{le=\"1.0\"} 100\n"
        "t_bucket{le=\"+Inf\"} 100\nt_count 100\n");
    metrics now = parse(
        "t_bucket{le=\"0.1\"} 104\nt_bucket{le=\"1.0\"} 108\n"
        "t_bucket{le=\"+Inf\"} 110\nt_count 110\n");
    metrics gauge = parse("t{quantile=\"0.5\"} 0.25\nt{quantile=\"0.99\"} 0.5\n");
    (void)state;
    assert_near(etx__metrics_quantile(&now, &before, "t", 0.2), 0.05);
    assert_near(etx__metrics_quantile(&now, &before, "t", 0.4), 0.1);
    assert_near(etx__metrics_quantile(&now, &before, "t", 0.6), 0.55);
    assert_near(etx__metrics_quantile(&now, &before, "t", 0.99), 1);
    assert_true(etx__metrics_quantile(&now, &now, "t", 0.5) < 0);
    assert_true(etx__metrics_quantile(&now, &before, "u", 0.5) < 0);
    assert_near(etx__metrics_quantile(&gauge, &gauge, "t", 0.5), 0.25);
    assert_near(etx__metrics_quantile(&gauge, &gauge, "t", 0.99), 0.5);
    etx__metrics_free(&before);
    etx__metrics_free(&now);
    etx__metrics_free(&gauge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
