/* Requests that share a connection: sent together, answered in order, and what becomes of those
 * behind one that goes wrong. */
#include "rig.h"
#include "script.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FINE "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"

enum { MANY = 8, HUGE_BODY = 8 << 20 };

/* One request, and what came of it. */
typedef struct one {
    struct all *all;
    uint64_t id;
    int done, error, sent, behind, status;
    int place; /* among all that ended */
    char body[128];
} one;

typedef struct all {
    net_loop *loop;
    net_client *client;
    int done;
    one one[3 * MANY];
} all;

static void on_done(uint64_t id, const net_result *result, void *user) {
    one *self = user;
    assert_true(id == self->id);
    assert_int_equal(self->done, 0);
    self->done++;
    self->error = result->error;
    self->sent = result->sent;
    self->behind = result->behind;
    self->status = result->status;
    self->place = self->all->done++;
    snprintf(self->body, sizeof self->body, "%.*s", (int)result->body.len,
             result->body.len > 0 ? result->body.bytes : "");
}

static void all_begin(all *self, uint32_t connections) {
    const net_client_options options = {.size = sizeof options,
                                        .target_connections_max = connections};
    *self = (all){0};
    assert_int_equal(net_loop_create(&self->loop), 0);
    assert_int_equal(net_client_create(self->loop, &options, &self->client), 0);
}

static void all_end(all *self) {
    net_client_free(self->client);
    net_loop_free(self->loop);
}

/* Begins request `i` of `http://127.0.0.1:PORT/i`. */
static void begin(all *self, int i, uint16_t port, net_fetch fetch) {
    char text[64];
    net_url url;
    self->one[i] = (one){.all = self};
    snprintf(text, sizeof text, "http://127.0.0.1:%d/%d", port, i);
    assert_int_equal(net_url_parse(text, strlen(text), &url, NULL), 0);
    fetch.size = sizeof fetch;
    fetch.url = &url;
    fetch.method = "POST";
    fetch.timeout_ms = fetch.timeout_ms != 0 ? fetch.timeout_ms : 5000;
    fetch.done = fetch.done != NULL ? fetch.done : on_done;
    fetch.user = &self->one[i];
    assert_int_equal(net_client_fetch(self->client, &fetch, &self->one[i].id), 0);
}

static void begin_some(all *self, int first, int count, uint16_t port, uint32_t pipeline_max) {
    for (int i = first; i < first + count; i++) {
        begin(self, i, port, (net_fetch){.pipeline_max = pipeline_max});
    }
}

static void wait_for(all *self, int done) {
    for (int i = 0; i < 1000 && self->done < done; i++) {
        assert_int_equal(net_loop_turn(self->loop, 10), 0);
    }
    assert_int_equal(self->done, done);
}

/* A kept connection, on which a request was answered. */
static void warm(all *self, uint16_t port) {
    begin_some(self, 0, 1, port, MANY);
    wait_for(self, 1);
    assert_int_equal(self->one[0].error, 0);
    assert_int_equal(net_client_count(self->client).kept, 1);
    *self = (all){.loop = self->loop, .client = self->client};
}

/* A scripted server that has answered its first act. */
static void start_warm(script *server, all *self) {
    script_start(server);
    all_begin(self, 0);
    warm(self, server->port);
}

static void stop_both(script *server, all *self) {
    all_end(self);
    script_stop(server);
}

/* ---- together */

static void check_own_answers(const all *self, int count) {
    for (int i = 0; i < count; i++) {
        char wanted[16];
        snprintf(wanted, sizeof wanted, "POST /%d?", i);
        assert_int_equal(self->one[i].done, 1);
        assert_int_equal(self->one[i].error, 0);
        assert_int_equal(self->one[i].status, 200);
        assert_memory_equal(self->one[i].body, wanted, strlen(wanted));
        assert_int_equal(self->one[i].place, i);
    }
}

