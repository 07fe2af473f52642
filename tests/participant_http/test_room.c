/* Room for calls: in-flight limits, queues, breakers, many at once, and counters. */
#include "rig.h"

#include "src/integration/participant/http/http.h"

static void submit(rig *self, rig_server *server, const char *path, unsigned count, char prefix) {
    char gid[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(gid, sizeof gid, "%c%u", prefix, i);
        etx_tx *tx = rig_tx(self, gid);
        rig_add(tx, "http-saga", "s", server->url, path, "/ok");
        rig_must(etx_tx_submit(tx, NULL, NULL), "submit");
    }
}

static void all_commit(rig *self, unsigned count, char prefix) {
    char gid[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(gid, sizeof gid, "%c%u", prefix, i);
        assert_int_equal(rig_wait(self, gid), ETX_COMMITTED);
    }
}

typedef struct seen {
    etx_http_target_status one;
    unsigned count;
    const char *name;
} seen;

static int look(const etx_http_target_status *status, void *user) {
    seen *to = user;
    to->count++;
    if (to->name == NULL || strcmp(to->name, status->target) == 0) {
        to->one = *status;
    }
    return 0;
}

static etx_http_target_status status_of(rig *self, const char *name) {
    seen found = {.name = name};
    rig_must(etx_http_targets(self->http, look, &found), "targets");
    return found.one;
}

static void test_bulkhead(void **state) {
    rig_server slow = {0};
    rig_server quick = {0};
    rig self = {.options = {.target_in_flight_max = 4}};
    (void)state;
    rig_server_start(&slow);
    rig_server_start(&quick);
    rig_start(&self);
    submit(&self, &slow, "/hold/60", 60, 'a');
    submit(&self, &quick, "/ok", 20, 'b');
    all_commit(&self, 20, 'b');
    assert_true(atomic_load(&slow.calls) < 60); /* they need fifteen times 60 ms */
    all_commit(&self, 60, 'a');
    assert_in_range(atomic_load(&slow.open_max), 1, 4);
    assert_int_equal(atomic_load(&slow.calls), 60);
    etx_http_target_status status = status_of(&self, slow.url);
    assert_int_equal(status.calls, 60);
    assert_int_equal(status.done, 60);
    assert_int_equal(status.in_flight + status.waiting, 0);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&slow);
    rig_server_stop(&quick);
}

/* Where there is no room for a call to any target, each that has calls waiting gets its turn. */
static void test_turns(void **state) {
    rig_server slow = {0};
    rig_server quick = {0};
    rig self = {0};
    (void)state;
    rig_server_start(&slow);
    rig_server_start(&quick);
    rig_start(&self);
    atomic_store(&self.http->in_flight_max, 2);
    submit(&self, &slow, "/hold/60", 40, 'd');
    submit(&self, &quick, "/ok", 10, 'e');
    all_commit(&self, 10, 'e');
    assert_in_range(atomic_load(&slow.calls), 1, 34);
    all_commit(&self, 40, 'd');
    assert_in_range(atomic_load(&slow.open_max), 1, 2);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&slow);
    rig_server_stop(&quick);
}

