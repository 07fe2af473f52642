/* The client against a server that says what a script says, and against the real one. */
#include "rig.h"
#include "script.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- one request after another */

typedef struct asked {
    net_loop *loop;
    net_client *client;
    int done;
    int error;
    int sent;
    int stale;
    int status;
    char body[256];
    char field[64];
    char detail[128];
} asked;

static void on_done(uint64_t id, const net_result *result, void *user) {
    asked *self = user;
    net_text field = net_result_header(result, "x-field");
    (void)id;
    assert_true(net_loop_is_here(self->loop));
    self->done++;
    self->error = result->error;
    self->sent = result->sent;
    self->stale = result->stale;
    self->status = result->status;
    snprintf(self->body, sizeof self->body, "%.*s", (int)result->body.len,
             result->body.len ? result->body.bytes : "");
    snprintf(self->field, sizeof self->field, "%.*s", (int)field.len, field.len ? field.bytes : "");
    snprintf(self->detail, sizeof self->detail, "%s", result->detail);
}

static void asked_begin(asked *self, const net_client_options *options) {
    net_client_options own = options != NULL ? *options : (net_client_options){0};
    own.size = sizeof own;
    *self = (asked){0};
    assert_int_equal(net_loop_create(&self->loop), 0);
    assert_int_equal(net_client_create(self->loop, &own, &self->client), 0);
}

static void asked_end(asked *self) {
    net_client_free(self->client);
    net_loop_free(self->loop);
}

static void wait_done(asked *self, int wanted) {
    for (int i = 0; i < 1000 && self->done < wanted; i++) {
        assert_int_equal(net_loop_turn(self->loop, 10), 0);
    }
    assert_int_equal(self->done, wanted);
}

static void begin_fetch(asked *self, const char *text, net_fetch fetch, uint64_t *ret_id) {
    net_url url;
    assert_int_equal(net_url_parse(text, strlen(text), &url, NULL), 0);
    fetch.size = sizeof fetch;
    fetch.url = &url;
    fetch.method = fetch.method != NULL ? fetch.method : "GET";
    fetch.done = on_done;
    fetch.user = self;
    assert_int_equal(net_client_fetch(self->client, &fetch, ret_id), 0);
}

static void ask(asked *self, const char *text, net_fetch fetch) {
    int before = self->done;
    begin_fetch(self, text, fetch, NULL);
    wait_done(self, before + 1);
}

static const char *url_of(const script *self, char *text, size_t size) {
    snprintf(text, size, "http://127.0.0.1:%d/x", self->port);
    return text;
}

/* What the client makes of one act. */
static asked ask_act(const act *one, net_fetch fetch) {
    script server = {.acts = one, .count = 1};
    asked self;
    char text[64];
    script_start(&server);
    asked_begin(&self, NULL);
    fetch.timeout_ms = fetch.timeout_ms != 0 ? fetch.timeout_ms : 2000;
    ask(&self, url_of(&server, text, sizeof text), fetch);
    asked copy = self;
    asked_end(&self);
    script_stop(&server);
    return copy;
}

static void test_answers(void **state) {
    static const struct {
        const char *say;
        const char *body;
        int status;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Field:  f \r\n\r\nabc", "abc", 200},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "", 404},
        {"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", "", 302},
        {"HTTP/1.1 204 No Content\r\n\r\n", "", 204},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
         "abc", 200},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
         "a", 200},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "a", 200},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const act one = {.say = rows[i].say, .then = WAIT};
        asked told = ask_act(&one, (net_fetch){.timeout_ms = 3000});
        assert_int_equal(told.error, 0);
        assert_int_equal(told.status, rows[i].status);
        assert_string_equal(told.body, rows[i].body);
        assert_string_equal(told.field, i == 0 ? "f" : "");
    }
}

