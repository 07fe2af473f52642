/* The server over sockets: order, keep-alive, slowness, half-closed and lost peers, limits, drain.
 * */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define HOST "Host: a\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"

static void expect_body(const rig *self, const char *text, const char *body) {
    int closed;
    char *reply = rig_talk(self, text, strlen(text), &closed);
    const char *end = strstr(reply, "\r\n\r\n");
    if (end == NULL || strcmp(end + 4, body) != 0 || closed != 1) {
        fail_msg("\"%s\" wanted, closed %d:\n%s\nto\n%s", body, closed, reply, text);
    }
    free(reply);
}

static void test_requests(void **state) {
    rig self = {0};
    (void)state;
    rig_start(&self);
    expect_body(&self, LAST("/x?y=z"), "GET /x?y=z a ");
    expect_body(&self, "GET /x HTTP/1.0\r\n\r\n", "GET /x?  ");
    expect_body(
        &self, "POST / HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
        "POST /? a:80 abc");
    expect_body(&self,
                "PUT / HTTP/1.1\r\n" HOST
                "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                "2;x\r\nab\r\n1\r\nc\r\n0\r\nT: u\r\n\r\n",
                "PUT /? a abc");
    expect_body(&self, "GET http://B:81/x?q HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
                "GET /x?q B:81 ");
    expect_body(&self, "OPTIONS * HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "OPTIONS *? a ");
    expect_body(&self, "\r\n" LAST("/x"), "GET /x? a ");
    expect_body(&self, LAST("/later"), "later");
    expect_body(&self, "HEAD / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "");
    expect_body(&self, LAST("/stream"), "4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n");
    expect_body(&self, "GET /stream HTTP/1.0\r\n\r\n", "one two three");
    expect_body(&self, "HEAD /stream HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "");
    rig_stop(&self);
}

static void test_fields_of_answers(void **state) {
    rig self = {0};
    (void)state;
    rig_start(&self);
    char *reply = rig_talk(&self, LAST("/bad"), strlen(LAST("/bad")), NULL);
    assert_true(strncmp(reply, "HTTP/1.1 500 Internal Server Error\r\nDate: ", 42) == 0);
    assert_null(strstr(reply, "Set-Cookie"));
    assert_non_null(strstr(reply, " GMT\r\n"));
    free(reply);
    const char *old = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    reply = rig_talk(&self, old, strlen(old), NULL);
    assert_int_equal(count_of(reply, "HTTP/1.1 200"), 2);
    assert_int_equal(count_of(reply, "Connection: keep-alive"), 1);
    free(reply);
    rig_stop(&self);
}

/* Forty requests of one connection, the last of which ends it; every n-th goes to `path`. */
static size_t write_many(char *text, size_t size, int n, const char *path) {
    size_t len = 0;
    for (int i = 0; i < 40; i++) {
        len += (size_t)snprintf(
            text + len, size - len, "POST %s HTTP/1.1\r\n" HOST "%sContent-Length: 2\r\n\r\n%02d",
            i % n == 0 ? path : "/now", i == 39 ? "Connection: close\r\n" : "", i);
    }
    return len;
}

/* Answers keep the order of requests, whoever answers first; more than the limit wait. */
static void test_pipelining(void **state) {
    rig self = {.options = {.pipelined_max = 3}};
    char text[8000];
    (void)state;
    rig_start(&self);
    size_t len = write_many(text, sizeof text, 5, "/later");
    int closed;
    char *reply = rig_talk(&self, text, len, &closed);
    const char *at = reply;
    for (int i = 0; i < 40; i++) {
        char wanted[40];
        snprintf(wanted, sizeof wanted, i % 5 == 0 ? "later" : "POST /now? a %02d", i);
        at = strstr(at, "\r\n\r\n");
        assert_non_null(at);
        at += 4;
        assert_memory_equal(at, wanted, strlen(wanted));
    }
    assert_int_equal(count_of(reply, "HTTP/1.1 200"), 40);
    assert_int_equal(closed, 1);
    free(reply);
    rig_stop(&self);
}

/* What follows one that is alone is begun when that is answered, however its bytes come. */
static void test_alone(void **state) {
    rig self = {0};
    char text[8000];
    (void)state;
    rig_start(&self);
    size_t len = write_many(text, sizeof text, 3, "/alone");
    for (size_t step = 40; step < 2 * len; step *= 3) {
        int fd = rig_connect(&self);
        for (size_t at = 0; at < len; at += step) {
            send_bytes(fd, text + at, len - at < step ? len - at : step);
        }
        char *reply = read_reply(fd, 5000, NULL);
        assert_int_equal(count_of(reply, "HTTP/1.1 200"), 40);
        assert_int_equal(count_of(reply, "later"), 14);
        assert_int_equal(count_of(reply, "POST /now? a "), 26);
        free(reply);
        close(fd);
    }
    assert_int_equal(atomic_load(&self.overtaking), 0);
    rig_stop(&self);
}

static void test_nothing_after_close(void **state) {
    rig self = {0};
    int closed;
    (void)state;
    rig_start(&self);
    char *reply =
        rig_talk(&self, LAST("/x") GET("/smuggled"), strlen(LAST("/x") GET("/smuggled")), &closed);
    assert_int_equal(count_of(reply, "HTTP/1.1 200"), 1);
    assert_int_equal(closed, 1);
    assert_int_equal(atomic_load(&self.smuggled), 0);
    free(reply);
    rig_stop(&self);
}

static void test_continue(void **state) {
    static const char head[] = "POST / HTTP/1.1\r\n" HOST
                               "Connection: close\r\nExpect: 100-continue\r\n"
                               "Content-Length: 2\r\n\r\n";
    rig self = {0};
    (void)state;
    rig_start(&self);
    int fd = rig_connect(&self);
    send_text(fd, head);
    char *reply = read_reply(fd, 700, NULL);
    assert_string_equal(reply, "HTTP/1.1 100 Continue\r\n\r\n");
    free(reply);
    send_text(fd, "ab");
    reply = read_reply(fd, 5000, NULL);
    assert_non_null(strstr(reply, "POST /? a ab"));
    assert_int_equal(count_of(reply, "HTTP/1.1 "), 1);
    free(reply);
    close(fd);
    rig_stop(&self);
}

static void test_slow(void **state) {
    rig self = {.options = {.header_ms = 150, .body_ms = 150, .idle_ms = 300}};
    int closed;
    (void)state;
    rig_start(&self);
    int fd = rig_connect(&self);
    for (int i = 0; i < 10; i++) { /* a byte now and then does not help */
        send_bytes(fd, &"GET / HTTP/1.1\r\n"[i], 1);
        usleep(30000);
    }
    char *reply = read_reply(fd, 3000, &closed);
    assert_true(strncmp(reply, "HTTP/1.1 408 ", 13) == 0);
    assert_true(closed > 0);
    free(reply);
    close(fd);
    fd = rig_connect(&self);
    send_text(fd, "POST / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nab");
    reply = read_reply(fd, 3000, &closed);
    assert_true(strncmp(reply, "HTTP/1.1 408 ", 13) == 0);
    assert_int_equal(closed, 1);
    free(reply);
    close(fd);
    fd = rig_connect(&self); /* nothing at all: an end, without a word */
    reply = read_reply(fd, 3000, &closed);
    assert_string_equal(reply, "");
    assert_int_equal(closed, 1);
    free(reply);
    close(fd);
    assert_int_equal(atomic_load(&self.handled), 0);
    rig_stop(&self);
}

/* A request that takes longer than idle_ms is not idleness. */
static void test_idle(void **state) {
    rig self = {.options = {.idle_ms = 1000}};
    int closed;
    (void)state;
    rig_start(&self);
    int fd = rig_connect(&self);
    for (int i = 0; i < 3; i++) {
        send_text(fd, GET("/x"));
        char *reply = read_reply(fd, 600, &closed);
        assert_int_equal(count_of(reply, "HTTP/1.1 200"), 1);
        assert_int_equal(closed, 0);
        free(reply);
    }
    free(read_reply(fd, 8000, &closed));
    assert_int_equal(closed, 1);
    close(fd);
    rig_stop(&self);
}

static int late_fd;

/* The server's thread does nothing meanwhile. */
static void ask_late(rig *self) {
    (void)self;
    send_text(late_fd, GET("/late"));
    usleep(700000);
}

static void ask_and_drain(rig *self) {
    send_text(late_fd, GET("/late"));
    net_server_drain(self->server, 5000, NULL, NULL);
}

/* A connection that has rested too long, or is to end, but on which a request has come already. */
static void test_asked_at_its_end(void **state) {
    static void (*const ways[])(rig *) = {ask_late, ask_and_drain};
    (void)state;
    for (int first = 0; first < 2; first++) { /* it has been used before, or has not */
        for (int way = 0; way < 2; way++) {
            rig self = {.options = {.idle_ms = 400, .header_ms = 400}};
            rig_start(&self);
            late_fd = rig_connect(&self);
            if (first) {
                send_text(late_fd, GET("/x"));
                free(read_reply(late_fd, 100, NULL));
            }
            usleep(50000);
            rig_do(&self, ways[way]);
            char *reply = read_reply(late_fd, 300, NULL);
            assert_int_equal(count_of(reply, "HTTP/1.1 200"), 1);
            assert_non_null(strstr(reply, "GET /late"));
            free(reply);
            close(late_fd);
            rig_stop(&self);
        }
    }
}

static void test_half_closed(void **state) {
    rig self = {0};
    int closed;
    (void)state;
    rig_start(&self);
    int fd = rig_connect(&self);
    send_text(fd, GET("/later") GET("/x"));
    shutdown(fd, SHUT_WR);
    char *reply = read_reply(fd, 5000, &closed);
    assert_int_equal(count_of(reply, "HTTP/1.1 200"), 2);
    assert_int_equal(closed, 1);
    free(reply);
    close(fd);
    fd = rig_connect(&self);
    send_text(fd, "POST / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nab");
    shutdown(fd, SHUT_WR);
    reply = read_reply(fd, 5000, &closed);
    assert_string_equal(reply, "");
    assert_int_equal(closed, 1);
    free(reply);
    close(fd);
    rig_stop(&self);
}

static void reset_connection(int fd) {
    const struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void wait_for(_Atomic int *number, int wanted) {
    for (int i = 0; i < 2000 && atomic_load(number) != wanted; i++) {
        usleep(2000);
    }
    assert_int_equal(atomic_load(number), wanted);
}

static void test_lost_peers(void **state) {
    rig self = {0};
    (void)state;
    rig_start(&self);
    for (int i = 0; i < 20; i++) {
        int fd = rig_connect(&self);
        send_text(fd, i % 2 ? GET("/hold") : GET("/later"));
        wait_for(&self.handled, i + 1);
        reset_connection(fd);
    }
    wait_for(&self.gone, 10);
    int fd = rig_connect(&self);
    send_text(fd, GET("/forever"));
    usleep(20000);
    close(fd);
    wait_for(&self.gone, 11);
    rig_stop(&self);
}

/* Who asks for what needs him, and ends his side, is gone; also if he keeps the other one. */
static void test_needs_client(void **state) {
    static const char *const texts[] = {GET("/needed"), LAST("/needed"), LAST("/needed") "more"};
    rig self = {0};
    (void)state;
    rig_start(&self);
    for (int i = 0; i < 3; i++) {
        int closed;
        int fd = rig_connect(&self);
        send_text(fd, texts[i]);
        wait_for(&self.handled, i + 1);
        assert_int_equal(atomic_load(&self.gone), i);
        shutdown(fd, SHUT_WR);
        wait_for(&self.gone, i + 1);
        free(read_reply(fd, 5000, &closed));
        assert_true(closed > 0);
        close(fd);
    }
    rig_stop(&self);
}

/* One that reads slowly gets everything; one that does not read is dropped. */
static void test_flood(void **state) {
    rig self = {.options = {.write_ms = 300, .stream_bytes_max = 100000}};
    int closed;
    (void)state;
    rig_start(&self);
    char *reply = rig_talk(&self, LAST("/flood"), strlen(LAST("/flood")), &closed);
    assert_int_equal(closed, 1);
    assert_true(atomic_load(&self.refused_writes) > 0);
    assert_non_null(strstr(reply, "\r\n\r\n2710\r\nx"));
    free(reply);
    int fd = rig_connect(&self);
    send_text(fd, GET("/big") GET("/big"));
    usleep(800000);
    size_t sum = 0;
    char bytes[65536];
    ssize_t count;
    while ((count = recv(fd, bytes, sizeof bytes, 0)) > 0) {
        sum += (size_t)count;
    }
    assert_true(sum < 8 << 20);
    close(fd);
    rig_stop(&self);
}

static void test_connection_limits(void **state) {
    rig self = {.options = {.connections_max = 4}};
    int fds[4];
    int closed;
    (void)state;
    rig_start(&self);
    for (int i = 0; i < 4; i++) {
        fds[i] = rig_connect(&self);
        send_text(fds[i], GET("/x"));
        free(read_reply(fds[i], 30, NULL));
    }
    char *reply = rig_talk(&self, GET("/x"), strlen(GET("/x")), &closed);
    assert_true(strncmp(reply, "HTTP/1.1 503 ", 13) == 0);
    assert_int_equal(closed, 1);
    assert_non_null(strstr(reply, "\r\nRetry-After: 1\r\n"));
    assert_non_null(strstr(reply, "\"code\":\"connections\""));
    free(reply);
    close(fds[0]);
    usleep(300000);
    reply = rig_talk(&self, LAST("/x"), strlen(LAST("/x")), &closed);
    assert_true(strncmp(reply, "HTTP/1.1 200 ", 13) == 0);
    free(reply);
    for (int i = 1; i < 4; i++) {
        close(fds[i]);
    }
    assert_int_equal(atomic_load(&self.handled), 5);
    rig_stop(&self);
}

static void test_address_limit(void **state) {
    rig self = {.options = {.connections_per_address_max = 1}};
    (void)state;
    rig_start(&self);
    int fd = rig_connect(&self);
    send_text(fd, GET("/x"));
    free(read_reply(fd, 30, NULL));
    char *reply = rig_talk(&self, LAST("/x"), strlen(LAST("/x")), NULL);
    assert_true(strncmp(reply, "HTTP/1.1 503 ", 13) == 0);
    free(reply);
    close(fd);
    usleep(300000);
    reply = rig_talk(&self, LAST("/x"), strlen(LAST("/x")), NULL);
    assert_true(strncmp(reply, "HTTP/1.1 200 ", 13) == 0);
    free(reply);
    rig_stop(&self);
}

/* No descriptor is left: accepting pauses, costs no time, and goes on. */
static void test_no_descriptors(void **state) {
    rig self = {0};
    struct rlimit before;
    struct timespec spent[2];
    clockid_t clock;
    int spare[2000];
    int count = 0;
    (void)state;
    rig_start(&self);
    getrlimit(RLIMIT_NOFILE, &before);
    struct rlimit few = {200, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    int fd = rig_connect(&self);
    while (count < 2000 && (spare[count] = dup(0)) >= 0) {
        count++;
    }
    close(spare[--count]);
    int waiting = rig_connect(&self);
    send_text(waiting, LAST("/x"));
    pthread_getcpuclockid(self.thread, &clock);
    clock_gettime(clock, &spent[0]);
    usleep(300000);
    clock_gettime(clock, &spent[1]);
    assert_true((spent[1].tv_sec - spent[0].tv_sec) * 1000 +
                    (spent[1].tv_nsec - spent[0].tv_nsec) / 1000000 <
                150);
    while (count > 0) {
        close(spare[--count]);
    }
    setrlimit(RLIMIT_NOFILE, &before);
    char *reply = read_reply(waiting, 5000, NULL);
    assert_true(strncmp(reply, "HTTP/1.1 200 ", 13) == 0);
    free(reply);
    close(waiting);
    close(fd);
    rig_stop(&self);
}

static void on_drained(void *user) {
    atomic_fetch_add((_Atomic int *)user, 1);
}

static void drain(rig *self) {
    net_server_drain(self->server, 5000, on_drained, &self->gone);
}

static void drain_shortly(rig *self) {
    net_server_drain(self->server, 100, on_drained, &self->gone);
}

static void test_drain(void **state) {
    rig self = {0};
    int closed;
    (void)state;
    rig_start(&self);
    int idle = rig_connect(&self);
    int begun = rig_connect(&self);
    send_text(begun, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\na");
    usleep(300000);
    rig_do(&self, drain);
    free(read_reply(idle, 2000, &closed));
    assert_int_equal(closed, 1);
    close(idle);
    assert_int_equal(atomic_load(&self.gone), 0);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_not_equal(connect(late, &self.address.at.any, self.address.len), 0);
    close(late);
    send_text(begun, "b");
    char *reply = read_reply(begun, 5000, &closed);
    assert_non_null(strstr(reply, "POST /x? a ab"));
    assert_non_null(strstr(reply, "Connection: close"));
    assert_int_equal(closed, 1);
    free(reply);
    close(begun);
    wait_for(&self.gone, 1);
    rig_stop(&self);
}

static void test_drain_gives_up(void **state) {
    rig self = {0};
    int closed;
    (void)state;
    rig_start(&self);
    int fd = rig_connect(&self);
    send_text(fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\na");
    usleep(300000);
    rig_do(&self, drain_shortly);
    wait_for(&self.gone, 1);
    free(read_reply(fd, 1000, &closed));
    assert_true(closed > 0);
    close(fd);
    rig_stop(&self);
}

static void end_unread(rig *self) {
    static const char much[1 << 20] = {'x'};
    for (int i = 0; i < 16; i++) { /* more than the sockets take */
        assert_int_equal(net_stream_write(self->stream, much, sizeof much), 0);
    }
    net_server_drain(self->server, 60000, on_drained, &self->gone);
    net_stream_end(self->stream);
}

static void test_drain_of_a_stream(void **state) {
    rig self = {.options = {.stream_bytes_max = 20 << 20}};
    (void)state;
    rig_start(&self);
    int fd = rig_connect(&self);
    send_text(fd, GET("/forever"));
    wait_for(&self.handled, 1);
    rig_do(&self, end_unread);
    wait_for(&self.gone, 1);
    close(fd);
    rig_stop(&self);
}

static void test_unix_and_ipv6(void **state) {
    char text[64];
    (void)state;
    snprintf(text, sizeof text, "unix:@etx-test-net-%d", (int)getpid());
    rig local = {.listen = text};
    rig_start(&local);
    expect_body(&local, LAST("/x"), "GET /x? a ");
    rig_stop(&local);
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int rc = probe < 0 ? -1 : bind(probe, (struct sockaddr *)&loopback, sizeof loopback);
    close(probe);
    if (rc == 0) {
        rig six = {.listen = "[::1]:0"};
        rig_start(&six);
        expect_body(&six, LAST("/x"), "GET /x? a ");
        rig_stop(&six);
    }
}

/* Pieces of any size, and answers in order: the same bytes come back. */
static void test_pieces(void **state) {
    static const char text[] =
        "POST /p HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" GET("/q") LAST("/r");
    rig self = {0};
    (void)state;
    rig_start(&self);
    for (size_t step = 1; step < sizeof text; step += step < 8 ? 1 : 29) {
        int fd = rig_connect(&self);
        for (size_t at = 0; at < sizeof text - 1; at += step) {
            size_t left = sizeof text - 1 - at;
            send_bytes(fd, text + at, left < step ? left : step);
            usleep(step < 8 ? 0 : 2000);
        }
        char *reply = read_reply(fd, 5000, NULL);
        assert_int_equal(count_of(reply, "HTTP/1.1 200"), 3);
        assert_non_null(strstr(reply, "POST /p? a abc"));
        free(reply);
        close(fd);
    }
    rig_stop(&self);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_fields_of_answers),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_nothing_after_close),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_asked_at_its_end),
        cmocka_unit_test(test_half_closed),
        cmocka_unit_test(test_lost_peers),
        cmocka_unit_test(test_needs_client),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_connection_limits),
        cmocka_unit_test(test_address_limit),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_gives_up),
        cmocka_unit_test(test_drain_of_a_stream),
        cmocka_unit_test(test_unix_and_ipv6),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
