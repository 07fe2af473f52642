/* The guard, byte by byte: what it takes, what it refuses, and where it says that a head ends. */
#include "../../../net/guard.h"
#include "cmocka_net.h"

#include <string.h>

static const net__guard_limits limits = {.head_bytes_max = 400,
                                         .target_bytes_max = 40,
                                         .headers_max = 5,
                                         .chunk_extras_max = 60};

/* Reads a head in pieces of `step` bytes: what it ends as, and how many bytes were its own. */
static net__guard_end read_head(const char *text,
                                size_t len,
                                size_t step,
                                int response,
                                net__guard *guard,
                                size_t *ret_used) {
    net__guard_end end = NET__GUARD_MORE;
    size_t at = 0;
    net__guard_begin(guard, response);
    while (at < len && end == NET__GUARD_MORE) {
        size_t used;
        size_t piece = len - at < step ? len - at : step;
        end = net__guard_head(guard, &limits, text + at, piece, &used);
        assert_true(used <= piece);
        assert_true(end != NET__GUARD_MORE || used == piece);
        at += used;
    }
    *ret_used = at;
    return end;
}

static void expect_head(const char *text, size_t len, int response, int status) {
    for (size_t step = 1; step <= len; step += step < 4 ? 1 : len / 3 + 1) {
        net__guard guard;
        size_t used;
        net__guard_end end = read_head(text, len, step, response, &guard, &used);
        if (status == 0 && end != NET__GUARD_DONE) {
            fail_msg("refused: %s (%s)", text, guard.reason);
        }
        if (status != 0 && (end != NET__GUARD_REFUSED || guard.status != status)) {
            fail_msg("not refused by %d but %d: %s", status, guard.status, text);
        }
        assert_true(status != 0 || used == len);
    }
}

#define GOOD(text) expect_head(text, sizeof(text) - 1, 0, 0)
#define BAD(text, status) expect_head(text, sizeof(text) - 1, 0, status)
#define GOOD_ANSWER(text) expect_head(text, sizeof(text) - 1, 1, 0)
#define BAD_ANSWER(text) expect_head(text, sizeof(text) - 1, 1, 400)

static void test_good_requests(void **state) {
    (void)state;
    GOOD("GET / HTTP/1.1\r\n\r\n");
    GOOD("GET /a?b=c%20d HTTP/1.0\r\nHost: a\r\n\r\n");
    GOOD("\r\nPOST /x HTTP/1.1\r\nA:b\r\nC:\r\nD: \t e \t\r\n\r\n");
    GOOD("M-SEARCH * HTTP/1.1\r\nX!#$%&'*+-.^_`|~1: \x80\xff\r\n\r\n");
}