static void test_garbage(void **state) {
    static const struct {
        const char *say;
        int error;
    } rows[] = {
        {"garbage", NET_EPROTOCOL},
        {"HTTP/1.1 200 OK\nContent-Length: 1\n\na", NET_EPROTOCOL},
        {"HTTP/2.0 200 OK\r\n\r\n", NET_EPROTOCOL},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", NET_EPROTOCOL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", NET_EPROTOCOL},
        {"HTTP/1.1 200 OK\r\nContent-Length:5\r\nTransfer-Encoding:chunked\r\n\r\n", NET_EPROTOCOL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", NET_EPROTOCOL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NET_EPROTOCOL},
        {"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n", NET_EPROTOCOL},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", NET_EPROTOCOL},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\na", NET_EPROTOCOL},
        {"HTTP/1.1 200 OK\r\n\r\nno length", NET_EPROTOCOL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", NET_ETOOBIG},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", NET_ECLOSED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", NET_ECLOSED},
        {"HTTP/1.1 200 OK\r\nContent-Le", NET_ECLOSED},
        {"", NET_ECLOSED},
        {"HTTP/1.1 100 Continue\r\n\r\n", NET_ECLOSED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int reset = 0; reset < 2; reset++) {
            const act one = {.say = rows[i].say, .then = reset ? RESET : CLOSE};
            asked told = ask_act(&one, (net_fetch){0});
            if (told.error != rows[i].error || told.sent != 1 || told.stale != 0) {
                fail_msg("%d (%s), sent %d, of %s", told.error, told.detail, told.sent,
                         rows[i].say);
            }
        }
    }
}

static void test_endless(void **state) {
    static const act acts[] = {
        {.say = "HTTP/1.1 200 OK\r\nX: ", .then = ENDLESS},
        {.say = "HTTP/1.0 200 OK\r\n\r\n", .then = ENDLESS},
        {.say = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
         .then = ENDLESS},
    };
    (void)state;
    for (int i = 0; i < 3; i++) {
        asked told = ask_act(&acts[i], (net_fetch){.answer_bytes_max = 100000});
        assert_int_equal(told.error, NET_ETOOBIG);
        assert_int_equal(told.sent, 1);
    }
}

