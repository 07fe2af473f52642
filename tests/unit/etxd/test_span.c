/* Where values stand in JSON text, byte for byte. */
#include "../../../etxd/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- JSON */

static etxd_span span(const char *text) {
    return (etxd_span){text, strlen(text)};
}

static void member_is(const char *object, const char *name, const char *want) {
    etxd_span value = {NULL, 0};
    int rc = etxd_span_member(span(object), name, &value);
    if (want == NULL) {
        assert_int_equal(rc, -1);
        return;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(value.len, strlen(want));
    assert_memory_equal(value.bytes, want, value.len);
}

static void test_span_member(void **state) {
    (void)state;
    member_is("{}", "a", NULL);
    member_is("{\"a\":1}", "a", "1");
    member_is(" { \"b\" : [ {\"a\":2} , \"a\" ] , \"a\" : { } } ", "a", "{ }");
    member_is("{\"x\":\"\\\"a\\\":5\",\"a\":-1.50e3}", "a", "-1.50e3");
    member_is("{\"\\u0061\":1}", "a", NULL);
    member_is("{\"x\":{\"a\":1}}", "a", NULL);
    member_is("{\"a\":\"}\\\\\"}", "a", "\"}\\\\\"");
    member_is("{\"a\":null\n,\"b\":true}", "b", "true");
    member_is("{\"a\":[[],[[\"]\"]]],\"b\":{}}", "b", "{}");
    /* not sound: nothing is found, nothing is read beyond the end */
    member_is("{", "a", NULL);
    member_is("{\"a", "a", NULL);
    member_is("{\"a\"", "a", NULL);
    member_is("{\"a\":", "a", NULL);
    member_is("{\"a\\", "a", NULL);
}

static void test_large_numbers(void **state) {
    static const char *const texts[][2] = {
        {"{\"a\":18446744073709551615}", "{\"a\":-1                  }"},
        {"[1e400,-1E-999 ,1.5e3]", "[-1   ,-1      ,-1   ]"},
        {"[999999999999999999,1e9,-0.25]", "[999999999999999999,1e9,-0.25]"},
        {"{\"18446744073709551615\":\"1e400\\\"1e400\"}",
         "{\"18446744073709551615\":\"1e400\\\"1e400\"}"},
        {"12345678901234567890", "-1                  "},
        {"12345678901234567890.", "-1                  ."}, /* which is none */
        {"-12345678901234567.5e", "-1                  e"},
        {"1e40", "1e40"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s", texts[i][0]);
        etxd_json_without_large(text, strlen(text));
        assert_string_equal(text, texts[i][1]);
    }
}

static void test_span_next(void **state) {
    static const char text[] =
        " [1 , {\"a\":[2]},{\"b\":{\"a\":9},\"a\" : \"}]\" , \"c\":[{}]} ,{ } ,\",]\" "
        ",[\"a\"],{\"a\":3}] ";
    static const char *const want[] = {NULL, "[2]", "\"}]\"", NULL, NULL, NULL, "3"};
    etxd_span array, value;
    size_t at = 0;
    size_t i;
    (void)state;
    for (i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(etxd_span_next(span(text), &at, "a", &value), 1);
        assert_int_equal(value.bytes != NULL, want[i] != NULL);
        assert_int_equal(value.len, want[i] != NULL ? strlen(want[i]) : 0);
        assert_memory_equal(value.bytes, want[i], value.len);
    }
    assert_int_equal(etxd_span_next(span(text), &at, "a", &value), 0);
    at = 0;
    assert_int_equal(etxd_span_next(span("[ ]"), &at, "a", &value), 0);
    /* an array in an object ends by itself, whatever comes behind it */
    assert_int_equal(
        etxd_span_array(span("{\"a\":{\"b\":[3]}, \"b\" : [{\"c\":1}] ,\"c\":[2]}"), "b", &array),
        0);
    at = 0;
    assert_int_equal(etxd_span_next(array, &at, "c", &value), 1);
    assert_int_equal(value.len, 1);
    assert_memory_equal(value.bytes, "1", value.len);
    assert_int_equal(etxd_span_next(array, &at, "c", &value), 0);
    assert_int_equal(etxd_span_array(span("{\"a\":[]}"), "b", &array), -1);
    /* nothing is read beyond a text that is cut off */
    for (i = 1; i < sizeof text; i++) {
        char *cut = malloc(i);
        assert_non_null(cut);
        memcpy(cut, text, i);
        at = 0;
        while (at < i && etxd_span_next((etxd_span){cut, i}, &at, "a", &value)) {
            assert_true(at <= i);
        }
        free(cut);
    }
}

static void test_depth(void **state) {
    (void)state;
    assert_int_equal(etxd_json_depth("1", 1), 0);
    assert_int_equal(etxd_json_depth("[{\"a\":\"[[[\\\"[[\"}]", 17), 2);
    assert_int_equal(etxd_json_depth("]]]]", 4), 0);
    assert_int_equal(etxd_json_depth("\"\\", 2), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_span_member),
        cmocka_unit_test(test_large_numbers),
        cmocka_unit_test(test_span_next),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
