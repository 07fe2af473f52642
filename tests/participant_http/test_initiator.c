/* Initiators over HTTP: asked whether they committed, and run again with what is recorded. */
#include "rig.h"

static etx_tx *begin(rig *self,
                     rig_server *server,
                     const char *gid,
                     etx_mode mode,
                     const char *path) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx;
    char url[128];
    void *bytes;
    snprintf(url, sizeof url, "%s%s", server->url, path);
    rig_must(etx_http_initiator_write(url, NULL, 0, NULL, &bytes, &options.initiator_payload_len,
                                      NULL, 0),
             "write");
    options.gid = gid;
    options.mode = mode;
    options.initiator = "http-initiator";
    options.initiator_payload = bytes;
    options.deadline_ms = mode == ETX_RESUMED ? 30000 : 100;
    options.resume_ms = 100;
    rig_must(etx_tx_begin(self->engine, &options, &tx), "begin");
    free(bytes);
    return tx;
}

static void enlist(etx_tx *tx, rig_server *server, const char *participant, const char *name) {
    etx_branch branch = ETX_BRANCH_INIT;
    etx_http_branch said = {.size = sizeof said};
    char url[128];
    void *bytes;
    snprintf(url, sizeof url, "%s/ok", server->url);
    said.commit_url = said.undo_url = url;
    rig_must(etx_http_branch_write(&said, &bytes, &branch.payload_len, NULL, 0), "write");
    branch.participant = participant;
    branch.name = name;
    branch.payload = bytes;
    branch.flags = strcmp(participant, "http-message") == 0 ? 0 : ETX_BY_INITIATOR;
    rig_must(etx_tx_enlist(tx, &branch), "enlist");
    free(bytes);
}

static void asked(rig *self, rig_server *server, const char *path, etx_state wanted) {
    const char *gid = path + 1;
    etx_tx *tx = begin(self, server, gid, ETX_INTERACTIVE, path);
    enlist(tx, server, "http-message", gid);
    etx_tx_discard(tx); /* falls silent */
    assert_int_equal(rig_wait(self, gid), wanted);
    int at = rig_find(server, 0, "", "query");
    assert_true(at >= 0);
    assert_string_equal(server->call[at].type, "application/json");
    assert_memory_equal(server->call[at].body, "{}", 2);
    assert_int_equal(rig_find(server, 0, gid, "deliver") >= 0, wanted == ETX_COMMITTED);
}

static void test_query(void **state) {
    rig_server server = {0};
    rig self = {0};
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    asked(&self, &server, "/query/200", ETX_COMMITTED);
    asked(&self, &server, "/query/409", ETX_ABORTED);
    asked(&self, &server, "/first/425", ETX_COMMITTED);
    asked(&self, &server, "/first/500", ETX_COMMITTED);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

static void test_resume(void **state) {
    rig_server server = {0};
    rig self = {0};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx;
    (void)state;
    rig_server_start(&server);
    rig_start(&self);
    tx = begin(&self, &server, "flow", ETX_RESUMED, "/resume/200");
    enlist(tx, &server, "http-saga", "one");
    rig_must(etx_tx_result(tx, "one", ETX_DONE, "{\"id\":7}", 8, NULL), "result");
    enlist(tx, &server, "http-saga", "two");
    etx_tx_discard(tx);
    assert_true(host_wait_for(&server.calls, 1));
    int at = rig_find(&server, 0, "", "resume");
    assert_true(at >= 0);
    assert_string_equal(server.call[at].gid, "flow");
    assert_string_equal(server.call[at].body, "{\"results\":{\"one\":{\"result\":{\"id\":7}}}}");
    assert_true(host_wait_for(&server.calls, 2));
    int again = rig_find(&server, at + 1, "", "resume");
    assert_true(again > at);
    assert_string_not_equal(server.call[at].run, server.call[again].run);
    assert_string_not_equal(server.call[at].key, server.call[again].key);
    for (int tries = 0;; tries++) { /* another run may begin meanwhile */
        pthread_mutex_lock(&server.lock);
        uint64_t run = strtoull(server.call[server.count - 1].run, NULL, 10);
        pthread_mutex_unlock(&server.lock);
        assert_true(run > 0);
        rig_must(etx_tx_attach(self.engine, "flow", run, &tx), "attach");
        int rc = etx_tx_result(tx, "two", ETX_DONE, "8", 1, NULL);
        if (rc == 0 && (rc = etx_tx_commit(tx, &outcome)) == 0) {
            break;
        }
        assert_int_equal(rc, ETX_ESTATE);
        assert_true(tries < 100);
        usleep(5000);
    }
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_resume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