static void test_slow(void **state) {
    const act silent = {.say = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", .then = WAIT};
    (void)state;
    asked told = ask_act(&silent, (net_fetch){.timeout_ms = 150});
    assert_int_equal(told.error, NET_ETIMEOUT);
    assert_int_equal(told.sent, 1);
}

/* An answer may come before the request is sent whole; the connection is not used again. */
static void test_early_answer(void **state) {
    static const act acts[] = {
        {.say = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno", .then = WAIT}};
    size_t len = 16 << 20;
    char *body = calloc(1, len);
    (void)state;
    asked told =
        ask_act(&acts[0],
                (net_fetch){.method = "POST", .body = body, .body_len = len, .timeout_ms = 10000});
    assert_int_equal(told.error, 0);
    assert_int_equal(told.status, 413);
    free(body);
}

#define FINE "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"

/* Bytes behind an answer, or before a request, are no answer to anything: the connection is left.
 * */
static void test_poison(void **state) {
    static const act acts[] = {
        {.say = FINE "aHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", .then = WAIT},
        {.say = FINE "b", .then = AGAIN},
        {.say = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", .hasty = 1, .then = WAIT},
        {.say = FINE "c", .then = WAIT},
    };
    script server = {.acts = acts, .count = 4};
    asked self;
    char text[64];
    (void)state;
    script_start(&server);
    asked_begin(&self, NULL);
    url_of(&server, text, sizeof text);
    ask(&self, text, (net_fetch){0});
    assert_string_equal(self.body, "a");
    ask(&self, text, (net_fetch){0});
    assert_string_equal(self.body, "b");
    for (int i = 0; i < 10; i++) {
        net_loop_turn(self.loop, 10);
    }
    ask(&self, text, (net_fetch){0});
    assert_string_equal(self.body, "c");
    assert_int_equal(atomic_load(&server.connections), 3);
    asked_end(&self);
    script_stop(&server);
}

/* A kept connection that its peer closes: unnoticed it is stale and unknown, noticed it is
 * replaced. */
static void test_stale(void **state) {
    static const act acts[] = {
        {.say = FINE "a", .then = AGAIN},
        {.say = "", .then = CLOSE}, /* takes the second request, answers nothing */
        {.say = FINE "b", .then = CLOSE},
        {.say = FINE "c", .then = WAIT},
    };
    script server = {.acts = acts, .count = 4};
    asked self;
    char text[64];
    (void)state;
    script_start(&server);
    asked_begin(&self, NULL);
    url_of(&server, text, sizeof text);
    ask(&self, text, (net_fetch){0});
    ask(&self, text, (net_fetch){0});
    assert_int_equal(self.error, NET_ECLOSED);
    assert_int_equal(self.sent, 1);
    assert_int_equal(self.stale, 1);
    ask(&self, text, (net_fetch){0});
    assert_string_equal(self.body, "b");
    usleep(50000); /* it is closed now, and the loop has not looked yet */
    ask(&self, text, (net_fetch){0});
    if (self.error != 0) {
        assert_int_equal(self.error, NET_ECLOSED);
        assert_int_equal(self.sent, 1);
        assert_int_equal(self.stale, 1);
        ask(&self, text, (net_fetch){0});
    }
    assert_string_equal(self.body, "c");
    asked_end(&self);
    script_stop(&server);
}

static void test_not_sent(void **state) {
    asked self;
    char text[64];
    script server = {.count = 0};
    (void)state;
    script_start(&server);
    script_stop(&server); /* nobody listens on its port now */
    asked_begin(&self, NULL);
    ask(&self, url_of(&server, text, sizeof text), (net_fetch){0});
    assert_int_equal(self.error, NET_ECONNECT);
    assert_int_equal(self.sent, 0);
    asked_end(&self);
}

/* ---- names and vetting */

typedef struct vetting {
    _Atomic int resolved;
    int vetted;
    char seen[200];
} vetting;

static int resolve(const char *host, net_address *ret_addresses, int max, void *user) {
    vetting *self = user;
    assert_true(max >= 2);
    atomic_fetch_add(&self->resolved, 1);
    if (strcmp(host, "nowhere.example") == 0) {
        return 0;
    }
    assert_int_equal(net_address_parse("127.0.0.9:0", &ret_addresses[0]), 0);
    assert_int_equal(net_address_parse("127.0.0.1:0", &ret_addresses[1]), 0);
    return strcmp(host, "forbidden.example") == 0 ? 1 : 2;
}

static int vet(const net_url *url, const net_address *address, void *user) {
    vetting *self = user;
    char text[NET_ADDRESS_TEXT_MAX];
    (void)url;
    self->vetted++;
    net_address_text(address, text, sizeof text);
    *strrchr(text, ':') = '\0';
    snprintf(self->seen, sizeof self->seen, "%s", text);
    return strcmp(text, "127.0.0.1") != 0;
}

static void test_names(void **state) {
    rig server = {0};
    vetting both = {0};
    net_client_options options = {.resolve = resolve, .resolved_ms = 1, .vet = vet, .user = &both};
    asked self;
    char text[64];
    unsigned port;
    (void)state;
    rig_start(&server);
    port = ntohs(server.address.at.ip4.sin_port);
    asked_begin(&self, &options);
    snprintf(text, sizeof text, "http://shop.example:%u/x", port);
    ask(&self, text, (net_fetch){0});
    assert_int_equal(self.error, 0);
    snprintf(self.detail, sizeof self.detail, "GET /x? shop.example:%u ", port);
    assert_string_equal(self.body, self.detail);
    assert_int_equal(both.vetted, 2); /* the first address was not allowed */
    snprintf(text, sizeof text, "http://forbidden.example:%u/x", port);
    ask(&self, text, (net_fetch){0});
    assert_int_equal(self.error, NET_EFORBIDDEN);
    assert_int_equal(self.sent, 0);
    for (uint64_t until = net_loop_now_ms(self.loop) + 2; net_loop_now_ms(self.loop) < until;) {
        assert_int_equal(net_loop_turn(self.loop, 1), 0);
    }
    ask(&self, text, (net_fetch){0}); /* no address is known for ever */
    ask(&self, "http://nowhere.example/", (net_fetch){0});
    assert_int_equal(self.error, NET_ERESOLVE);
    assert_int_equal(self.sent, 0);
    ask(&self, "http://[::ffff:127.0.0.2]/", (net_fetch){0});
    assert_int_equal(self.error, NET_EFORBIDDEN);
    assert_string_equal(both.seen, "127.0.0.2");
    assert_int_equal(atomic_load(&both.resolved), 4);
    asked_end(&self);
    assert_int_equal(atomic_load(&server.handled), 1);
    rig_stop(&server);
}

/* ---- limits and cancelling */

static void test_limits(void **state) {
    rig server = {0};
    net_client_options options = {.target_connections_max = 2, .target_queue_max = 3};
    asked self;
    (void)state;
    rig_start(&server);
    asked_begin(&self, &options);
    char text[80];
    snprintf(text, sizeof text, "%s/hold", server.url);
    for (int i = 0; i < 6; i++) {
        begin_fetch(&self, text, (net_fetch){.timeout_ms = 300}, NULL);
    }
    wait_done(&self, 1); /* the sixth, at once */
    assert_int_equal(self.error, NET_EBUSY);
    assert_int_equal(self.sent, 0);
    assert_int_equal(net_client_count(self.client).connections, 2);
    wait_done(&self, 6);
    assert_int_equal(self.error, NET_ETIMEOUT);
    asked_end(&self);
    rig_stop(&server);
}

static void test_cancel(void **state) {
    rig server = {0};
    net_client_options options = {.target_connections_max = 1};
    asked self;
    uint64_t id[3];
    char text[80];
    (void)state;
    rig_start(&server);
    asked_begin(&self, &options);
    snprintf(text, sizeof text, "%s/hold", server.url);
    begin_fetch(&self, text, (net_fetch){0}, &id[0]);
    for (int i = 0; i < 50; i++) {
        net_loop_turn(self.loop, 2);
    }
    begin_fetch(&self, text, (net_fetch){0}, &id[1]);
    net_loop_turn(self.loop, 0);
    net_client_cancel(self.client, id[1]);
    wait_done(&self, 1);
    assert_int_equal(self.error, NET_ECANCELLED);
    assert_int_equal(self.sent, 0);
    net_client_cancel(self.client, id[0]);
    net_client_cancel(self.client, id[0]);
    wait_done(&self, 2);
    assert_int_equal(self.error, NET_ECANCELLED);
    assert_int_equal(self.sent, 1);
    net_client_cancel(self.client, id[0]); /* an id that is over */
    begin_fetch(&self, text, (net_fetch){0}, &id[2]);
    net_client_cancel(self.client, id[2]); /* before it was begun */
    wait_done(&self, 3);
    assert_int_equal(self.error, NET_ECANCELLED);
    begin_fetch(&self, text, (net_fetch){0}, NULL);
    for (int i = 0; i < 20; i++) {
        net_loop_turn(self.loop, 2);
    }
    begin_fetch(&self, text, (net_fetch){0}, NULL); /* waits */
    net_loop_turn(self.loop, 0);
    begin_fetch(&self, text, (net_fetch){0}, &id[0]); /* not begun */
    net_client_cancel(self.client, id[0]);
    net_client_free(self.client);
    net_loop_free(self.loop);
    assert_int_equal(self.done, 6);
    rig_stop(&server);
}

static void test_arguments(void **state) {
    asked self;
    net_url url;
    const net_header own = {"Host", "a"};
    const net_header split = {"X", "a\r\nb"};
    (void)state;
    asked_begin(&self, NULL);
    assert_int_equal(net_url_parse("https://a/", 10, &url, NULL), 0);
    net_fetch fetch = {.size = sizeof fetch, .url = &url, .method = "GET", .done = on_done};
    assert_int_equal(net_client_fetch(self.client, &fetch, NULL), NET_EINVALID); /* no TLS */
    assert_int_equal(net_url_parse("http://a/", 9, &url, NULL), 0);
    fetch.method = "GET /";
    assert_int_equal(net_client_fetch(self.client, &fetch, NULL), NET_EINVALID);
    fetch.method = "CONNECT";
    assert_int_equal(net_client_fetch(self.client, &fetch, NULL), NET_EINVALID);
    fetch.method = "GET";
    fetch.headers = &own;
    fetch.header_count = 1;
    assert_int_equal(net_client_fetch(self.client, &fetch, NULL), NET_EINVALID);
    fetch.headers = &split;
    assert_int_equal(net_client_fetch(self.client, &fetch, NULL), NET_EINVALID);
    asked_end(&self);
}

/* ---- many, from several threads */

enum { ASKERS = 3, EACH = 2000 };

typedef struct asker {
    net_client *client;
    net_url url;
    char text[80]; /* what the URL borrows from */
    _Atomic int *done;
    _Atomic int *good;
} asker;

static void on_one_of_many(uint64_t id, const net_result *result, void *user) {
    asker *self = user;
    (void)id;
    atomic_fetch_add(self->good, result->error == 0 && result->status == 200);
    atomic_fetch_add(self->done, 1);
}

static void *ask_many(void *user) {
    asker *self = user;
    net_fetch fetch = {.size = sizeof fetch,
                       .url = &self->url,
                       .method = "POST",
                       .body = "body",
                       .body_len = 4,
                       .done = on_one_of_many,
                       .user = self};
    for (int i = 0; i < EACH; i++) {
        uint64_t id;
        assert_int_equal(net_client_fetch(self->client, &fetch, &id), 0);
        if (i % 7 == 0) {
            net_client_cancel(self->client, id);
        }
    }
    return NULL;
}

/* ---- an answer that is told piece by piece */

typedef struct pieces {
    asked self;
    char text[256];
    int status;
    int frees; /* the client, at the first piece */
} pieces;

static void on_piece(uint64_t id, int status, net_text bytes, void *user) {
    pieces *all = user;
    size_t len = strlen(all->text);
    (void)id;
    assert_int_equal(all->self.done, 0); /* `asked` stands first */
    assert_true(bytes.len > 0);
    all->status = status;
    snprintf(all->text + len, sizeof all->text - len, "%.*s", (int)bytes.len, bytes.bytes);
    if (all->frees) {
        net_client_free(all->self.client);
        all->self.client = NULL;
    }
}

static pieces ask_pieces(const act *one, net_fetch fetch, int frees) {
    script server = {.acts = one, .count = 1};
    pieces all = {.frees = frees};
    char text[64];
    script_start(&server);
    asked_begin(&all.self, NULL);
    fetch.piece = on_piece;
    ask(&all.self, url_of(&server, text, sizeof text), fetch);
    asked_end(&all.self);
    script_stop(&server);
    return all;
}

static void test_pieces(void **state) {
    static const act whole[] = {
        {.say = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", .then = WAIT},
        {.say = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n"
                "0\r\n\r\n",
         .then = WAIT}};
    static const act part = {.say =
                                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "2\r\nab\r\n1\r\nc\r\n",
                             .then = WAIT};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        pieces all = ask_pieces(&whole[i], (net_fetch){.timeout_ms = 3000}, 0);
        assert_int_equal(all.self.error, 0);
        assert_string_equal(all.text, "abc");
        assert_string_equal(all.self.body, "abc");
        assert_int_equal(all.status, 200);
    }
    pieces silent = ask_pieces(&part, (net_fetch){.timeout_ms = 200}, 0);
    assert_int_equal(silent.self.error, NET_ETIMEOUT);
    assert_string_equal(silent.text, "abc");
    pieces freed = ask_pieces(&part, (net_fetch){.timeout_ms = 3000}, 1);
    assert_int_equal(freed.self.error, NET_ECANCELLED);
    freed = ask_pieces(&whole[0], (net_fetch){.timeout_ms = 3000}, 1);
    assert_int_equal(freed.self.error, NET_ECANCELLED);
}

static void test_many(void **state) {
    rig server = {0};
    net_client_options options = {.target_connections_max = 20, .target_queue_max = 100000};
    asked self;
    _Atomic int done = 0;
    _Atomic int good = 0;
    asker askers[ASKERS];
    pthread_t thread[ASKERS];
    (void)state;
    rig_start(&server);
    asked_begin(&self, &options);
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (asker){.client = self.client, .done = &done, .good = &good};
        char *text = askers[i].text;
        snprintf(text, sizeof askers[i].text, "%s/%s", server.url, i == 0 ? "later" : "x");
        assert_int_equal(net_url_parse(text, strlen(text), &askers[i].url, NULL), 0);
        pthread_create(&thread[i], NULL, ask_many, &askers[i]);
    }
    while (atomic_load(&done) < ASKERS * EACH) {
        assert_int_equal(net_loop_turn(self.loop, 1000), 0);
    }
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(thread[i], NULL);
    }
    assert_true(atomic_load(&good) >= ASKERS * EACH * 6 / 7 - ASKERS);
    assert_true(net_client_count(self.client).opened < 1200); /* each cancelled one costs one */
    asked_end(&self);
    rig_stop(&server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),      cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_endless),      cmocka_unit_test(test_slow),
        cmocka_unit_test(test_early_answer), cmocka_unit_test(test_poison),
        cmocka_unit_test(test_stale),        cmocka_unit_test(test_not_sent),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_cancel),       cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_many),         cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
