/* Functions of the command: the histogram of `bench`, times and numbers, suggestions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"

static double distance(double a, double b) {
    return a < b ? (b - a) / b : (a - b) / b;
}

static void test_histogram_is_one_per_cent_exact(void **state) {
    bench_histogram *h = calloc(1, sizeof *h);
    uint64_t ns;
    (void)state;
    assert_non_null(h);
    for (ns = 1; ns < UINT64_MAX / 3; ns = ns * 3 + 1) {
        etx__histogram_clear(h);
        etx__histogram_add(h, ns);
        assert_true(distance(etx__histogram_at(h, 0.5) * 1000, (double)ns) < 0.01);
    }
    etx__histogram_add(h, UINT64_MAX);
    etx__histogram_add(h, 0);
    assert_int_equal(etx__histogram_count(h), 3);
    free(h);
}

static void test_histogram_quantiles(void **state) {
    bench_histogram *h = calloc(1, sizeof *h);
    uint64_t i;
    (void)state;
    assert_non_null(h);
    assert_true(etx__histogram_at(h, 0.5) < 0);
    for (i = 1; i <= 100000; i++) {
        etx__histogram_add(h, i * 1000);
    }
    assert_true(distance(etx__histogram_at(h, 0.5), 50000) < 0.01);
    assert_true(distance(etx__histogram_at(h, 0.99), 99000) < 0.01);
    assert_true(distance(etx__histogram_at(h, 0.999), 99900) < 0.01);
    assert_true(distance(etx__histogram_at(h, 1), 100000) < 0.01);
    free(h);
}

static void test_times(void **state) {
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"10", 10000},  {"1.5s", 1500},  {"250ms", 250},    {"0", 0},
                {"5m", 300000}, {"2h", 7200000}, {"7d", 604800000}, {"0.5", 500}};
    static const char *const bad[] = {"",    "x",  "-1",   "+1",    " 1",
                                      "1 s", "1x", "0x10", "1e300", "inf"};
    uint64_t ms = 0;
    size_t i;
    (void)state;
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(etx__cli_time(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(etx__cli_time(bad[i], &ms), -1);
    }
}

static void test_numbers(void **state) {
    static const char *const bad[] = {"", "-1", "+1", " 1", "1x", "18446744073709551616", "1.5"};
    uint64_t number = 0;
    size_t i;
    (void)state;
    assert_int_equal(etx__cli_number("18446744073709551615", &number), 0);
    assert_true(number == UINT64_MAX);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(etx__cli_number(bad[i], &number), -1);
    }
}

static const char *name_at(const void *table, size_t place) {
    const char *const *names = table;
    return names[place];
}

static void test_suggestions(void **state) {
    static const char *const names[] = {"show", "verify", "backup", "repair", NULL};
    (void)state;
    assert_string_equal(etx__cli_nearest("shwo", name_at, names), "show");
    assert_string_equal(etx__cli_nearest("verfy", name_at, names), "verify");
    assert_string_equal(etx__cli_nearest("bakcup", name_at, names), "backup");
    assert_null(etx__cli_nearest("completely-else", name_at, names));
    assert_null(etx__cli_nearest("", name_at, names));
}

static void test_spans_and_urls(void **state) {
    char text[64];
    (void)state;
    etx__cli_span(850, text, sizeof text);
    assert_string_equal(text, "850ms");
    etx__cli_span(192000, text, sizeof text);
    assert_string_equal(text, "3m12s");
    etx__cli_moment(1700000000123, text, sizeof text);
    assert_string_equal(text, "2023-11-14T22:13:20.123Z");
    assert_int_equal(etx__cli_file_dir("file:/a/b?partitions=2", text, sizeof text), 0);
    assert_string_equal(text, "/a/b");
    assert_int_equal(etx__cli_file_dir("memory:", text, sizeof text), -1);
    assert_int_equal(etx__cli_file_dir("file:", text, sizeof text), -1);
}

static void test_urls_as_they_are_shown(void **state) {
    static const struct {
        const char *url, *shown;
    } rows[] = {
        {"/var/lib/log", "/var/lib/log"},
        {"file:/a:b@c?segment=1M", "file:/a:b@c?segment=1M"},
        {"postgresql://u:pw@h:5432/d?schema=s", "postgresql://u@h:5432/d?schema=s"},
        {"postgresql://u@h/d", "postgresql://u@h/d"},
        {"postgresql://h/d?options=a:b@c", "postgresql://h/d?options=a:b@c"},
        {"redis://:pw@h/0?prefix=p", "redis://@h/0?prefix=p"},
        {"mariadb://u:a@b@h/d", "mariadb://u@h/d"},
        {"mariadb://u:a/b@h/d?prefix=p", "mariadb://u@h/d?prefix=p"},
        {"mariadb://u@h/d?password=x&prefix=p", "mariadb://u@h/d?prefix=p"},
        {"postgresql://h/d?schema=s&sslpassword=x", "postgresql://h/d?schema=s"},
        {"etcd://h/p?password_file=/f&tls=on", "etcd://h/p?password_file=/f&tls=on"},
        {"etcd://h/p?", "etcd://h/p?"},
    };
    char text[64];
    size_t i;
    (void)state;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        etx__cli_show_url(rows[i].url, text, sizeof text);
        assert_string_equal(text, rows[i].shown);
    }
    etx__cli_show_url("redis://u:pw@host/0?prefix=one", text, 22);
    assert_string_equal(text, "redis://u@host/0?p...");
}

/* What is printed of these bytes; of 0 `max` a name. */
static void expect_shown(const char *bytes, size_t len, size_t max, const char *shown) {
    char *text = NULL;
    size_t text_len = 0;
    FILE *to = open_memstream(&text, &text_len);
    assert_non_null(to);
    if (max > 0) {
        etx__cli_bytes(to, (etx_bytes){bytes, len}, max);
    } else {
        etx__cli_name(to, (etx_bytes){bytes, len});
    }
    fclose(to);
    assert_string_equal(text, shown);
    free(text);
}