static void test_queue_full(void **state) {
    rig_server server = {0};
    rig self = {.options = {.target_in_flight_max = 1, .target_queue_max = 2}};
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    submit(&self, &server, "/hold/20", 12, 'q');
    all_commit(&self, 12, 'q');
    assert_true(status_of(&self, server.url).rejected > 0);
    assert_true(rig_said(&self, "too many calls to it are under way and wait"));
    assert_int_equal(atomic_load(&server.open_max), 1);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

/* Where the time of a call is over while it waits for room, it is unknown, and asked again. */
static void test_waits_too_long(void **state) {
    rig_server server = {0};
    rig self = {.options = {.target_in_flight_max = 1}};
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    submit(&self, &server, "/hold/800", 1, 'w');
    assert_true(host_wait_for(&server.calls, 1));
    etx_tx *tx = rig_tx(&self, "waits");
    rig_add_timed(tx, "http-saga", "s", server.url, "/ok", NULL, 100);
    rig_must(etx_tx_submit(tx, NULL, NULL), "submit");
    all_commit(&self, 1, 'w');
    assert_int_equal(rig_wait(&self, "waits"), ETX_COMMITTED);
    assert_true(rig_said(&self, "it was not asked"));
    assert_int_equal(atomic_load(&server.open_max), 1);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

static void test_breaker(void **state) {
    rig_server server = {0};
    rig self = {.options = {.breaker_failures = 3, .breaker_open_ms = 150}};
    char listen[32];
    (void)state;
    rig_server_start(&server);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", server.port);
    rig_server_stop(&server); /* nobody listens there now */
    rig_start(&self);
    submit(&self, &server, "/ok", 20, 'x');
    for (int i = 0; i < 600 && !rig_said(&self, "left alone for a while"); i++) {
        usleep(10000);
    }
    etx_http_target_status status = status_of(&self, server.url);
    assert_int_equal(status.breaker_open, 1);
    assert_true(status.rejected > 0);
    assert_true(status.unknown >= 3);
    uint64_t before = status_of(&self, server.url).calls;
    uint64_t begin = host_now_ms();
    usleep(500000);
    uint64_t probes = status_of(&self, server.url).calls - before;
    assert_in_range(probes, 1, (host_now_ms() - begin) / 150 + 2); /* one each time */
    rig_server again = {.listen = listen};
    rig_server_start(&again);
    all_commit(&self, 20, 'x');
    status = status_of(&self, server.url);
    assert_int_equal(status.breaker_open, 0);
    assert_int_equal(status.done, 20);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&again);
}

/* What a target answers to a wrong question says nothing of its health. */
static void test_breaker_of_the_wrong(void **state) {
    rig_server server = {0};
    rig self = {.options = {.breaker_failures = 2}};
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    submit(&self, &server, "/first/404", 10, 'n');
    all_commit(&self, 10, 'n');
    assert_int_equal(status_of(&self, server.url).rejected, 0);
    assert_int_equal(status_of(&self, server.url).unknown, 10);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

enum { MANY = 1000 };

static void test_many(void **state) {
    rig_server server = {0};
    rig self = {.shards = 2};
    char gid[32];
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(gid, sizeof gid, "m%u", i);
        etx_tx *tx = rig_tx(&self, gid);
        rig_add(tx, "http-tcc", "a", server.url, "/hold/40", NULL);
        rig_add(tx, "http-tcc", "b", server.url, "/ok", NULL);
        rig_must(etx_tx_submit(tx, NULL, NULL), "submit");
    }
    all_commit(&self, MANY, 'm');
    assert_true(atomic_load(&server.calls) >= 4 * MANY);
    assert_int_equal(rig_torn(&server), 0);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

/* Calls that share connections are as many as those that do not. */
static void test_pipeline(void **state) {
    rig_server server = {0};
    rig self = {.shards = 2, .options = {.target_pipeline_max = 8}};
    char gid[32];
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(gid, sizeof gid, "p%u", i);
        etx_tx *tx = rig_tx(&self, gid);
        rig_add(tx, "http-tcc", "a", server.url, i % 50 == 0 ? "/hold/20" : "/ok", NULL);
        rig_add(tx, "http-tcc", "b", server.url, "/ok", NULL);
        rig_must(etx_tx_submit(tx, NULL, NULL), "submit");
    }
    all_commit(&self, MANY, 'p');
    assert_int_equal(atomic_load(&server.calls), 4 * MANY);
    assert_int_equal(status_of(&self, server.url).done, 4 * MANY);
    assert_int_equal(rig_torn(&server), 0);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

enum { BRANCHES = 8, ROUNDS = 50 };

/* One call that is not answered takes those behind it with it. They are unknown, and asked again;
 * the target's breaker counts the one alone. */
static void test_behind_a_call_that_hangs(void **state) {
    rig_server server = {0};
    rig self = {.options = {.target_pipeline_max = BRANCHES, .breaker_failures = 2}};
    char gid[32];
    char name[8];
    int rounds = 0;
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    while (rounds < ROUNDS && !rig_said(&self, "lost with another call's answer")) {
        snprintf(gid, sizeof gid, "h%u", rounds++);
        etx_tx *tx = rig_tx(&self, gid);
        for (int i = 0; i < BRANCHES; i++) {
            snprintf(name, sizeof name, "b%d", i);
            rig_add_timed(tx, "http-tcc", name, server.url, i == 0 ? "/first/hang" : "/ok", NULL,
                          i == 0 ? 100 : 10000);
        }
        rig_must(etx_tx_submit(tx, NULL, NULL), "submit");
        assert_int_equal(rig_wait(&self, gid), ETX_COMMITTED);
        usleep(1000);
    }
    assert_true(rounds < ROUNDS);
    assert_int_equal(status_of(&self, server.url).rejected, 0);
    assert_int_equal(rig_torn(&server), 0);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

/* Beyond 64 targets they are counted as one. */
static void test_counters(void **state) {
    static const char *const nets[] = {"http://127.0.0.0/8:*"};
    rig self = {.options = {.allow = nets, .allow_count = 1, .connect_ms = 100}};
    char gid[32];
    char url[64];
    (void)state;
    rig_start(&self);
    for (unsigned i = 1; i <= 70; i++) {
        snprintf(gid, sizeof gid, "c%u", i);
        snprintf(url, sizeof url, "http://127.0.0.%u:9", i);
        etx_tx *tx = rig_tx(&self, gid);
        rig_add(tx, "http-notification", "n", url, "/", NULL);
        rig_must(etx_tx_submit(tx, NULL, NULL), "submit");
    }
    for (unsigned i = 1; i <= 70; i++) {
        snprintf(gid, sizeof gid, "c%u", i);
        assert_int_equal(rig_wait(&self, gid), ETX_COMMITTED);
    }
    seen found = {.name = "other"};
    rig_must(etx_http_targets(self.http, look, &found), "targets");
    assert_int_equal(found.count, 65);
    assert_int_equal(found.one.unknown, 18); /* six of them, three attempts each */
    rig_stop(&self, ETX_CLOSE_FINISH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bulkhead),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_queue_full),
        cmocka_unit_test(test_waits_too_long),
        cmocka_unit_test(test_breaker),
        cmocka_unit_test(test_breaker_of_the_wrong),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_behind_a_call_that_hangs),
        cmocka_unit_test(test_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