static void test_together(void **state) {
    rig server = {0};
    all self;
    (void)state;
    rig_start(&server);
    uint16_t port = ntohs(server.address.at.ip4.sin_port);
    all_begin(&self, 0);
    warm(&self, port);
    begin_some(&self, 0, MANY, port, MANY);
    wait_for(&self, MANY);
    check_own_answers(&self, MANY);
    net_client_counts counts = net_client_count(self.client);
    assert_int_equal(counts.opened, 1);
    assert_int_equal(counts.reused, MANY);
    assert_int_equal(counts.kept, 1);
    all_end(&self);
    rig_stop(&server);
}

/* No more of them than each allows, and none that wants a connection for itself. */
static void test_as_many_as_allowed(void **state) {
    static const struct {
        uint32_t max;
        int opened;
    } rows[] = {{0, MANY}, {1, MANY}, {MANY - 1, 2}, {MANY, 1}, {UINT32_MAX, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rig server = {0};
        all self;
        rig_start(&server);
        uint16_t port = ntohs(server.address.at.ip4.sin_port);
        all_begin(&self, 0);
        warm(&self, port);
        begin_some(&self, 0, MANY, port, rows[i].max);
        wait_for(&self, MANY);
        assert_int_equal(net_client_count(self.client).opened, rows[i].opened);
        all_end(&self);
        rig_stop(&server);
    }
}

/* Those of another turn go elsewhere, although the first ones wait for their answers. */
static void test_another_turn(void **state) {
    static const act acts[] = {{.say = FINE "a", .then = AGAIN},
                               {.say = "", .then = WAIT},
                               {.say = FINE "b", .then = WAIT}};
    script server = {.acts = acts, .count = 1};
    all self;
    (void)state;
    server.count = 2;
    start_warm(&server, &self);
    begin_some(&self, 0, 2, server.port, MANY);
    for (int i = 0; i < 10; i++) {
        net_loop_turn(self.loop, 10);
    }
    assert_int_equal(net_client_count(self.client).connections, 1);
    begin_some(&self, 2, 1, server.port, MANY);
    net_loop_turn(self.loop, 10);
    assert_int_equal(net_client_count(self.client).connections, 2);
    assert_int_equal(self.done, 0);
    all_end(&self);
    assert_int_equal(self.done, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(self.one[i].done, 1);
        assert_int_equal(self.one[i].error, NET_ECANCELLED);
    }
    script_stop(&server);
}

/* The answers of three come in one piece, in many, and in every form. */
static void test_answers_in_pieces(void **state) {
    static const char answers[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nbb"
        "HTTP/1.1 204 No Content\r\n\r\n";
    (void)state;
    for (size_t cut = 0; cut < sizeof answers - 1; cut += 7) {
        const act acts[] = {{.say = FINE "w", .then = AGAIN},
                            {.say = answers, .len = cut, .then = AGAIN},
                            {.say = answers + cut, .hasty = 1, .then = WAIT}};
        script server = {.acts = acts, .count = 3};
        all self;
        start_warm(&server, &self);
        begin_some(&self, 0, 3, server.port, MANY);
        wait_for(&self, 3);
        assert_string_equal(self.one[0].body, "a");
        assert_int_equal(self.one[0].status, 200);
        assert_string_equal(self.one[1].body, "bb");
        assert_int_equal(self.one[1].status, 404);
        assert_int_equal(self.one[2].status, 204);
        assert_int_equal(net_client_count(self.client).kept, 1);
        stop_both(&server, &self);
    }
}

/* ---- what is behind one that goes wrong */

static void check_behind(const one *self) {
    assert_int_equal(self->done, 1);
    assert_int_equal(self->error, NET_ECLOSED);
    assert_int_equal(self->sent, 1);
    assert_int_equal(self->behind, 1);
}

/* An answer, then an end, a reset, garbage, or nothing in time: those behind are unknown, and told
 * so. For a while then each has a connection for itself. */
static void test_lost_behind(void **state) {
    static const struct {
        const char *say;
        int then;
        int error;
    } rows[] = {{FINE "a", CLOSE, NET_ECLOSED},
                {FINE "a", RESET, NET_ECLOSED},
                {FINE "agarbage", WAIT, NET_EPROTOCOL},
                {FINE "a", WAIT, NET_ETIMEOUT}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        act acts[] = {{.say = FINE "w", .then = AGAIN},
                      {.say = rows[i].say},
                      {.say = FINE "b", .then = AGAIN},
                      {.say = "", .then = WAIT},
                      {.say = FINE "c", .then = WAIT}};
        script server = {.acts = acts, .count = 5};
        all self;
        acts[1].then = rows[i].then;
        start_warm(&server, &self);
        begin(&self, 0, server.port, (net_fetch){.pipeline_max = MANY});
        begin(&self, 1, server.port, (net_fetch){.pipeline_max = MANY, .timeout_ms = 200});
        begin(&self, 2, server.port, (net_fetch){.pipeline_max = MANY});
        wait_for(&self, 3);
        assert_string_equal(self.one[0].body, "a");
        assert_int_equal(self.one[1].error, rows[i].error);
        assert_int_equal(self.one[1].sent, 1);
        assert_int_equal(self.one[1].behind, 0);
        check_behind(&self.one[2]);
        begin_some(&self, 3, 1, server.port, MANY);
        wait_for(&self, 4);
        assert_string_equal(self.one[3].body, "b");
        begin_some(&self, 4, 2, server.port, MANY);
        net_loop_turn(self.loop, 10);
        assert_int_equal(net_client_count(self.client).connections, 2);
        stop_both(&server, &self);
    }
}

/* An answer that says that it is the last: what is behind it has not been dealt with, and is sent
 * on other connections. */
static void test_last_answer(void **state) {
    static const act acts[] = {
        {.say = FINE "w", .then = AGAIN},
        {.say = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
         .then = CLOSE},
        {.say = FINE "b", .then = CLOSE},
        {.say = FINE "c", .then = CLOSE},
    };
    script server = {.acts = acts, .count = 4};
    all self;
    (void)state;
    start_warm(&server, &self);
    begin_some(&self, 0, 3, server.port, MANY);
    wait_for(&self, 3);
    assert_string_equal(self.one[0].body, "a");
    assert_true(self.one[1].body[0] == 'b' || self.one[1].body[0] == 'c');
    assert_true(self.one[2].body[0] == 'b' || self.one[2].body[0] == 'c');
    assert_true(self.one[1].body[0] != self.one[2].body[0]);
    assert_int_equal(atomic_load(&server.connections), 3);
    stop_both(&server, &self);
}

/* A server that ends each connection after an answer, without a word: every request ends, known or
 * unknown, and none is sent for ever. */
static void test_a_server_that_always_ends(void **state) {
    act acts[3 * MANY];
    script server = {.acts = acts, .count = 3 * MANY};
    all self;
    int known = 0;
    (void)state;
    for (int i = 0; i < server.count; i++) {
        acts[i] = (act){.say = FINE "a", .then = i == 0 ? AGAIN : CLOSE};
    }
    start_warm(&server, &self);
    begin_some(&self, 0, MANY, server.port, MANY);
    wait_for(&self, MANY);
    begin_some(&self, MANY, MANY, server.port, MANY);
    wait_for(&self, 2 * MANY);
    for (int i = 0; i < 2 * MANY; i++) {
        assert_int_equal(self.one[i].done, 1);
        assert_true(self.one[i].error == 0 || self.one[i].sent == 1);
        known += self.one[i].error == 0;
    }
    assert_int_equal(known, 1 + MANY);
    stop_both(&server, &self);
}

/* ---- what is not sent */

static int listen_here(uint16_t *ret_port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* Until a request of that path has come. */
static void read_head(int fd, const char *path, all *self) {
    char bytes[8192];
    size_t len = 0;
    bytes[0] = '\0';
    for (int i = 0; i < 1000 && strstr(bytes, "\r\n\r\n") == NULL; i++) {
        struct pollfd ready = {fd, POLLIN, 0};
        net_loop_turn(self->loop, 1);
        if (poll(&ready, 1, 1) == 1) {
            ssize_t got = recv(fd, bytes + len, sizeof bytes - 1 - len, 0);
            len += got > 0 ? (size_t)got : 0;
            bytes[len] = '\0';
        }
    }
    assert_int_equal(count_of(bytes, "\r\n\r\n"), 1);
    assert_memory_equal(bytes + strlen("POST "), path, strlen(path));
}

/* The first is so large that it is not taken, and its time is over: of the others nothing was sent,
 * and they are sent on another connection, in their order. */
static void test_unsent_behind(void **state) {
    char *large = calloc(1, HUGE_BODY);
    uint16_t port;
    all self;
    (void)state;
    int listener = listen_here(&port);
    all_begin(&self, 1);
    begin(
        &self, 0, port,
        (net_fetch){.pipeline_max = MANY, .timeout_ms = 200, .body = large, .body_len = HUGE_BODY});
    begin_some(&self, 1, 2, port, MANY);
    wait_for(&self, 1);
    assert_int_equal(self.one[0].error, NET_ETIMEOUT);
    assert_int_equal(self.one[0].sent, 1);
    int first = accept(listener, NULL, NULL);
    for (int i = 0; i < 10; i++) {
        net_loop_turn(self.loop, 10);
    }
    int second = accept(listener, NULL, NULL);
    read_head(second, "/1", &self);
    send_text(second, FINE "b");
    wait_for(&self, 2);
    read_head(second, "/2", &self);
    send_text(second, FINE "c");
    wait_for(&self, 3);
    assert_string_equal(self.one[1].body, "b");
    assert_string_equal(self.one[2].body, "c");
    all_end(&self);
    close(first);
    close(second);
    close(listener);
    free(large);
}

/* One behind another is cancelled, and one is out of time: the others hear their own answers. */
static void test_cancelled_behind(void **state) {
    static const act acts[] = {
        {.say = FINE "w", .then = AGAIN},
        {.say = FINE "a" FINE "b" FINE "c" FINE "d", .gated = 1, .then = AGAIN},
        {.say = FINE "e", .then = WAIT}};
    script server = {.acts = acts, .count = 3};
    all self;
    (void)state;
    start_warm(&server, &self);
    begin(&self, 0, server.port, (net_fetch){.pipeline_max = MANY});
    begin(&self, 1, server.port, (net_fetch){.pipeline_max = MANY});
    begin(&self, 2, server.port, (net_fetch){.pipeline_max = MANY, .timeout_ms = 100});
    begin(&self, 3, server.port, (net_fetch){.pipeline_max = MANY});
    for (int i = 0; i < 5; i++) {
        net_loop_turn(self.loop, 10);
    }
    net_client_cancel(self.client, self.one[1].id);
    wait_for(&self, 2);
    net_client_cancel(self.client, self.one[1].id);
    assert_int_equal(self.one[1].error, NET_ECANCELLED);
    assert_int_equal(self.one[1].sent, 1);
    assert_int_equal(self.one[2].error, NET_ETIMEOUT);
    assert_int_equal(self.one[2].sent, 1);
    assert_int_equal(net_client_count(self.client).requests, 2);
    atomic_store(&server.go, 1);
    wait_for(&self, 4);
    assert_string_equal(self.one[0].body, "a");
    assert_string_equal(self.one[3].body, "d");
    assert_int_equal(net_client_count(self.client).kept, 1);
    begin_some(&self, 4, 1, server.port, MANY);
    wait_for(&self, 5);
    assert_string_equal(self.one[4].body, "e");
    assert_int_equal(atomic_load(&server.connections), 1);
    stop_both(&server, &self);
}

/* What is left on a connection is an answer that nobody wants any more: it is not waited for. */
static void test_nobody_waits(void **state) {
    static const act acts[] = {{.say = FINE "w", .then = AGAIN},
                               {.say = FINE "a", .gated = 1, .then = WAIT}};
    script server = {.acts = acts, .count = 2};
    all self;
    (void)state;
    start_warm(&server, &self);
    begin(&self, 0, server.port, (net_fetch){.pipeline_max = MANY});
    begin(&self, 1, server.port, (net_fetch){.pipeline_max = MANY, .timeout_ms = 100});
    begin(&self, 2, server.port, (net_fetch){.pipeline_max = MANY, .timeout_ms = 1000});
    wait_for(&self, 1);
    assert_int_equal(self.one[1].error, NET_ETIMEOUT);
    atomic_store(&server.go, 1);
    wait_for(&self, 2);
    assert_string_equal(self.one[0].body, "a");
    assert_int_equal(net_client_count(self.client).connections, 1);
    wait_for(&self, 3);
    assert_int_equal(self.one[2].error, NET_ETIMEOUT);
    net_loop_turn(self.loop, 0);
    assert_int_equal(net_client_count(self.client).connections, 0);
    stop_both(&server, &self);
}

/* The first is cancelled: the others are unknown, and all end once each. */
static void test_cancelled_first(void **state) {
    static const act acts[] = {{.say = FINE "w", .then = AGAIN}, {.say = "", .then = WAIT}};
    script server = {.acts = acts, .count = 2};
    all self;
    (void)state;
    start_warm(&server, &self);
    begin_some(&self, 0, 3, server.port, MANY);
    for (int i = 0; i < 5; i++) {
        net_loop_turn(self.loop, 10);
    }
    net_client_cancel(self.client, self.one[0].id);
    wait_for(&self, 3);
    assert_int_equal(self.one[0].error, NET_ECANCELLED);
    assert_int_equal(self.one[0].sent, 1);
    check_behind(&self.one[1]);
    check_behind(&self.one[2]);
    stop_both(&server, &self);
}

static void free_all(uint64_t id, const net_result *result, void *user) {
    one *self = user;
    on_done(id, result, user);
    net_client *client = self->all->client;
    self->all->client = NULL;
    net_client_free(client);
}

/* The client is freed when the first is answered, or has failed: the others end once each. */
static void test_freed_meanwhile(void **state) {
    static const char *const says[] = {FINE "a", "garbage"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        const act acts[] = {{.say = FINE "w", .then = AGAIN}, {.say = says[i], .then = WAIT}};
        script server = {.acts = acts, .count = 2};
        all self;
        start_warm(&server, &self);
        begin(&self, 0, server.port, (net_fetch){.pipeline_max = MANY, .done = free_all});
        begin_some(&self, 1, 2, server.port, MANY);
        wait_for(&self, 3);
        assert_int_equal(self.one[0].error, i == 0 ? 0 : NET_EPROTOCOL);
        for (int k = 1; k < 3; k++) {
            assert_int_equal(self.one[k].done, 1);
            assert_int_equal(self.one[k].error, NET_ECANCELLED);
            assert_int_equal(self.one[k].sent, 1);
        }
        for (int turn = 0; turn < 3; turn++) {
            net_loop_turn(self.loop, 1);
        }
        stop_both(&server, &self);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_as_many_as_allowed),
        cmocka_unit_test(test_another_turn),
        cmocka_unit_test(test_answers_in_pieces),
        cmocka_unit_test(test_lost_behind),
        cmocka_unit_test(test_last_answer),
        cmocka_unit_test(test_a_server_that_always_ends),
        cmocka_unit_test(test_unsent_behind),
        cmocka_unit_test(test_cancelled_behind),
        cmocka_unit_test(test_nobody_waits),
        cmocka_unit_test(test_cancelled_first),
        cmocka_unit_test(test_freed_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