#define SHOWN(bytes, shown) expect_shown(bytes, sizeof(bytes) - 1, 100, shown)

/* As it is where it is a printable character: what would move the cursor, or is none, is told. */
static void test_bytes(void **state) {
    (void)state;
    SHOWN(
        "\xc3\xbc"
        "ber \xe2\x82\xac \xf0\x9f\x98\x80",
        "\xc3\xbc"
        "ber \xe2\x82\xac \xf0\x9f\x98\x80");
    SHOWN("a\\b\n\x7f\x1b", "a\\x5cb\\x0a\\x7f\\x1b");
    SHOWN("\xc2\x9b\xc2\xa0", "\\xc2\\x9b\xc2\xa0");                     /* C1 and what follows */
    SHOWN("\xe2\x80\xa8\xe2\x80\xae", "\\xe2\\x80\\xa8\\xe2\\x80\\xae"); /* a line, a direction */
    SHOWN("\xe2\x81\xa6\xd8\x9c", "\\xe2\\x81\\xa6\\xd8\\x9c");
    SHOWN("\xc0\xaf\xe0\x80\xaf", "\\xc0\\xaf\\xe0\\x80\\xaf"); /* longer than need be */
    SHOWN("\xed\xa0\x80\xf4\x90\x80\x80", "\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80");
    SHOWN("\xc3", "\\xc3");
    SHOWN(
        "\xc3"
        "a\xff",
        "\\xc3"
        "a\\xff");
    expect_shown("ab\xc3\xbc", 4, 3, "ab... (4 bytes)"); /* not half of one */
    expect_shown("ab\xc3\xbc", 4, 4, "ab\xc3\xbc");
    expect_shown("shop\\1\x1b", 7, 0, "shop\\1\\x1b");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram_is_one_per_cent_exact),
        cmocka_unit_test(test_histogram_quantiles),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_spans_and_urls),
        cmocka_unit_test(test_urls_as_they_are_shown),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