static void test_lines(void **state) {
    (void)state;
    BAD("GET / HTTP/1.1\nHost: a\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\nHost: a\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
    BAD("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400);
    BAD("\nGET / HTTP/1.1\r\n\r\n", 400);
    BAD("\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", 400);
}

static void test_first_line(void **state) {
    (void)state;
    BAD("GET  / HTTP/1.1\r\n\r\n", 400);
    BAD("GET /  HTTP/1.1\r\n\r\n", 400);
    BAD("GET / HTTP/1.1 \r\n\r\n", 400);
    BAD("GET\t/ HTTP/1.1\r\n\r\n", 400);
    BAD("GET /\r\n\r\n", 400);
    BAD("GET / http/1.1\r\n\r\n", 400);
    BAD("GET / HTTP/1.10\r\n\r\n", 400);
    BAD("GET / HTTP/11\r\n\r\n", 400);
    BAD("GET / HTTP/2.0\r\n\r\n", 505);
    BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    BAD("G(T / HTTP/1.1\r\n\r\n", 400);
    BAD("GET /a#b HTTP/1.1\r\n\r\n", 400);
    BAD("GET /\x80 HTTP/1.1\r\n\r\n", 400);
    BAD("GET /\x7f HTTP/1.1\r\n\r\n", 400);
    BAD("GET /\0 HTTP/1.1\r\n\r\n", 400);
    BAD("\x16\x03\x01\x02\x00", 400);
    GOOD("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\n\r\n"); /* 32 are the most */
    BAD("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n\r\n", 400);
}

static void test_fields(void **state) {
    (void)state;
    BAD("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\n: b\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\nA\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\nA: \x01\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", 400);
    BAD("GET / HTTP/1.1\r\nA\xe9: b\r\n\r\n", 400);
}

static void test_limits(void **state) {
    (void)state;
    GOOD("GET /234567890123456789012345678901234567890 HTTP/1.1\r\n\r\n");
    BAD("GET /2345678901234567890123456789012345678901 HTTP/1.1\r\n\r\n", 414);
    GOOD("GET / HTTP/1.1\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n");
    BAD("GET / HTTP/1.1\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", 431);
    char text[600];
    memset(text, 'a', sizeof text);
    memcpy(text, "GET / HTTP/1.1\r\nA: ", 19);
    memcpy(text + 396, "\r\n\r\n", 4);
    expect_head(text, 400, 0, 0);
    memset(text + 396, 'a', 4);
    memcpy(text + 397, "\r\n\r\n", 4);
    expect_head(text, 401, 0, 431);
}

static void test_answers(void **state) {
    (void)state;
    GOOD_ANSWER("HTTP/1.1 200 OK\r\n\r\n");
    GOOD_ANSWER("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n");
    GOOD_ANSWER("HTTP/1.1 200 \r\n\r\n");
    GOOD_ANSWER("HTTP/1.1 200\r\n\r\n");
    BAD_ANSWER("HTTP/1.1 200 OK\n\r\n");
    BAD_ANSWER("HTTP/1.1  200 OK\r\n\r\n");
    BAD_ANSWER("HTTP/1.1 20 OK\r\n\r\n");
    BAD_ANSWER("HTTP/1.1 2000 OK\r\n\r\n");
    BAD_ANSWER("HTTP/1.1 000 OK\r\n\r\n");
    BAD_ANSWER("HTTP/1.1 600 OK\r\n\r\n");
    BAD_ANSWER("ICY 200 OK\r\n\r\n");
    BAD_ANSWER("\r\nHTTP/1.1 200 OK\r\n\r\n");
    BAD_ANSWER("HTTP/1.1 200 O\x01\r\n\r\n");
}

/* Reads a chunked body: the decoded length, or minus the status that refuses it. */
static int read_chunks(const char *text, size_t len, size_t step) {
    net__guard guard;
    size_t at = 0;
    size_t used;
    int sum = 0;
    static const char head[] = "GET / HTTP/1.1\r\n\r\n";
    net__guard_begin(&guard, 0);
    assert_int_equal(net__guard_head(&guard, &limits, head, sizeof head - 1, &used),
                     NET__GUARD_DONE);
    while (at < len) {
        size_t piece = len - at < step ? len - at : step;
        if (guard.data_left > 0) {
            size_t take = piece < guard.data_left ? piece : (size_t)guard.data_left;
            guard.data_left -= take;
            sum += (int)take;
            at += take;
            continue;
        }
        net__guard_end end = net__guard_chunks(&guard, &limits, text + at, piece, &used);
        at += used;
        if (end == NET__GUARD_REFUSED) {
            return -guard.status;
        }
        if (end == NET__GUARD_DONE) {
            assert_int_equal(at, len);
            return sum;
        }
    }
    return -1;
}

static void expect_chunks(const char *text, size_t len, int wanted) {
    for (size_t step = 1; step <= len; step++) {
        int found = read_chunks(text, len, step);
        if (found != wanted) {
            fail_msg("%d instead of %d: %s", found, wanted, text);
        }
    }
}

#define CHUNKS(text, wanted) expect_chunks(text, sizeof(text) - 1, wanted)

static void test_chunks(void **state) {
    (void)state;
    CHUNKS("0\r\n\r\n", 0);
    CHUNKS("3\r\nabc\r\n0\r\n\r\n", 3);
    CHUNKS("10\r\n0123456789abcdef\r\n0a\r\n0123456789\r\n000\r\n\r\n", 26);
    CHUNKS("1;a=b;c=\"d\"\r\nx\r\n0;e\r\nA: b\r\n\r\n", 1);
    CHUNKS("1 \r\nx\r\n0\r\n\r\n", -400);
    CHUNKS(" 1\r\nx\r\n0\r\n\r\n", -400);
    CHUNKS("0x1\r\nx\r\n0\r\n\r\n", -400);
    CHUNKS("+1\r\nx\r\n0\r\n\r\n", -400);
    CHUNKS("-1\r\nx\r\n0\r\n\r\n", -400);
    CHUNKS("\r\nx\r\n0\r\n\r\n", -400);
    CHUNKS(";a\r\nx\r\n0\r\n\r\n", -400);
    CHUNKS("1\nx\r\n0\r\n\r\n", -400);
    CHUNKS("1\r\nx\n0\r\n\r\n", -400);
    CHUNKS("1\r\nxy\r\n0\r\n\r\n", -400);
    CHUNKS("1\r\nx0\r\n\r\n", -400);
    CHUNKS("1\r\nxy\n0\r\n\r\n", -400);
    CHUNKS("1;a\nb\r\nx\r\n0\r\n\r\n", -400);
    CHUNKS("0\r\nA : b\r\n\r\n", -400);
    CHUNKS("0\r\nA: b\n\r\n", -400);
    CHUNKS("ffffffffffffffff\r\n", -400);
    CHUNKS("0\r\nA: 01234567890123456789012345678901234567890123456789012345\r\n\r\n", -431);
    CHUNKS("1;abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl\r\n", -431);
    CHUNKS("0\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", -431);
}

/* Any byte, anywhere in a value that is read eight bytes at a time, is judged as it is alone. */
static void test_every_byte_of_a_value(void **state) {
    static const char head[] = "HTTP/1.1 200 OK\r\nX: ";
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        int allowed = byte == '\t' || (byte >= ' ' && byte != 0x7f);
        for (size_t place = 0; place < 19; place++) {
            char text[] = "HTTP/1.1 200 OK\r\nX: abcdefghi\x80jklmnopqr\r\n\r\n";
            char *value = text + sizeof head - 1;
            value[place] = (char)byte;
            assert_int_equal(net__is_value(value, 19), allowed);
            if (byte != '\r') { /* which begins the line's end */
                expect_head(text, sizeof text - 1, 1, allowed ? 0 : 400);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_requests), cmocka_unit_test(test_lines),
        cmocka_unit_test(test_first_line),    cmocka_unit_test(test_fields),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_chunks),        cmocka_unit_test(test_every_byte_of_a_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
