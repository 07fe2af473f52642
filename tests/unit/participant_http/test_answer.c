/* Answers: when to ask again, text of strangers, bodies with results, and reasons of errors. */
#include "cmocka_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t after(const char *text) {
    return etx__http_retry_after(text, strlen(text), 784111777); /* 06 Nov 1994 08:49:37 */
}

static void test_retry_after(void **state) {
    (void)state;
    assert_int_equal(after("0"), 0);
    assert_int_equal(after("3"), 3000);
    assert_int_equal(after("3600"), 3600000);
    assert_int_equal(after("3601"), 3600000);
    assert_int_equal(after("99999999999999999999999999"), 3600000);
    assert_int_equal(after("Sun, 06 Nov 1994 08:49:40 GMT"), 3000);
    assert_int_equal(after("Sun, 06 Nov 1994 08:49:37 GMT"), 0);
    assert_int_equal(after("Sun, 06 Nov 1994 08:49:30 GMT"), 0);
    assert_int_equal(after("Fri, 31 Dec 9999 23:59:59 GMT"), 3600000);
    assert_int_equal(after("Sunday, 06-Nov-94 08:49:40 GMT"), 3000);
    assert_int_equal(after("Sunday, 06-Nov-94 08:49:30 GMT"), 0);
    assert_int_equal(after("Friday, 01-Jan-44 00:00:00 GMT"), 3600000);
    assert_int_equal(after("Friday, 01-Jan-45 00:00:00 GMT"), 0); /* 1945: not 2045 */
    assert_int_equal(after("Sunday, 06-Nov-9x 08:49:40 GMT"), 0);
    assert_int_equal(after("Sunday, 06-Nov-94 08:49:40 CET"), 0);
    assert_int_equal(after("Sun Nov  6 08:49:40 1994"), 3000);
    assert_int_equal(after("Wed Nov 16 08:49:40 1994"), 3600000);
    assert_int_equal(after("Sun Nov  6 08:49:40 199x"), 0);
    assert_int_equal(after("Sun Nov  6 08:49:40 94"), 0);
    assert_int_equal(after(""), 0);
    assert_int_equal(after("-1"), 0);
    assert_int_equal(after("+1"), 0);
    assert_int_equal(after("1.5"), 0);
    assert_int_equal(after("1 "), 0);
    assert_int_equal(after("0x10"), 0);
    assert_int_equal(after("Sun, 06 Nox 1994 08:49:40 GMT"), 0);
    assert_int_equal(after("Sun, 00 Nov 1994 08:49:40 GMT"), 0);
    assert_int_equal(after("Sun, 06 Nov 1994 24:49:40 GMT"), 0);
    assert_int_equal(after("Sun, 06 Nov 1994 08:49:40 CET"), 0);
    assert_int_equal(after("Sun, 6 Nov 1994 08:49:40 GMT "), 0);
}

static void tidied(const char *from, size_t len, size_t size, const char *wanted) {
    char *to = malloc(size);
    etx__http_tidy(to, size, from, len);
    assert_string_equal(to, wanted);
    free(to);
}

static void test_tidy(void **state) {
    (void)state;
    tidied("no stock", 8, 64, "no stock");
    tidied("a\nb\tc\x1b[1m\0d", 11, 64, "a b c [1m d");
    tidied("a\xff\xc0\x80z", 5, 64, "a???z");
    tidied("\xc3\xa9t\xc3\xa9", 5, 64, "\xc3\xa9t\xc3\xa9");
    tidied("\xc3\xa9t\xc3\xa9", 5, 5, "\xc3\xa9t"); /* cut between characters */
    tidied("\xc3\xa9t\xc3\xa9", 4, 64, "\xc3\xa9t?");
    tidied("\xed\xa0\x80", 3, 64, "???");      /* half a surrogate */
    tidied("\xf4\x90\x80\x80", 4, 64, "????"); /* beyond Unicode */
    tidied("\xe0\x80\xaf", 3, 64, "???");      /* longer than need be */
    tidied(
        "\xc2\x9b"
        "1m",
        4, 64, " 1m"); /* a control character of two bytes */
    tidied("abcdef", 6, 4, "abc");
    tidied("", 0, 1, "");
}

static void body_is(const etx_http_branch *branch,
                    int with_payload,
                    const etx__http_result *results,
                    uint32_t count,
                    const char *wanted) {
    etx__http_text body = {0};
    etx__http_body(branch, with_payload, results, count, &body);
    assert_string_equal(body.bytes, wanted);
    free(body.bytes);
}

