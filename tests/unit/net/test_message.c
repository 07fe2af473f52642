/* Whole messages: how they are framed, what is refused, and that pieces make no difference. */
#include "../../../net/message.h"
#include "cmocka_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const net__message_limits limits = {
    .guard = {.head_bytes_max = 4000,
              .target_bytes_max = 1000,
              .headers_max = 50,
              .chunk_extras_max = 100},
    .body_bytes_max = 20,
};

/* Reads a text in pieces of `step`: the body, with what follows the message behind a '|', or the
 * status that refuses it, or "..." if it is not whole. The caller frees it. */
static char *read_text(const char *text, size_t step, int response, int no_body) {
    size_t whole = strlen(text);
    char *bytes = calloc(1, whole + 1);
    char *told = calloc(1, whole + 32);
    net__message *message = malloc(sizeof *message);
    size_t have = 0;
    net__reading reading = NET__READING_MORE;
    net__message_begin(message, response, no_body);
    size_t at = 0;
    while (at < whole && reading == NET__READING_MORE) {
        size_t piece = whole - at < step ? whole - at : step;
        memcpy(bytes + have, text + at, piece);
        have += piece;
        at += piece;
        reading = net__message_read(message, &limits, bytes, &have);
    }
    if (reading == NET__READING_REFUSED) {
        snprintf(told, 32, "%d", message->guard.status);
    } else if (reading == NET__READING_DONE) {
        memcpy(told, bytes + message->head_len, message->body_len);
        strncat(told, "|", 2);
        memcpy(told + strlen(told), bytes + message->used, have - message->used);
        memcpy(told + strlen(told), text + at, whole - at);
    } else {
        snprintf(told, 32, "%s", net__message_ends(message) ? "close" : "...");
    }
    free(message);
    free(bytes);
    return told;
}

static void expect(const char *text, int response, int no_body, const char *wanted) {
    for (size_t step = 1; step <= strlen(text); step++) {
        char *told = read_text(text, step, response, no_body);
        if (strcmp(told, wanted) != 0) {
            fail_msg("%s instead of %s, in steps of %zu: %s", told, wanted, step, text);
        }
        free(told);
    }
}

#define REQUEST(text, wanted) expect(text, 0, 0, wanted)
#define ANSWER(text, wanted) expect(text, 1, 0, wanted)
#define HOST "Host: a\r\n"

static void test_framing(void **state) {
    (void)state;
    REQUEST("GET / HTTP/1.1\r\n" HOST "\r\nrest", "|rest");
    REQUEST("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabcrest", "abc|rest");
    REQUEST("POST / HTTP/1.1\r\n" HOST "Content-Length:  003 \r\n\r\nabcrest", "abc|rest");
    REQUEST("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab", "...");
    REQUEST("POST / HTTP/1.1\r\n" HOST
            "Transfer-Encoding: chunked\r\n\r\n"
            "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\nrest",
            "abcde|rest");
    REQUEST("POST / HTTP/1.1\r\n" HOST "TRANSFER-encoding: CHUNKED\r\n\r\n0\r\n\r\n", "|");
    REQUEST("GET / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\nGET", "|GET");
    REQUEST("POST / HTTP/1.1\r\n" HOST
            "Upgrade: h2c\r\nConnection: Upgrade\r\n"
            "Content-Length: 2\r\n\r\nabGET",
            "ab|GET");
}

