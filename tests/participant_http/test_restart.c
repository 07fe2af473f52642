/* Engines closed abruptly while calls are out, and opened again: each branch ends right. */
#include "rig.h"

enum { ROUNDS = 6, EACH = 40 };

static void submit(rig *self, const rig_server *server, unsigned round) {
    char gid[32];
    for (unsigned i = 0; i < EACH; i++) {
        snprintf(gid, sizeof gid, "r%u-%u", round, i);
        etx_tx *tx = rig_tx(self, gid);
        rig_add(tx, "http-tcc", "a", server->url, "/chaos", NULL);
        rig_add(tx, "http-tcc", i % 4 == 0 ? "refuses" : "b", server->url, "/chaos", NULL);
        rig_must(etx_tx_submit(tx, NULL, NULL), "submit");
    }
}

static int has(const rig_server *server, const char *gid, const char *branch, const char *word) {
    for (unsigned i = 0; i < server->count; i++) {
        const rig_call *call = &server->call[i];
        if (call->done && strcmp(call->gid, gid) == 0 && strcmp(call->branch, branch) == 0 &&
            strcmp(call->operation, word) == 0) {
            return 1;
        }
    }
    return 0;
}

/* 1: it was begun (its BEGIN may have been lost with the engine: then nobody was called). */
static int check_ended(rig *self, rig_server *server, const char *gid, int refuses) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    const char *other = refuses ? "refuses" : "b";
    int rc = etx_wait_for(self->engine, gid, ETX_WAIT_ENDED, 60000, &outcome);
    if (rc == ETX_ENOTFOUND) {
        assert_false(has(server, gid, "a", "try") || has(server, gid, other, "try"));
        return 0;
    }
    rig_must(rc, gid);
    assert_int_equal(outcome.state, refuses ? ETX_ABORTED : ETX_COMMITTED);
    pthread_mutex_lock(&server->lock);
    const char *word = refuses ? "cancel" : "confirm";
    int ends = has(server, gid, "a", word) && has(server, gid, other, word);
    pthread_mutex_unlock(&server->lock);
    if (!ends) {
        fail_msg("%s: not every branch heard %s", gid, word);
    }
    return 1;
}

static void test_abrupt(void **state) {
    host_dir dir;
    rig_server server = {.seed = 7};
    char gid[32];
    unsigned begun = 0;
    (void)state;
    host_dir_make(&dir);
    rig_server_start(&server);
    for (unsigned round = 0; round < ROUNDS; round++) {
        rig self = {.home = dir.url};
        rig_start(&self);
        submit(&self, &server, round);
        usleep(20000 + round * 15000);
        rig_stop(&self, ETX_CLOSE_ABRUPT); /* with calls out, and calls that wait */
    }
    rig self = {.home = dir.url};
    rig_start(&self);
    for (unsigned i = 0; i < ROUNDS * EACH; i++) {
        snprintf(gid, sizeof gid, "r%u-%u", i / EACH, i % EACH);
        begun += (unsigned)check_ended(&self, &server, gid, i % EACH % 4 == 0);
    }
    assert_true(begun > ROUNDS * EACH / 2);
    assert_int_equal(rig_torn(&server), 0);
    assert_true(atomic_load(&server.calls) < RIG_CALLS_MAX);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
    host_dir_remove(&dir);
}

/* A participant whose server goes away under load, and comes back at the same address. */
static void test_server_restarts(void **state) {
    rig_server server = {0};
    rig self = {.options = {.breaker_open_ms = 100}};
    char listen[32];
    char gid[32];
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", server.port);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(gid, sizeof gid, "s%u", i);
        etx_tx *tx = rig_tx(&self, gid);
        rig_add(tx, "http-tcc", "a", server.url, "/hold/5", NULL);
        rig_must(etx_tx_submit(tx, NULL, NULL), "submit");
        if (i == 100) {
            rig_server_stop(&server);
            server = (rig_server){.listen = listen};
            usleep(50000);
            rig_server_start(&server);
        }
    }
    for (unsigned i = 0; i < 200; i++) {
        snprintf(gid, sizeof gid, "s%u", i);
        assert_int_equal(rig_wait(&self, gid), ETX_COMMITTED);
    }
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

typedef struct ending {
    net_task task;
    etx_http *http;
    net_loop *loop;
} ending;

static void end_here(net_task *task) {
    ending *self = (ending *)(void *)task;
    etx_http_free(self->http);
    net_loop_stop(self->loop);
}

static void *run_loop(void *loop) {
    (void)net_loop_run(loop);
    return NULL;
}

/* A loop of the caller's: calls are made there, and given up there when the engine is closed. */
static void test_loop_of_the_caller(void **state) {
    rig_server server = {0};
    rig self = {.options = {.target_in_flight_max = 8}};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    pthread_t thread;
    net_loop *loop;
    (void)state;
    rig_server_start(&server);
    assert_int_equal(net_loop_create(&loop), 0);
    self.options.loop = loop;
    rig_start(&self);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
    assert_int_equal(rig_run(&self, server.url, "/ok", &outcome), ETX_COMMITTED);
    for (unsigned i = 0; i < 30; i++) {
        etx_tx *tx = rig_tx(&self, NULL);
        rig_add(tx, "http-saga", "s", server.url, "/hold/300", NULL);
        rig_must(etx_tx_submit(tx, NULL, NULL), "submit");
    }
    assert_true(host_wait_for(&server.calls, 9)); /* eight are out, the others wait */
    (void)etx_engine_close(self.engine, ETX_CLOSE_ABRUPT, 10000);
    ending end = {.task = {.run = end_here}, .http = self.http, .loop = loop};
    net_loop_post(loop, &end.task);
    pthread_join(thread, NULL);
    etx_engine_free(self.engine);
    net_loop_free(loop);
    assert_int_equal(atomic_load(&server.calls), 9);
    rig_server_stop(&server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_abrupt),
        cmocka_unit_test(test_server_restarts),
        cmocka_unit_test(test_loop_of_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