static void test_body(void **state) {
    const etx__http_result results[] = {{"stock", {"{ \"id\": 7 }", 11}},
                                        {"a\"\\b", {"7", 1}},
                                        {"raw", {"\x00\xff", 2}},
                                        {"twice", {"{\"a\":1,\"a\":2}", 13}},
                                        {"empty", {"", 0}}};
    etx_http_branch branch = {.size = sizeof branch, .payload = {" [1]\n", 5}};
    (void)state;
    body_is(&branch, 1, results, 5,
            "{\"payload\": [1]\n,\"results\":{\"stock\":{\"result\":{ \"id\": 7 }},"
            "\"a\\\"\\\\b\":{\"result\":7},\"raw\":{\"result_base64\":\"AP8=\"},"
            "\"twice\":{\"result_base64\":\"eyJhIjoxLCJhIjoyfQ==\"},\"empty\":{}}}");
    body_is(&branch, 0, results, 0, "{\"results\":{}}");
    branch.content_type = "text/plain";
    body_is(&branch, 1, NULL, 0, "{\"payload_base64\":\"IFsxXQo=\",\"results\":{}}");
    branch.content_type = "application/vnd.shop+json; charset=utf-8";
    body_is(&branch, 1, NULL, 0, "{\"payload\": [1]\n,\"results\":{}}");
    branch.payload = (etx_bytes){"{", 1};
    body_is(&branch, 1, NULL, 0, "{\"payload_base64\":\"ew==\",\"results\":{}}");
    branch.payload = (etx_bytes){NULL, 0};
    body_is(&branch, 1, NULL, 0, "{\"payload_base64\":\"\",\"results\":{}}");
}

static void test_errors(void **state) {
    static const struct {
        int error, ill, local;
    } errors[] = {{NET_ETIMEOUT, 1, 0},   {NET_ECONNECT, 1, 0},    {NET_ERESOLVE, 1, 0},
                  {NET_ECLOSED, 1, 0},    {NET_EPROTOCOL, 1, 0},   {NET_ETOOBIG, 0, 0},
                  {NET_EBUSY, 0, 1},      {NET_ECANCELLED, 0, 1},  {NET_ENOMEM, 0, 1},
                  {NET_EFORBIDDEN, 0, 1}, {NET_ECERTIFICATE, 1, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        net_result result = {.error = errors[i].error, .detail = "d"};
        etx__http_verdict verdict;
        etx__http_judge(&result, "http://stock:81", &verdict);
        assert_int_equal(verdict.reply, ETX_RETRY);
        assert_int_equal(verdict.ill, errors[i].ill);
        assert_int_equal(verdict.local, errors[i].local);
        assert_non_null(strstr(verdict.reason, "http://stock:81"));
        assert_non_null(strstr(verdict.reason, net_strerror(errors[i].error)));
    }
}

static void test_trace(void **state) {
    static const char caller[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    char one[56];
    char two[56];
    (void)state;
    assert_int_equal(etx_http_traceparent(caller, "g", "b", "try", 1, one), 0);
    assert_true(etx__http_is_traceparent(one));
    assert_memory_equal(one, caller, 36); /* the same trace */
    assert_memory_not_equal(one + 36, caller + 36, 16);
    assert_string_equal(one + 52, "-00");
    assert_int_equal(etx_http_traceparent(caller, "g", "b", "try", 1, two), 0);
    assert_string_equal(one, two);
    assert_int_equal(etx_http_traceparent(caller, "g", "b", "try", 2, two), 0);
    assert_string_not_equal(one, two);
    assert_int_equal(etx_http_traceparent(NULL, "g", "b", "try", 1, one), 0);
    assert_int_equal(etx_http_traceparent("nonsense", "g", "c", "try", 1, two), 0);
    assert_true(etx__http_is_traceparent(one) && etx__http_is_traceparent(two));
    assert_memory_equal(one, two, 36); /* it follows from the gid */
    assert_string_equal(one + 52, "-01");
    assert_int_equal(etx_http_traceparent(NULL, NULL, "b", "try", 1, one), ETX_EINVALID);
    assert_false(
        etx__http_is_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-01"));
    assert_false(
        etx__http_is_traceparent("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
}

/* What is known of many gids, some of which have the same place, is what is found out anew. */
static void test_trace_of_many(void **state) {
    const etx_http_options options = {.size = sizeof options};
    etx_http *http;
    (void)state;
    assert_int_equal(etx_http_create(&options, &http, NULL, 0), 0);
    for (int i = 0; i < 4 * ETX__HTTP_NAMED; i++) {
        char gid[ETX_GID_MAX + 1];
        char anew[56];
        char known[33];
        /* each twice, and then again after so many others */
        snprintf(gid, sizeof gid, i % 4 < 2 ? "%d" : "a-gid-of-some-length-%d", i / 2 % 300);
        assert_int_equal(etx_http_trace(http, gid, known), 0);
        assert_int_equal(etx_http_traceparent(NULL, gid, "b", "try", 1, anew), 0);
        assert_memory_equal(known, anew + 3, 32);
        assert_int_equal(known[32], '\0');
    }
    etx_http_free(http);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_after), cmocka_unit_test(test_tidy),
        cmocka_unit_test(test_body),        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_trace),       cmocka_unit_test(test_trace_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