static void test_ambiguous(void **state) {
    (void)state;
#define POST "POST / HTTP/1.1\r\n" HOST
    REQUEST(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400");
    REQUEST(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400");
    REQUEST(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "400");
    REQUEST(POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "400");
    REQUEST(POST "Content-Length: 3, 3\r\n\r\nabc", "400");
    REQUEST(POST "Content-Length: +3\r\n\r\nabc", "400");
    REQUEST(POST "Content-Length: -3\r\n\r\nabc", "400");
    REQUEST(POST "Content-Length: 0x3\r\n\r\nabc", "400");
    REQUEST(POST "Content-Length: 3 3\r\n\r\nabc", "400");
    REQUEST(POST "Content-Length: \r\n\r\nabc", "400");
    REQUEST(POST "Content-Length: 99999999999999999999999\r\n\r\nabc", "400");
    REQUEST(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400");
    REQUEST(POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400");
    REQUEST(POST "Transfer-Encoding: identity\r\n\r\n", "400");
    REQUEST(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "400");
    REQUEST(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400");
    REQUEST(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            "400");
    REQUEST(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501");
    REQUEST("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400");
    REQUEST(POST "Content-Length : 3\r\n\r\nabc", "400");
    REQUEST(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400");
    REQUEST(POST "X: y\r\n Content-Length: 3\r\n\r\nabc", "400");
    REQUEST("BREW / HTTP/1.1\r\n" HOST "\r\n", "501");
}

static void test_too_large(void **state) {
    (void)state;
    REQUEST(POST "Content-Length: 21\r\n\r\n", "413");
    REQUEST(POST "Transfer-Encoding: chunked\r\n\r\n15\r\nx", "413");
    REQUEST(POST "Transfer-Encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n1\r\nx", "413");
    REQUEST(POST "Content-Length: 20\r\n\r\n01234567890123456789", "01234567890123456789|");
    ANSWER("HTTP/1.0 200 OK\r\n\r\n012345678901234567890", "413");
}

static void test_answers(void **state) {
    (void)state;
    ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabX", "ab|X");
    ANSWER("HTTP/1.1 204 No Content\r\n\r\nX", "|X");
    ANSWER("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\nX", "|X");
    ANSWER("HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\nX", "400");
    ANSWER("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400");
    ANSWER("HTTP/1.1 103 Early Hints\r\nContent-Length: 1\r\n\r\nX", "400");
    ANSWER("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\nX", "|X");
    ANSWER("HTTP/1.1 100 Continue\r\n\r\nX", "|X");
    ANSWER("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", "close");
    ANSWER("HTTP/1.0 200 OK\r\n\r\nabc", "close");
    ANSWER("HTTP/1.1 200 OK\r\n\r\nabc", "400");
    ANSWER("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabc", "400");
    ANSWER("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nX", "a|X");
    ANSWER("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400");
    ANSWER("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", "501");
    ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab", "400");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nX", 1, 1, "|X");
}

/* The value of a field of a whole message, or NULL where no field has that name. */
static const char *value_of(const char *text, const char *name, char *room, size_t size) {
    size_t len = strlen(text);
    char *bytes = calloc(1, len + 1);
    net__message *message = malloc(sizeof *message);
    memcpy(bytes, text, len);
    net__message_begin(message, 0, 0);
    assert_int_equal(net__message_read(message, &limits, bytes, &len), NET__READING_DONE);
    const net__field *field = net__message_find(message, bytes, name, strlen(name), NULL);
    if (field != NULL) {
        assert_true(field->value.len < size);
        memcpy(room, bytes + field->value.at, field->value.len);
        room[field->value.len] = 0;
    }
    free(message);
    free(bytes);
    return field != NULL ? room : NULL;
}

static void test_names_are_whole(void **state) {
    char room[32];
    (void)state;
#define LONGER POST "X-Mark: no\r\nMark-X: no\r\nMark: yes\r\n\r\n"
    assert_string_equal(value_of(LONGER, "mark", room, sizeof room), "yes");
    assert_null(value_of(LONGER, "mar", room, sizeof room));
    REQUEST(POST "Content-Length-Was: 1\r\nContent-Length: 3\r\n\r\nabcrest", "abc|rest");
}

/* Who reads a header is told nothing that stood behind the body. */
static void test_trailers_are_no_headers(void **state) {
    char room[32];
    (void)state;
#define TRAILED POST "Mark: yes\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nEnd: no\r\n\r\n"
    assert_string_equal(value_of(TRAILED, "mark", room, sizeof room), "yes");
    assert_null(value_of(TRAILED, "end", room, sizeof room));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),         cmocka_unit_test(test_ambiguous),
        cmocka_unit_test(test_too_large),       cmocka_unit_test(test_answers),
        cmocka_unit_test(test_names_are_whole), cmocka_unit_test(test_trailers_are_no_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
