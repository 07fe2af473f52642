/* TLS to participants: who is trusted, who is shown, and certificates that are read anew. */
#include "rig.h"

#include <sys/wait.h>

typedef struct files {
    host_dir dir;
    char path[8][HOST_PATH_MAX + 32];
} files;

static const char *in(files *self, unsigned place, const char *name) {
    const host_dir dir = self->dir;
    snprintf(self->path[place], sizeof self->path[place], "%s/%s", dir.path, name);
    return self->path[place];
}

static int make_files(files *self) {
    const char *script = getenv("NET_CERTIFICATES");
    char command[1024];
    host_dir_make(&self->dir);
    if (script == NULL) {
        return 0;
    }
    snprintf(command, sizeof command, "'%s' '%s'", script, self->dir.path);
    int status = system(command);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static net_tls *server_tls(files *self, const char *certificate, const char *key, int clients) {
    char message[NET_TLS_MESSAGE_MAX];
    net_tls *tls = NULL;
    net_tls_options options = {.size = sizeof options,
                               .server = 1,
                               .certificate = in(self, 4, certificate),
                               .key = in(self, 5, key)};
    if (clients) {
        options.authorities = in(self, 6, "one.pem");
        options.clients = NET_TLS_CLIENTS_REQUIRED;
    }
    if (net_tls_create(&options, message, &tls) != 0) {
        fail_msg("%s", message);
    }
    return tls;
}

static void notify(rig *self, const char *gid, const char *url) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = rig_tx(self, gid);
    rig_add(tx, "http-notification", "n", url, "/ok", NULL);
    rig_must(etx_tx_run(tx, &outcome), "run");
}

static void test_trust(void **state) {
    files made;
    (void)state;
    if (!make_files(&made)) {
        skip();
    }
    rig_server server = {.tls = server_tls(&made, "server.pem", "server.key", 0)};
    rig self = {.options = {.ca_file = in(&made, 0, "two.pem")}};
    char why[300] = "";
    rig_server_start(&server);
    rig_start(&self);
    notify(&self, "stranger", server.url);
    assert_int_equal(atomic_load(&server.calls), 0);
    assert_true(rig_said(&self, "TLS failed: https://127.0.0.1:"));
    self.options.ca_file = in(&made, 1, "one.pem");
    rig_must(etx_http_reload(self.http, &self.options, why, sizeof why), why);
    notify(&self, "trusted", server.url);
    assert_int_equal(atomic_load(&server.calls), 1);
    self.options.ca_file = in(&made, 2, "none.pem");
    assert_int_equal(etx_http_reload(self.http, &self.options, why, sizeof why), ETX_EIO);
    assert_non_null(strstr(why, "none.pem"));
    notify(&self, "still", server.url);
    assert_int_equal(atomic_load(&server.calls), 2);
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
    net_tls_free(server.tls);
    host_dir_remove(&made.dir);
}

static void wrong_server(files *made, const char *certificate, const char *key) {
    rig_server server = {.tls = server_tls(made, certificate, key, 0)};
    rig self = {.options = {.ca_file = in(made, 0, "one.pem")}};
    rig_server_start(&server);
    rig_start(&self);
    notify(&self, certificate, server.url);
    assert_int_equal(atomic_load(&server.calls), 0);
    assert_true(rig_said(&self, "TLS failed: https://127.0.0.1:"));
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
    net_tls_free(server.tls);
}

static void test_wrong_servers(void **state) {
    files made;
    (void)state;
    if (!make_files(&made)) {
        skip();
    }
    wrong_server(&made, "elsewhere.pem", "elsewhere.key");
    wrong_server(&made, "expired.pem", "expired.key");
    host_dir_remove(&made.dir);
}

static void test_client_certificate(void **state) {
    files made;
    (void)state;
    if (!make_files(&made)) {
        skip();
    }
    rig_server server = {.tls = server_tls(&made, "server.pem", "server.key", 1)};
    rig self = {.options = {.ca_file = in(&made, 0, "one.pem")}};
    char why[300] = "";
    rig_server_start(&server);
    rig_start(&self);
    notify(&self, "nobody", server.url);
    assert_int_equal(atomic_load(&server.calls), 0);
    self.options.certificate_file = in(&made, 1, "client.pem");
    self.options.key_file = in(&made, 2, "client.key");
    rig_must(etx_http_reload(self.http, &self.options, why, sizeof why), why);
    notify(&self, "client", server.url);
    assert_int_equal(atomic_load(&server.calls), 1);
    assert_non_null(strstr(server.call[0].subject, "CN=client"));
    rig_stop(&self, ETX_CLOSE_FINISH);
    rig_server_stop(&server);
    net_tls_free(server.tls);
    host_dir_remove(&made.dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trust),
        cmocka_unit_test(test_wrong_servers),
        cmocka_unit_test(test_client_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
