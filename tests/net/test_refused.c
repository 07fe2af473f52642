/* What the server must refuse by itself: smuggling shapes above all, whose second request never
 * runs. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST "Host: a\r\n"
#define POST "POST /first HTTP/1.1\r\n" HOST
#define SMUGGLED "GET /smuggled HTTP/1.1\r\n" HOST "\r\n"
#define SHAPE(text, status) \
    { text, sizeof(text) - 1, status }

typedef struct shape {
    const char *bytes;
    size_t len;
    int status;
} shape;

/* Every byte string is sent at once, and then byte by byte. */
static const shape shapes[] = {
    /* the table of servers that let these pass: all must be refused */
    SHAPE(POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Content-Length: 0\r\nContent-Length: 4\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" SMUGGLED, 400),
    SHAPE("GET /first HTTP/1.1\nHost: a\n\n" SMUGGLED, 400),
    SHAPE("GET /first HTTP/1.1\r\nHost: a\n\r\n" SMUGGLED, 400),
    SHAPE(POST "X: y\r\n Content-Length: 4\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "X: y\r\n\tz\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "X: y\0z\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Content-Length : 4\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Content-Length: +2\r\n\r\nab" SMUGGLED, 400),
    /* others of their family */
    SHAPE(POST "Content-Length: 0x2\r\n\r\nab" SMUGGLED, 400),
    SHAPE(POST "Content-Length: 2,2\r\n\r\nab" SMUGGLED, 400),
    SHAPE(POST "Content-Length:\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 501),
    SHAPE(POST "Transfer-Encoding:\x0b"
               "chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
          400),
    SHAPE("POST /first HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
          400),
    SHAPE(POST "Transfer-Encoding: chunked\r\n\r\n0\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n" SMUGGLED, 400),
    SHAPE(POST "Transfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n" SMUGGLED, 400),
    SHAPE("GET /first HTTP/1.1\rHost: a\r\r" SMUGGLED, 400),
    /* hosts and targets */
    SHAPE("GET /first HTTP/1.1\r\n\r\n" SMUGGLED, 400),
    SHAPE("GET /first HTTP/1.1\r\n" HOST "Host: b\r\n\r\n" SMUGGLED, 400),
    SHAPE("GET /first HTTP/1.1\r\n" HOST "Content-Type: a/b\r\nContent-type: a/b\r\n\r\n" SMUGGLED,
          400),
    SHAPE("GET /first HTTP/1.1\r\n" HOST HOST "\r\n" SMUGGLED, 400),
    SHAPE("GET /first HTTP/1.1\r\nHost: a b\r\n\r\n" SMUGGLED, 400),
    SHAPE("GET /first HTTP/1.1\r\nHost: u@a\r\n\r\n" SMUGGLED, 400),
    SHAPE("GET /first HTTP/1.1\r\nHost: a, b\r\n\r\n" SMUGGLED, 400),
    SHAPE("GET /first HTTP/1.1\r\nHost:\r\n\r\n" SMUGGLED, 400),
    SHAPE("GET http://u@a/first HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400),
    SHAPE("GET ftp://a/first HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400),
    SHAPE("GET first HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400),
    SHAPE("GET * HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400),
    SHAPE("GET /a b HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400),
    SHAPE("GET /first\r\n\r\n" SMUGGLED, 400),
    /* methods, versions, expectations, sizes */
    SHAPE("CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 501),
    SHAPE("TRACE / HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 501),
    SHAPE("BREW / HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 501),
    SHAPE("GET / HTTP/2.0\r\n" HOST "\r\n" SMUGGLED, 505),
    SHAPE("GET / HTTP/0.9\r\n" HOST "\r\n" SMUGGLED, 505),
    SHAPE(POST "Expect: a-miracle\r\n\r\n" SMUGGLED, 417),
    SHAPE(POST "Content-Length: 1001\r\n\r\n" SMUGGLED, 413),
    SHAPE(POST "Content-Length: 99999999999999999\r\n\r\n" SMUGGLED, 413),
    SHAPE(POST "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" SMUGGLED, 413),
    SHAPE("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    SHAPE("SSH-2.0-x\r\n", 400),
};

static const char *code_of(int status) {
    return status == 413   ? "too-large"
           : status == 414 ? "target-too-long"
           : status == 417 ? "expectation"
           : status == 431 ? "head-too-large"
           : status == 501 ? "not-served"
           : status == 505 ? "version"
                           : "bad-request";
}

static void expect_refusal(const rig *self, const shape *one, const char *reply, int closed) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "HTTP/1.1 %d ", one->status);
    if (strncmp(reply, wanted, strlen(wanted)) != 0 || closed != 1) {
        fail_msg("%d wanted, closed %d:\n%s\nto\n%s", one->status, closed, reply, one->bytes);
    }
    assert_int_equal(count_of(reply, "HTTP/1.1 "), 1);
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(reply, "\r\nContent-Type: application/problem+json\r\n"));
    assert_non_null(strstr(reply, "\"status\":"));
    snprintf(wanted, sizeof wanted, "\"code\":\"%s\"", code_of(one->status));
    assert_non_null(strstr(reply, wanted));
    assert_non_null(strstr(reply, "\"hint\":\""));
    assert_int_equal(atomic_load(&self->handled), 0);
}

static void test_shapes(void **state) {
    rig self = {.options = {.body_bytes_max = 1000}};
    (void)state;
    rig_start(&self);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        int closed;
        char *reply = rig_talk(&self, shapes[i].bytes, shapes[i].len, &closed);
        expect_refusal(&self, &shapes[i], reply, closed);
        free(reply);
    }
    rig_stop(&self);
}

static void test_byte_by_byte(void **state) {
    rig self = {.options = {.body_bytes_max = 1000}};
    (void)state;
    rig_start(&self);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        int closed;
        int fd = rig_connect(&self);
        for (size_t at = 0; at < shapes[i].len; at++) {
            send_bytes(fd, shapes[i].bytes + at, 1);
        }
        char *reply = read_reply(fd, 5000, &closed);
        expect_refusal(&self, &shapes[i], reply, closed);
        free(reply);
        close(fd);
    }
    rig_stop(&self);
}

/* What comes before a refusal is answered, what comes behind it is not looked at. */
static void test_after_good_ones(void **state) {
    static const char text[] = "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n" HOST "\r\n" POST
                               "Content-Length: 1\r\nContent-Length: 2\r\n\r\n" SMUGGLED;
    rig self = {0};
    int closed;
    (void)state;
    rig_start(&self);
    char *reply = rig_talk(&self, text, sizeof text - 1, &closed);
    assert_int_equal(count_of(reply, "HTTP/1.1 200 "), 2);
    assert_int_equal(count_of(reply, "HTTP/1.1 400 "), 1);
    assert_int_equal(count_of(reply, "HTTP/1.1 "), 3);
    assert_int_equal(closed, 1);
    assert_int_equal(atomic_load(&self.smuggled), 0);
    free(reply);
    rig_stop(&self);
}

static void expect_status(const rig *self, const char *text, int status) {
    int closed;
    const shape one = {text, strlen(text), status};
    char *reply = rig_talk(self, text, strlen(text), &closed);
    expect_refusal(self, &one, reply, closed);
    free(reply);
}

static void test_head_limits(void **state) {
    rig self = {.options = {.header_bytes_max = 1000, .target_bytes_max = 100, .headers_max = 5}};
    char text[3000];
    (void)state;
    rig_start(&self);
    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    snprintf(text + 105, sizeof text - 105, " HTTP/1.1\r\n" HOST "\r\n");
    expect_status(&self, text, 414);
    memset(text, 'a', sizeof text);
    memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
    text[sizeof text - 1] = '\0';
    expect_status(&self, text, 431);
    expect_status(&self, "GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\n\r\n", 431);
    rig_stop(&self);
}

/* ---- bodies that nobody will read */

static int has_word(const net_request *request, void *user) {
    (void)user;
    assert_int_equal(net_request_method(request)[0], 'P');
    assert_true(net_request_path(request).len > 1);
    return net_request_header(request, "x-word").len > 0;
}

#define LONG "Content-Length: 1000000\r\n\r\n"
#define WORD "X-Word: w\r\n"

/* The handler has the request at once, and no byte of its body; nothing is read behind it. */
static void test_unwelcome(void **state) {
    static const char *const texts[] = {
        POST LONG,
        POST LONG "some of it",
        POST "Transfer-Encoding: chunked\r\n\r\nffff\r\nsome of it",
        POST "Expect: 100-continue\r\n" LONG,
        "POST /first HTTP/1.0\r\n" HOST LONG,
    };
    rig self = {.options = {.welcome = has_word}};
    (void)state;
    rig_start(&self);
    for (int i = 0; i < 5; i++) {
        int closed;
        char *reply = rig_talk(&self, texts[i], strlen(texts[i]), &closed);
        assert_int_equal(count_of(reply, "HTTP/1.1 200 "), 1);
        assert_int_equal(count_of(reply, "HTTP/1.1 "), 1);
        assert_int_equal(count_of(reply, "Connection: close\r\n"), 1);
        assert_int_equal(count_of(reply, "\r\n\r\nPOST /first? a "), 1);
        assert_int_equal(count_of(reply, "some"), 0);
        assert_int_equal(closed, 1);
        free(reply);
        assert_int_equal(atomic_load(&self.handled), i + 1);
    }
    rig_stop(&self);
}

static void test_unwelcome_piece_by_piece(void **state) {
    static const char text[] = POST LONG SMUGGLED;
    rig self = {.options = {.welcome = has_word}};
    int closed;
    (void)state;
    rig_start(&self);
    int fd = rig_connect(&self);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        (void)send(fd, text + i, 1, MSG_NOSIGNAL);
    }
    char *reply = read_reply(fd, 5000, &closed);
    assert_int_equal(count_of(reply, "HTTP/1.1 200 "), 1);
    assert_int_equal(closed, 1);
    assert_int_equal(atomic_load(&self.handled), 1);
    assert_int_equal(atomic_load(&self.smuggled), 0);
    free(reply);
    close(fd);
    rig_stop(&self);
}

/* Reads until that stands at the end. */
static void read_until(int fd, const char *end, char *text, size_t size) {
    size_t len = 0;
    text[0] = '\0';
    while (len < strlen(end) || strcmp(text + len - strlen(end), end) != 0) {
        ssize_t got = recv(fd, text + len, size - 1 - len, 0);
        assert_true(got > 0);
        len += (size_t)got;
        text[len] = '\0';
    }
}

/* Who is welcome is waited for; and nobody is asked whose body comes with its head. */
static void test_welcome(void **state) {
    static const char begun[] = POST WORD "Expect: 100-continue\r\nContent-Length: 8\r\n\r\n";
    rig self = {.options = {.welcome = has_word}};
    char text[1000];
    (void)state;
    rig_start(&self);
    int fd = rig_connect(&self);
    send_text(fd, POST "Content-Length: 4\r\n\r\nbody");
    read_until(fd, "\r\n\r\nPOST /first? a body", text, sizeof text);
    assert_int_equal(count_of(text, "Connection: close"), 0);
    send_text(fd, begun);
    read_until(fd, "HTTP/1.1 100 Continue\r\n\r\n", text, sizeof text);
    send_text(fd, "half");
    usleep(20000);
    send_text(fd, "half");
    read_until(fd, "\r\n\r\nPOST /first? a halfhalf", text, sizeof text);
    assert_int_equal(count_of(text, "Connection: close"), 0);
    close(fd);
    rig_stop(&self);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),          cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_after_good_ones), cmocka_unit_test(test_head_limits),
        cmocka_unit_test(test_unwelcome),       cmocka_unit_test(test_unwelcome_piece_by_piece),
        cmocka_unit_test(test_welcome),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
