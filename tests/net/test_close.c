/* Answers whose end is that of their connection: taken where the peer says that it will close. */
#include "rig.h"
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 16 << 20, MANY = 3 };

typedef struct told {
    int done, error, sent, behind, status;
    char body[64];
} told;

static void on_done(uint64_t id, const net_result *result, void *user) {
    told *self = user;
    (void)id;
    self->done++;
    self->error = result->error;
    self->sent = result->sent;
    self->behind = result->behind;
    self->status = result->status;
    snprintf(self->body, sizeof self->body, "%.*s", (int)result->body.len,
             result->body.len > 0 ? result->body.bytes : "");
}

static void begin(net_client *client, const script *server, net_fetch fetch, told *ret) {
    char text[64];
    net_url url;
    *ret = (told){0};
    snprintf(text, sizeof text, "http://127.0.0.1:%d/x", server->port);
    assert_int_equal(net_url_parse(text, strlen(text), &url, NULL), 0);
    fetch.size = sizeof fetch;
    fetch.url = &url;
    fetch.method = "POST";
    fetch.timeout_ms = fetch.timeout_ms != 0 ? fetch.timeout_ms : 10000;
    fetch.done = on_done;
    fetch.user = ret;
    assert_int_equal(net_client_fetch(client, &fetch, NULL), 0);
}

static void wait_for(net_loop *loop, const told *one) {
    for (int i = 0; i < 2000 && !one->done; i++) {
        assert_int_equal(net_loop_turn(loop, 10), 0);
    }
    assert_int_equal(one->done, 1);
}

/* What the client makes of one act; its connection is never kept. */
static told ask_act(const act *one, net_fetch fetch) {
    const net_client_options options = {.size = sizeof options};
    script server = {.acts = one, .count = 1};
    net_loop *loop;
    net_client *client;
    told self;
    script_start(&server);
    assert_int_equal(net_loop_create(&loop), 0);
    assert_int_equal(net_client_create(loop, &options, &client), 0);
    begin(client, &server, fetch, &self);
    wait_for(loop, &self);
    assert_int_equal(net_client_count(client).connections, 0);
    net_client_free(client);
    net_loop_free(loop);
    script_stop(&server);
    return self;
}

static const struct {
    const char *say;
    const char *body;
    int status;
} closes[] = {
    {"HTTP/1.0 200 OK\r\n\r\n", "", 200},
    {"HTTP/1.0 200 OK\r\nServer: BaseHTTP\r\n\r\nabc", "abc", 200},
    {"HTTP/1.0 409 Conflict\r\nConnection: close\r\n\r\nno", "no", 409},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n\r\nabc", "abc", 200},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", "abc", 200},
    {"HTTP/1.1 200 OK\r\nconnection: x, Close\r\n\r\nabc", "abc", 200},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nabc", "abc", 200},
};

enum { CLOSES = sizeof closes / sizeof closes[0] };

static void test_it_said_so(void **state) {
    (void)state;
    for (int i = 0; i < CLOSES; i++) {
        const act one = {.say = closes[i].say, .then = CLOSE};
        told self = ask_act(&one, (net_fetch){0});
        assert_int_equal(self.error, 0);
        assert_int_equal(self.status, closes[i].status);
        assert_string_equal(self.body, closes[i].body);
    }
}

/* A reset may have destroyed the rest, and one that does not close may have more to say. */
static void test_no_end(void **state) {
    (void)state;
    for (int i = 0; i < CLOSES; i++) {
        const act reset = {.say = closes[i].say, .then = RESET};
        told self = ask_act(&reset, (net_fetch){0});
        assert_int_equal(self.error, NET_ECLOSED);
        assert_int_equal(self.sent, 1);
    }
    const act silent = {.say = closes[1].say, .then = WAIT};
    told self = ask_act(&silent, (net_fetch){.timeout_ms = 100});
    assert_int_equal(self.error, NET_ETIMEOUT);
    assert_int_equal(self.sent, 1);
}

/* Who sends hears of a reset first; what is read after that looks like an end. */
static void test_reset_while_sending(void **state) {
    char *body = calloc(1, LARGE);
    const act reset = {.say = closes[1].say, .then = RESET};
    (void)state;
    told self = ask_act(&reset, (net_fetch){.body = body, .body_len = LARGE});
    assert_int_equal(self.error, NET_ECLOSED);
    assert_int_equal(self.sent, 1);
    free(body);
}

static void test_it_said_nothing(void **state) {
    static const char *const says[] = {
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nConnection: closed\r\n\r\nabc",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabc",
        "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=5\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        const act one = {.say = says[i], .then = i % 2 ? WAIT : CLOSE};
        told self = ask_act(&one, (net_fetch){0});
        assert_int_equal(self.error, NET_EPROTOCOL);
        assert_int_equal(self.sent, 1);
    }
}

static void test_too_large(void **state) {
    const act one = {.say = closes[1].say, .then = CLOSE};
    (void)state;
    assert_int_equal(ask_act(&one, (net_fetch){.answer_bytes_max = 3}).error, 0);
    assert_int_equal(ask_act(&one, (net_fetch){.answer_bytes_max = 2}).error, NET_ETOOBIG);
}

/* What was sent behind such an answer is unknown: what the peer made of it could be in its body. */
static void test_behind(void **state) {
    (void)state;
    for (int i = 0; i < CLOSES; i++) {
        const act acts[] = {{.say = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nw", .then = AGAIN},
                            {.say = closes[i].say, .then = CLOSE}};
        const net_client_options options = {.size = sizeof options};
        script server = {.acts = acts, .count = 2};
        net_loop *loop;
        net_client *client;
        told self[MANY];
        script_start(&server);
        assert_int_equal(net_loop_create(&loop), 0);
        assert_int_equal(net_client_create(loop, &options, &client), 0);
        begin(client, &server, (net_fetch){0}, &self[0]);
        wait_for(loop, &self[0]);
        for (int k = 0; k < MANY; k++) {
            begin(client, &server, (net_fetch){.timeout_ms = 2000, .pipeline_max = MANY}, &self[k]);
        }
        for (int k = 0; k < MANY; k++) {
            wait_for(loop, &self[k]);
            assert_int_equal(self[k].error, k == 0 ? 0 : NET_ECLOSED);
            assert_int_equal(self[k].behind, k != 0);
        }
        assert_string_equal(self[0].body, closes[i].body);
        assert_int_equal(atomic_load(&server.connections), 1);
        net_client_free(client);
        net_loop_free(loop);
        script_stop(&server);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_said_so),          cmocka_unit_test(test_no_end),
        cmocka_unit_test(test_reset_while_sending), cmocka_unit_test(test_it_said_nothing),
        cmocka_unit_test(test_too_large),           cmocka_unit_test(test_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
